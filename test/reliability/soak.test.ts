/** After many sandboxes have come and gone, and with many there, nothing has grown that should not. */
import { readdir, readFile } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { open } from '../setup/between.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { Programs } from '../setup/program.js'
import { worldOf } from '../setup/state-tree.js'
import type { Footprint } from './programs/soak.js'
import { isLong, score } from './scorecard.js'

const { test } = requires('root', 'program:nft', 'program:conntrack')

let programs: Programs
let machine: PrivateHost
beforeAll(async () => {
  programs = await Programs.bundle('test/reliability/programs/soak.ts')
})
afterAll(() => programs[Symbol.asyncDispose]())
beforeEach(async () => {
  machine = await freshHost()
})
afterEach(() => machine.remove())

const world = () => worldOf(machine)

/** Namespaces that the kernel holds, named or not. */
async function namespaces(): Promise<number> {
  const text = await readFile('/proc/slabinfo', 'utf8').catch(() => '')
  return Number(text.match(/^net_namespace\s+(\d+)/m)?.[1] ?? 0)
}

const cycles = isLong ? 10_000 : 150
const live = isLong ? 1000 : 60

test(`${cycles} cycles of create, publish, traffic and remove, then ${live} live sandboxes`, {
  timeout: isLong ? 7_200_000 : 300_000,
}, async () => {
  const host = await open(machine)
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/16'] })
  const before = await world()
  const names = (await readdir('/run/netns')).length
  const slab = await namespaces()
  const soak = programs.start('soak', machine.netns, machine.stateDir, String(cycles), String(live))
  const [warm, after, full, empty] = [
    JSON.parse(await soak.hear()) as Footprint,
    JSON.parse(await soak.hear()) as Footprint,
    JSON.parse(await soak.hear()) as Footprint,
    JSON.parse(await soak.hear()) as Footprint,
  ]
  expect(await soak.end()).toBe(0)
  expect(soak.errors).toBe('')
  for (const one of [after, full, empty]) {
    expect(one.fds, JSON.stringify([warm.kinds, one.kinds])).toBeLessThanOrEqual(warm.fds)
    expect(one.threads).toBeLessThanOrEqual(warm.threads)
  }
  expect((await readdir('/run/netns')).length).toBe(names)
  expect(await world()).toEqual(before)
  const flows = await machine.run('conntrack', '-L', '-p', 'udp')
  expect(flows).not.toContain('dport=5353')
  // A record or so a sandbox would show: the slope of a leak, not what allocators keep.
  const growth = (key: 'native' | 'heap') => (after[key] - warm[key]) / 1024
  expect(growth('native')).toBeLessThan(Math.max(16 * 1024, cycles * 2))
  expect(growth('heap')).toBeLessThan(Math.max(4 * 1024, cycles))
  score(
    17,
    `after ${cycles} cycles`,
    `descriptors ${warm.fds} -> ${after.fds}, threads ${warm.threads} -> ${after.threads}, memory ${growth('native').toFixed(0)} KiB more, V8's heap ${growth('heap').toFixed(0)} KiB`,
  )
  score(
    17,
    `with ${live} live sandboxes`,
    `descriptors ${full.fds}, threads ${full.threads}; namespaces before ${slab}, after ${await namespaces()}`,
  )
  await host.networks.remove('lan')
  await host.close()
})
