/** Many processes at work on one host at the same time, without anyone to arrange it. */
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import type { SandboxOptions } from '../../lib/index.js'
import { open } from '../setup/between.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { type Program, Programs } from '../setup/program.js'
import { worldOf } from '../setup/state-tree.js'
import type { Outcome } from './programs/crowd.js'

const { test } = requires('root', 'program:nft')

let programs: Programs
let machine: PrivateHost
beforeAll(async () => {
  programs = await Programs.bundle('test/process/programs/crowd.ts', 'test/process/programs/live.ts')
})
afterAll(() => programs[Symbol.asyncDispose]())
beforeEach(async () => {
  machine = await freshHost()
})
afterEach(() => machine.remove())

const processes = 20

const world = () => worldOf(machine)

/** Starts the processes, lets them all loose at once, and answers what came of it. They stay until `leave`. */
async function crowd(sandboxes: (process: number) => readonly SandboxOptions[]): Promise<{ all: Program[]; outcomes: Outcome[] }> {
  const all = Array.from({ length: processes }, (_, i) =>
    programs.start('crowd', machine.netns, machine.stateDir, ...sandboxes(i).map(one => JSON.stringify(one))),
  )
  await Promise.all(all.map(one => one.hear()))
  for (const one of all) one.say('go')
  const outcomes = await Promise.all(all.map(async one => JSON.parse(await one.hear()) as Outcome[]))
  return { all, outcomes: outcomes.flat() }
}

/** All remove what they made, at once. */
async function leave(all: readonly Program[]): Promise<void> {
  for (const one of all) one.say('enough')
  expect(await Promise.all(all.map(one => one.end()))).toEqual(all.map(() => 0))
  expect(all.map(one => one.errors).join('')).toBe('')
}

const made = (outcomes: readonly Outcome[]) => outcomes.flatMap(one => ('failed' in one ? [] : [one]))
const failed = (outcomes: readonly Outcome[]) => outcomes.flatMap(one => ('failed' in one ? [one.failed] : []))

const ten = (options: Partial<SandboxOptions>) => (process: number) =>
  Array.from({ length: 10 }, (_, i) => ({ name: `box-${process}-${i}`, ...options }))

test('20 processes create 10 sandboxes each on one network: 200 addresses, no two ports the same, all removed', async () => {
  const host = await open(machine)
  const lan = await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
  const before = await world()
  const { all, outcomes } = await crowd(ten({ network: 'lan', publish: ['80', '53/udp'] }))
  expect(failed(outcomes)).toEqual([])
  expect(new Set(made(outcomes).flatMap(({ addresses }) => addresses)).size).toBe(200)
  expect(new Set(made(outcomes).flatMap(({ ports }) => ports)).size).toBe(400)
  expect(await host.sandboxes.list()).toHaveLength(200)
  const links = await machine.ipJson('-d', 'link', 'show')
  expect(links.filter(({ master }) => master === lan.device)).toHaveLength(200)
  await leave(all)
  expect(await world()).toEqual(before)
  await host.close()
})

test('20 processes begin on a fresh host: one table, one default network', async () => {
  await (await open(machine)).close() // makes the state folder
  const before = await world()
  const { all, outcomes } = await crowd(process => [{ name: `box-${process}`, publish: ['80'] }])
  expect(failed(outcomes)).toEqual([])
  expect(new Set(made(outcomes).flatMap(({ addresses }) => addresses)).size).toBe(processes)
  const host = await open(machine)
  expect((await host.networks.list()).map(({ name, subnets }) => [name, subnets[0]?.subnet])).toEqual([['bridge', '172.17.0.0/16']])
  expect(await machine.ipJson('link', 'show', 'type', 'bridge')).toHaveLength(1)
  await leave(all)
  expect(await host.networks.remove('bridge')).toBe(true)
  expect(await world()).toEqual(before)
  await host.close()
})

test('20 processes ask for one name, one address, one port: one gets each, nothing is left of the others', async () => {
  const contested: readonly [Partial<SandboxOptions>, code: string][] = [
    [{ name: 'web' }, 'ERR_NETMODE_EXISTS'],
    [{ ip: '10.9.0.9' }, 'ERR_NETMODE_ADDRESS_IN_USE'],
    [{ ip6: 'fd00:9::9' }, 'ERR_NETMODE_ADDRESS_IN_USE'],
    [{ publish: ['8080:80'] }, 'ERR_NETMODE_PORT_IN_USE'],
  ]
  const host = await open(machine)
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
  const before = await world()
  const { all, outcomes } = await crowd(process =>
    contested.map(([wanted], i) => ({ name: `box-${process}-${i}`, network: 'lan', ...wanted })),
  )
  for (const [i, [, code]] of contested.entries()) {
    const ours = outcomes.filter((_, at) => at % contested.length === i)
    expect(made(ours)).toHaveLength(1)
    expect(failed(ours)).toEqual(Array.from({ length: processes - 1 }, () => code))
  }
  expect(await host.sandboxes.list()).toHaveLength(contested.length)
  await leave(all)
  expect(await world()).toEqual(before)
  await host.close()
})

test('20 processes attach, publish, unpublish and detach at once, also on one sandbox that all share', async () => {
  const host = await open(machine)
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
  await host.networks.create({ name: 'back', subnets: ['10.8.0.0/24'] })
  const web = await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['8080:80'] })
  const before = await world()
  const all = Array.from({ length: processes }, (_, i) => programs.start('live', machine.netns, machine.stateDir, `box-${i}`, 'web'))
  await Promise.all(all.map(one => one.hear()))
  for (const one of all) one.say('go')
  const told = await Promise.all(all.map(async one => JSON.parse(await one.hear()) as { address: string; ports: string[] }))
  expect(new Set(told.map(({ address }) => address)).size).toBe(processes)
  const ports = told.flatMap(one => one.ports)
  expect(ports).toHaveLength(4 * processes)
  expect(new Set(ports).size).toBe(4 * processes)
  expect((await web.refresh()).ports).toHaveLength(1 + 2 * processes)
  expect(Object.keys((await host.networks.inspect('back')).Containers as object)).toHaveLength(processes)
  await leave(all)
  expect(await world()).toEqual(before)
  await host.close()
})
