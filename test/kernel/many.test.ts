/** Looking at many sandboxes: all at once, in a few trips to the kernel. */
import { stat } from 'node:fs/promises'
import { afterEach, beforeEach, expect } from 'vitest'
import type { Host } from '../../lib/index.js'
import { type Between, openBetween } from '../setup/between.js'
import { freshHost, type PrivateHost, run } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { answer } from '../setup/talk.js'

const { test } = requires('root', 'program:nft')

let machine: PrivateHost
let host: Host
let between: Between

beforeEach(async () => {
  machine = await freshHost()
  ;({ host, between } = await openBetween(machine))
})
afterEach(async () => {
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await machine.remove()
})

/** How many plans are run meanwhile. */
async function trips(look: () => Promise<unknown>): Promise<number> {
  const before = between.plans.length
  await look()
  return between.plans.length - before
}

test('a list of many takes a few trips, and knows each namespace', async () => {
  const names = Array.from({ length: 100 }, (_, i) => `box-${String(i).padStart(3, '0')}`)
  for (const name of names) await host.sandboxes.create({ name, network: 'none' })
  await host.sandboxes.create({ name: 'one', network: 'host' })
  expect(await trips(() => host.sandboxes.list())).toBeLessThan(4)
  const listed = await host.sandboxes.list()
  expect(listed.map(({ name }) => name)).toEqual([...names, 'one'])
  const inodes = await Promise.all(names.map(async name => BigInt((await stat(`/run/netns/${name}`)).ino)))
  expect(listed.slice(0, 100).map(({ namespace }) => namespace.inode)).toEqual(inodes)
  expect(new Set(listed.map(({ namespace }) => namespace.cookie)).size).toBe(101)
  expect(listed.at(-1)?.namespace.cookie).toBe(host.namespace.cookie)
})

test('one whose namespace is gone is listed beside the others', async () => {
  for (const name of ['a', 'b', 'c']) await host.sandboxes.create({ name, network: 'none' })
  await run('ip', ['netns', 'delete', 'b'])
  const listed = await host.sandboxes.list()
  expect(listed.map(({ name, namespace }) => [name, namespace.cookie > 0n])).toEqual([
    ['a', true],
    ['b', false],
    ['c', true],
  ])
})

test('inspections at the same time share their looks at what was counted, and each has its own', async () => {
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
  const names = Array.from({ length: 40 }, (_, i) => `box-${i}`)
  for (const [i, name] of names.entries()) await host.sandboxes.create({ name, network: 'lan', publish: [`${8000 + i}:80`] })
  for (const i of [3, 30]) {
    const box = await host.sandboxes.get(`box-${i}`)
    await answer(box as NonNullable<typeof box>, box?.endpoints[0]?.ipv4?.address ?? '', 80)
    await machine.outside.run('bash', '-c', `cat </dev/tcp/198.51.100.1/${8000 + i}`)
  }
  const counted = async () => {
    const seen = await Promise.all(names.map(name => host.sandboxes.inspect(name)))
    return seen.map(({ PortCounters }) => (PortCounters as readonly { Connections: number }[])[0]?.Connections)
  }
  expect(await trips(counted)).toBeLessThan(10)
  expect(await counted()).toEqual(names.map((_, i) => (i === 3 || i === 30 ? 1 : 0)))
})
