/** Limits, and what must stay as it is while everything else comes and goes. */

import { pbkdf2 } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { readdir, readlink, rm } from 'node:fs/promises'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { afterEach, beforeEach, expect } from 'vitest'
import type { Host, Namespace } from '../../lib/index.js'
import { open } from '../setup/between.js'
import { freshHost, type PrivateHost, PrivateNamespace, run } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { stateTree, worldOf } from '../setup/state-tree.js'
import { isLong, score } from './scorecard.js'

const { describe, test } = requires('root', 'program:nft')

let machine: PrivateHost
let host: Host
beforeEach(async () => {
  machine = await freshHost()
  host = await open(machine)
})
afterEach(async () => {
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await machine.remove()
})

const world = () => worldOf(machine)

/** Many commands of iproute2 in one process. */
const batch = (lines: readonly string[]) => machine.run('sh', '-ec', `printf '%s\\n' "$@" | ip -batch -`, 'sh', ...lines)
const times = <T>(count: number, what: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => what(i))

describe('full', () => {
  test('a bridge has 1,023 ports: for one more there is a typed error, and nothing is left of the try', { timeout: 300_000 }, async () => {
    await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/16'], bridge: 'br-lan' })
    await host.networks.create({ name: 'far', subnets: ['10.8.0.0/24'] })
    const roaming = await host.sandboxes.create({ name: 'roaming', network: 'far' })
    await batch(times(1022, i => `link add p${i} master br-lan type veth peer name q${i} netns ${machine.outside.name}`))
    const last = await host.sandboxes.create({ name: 'last', network: 'lan', publish: ['8080:80'] })
    const before = await world()
    const full = { code: 'ERR_NETMODE_CAPACITY', message: expect.stringContaining('1,023') }
    await expect(host.sandboxes.create({ name: 'more', network: 'lan', publish: ['8081:80'] })).rejects.toMatchObject(full)
    await expect(roaming.attach('lan')).rejects.toMatchObject(full)
    expect(await world()).toEqual(before)
    await last.remove()
    expect((await host.sandboxes.create({ name: 'more', network: 'lan', publish: ['8081:80'] })).endpoints).toHaveLength(1)
    score(27, 'one bridge port more than 1,023', 'typed error, 0 residue')
  })

  test('a /30 has room for one', async () => {
    await host.networks.create({ name: 'tiny', subnets: ['10.5.0.0/30'] })
    const first = await host.sandboxes.create({ name: 'first', network: 'tiny' })
    expect(first.endpoints[0]?.ipv4?.address).toBe('10.5.0.2')
    const before = await world()
    const options = { name: 'second', network: 'tiny', publish: ['8080:80'] }
    await expect(host.sandboxes.create(options)).rejects.toMatchObject({ code: 'ERR_NETMODE_EXHAUSTED', subject: 'tiny' })
    expect(await world()).toEqual(before)
    await first.remove()
    expect((await host.sandboxes.create(options)).endpoints[0]?.ipv4?.address).toBe('10.5.0.2')
    score(27, 'a full /30', 'typed error, 0 residue')
  })
})

test("a bridge's MAC stays while 1,000 ports come and go, lower ones too", { timeout: 300_000 }, async () => {
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'], bridge: 'br-lan' })
  const bridge = async () => (await machine.ipJson('link', 'show', 'br-lan'))[0]?.address as string
  const mac = await bridge()
  const events = host.events({ types: ['link'] })
  const seen = new Set<string>()
  let told = 0
  const watching = (async () => {
    for await (const event of events) {
      if (event.type === 'overrun') throw new Error('events were lost')
      const link = event.type === 'link' ? (event.object as { name: string; mac: string }) : undefined
      if (link?.name !== 'br-lan') continue
      seen.add(link.mac)
      told++
    }
  })()
  await batch(['link add p0 address 00:00:00:00:00:02 type veth peer name q0', 'link set p0 up', 'link set q0 up'])
  await batch(
    times(490, i => i % 245).flatMap(i => [
      `link set p0 master br-lan`,
      ...(i === 0 ? ['link set p0 address 00:00:00:00:00:01'] : []),
      `link set p0 nomaster`,
    ]),
  )
  for (let i = 0; i < 10; i++) {
    const box = await host.sandboxes.create({ name: 'box', network: 'lan', mac: `02:00:00:00:00:0${i}` })
    expect(await bridge()).toBe(mac)
    await box.remove()
  }
  expect(await bridge()).toBe(mac)
  await events.return?.()
  await watching
  expect(told).toBeGreaterThan(0)
  expect([...seen]).toEqual([mac])
  score(30, "a bridge's MAC while ports come and go", `0 changes in 1,000; ${told} events of it`)
})

test('while 64 sandboxes are made, what Node does in its thread pool is done in the home namespace', { timeout: 120_000 }, async () => {
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
  const home = await readlink('/proc/self/ns/net')
  let busy = true
  let jobs = 0
  const wrong: string[] = []
  const derive = promisify(pbkdf2)
  const worker = async () => {
    while (busy) {
      const [where] = await Promise.all([
        readlink('/proc/thread-self/ns/net'),
        lookup('localhost').catch(() => undefined),
        derive('x', 'y', 1, 16, 'sha256'),
      ])
      jobs += 3
      if (where !== home) wrong.push(where)
    }
  }
  const workers = times(8, worker)
  await Promise.all(times(64, i => host.sandboxes.create({ name: `box${i}`, network: 'lan' })))
  busy = false
  await Promise.all(workers)
  expect(wrong).toEqual([])
  expect(jobs).toBeGreaterThan(64)
  expect(await readlink('/proc/self/ns/net')).toBe(home)
  score(14, "jobs of Node's pool during 64 creates", `${jobs} jobs, 0 in a wrong namespace`)
})

test('whatever is done at once in several namespaces is done where it was meant to be', { timeout: 600_000 }, async () => {
  const names = ['a', 'b', 'c', 'd', 'e']
  const places = await Promise.all(
    names.map(async name => ({
      shell: new PrivateNamespace(name),
      verbs: (await host.sandboxes.create({ name, network: 'none' })).namespace,
      wanted: { links: new Set<string>(), addresses: new Set<string>(), routes: new Set<string>() },
    })),
  )
  type Place = (typeof places)[number]
  const all: Place[] = [
    ...places,
    { shell: machine, verbs: host.namespace, wanted: { links: new Set(), addresses: new Set(), routes: new Set() } },
  ]
  const count = isLong ? 10_000 : 1000
  // This process's own namespace is nobody's target: a thread that had not gone anywhere would write there.
  const ownNamespace = () => run('sh', ['-ec', 'ip -o link show; ip -o address show; ip route show table all'])
  const before = await ownNamespace()
  const verbs: Readonly<Record<string, (verbs: Namespace, wanted: Place['wanted'], i: number) => Promise<unknown>>> = {
    address: (at, { addresses }, i) =>
      at.addresses
        .add({ link: 'lo', address: `10.77.${i >> 8}.${i & 255}`, prefix: 32 })
        .then(() => addresses.add(`10.77.${i >> 8}.${i & 255}`)),
    route: (at, { routes }, i) =>
      at.routes.add({ to: `10.78.${i >> 8}.${i & 255}/32`, type: 'blackhole' }).then(() => routes.add(`10.78.${i >> 8}.${i & 255}`)),
    link: (at, { links }, i) => at.links.add({ name: `l${i}`, kind: 'bridge' }).then(() => links.add(`l${i}`)),
  }
  const draws = fc.sample(fc.tuple(fc.constantFrom(...all), fc.constantFrom('address', 'address', 'address', 'route', 'route', 'link')), {
    numRuns: count,
  })
  for (let from = 0; from < count; from += 64)
    await Promise.all(draws.slice(from, from + 64).map(([{ verbs: at, wanted }, what], i) => verbs[what]?.(at, wanted, from + i)))
  for (const { shell, wanted } of all) {
    const links = (await shell.ipJson('link', 'show', 'type', 'bridge')).flatMap(({ ifname }) =>
      ifname === undefined ? [] : [String(ifname)],
    )
    const addresses = (await shell.ipJson('-4', 'address', 'show', 'dev', 'lo')).flatMap(({ addr_info }) =>
      (addr_info as { local: string }[]).map(({ local }) => local),
    )
    const routes = (await shell.ipJson('-4', 'route', 'show', 'type', 'blackhole')).map(({ dst }) => String(dst))
    expect(links.sort()).toEqual([...wanted.links].sort())
    expect(addresses.filter(one => one.startsWith('10.77.')).sort()).toEqual([...wanted.addresses].sort())
    expect(routes.sort()).toEqual([...wanted.routes].sort())
    expect(links.length + addresses.length + routes.length).toBeGreaterThan(3)
  }
  expect(await ownNamespace()).toBe(before)
  score(12, 'wrong-namespace writes', `0 in ${count} operations drawn by lot, 64 at once, over ${all.length} namespaces`)
})

test('leases after a crash and after a reboot: those of the dead are free, those of the living stay', { timeout: 120_000 }, async () => {
  const { id } = await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd09::/64'], bridge: 'br-lan' })
  const empty = await stateTree(machine.stateDir)
  const box = (i: number) => ({ name: `box${i}`, network: 'lan', ip: `10.9.0.1${i}`, publish: [`808${i}:80`] })
  for (let i = 0; i < 8; i++) await host.sandboxes.create(box(i))
  const held = async () =>
    new Set(
      await Promise.all(
        (await readdir(`${machine.stateDir}/leases/${id}`)).map(name => readlink(`${machine.stateDir}/leases/${id}/${name}`)),
      ),
    )
  await host.close()

  // Four die while nobody looks.
  for (let i = 0; i < 4; i++) await run('ip', ['netns', 'delete', `box${i}`])
  host = await open(machine)
  expect([...(await held())].sort()).toEqual(['box4', 'box5', 'box6', 'box7'])
  await expect(host.sandboxes.create({ ...box(8), ip: '10.9.0.14' })).rejects.toMatchObject({ code: 'ERR_NETMODE_ADDRESS_IN_USE' })
  for (let i = 0; i < 4; i++) await host.sandboxes.create(box(i))
  await host.close()

  // The machine starts anew with the folder as it was: no namespace, link or rule of before.
  for (let i = 0; i < 8; i++) await run('ip', ['netns', 'delete', `box${i}`])
  await Promise.all([run('ip', ['netns', 'delete', machine.name]), run('ip', ['netns', 'delete', machine.outside.name])])
  machine = await freshHost(machine.name)
  host = await open(machine)
  expect(await host.sandboxes.list()).toEqual([])
  expect(await stateTree(machine.stateDir)).toEqual(empty)
  for (let i = 0; i < 8; i++) expect((await host.sandboxes.create(box(i))).ports).toHaveLength(2) // of both families
  expect((await held()).size).toBe(8)
  await host.close()

  // Or with an empty one, as on tmpfs.
  for (let i = 0; i < 8; i++) await run('ip', ['netns', 'delete', `box${i}`])
  await machine.remove()
  await rm(machine.stateDir, { recursive: true, force: true })
  machine = await freshHost(machine.name)
  host = await open(machine)
  expect([await host.sandboxes.list(), await host.networks.list()]).toEqual([[], []])
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
  expect((await host.sandboxes.create(box(0))).endpoints[0]?.ipv4?.address).toBe('10.9.0.10')
  score(26, 'leases after crash and reboot', '0 leaked, 0 live ones freed')
})
