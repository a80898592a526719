/** Netlink libraries of other languages, each in a process that lives as long as the row and is told what to do. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { find } from '../shell.js'
import { builds, LineProgram } from '../yardstick.js'
import { endpoint, Missing, type Peer, type Site, type Start } from './peer.js'

/** This script runs from build-bench. */
const sources = fileURLToPath(new URL('../bench/peers/', import.meta.url))
const gopath = '/usr/share/gocode'
const lacks = 'a published port, state, recovery'

/** They measure by themselves and answer nanoseconds, so that the way there doesn't count. */
function peer(who: string, command: string, program: LineProgram, third: number, { bridge, prefix, gateway }: Site): Peer {
  let last = endpoint(0, third)
  return {
    who,
    lacks,
    measure(n) {
      last = endpoint(n, third)
      return program.ask(command, last.name, last.link, last.address, prefix, gateway, bridge)
    },
    clear: async () => void (await program.ask('clear', last.name, last.link)),
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  }
}

export const pyroute2: Start = async site => {
  // Debian's own Python: another one in PATH doesn't have Debian's modules.
  const python = find('/usr/bin/python3')
  if (python === undefined || spawnSync(python, ['-c', 'import pyroute2']).status !== 0) return new Missing('pyroute2')
  return peer('pyroute2', 'make', new LineProgram(python, [join(sources, 'attach.py')]), 205, site)
}

function buildGo(): string | Missing {
  const program = join(builds, 'attach-go')
  const go = find('go')
  if (go === undefined || !existsSync(join(gopath, 'src/github.com/vishvananda/netlink')))
    return new Missing("Go or Debian's vishvananda/netlink")
  const env = { ...process.env, GO111MODULE: 'off', GOPATH: gopath, GOFLAGS: '', GOCACHE: join(builds, 'go-cache') }
  const { status, stderr } = spawnSync(go, ['build', '-o', program, join(sources, 'attach.go')], { env, encoding: 'utf8' })
  if (status !== 0) throw new Error(`go build: ${stderr}`)
  return program
}

/** As CNI's bridge plugin and most others use it: a pair is made here, then one end is moved. */
export const goUsual: Start = async site => {
  const built = buildGo()
  return built instanceof Missing ? built : peer('Go vishvananda/netlink', 'make', new LineProgram(built, []), 206, site)
}

/** As few wait for it to be used: the peer is born in its namespace. */
export const goInPlace: Start = async site => {
  const built = buildGo()
  return built instanceof Missing
    ? built
    : peer('Go vishvananda/netlink, peer born inside', 'make-in-place', new LineProgram(built, []), 207, site)
}
