/** Many processes and threads at work at the same time, for a while: nothing is given twice, lost, or left. */
import { mkdir, readdir, rm } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import type { Account } from '../process/programs/scramble.js'
import { open } from '../setup/between.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { Programs } from '../setup/program.js'
import { worldOf } from '../setup/state-tree.js'
import { isLong, score } from './scorecard.js'

const { test } = requires('root', 'program:nft')

let programs: Programs
let machine: PrivateHost
beforeAll(async () => {
  programs = await Programs.bundle('test/process/programs/scramble.ts', 'test/process/programs/threads.ts')
})
afterAll(() => programs[Symbol.asyncDispose]())
beforeEach(async () => {
  machine = await freshHost()
})
afterEach(() => machine.remove())

const world = () => worldOf(machine)

const processes = isLong ? 64 : 12
const seconds = isLong ? 180 : 4

test(`${processes} processes create, publish and remove on one network for ${seconds} s`, { timeout: 1_800_000 }, async () => {
  const host = await open(machine)
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
  const before = await world()
  const marks = '/run/marks'
  await mkdir(marks)
  const all = Array.from({ length: processes }, (_, i) =>
    programs.start('scramble', machine.netns, machine.stateDir, marks, String(i), String(seconds * 1000)),
  )
  await Promise.all(all.map(one => one.hear()))
  const accounts = await Promise.all(all.map(async one => JSON.parse(await one.hear()) as Account))
  expect(await Promise.all(all.map(one => one.end()))).toEqual(all.map(() => 0))
  expect(all.map(one => one.errors).join('')).toBe('')
  expect(accounts.flatMap(({ wrong }) => wrong)).toEqual([])
  expect(await readdir(marks)).toEqual([])
  await rm(marks, { recursive: true })
  const sum = (key: 'created' | 'published' | 'lost') => accounts.reduce((total, one) => total + one[key], 0)
  expect(sum('created')).toBeGreaterThan(processes)
  await host.sandboxes.remove('shared')
  expect(await host.recover()).toEqual({ rolledBack: [], repaired: [], damaged: [] })
  expect(await world()).toEqual(before)
  await host.networks.remove('lan')
  await host.close()
  score(
    24,
    `${processes} processes for ${seconds} s`,
    `${sum('created')} creates, ${sum('published')} publishes, ${sum('lost')} races lost; 0 given twice, 0 left`,
  )
})

const updates = isLong ? 3000 : 60

test(`three writers of the ruleset, ${updates} updates each: none is lost`, { timeout: 1_800_000 }, async () => {
  await using one = await open(machine)
  await one.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
  await using two = await open(machine)
  const [a, b] = [await one.sandboxes.create({ name: 'a', network: 'lan' }), await two.sandboxes.create({ name: 'b', network: 'lan' })]
  await machine.nft('add table inet theirs; add set inet theirs ports { type inet_service; }')
  await Promise.all([
    ...[a, b].map(async (sandbox, which) => {
      for (let i = 0; i < updates; i++) {
        await sandbox.publish(`${10_000 + 10_000 * which + i}:80`)
        if (i % 3 === 2) await sandbox.unpublish(`${10_000 + 10_000 * which + i - 1}`)
      }
    }),
    (async () => {
      for (let i = 0; i < updates; i++) await machine.nft(`add element inet theirs ports { ${i + 1} }`)
    })(),
  ])
  const there = new Set(
    Array.from((await machine.nft('list map inet netmode publish4_any')).matchAll(/tcp \. (\d+)/g), ([, port]) => Number(port)),
  )
  const wanted = [0, 1].flatMap(which =>
    Array.from({ length: updates }, (_, i) => i)
      .filter(i => !(i % 3 === 1 && i + 1 < updates))
      .map(i => 10_000 + 10_000 * which + i),
  )
  expect([...there].sort((x, y) => x - y)).toEqual(wanted)
  expect((await machine.nft('list set inet theirs ports')).match(/\d+(?=[,\s}])/g)).toHaveLength(updates)
  await one.sandboxes.removeAll(['a', 'b'])
  score(8, 'writers of the ruleset', `3 with ${updates} updates each, 0 lost`)
})

const cuts = isLong ? 1000 : 30

test(`${cuts} worker threads are terminated in the middle of anything`, { timeout: isLong ? 3_600_000 : 300_000 }, async () => {
  await (await open(machine)).close()
  const before = await world()
  const program = programs.start('threads', machine.netns, machine.stateDir, 'cut', String(cuts))
  expect(await program.hear()).toBe('done')
  expect(await program.end(), program.errors).toBe(0)
  const host = await open(machine)
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  for (const { name } of await host.networks.list()) await host.networks.remove(name)
  await host.close()
  expect(await world()).toEqual(before)
  score(43, 'worker threads terminated in mid-flight', `${cuts}, 0 crashes, 0 left`)
})

const exits = isLong ? 1000 : 6

test(`${exits} processes exit in the middle of anything`, { timeout: isLong ? 3_600_000 : 300_000 }, async () => {
  await (await open(machine)).close()
  const before = await world()
  for (let i = 0; i < exits; i++) {
    const program = programs.start('threads', machine.netns, machine.stateDir, 'exit', String(i % 40))
    expect(await program.end(), program.errors).toBe(7)
    expect(program.errors).toBe('')
  }
  const host = await open(machine)
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  for (const { name } of await host.networks.list()) await host.networks.remove(name)
  await host.close()
  expect(await world()).toEqual(before)
  score(43, 'process.exit in mid-flight', `${exits}, 0 crashes, 0 left`)
})
