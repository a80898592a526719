/** Looking at many sandboxes: all at once, in a few trips to the kernel. */
import { stat } from 'node:fs/promises'
import { afterEach, beforeEach, expect } from 'vitest'
import { type Host, openHost } from '../../lib/index.js'
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
  expect(await trips(() => host.sandboxes.list())).toBeLessThan(5)
  const listed = await host.sandboxes.list()
  expect(listed.map(({ name }) => name)).toEqual([...names, 'one'])
  const inodes = await Promise.all(names.map(async name => BigInt((await stat(`/run/netns/${name}`)).ino)))
  expect(listed.slice(0, 100).map(({ namespace }) => namespace.inode)).toEqual(inodes)
  expect(new Set(listed.map(({ namespace }) => namespace.cookie)).size).toBe(101)
  expect(listed.at(-1)?.namespace.cookie).toBe(host.namespace.cookie)
})

test('summaries tell what a list tells, as plain data, and ask the kernel nothing', async () => {
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
  await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['8080:80'], labels: { tier: 'front' } })
  await host.sandboxes.create({ name: 'idle', network: 'none' })
  await host.sandboxes.create({ name: 'near', network: 'host' })
  const listed = await host.sandboxes.list()
  const told = listed.map(({ id, name, mode, netns, labels, ephemeral, endpoints, ports }) => ({
    ...{ id, name, mode, netns, labels, ephemeral },
    ...{ endpoints, ports },
  }))
  expect(await trips(async () => expect(await host.sandboxes.summaries()).toEqual(told))).toBe(0)
  expect((await host.sandboxes.summaries({ label: 'tier=front' })).map(({ name }) => name)).toEqual(['web'])
  await expect(host.sandboxes.summaries({ nme: 'web' } as object)).rejects.toThrow('nme')
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

  // What was looked at before is looked at again, and what is counted in another place than all others is seen too.
  await machine.outside.run('bash', '-c', 'cat </dev/tcp/198.51.100.1/8003')
  const few = await host.sandboxes.create({
    name: 'few',
    network: 'lan',
    publish: [{ hostPort: 9000, containerPort: 80, allow: ['198.51.100.2'] }],
  })
  await answer(few, few.endpoints[0]?.ipv4?.address ?? '', 80)
  await machine.outside.run('bash', '-c', 'cat </dev/tcp/198.51.100.1/9000')
  names.push('few')
  expect(await counted()).toEqual(names.map((name, i) => (i === 3 ? 2 : i === 30 || name === 'few' ? 1 : 0)))
})

test('whoever inspects a sandbox cannot change what others are told of it', async () => {
  await host.sandboxes.create({ name: 'box', network: 'none', labels: { team: 'red' } })
  const { Config } = await host.sandboxes.inspect('box')
  const { Labels } = Config as { Labels: Record<string, string> }
  expect(() => Object.assign(Labels, { team: 'blue' })).toThrow(TypeError)
  expect(() => Object.assign(Config as object, { Labels: {} })).toThrow(TypeError)
  expect(await host.sandboxes.inspect('box')).toMatchObject({ Config: { Labels: { team: 'red' } } })
})

test('what another host has just changed, made or removed is in the next list and in each inspection', async () => {
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
  const names = Array.from({ length: 100 }, (_, i) => `box-${String(i).padStart(3, '0')}`)
  for (const name of names) await host.sandboxes.create({ name, network: 'lan' })
  await using other = await openHost({ netns: machine.netns, stateDir: machine.stateDir })
  const look = async (all: readonly string[]) => ({
    listed: (await host.sandboxes.list()).map(({ name, ports }) => [name, ports.map(({ hostPort }) => hostPort)]),
    inspected: await Promise.all(
      all.map(async name => {
        const { Name, PortCounters } = await host.sandboxes.inspect(name)
        return [Name, (PortCounters as readonly { HostPort: string }[]).map(({ HostPort }) => Number(HostPort))]
      }),
    ),
  })
  const plain = names.map(name => [name, []])
  expect(await look(names)).toEqual({ listed: plain, inspected: plain })
  for (const [round, port] of [8080, 8081].entries()) {
    // Of the same length as before: only what is in the record tells.
    const first = await other.sandboxes.get('box-000')
    const bound = (await first?.publish(`${port}:80`)) ?? []
    const published = names.map(name => [name, name === 'box-000' ? [port] : []])
    expect(await look(names), `round ${round}`).toEqual({ listed: published, inspected: published })
    await first?.unpublish(bound)
  }
  await other.sandboxes.remove('box-001')
  await other.sandboxes.create({ name: 'box-100', network: 'lan' })
  const rest = [...names.filter(name => name !== 'box-001'), 'box-100']
  expect(await look(rest)).toEqual({ listed: rest.map(name => [name, []]), inspected: rest.map(name => [name, []]) })
  const results = await Promise.allSettled(names.map(name => host.sandboxes.inspect(name)))
  expect(results.filter(({ status }) => status === 'rejected').length).toBe(1)
  expect(results[1]).toMatchObject({ reason: { code: 'ERR_NETMODE_NOT_FOUND', subject: 'box-001' } })
})

test('a namespace that another has taken the place of is not mistaken for it, however often it was seen', async () => {
  for (const name of ['a', 'b']) await host.sandboxes.create({ name, network: 'none' })
  await using watcher = await openHost({ netns: machine.netns, stateDir: machine.stateDir, repair: false })
  const cookies = async () => (await watcher.sandboxes.list()).map(({ namespace }) => namespace.cookie)
  const before = await cookies()
  expect(await cookies()).toEqual(before)
  await host.sandboxes.remove('b')
  const anew = await host.sandboxes.create({ name: 'b', network: 'none' })
  expect(anew.namespace.cookie).not.toBe(before[1])
  expect(await cookies()).toEqual([before[0], anew.namespace.cookie])
})

test('handles share what was read, so it can not be changed', async () => {
  for (let i = 0; i < 20; i++) await host.sandboxes.create({ name: `box-${i}`, network: 'none', labels: { of: 'mine' } })
  await host.sandboxes.list()
  const [box] = await host.sandboxes.list()
  if (box?.labels.of === 'mine') Reflect.set(box.labels, 'of', 'theirs')
  expect((await host.sandboxes.list()).map(({ labels }) => labels.of)).toEqual(Array.from({ length: 20 }, () => 'mine'))
})

test('a name that is drawn for a link and is taken by another is drawn anew', async () => {
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
  const first = await host.sandboxes.create({ name: 'first', network: 'lan' })
  const taken = first.endpoints[0]?.hostIfname ?? ''
  const links = await run('ip', ['-n', machine.name, 'link', 'show', taken])
  between.change = plan => {
    between.change = untouched => untouched
    return plan.map(step => (step.apply.op === 'link.add' ? { ...step, apply: { ...step.apply, name: taken } } : step))
  }
  const second = await host.sandboxes.create({ name: 'second', network: 'lan' })
  expect(second.endpoints[0]?.hostIfname).not.toBe(taken)
  expect(await run('ip', ['-n', machine.name, 'link', 'show', taken])).toBe(links)
  await run('ip', ['-n', machine.name, 'link', 'show', second.endpoints[0]?.hostIfname ?? ''])
})

test('however many are asked for at once, others have their turn of the event loop between any two that are begun', async () => {
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
  let turn = 0
  let counting = true
  const count = () => {
    turn++
    if (counting) setImmediate(count)
  }
  setImmediate(count)
  const begun: number[] = []
  between.change = plan => {
    if (plan.some(({ apply }) => apply.op === 'netns.create')) begun.push(turn)
    return plan
  }
  await Promise.all(
    Array.from({ length: 12 }, (_, i) => host.sandboxes.create({ name: `box-${i}`, network: 'lan', publish: [`${8000 + i}:80`] })),
  )
  counting = false
  expect(begun).toHaveLength(12)
  expect(new Set(begun).size).toBe(12)
})

test.each([
  ['in one call', (names: string[]) => host.sandboxes.removeAll(names)],
  [
    'each by itself',
    async (names: string[]) => {
      const removed = await Promise.all(names.map(name => host.sandboxes.remove(name)))
      return names.filter((_, i) => removed[i])
    },
  ],
] as const)('many that are removed %s while others are made go in small groups', async (_, remove) => {
  const names = Array.from({ length: 16 }, (_, i) => `box-${i}`)
  for (const name of names) await host.sandboxes.create({ name, network: 'none' })
  const groups: number[] = []
  between.change = plan => {
    const gone = plan.filter(({ apply }) => apply.op === 'folder.remove').length
    if (gone > 0) groups.push(gone)
    return plan
  }
  const made = host.sandboxes.create({ name: 'meanwhile', network: 'none' })
  expect(await remove(names)).toEqual(names)
  expect(groups[0]).toBe(8)
  expect((await made).name).toBe('meanwhile')
})
