/** How little it needs: two capabilities, or a user namespace and no root at all. */
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { greet, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'
import { Program, Programs } from '../setup/program.js'

let programs: Programs
let machine: PrivateHost
const { test: withTwo } = requires('root', 'program:nft', 'program:setpriv')
const { test: inUserNamespace } = requires('root', 'userns')

beforeAll(async () => {
  programs = await Programs.bundle('test/process/programs/main-acts.ts', 'test/process/programs/blind-guard.ts')
})
afterAll(() => programs[Symbol.asyncDispose]())
beforeEach(async () => {
  machine = await freshHost()
})
afterEach(() => machine.remove())

// A sanitizer's run-time library is for Node alone.
const { LD_PRELOAD: preload, ...env } = process.env
const node = preload === undefined ? [process.execPath] : ['env', `LD_PRELOAD=${preload}`, process.execPath]

async function done(command: string, ...args: string[]): Promise<void> {
  const program = new Program(spawn(command, args, { stdio: 'pipe', env }))
  expect(await program.hear().catch(() => program.errors)).toBe('done')
  expect(await program.end()).toBe(0)
}

withTwo('with CAP_NET_ADMIN and CAP_SYS_ADMIN alone everything works, ports below 1024 included, and nothing is left', async () => {
  await machine.run('sysctl', '-qw', 'net/ipv4/ip_forward=1', 'net/ipv6/conf/all/forwarding=1')
  await using peer = new Peer(machine.netns)
  await greet(peer, '0.0.0.0', 81)
  const before = await machine.dump()
  const only = '-all,+net_admin,+sys_admin'
  const drop = ['--bounding-set', only, '--inh-caps', only]
  await done('nsenter', `--net=${machine.netns}`, 'setpriv', ...drop, ...node, programs.path('main-acts'), '/run/two-capabilities', '81')
  await rm('/run/two-capabilities', { recursive: true })
  expect(await machine.dump()).toEqual(before)
})

inUserNamespace('in a user namespace, without any privilege on the machine, everything works', async () => {
  const stateDir = await mkdtemp(join(tmpdir(), 'netmode-userns-'))
  const script = 'mount -t tmpfs tmpfs /run && ip link set lo up && exec "$@"'
  await done('unshare', '-Urnm', 'sh', '-ec', script, 'sh', ...node, programs.path('main-acts'), stateDir)
  await rm(stateDir, { recursive: true })
})

inUserNamespace('a guard that gets no inotify instance says so once, puts right what it hears of, and tries again', async () => {
  const stateDir = await mkdtemp(join(tmpdir(), 'netmode-userns-'))
  const script = 'mount -t tmpfs tmpfs /run && ip link set lo up && exec "$@"'
  const program = new Program(
    spawn('unshare', ['-Urnm', 'sh', '-c', script, 'sh', ...node, programs.path('blind-guard'), stateDir], { stdio: 'pipe', env }),
  )
  const heard: string[] = []
  for (let more = true; more; ) {
    const line = await program.hear().catch(() => program.errors)
    heard.push(line)
    more = / back$| released$|^NetmodeWarning/.test(line)
  }
  expect(heard).toEqual([
    expect.stringMatching(/^NetmodeWarning ERR_NETMODE_CAPACITY: .*EMFILE/),
    'the ruleset is back',
    'first is released',
    'second is released',
    '1 warning',
  ])
  expect(await program.end()).toBe(0)
  await rm(stateDir, { recursive: true })
})
