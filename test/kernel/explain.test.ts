/** What `explain` says is true: run by sh with iproute2 and nft in an empty namespace, it makes what the native run makes. */
import { afterEach, beforeEach, expect } from 'vitest'
import type { Host, NetworkOptions, Operations, SandboxOptions } from '../../lib/index.js'
import { explain } from '../../lib/plan/explain.js'
import { type Between, openBetween } from '../setup/between.js'
import { dump, freshHost, type PrivateHost, PrivateNamespace } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { settings } from '../setup/settings.js'
import { homeSubnets } from '../setup/stage.js'

const { describe } = requires('root', 'program:nft', 'program:sysctl')
const { test } = requires('nftProtocolKeys')

let machine: PrivateHost
/** Like `machine`, and untouched by netmode. */
let empty: PrivateHost
let host: Host
let between: Between

beforeEach(async () => {
  machine = await freshHost()
  empty = await freshHost()
  for (const one of [machine, empty]) await one.ip('link', 'set', 'eth0', 'address', '02:00:00:00:00:01')
  ;({ host, between } = await openBetween(machine))
})
afterEach(async () => {
  await removeAll()
  await host.close()
  await machine.remove()
  await empty.remove()
})

async function removeAll(): Promise<void> {
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  for (const { name } of await host.networks.list()) await host.networks.remove(name)
}

/** What a host and its sandboxes hold; the state folder, which iproute2 knows nothing of, aside. */
async function picture(of: PrivateHost, sandboxes: readonly string[]): Promise<unknown> {
  const places = [of, ...sandboxes.map(name => new PrivateNamespace(name))]
  const facts = await Promise.all(
    places.map(async place => {
      const { namespaces: _, state: __, ...held } = await dump(place)
      return { ...held, settings: await settings(place) }
    }),
  )
  return JSON.parse(JSON.stringify(facts, hideRandomMac))
}

/** The host's end of a veth pair gets a MAC of the kernel's own choice. */
function hideRandomMac(_key: string, value: unknown): unknown {
  if (value === null || typeof value !== 'object' || !('ifname' in value) || !('address' in value)) return value
  return String(value.ifname).startsWith('veth') && 'link_type' in value ? { ...value, address: 'its own' } : value
}

/** Runs the text as a user would, in the namespace of the empty host. */
const sh = (text: string): Promise<string> => empty.run('sh', '-euc', text)

/** Texts that differ only in what is drawn anew each time: names of links, MACs, ids. */
const withoutRandom = (text: string): string =>
  text
    .replaceAll(/\bveth[0-9a-f]{7}\b/g, 'VETH')
    .replaceAll(/\btap[0-9a-f]{7}\b/g, 'TAP')
    .replaceAll(/\bbr-[0-9a-f]{12}\b/g, 'BRIDGE')
    .replaceAll(/(?<=type bridge.*|address )[0-9a-f]{2}(:[0-9a-f]{2}){5}/g, 'MAC')
    .replaceAll(/\btry-[0-9a-f]{11}\b/g, 'TRIAL')
    .replaceAll(/[0-9a-f]{64}/g, 'ID')
    .replaceAll(/\bmetric \d{5,}/g, 'METRIC') // of ::1 on the bridge: two networks must not draw the same

/** Explains, then runs natively; answers the text of that very run, which differs from what was explained in random names only. */
async function same<K extends keyof Operations>(run: () => Promise<unknown>, operation: K, ...args: Operations[K]): Promise<string> {
  const explained = await host.explain(operation, ...args)
  const seen = between.plans.length
  await run()
  const plan = between.plans.slice(seen).reduce((longest, one) => (one.length > longest.length ? one : longest))
  const text = explain(plan)
  expect(withoutRandom(explained)).toBe(withoutRandom(text))
  return text
}

/** Runs the texts on the empty host, after the native run has been taken back: namespaces of one name can't be there twice. */
async function compare(texts: readonly string[], sandboxes: readonly string[]): Promise<void> {
  const native = await picture(machine, sandboxes)
  await removeAll()
  for (const text of texts) await sh(text)
  expect(await picture(empty, sandboxes)).toEqual(native)
}

describe('the explanation of', () => {
  test.each([
    ['IPv4', { name: 'lan', subnets: ['10.9.0.0/24'], mtu: 1400 }],
    ['both families', { name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'], bridge: 'br.lan' }],
    ['no way out', { name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'], internal: true, icc: false }],
    ['no masquerading', { name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'], masquerade: false }],
  ])('a network with %s', async (_, options) => {
    const before = await picture(empty, [])
    const text = await same(() => host.networks.create(options), 'networks.create', options)
    const remove = await host.explain('networks.remove', 'lan')
    await compare([text], [])
    await sh(`${remove}\nnft delete table inet netmode\nnft delete table bridge netmode`) // the tables go by a plan of its own, with the last network
    expect(withoutForwarding(await picture(empty, []))).toEqual(withoutForwarding(before))
  })

  test('a network on a bridge that is there', async () => {
    for (const one of [machine, empty]) {
      await one.ip('link', 'add', 'br0', 'address', '02:00:00:00:00:07', 'type', 'bridge')
      await one.ip('address', 'add', '10.9.0.7/24', 'brd', '+', 'dev', 'br0')
      // A link that has been up keeps its queueing discipline.
      for (const state of ['up', 'down']) await one.ip('link', 'set', 'br0', state)
    }
    const before = await picture(empty, [])
    const options = { name: 'lan', bridge: 'br0', ipv6: true, snat: '198.51.100.7' }
    const text = await same(() => host.networks.create(options), 'networks.create', options)
    const remove = await host.explain('networks.remove', 'lan')
    await compare([text], [])
    await sh(`${remove}\nnft delete table inet netmode\nnft delete table bridge netmode`)
    expect(withoutForwarding(await picture(empty, []))).toEqual(withoutForwarding(before))
  })

  test('a sandbox on a fresh host, table and default network included', async () => {
    const options = { name: 'web', publish: ['8080:80', '127.0.0.1:5353:53/udp'] }
    const text = await same(() => host.sandboxes.create(options), 'sandboxes.create', options)
    expect(text).toMatch(/^ip netns add web$/m)
    await compare([text], ['web'])
    await sh('ip netns delete web')
  })

  test.each([true, false])('a dual-stack sandbox, icc %s, and its removal', async icc => {
    const lan = { name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'], icc }
    const options = {
      name: 'web',
      network: 'lan',
      publish: ['8080:80', '[::1]:5353:53/udp'],
      ip: '10.9.0.77',
      ip6: 'fd00:9::77',
      mac: '02:00:00:00:00:07',
    }
    const network = await same(() => host.networks.create(lan), 'networks.create', lan)
    const sandbox = await same(() => host.sandboxes.create(options), 'sandboxes.create', options)
    const remove = await host.explain('sandboxes.remove', 'web')
    const native = await picture(machine, ['web'])
    await removeAll()

    await sh(network)
    const before = await picture(empty, [])
    await sh(sandbox)
    expect(await picture(empty, ['web'])).toEqual(native)
    await sh(remove)
    expect(await picture(empty, [])).toEqual(before)
  })

  test.each([{}, { address6: 'fd16::2/126', tap: 'vm0', owner: 7, group: 8, vnetHdr: true, multiQueue: true }])(
    'a sandbox with a guest, %o',
    async tap => {
      const lan = { name: 'lan', subnets: ['10.9.0.0/24'] }
      const options = { name: 'vm', network: 'lan', ip: '10.9.0.77', publish: ['8080:80'], guest: { address: '172.16.0.2/30', ...tap } }
      const network = await same(() => host.networks.create(lan), 'networks.create', lan)
      const sandbox = await same(() => host.sandboxes.create(options), 'sandboxes.create', options)
      expect(sandbox).toMatch(/^ip -n vm tuntap add dev \w+ mode tap/m)
      expect(sandbox).toMatch(/^ip netns exec vm nft 'add rule inet netmode prerouting .* dnat ip to 172.16.0.2'$/m)
      await compare([network, sandbox], ['vm'])
      await sh('ip netns delete vm')
    },
  )

  test('publish on a live sandbox', async () => {
    const lan = { name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] }
    const options = { name: 'web', network: 'lan', publish: ['8080:80'], ip: '10.9.0.77', ip6: 'fd00:9::77' }
    const network = await same(() => host.networks.create(lan), 'networks.create', lan)
    const sandbox = await same(() => host.sandboxes.create(options), 'sandboxes.create', options)
    const web = await host.sandboxes.get('web')
    const ports = ['8081:80', '198.51.100.1:8082:82', '5353:53/udp']
    const publish = await same(async () => web?.publish(ports), 'publish', 'web', ports)
    await compare([network, sandbox, publish], ['web'])
    await sh('ip netns delete web')
  })
})

describe('with the other drivers, the explanation of', () => {
  const subnets = [homeSubnets[0]]
  const { test: withMacvlan } = requires('link:macvlan')
  const { test: withIpvlan } = requires('link:ipvlan')
  const { test: withVlan } = requires('link:macvlan', 'link:vlan')
  const { test: withVlanAndRules } = requires('link:vlan', 'nftProtocolKeys')

  /** A network, a sandbox on it, and the removal of both. */
  async function both(network: NetworkOptions, sandboxOptions: Partial<SandboxOptions>): Promise<void> {
    // What a network leaves on.
    for (const one of [machine, empty]) await one.run('sysctl', '-qw', 'net/ipv4/ip_forward=1', 'net/ipv6/conf/all/forwarding=1')
    const before = await picture(empty, [])
    const options = { name: 'web', network: network.name, ...sandboxOptions }
    const made = await same(() => host.networks.create(network), 'networks.create', network)
    const sandbox = await same(() => host.sandboxes.create(options), 'sandboxes.create', options)
    const native = await picture(machine, ['web'])
    const removals = [await host.explain('sandboxes.remove', 'web'), await host.explain('networks.remove', network.name)]
    await removeAll()
    for (const text of [made, sandbox]) await sh(text)
    expect(await picture(empty, ['web'])).toEqual(native)
    for (const text of removals) await sh(text)
    await sh('for family in inet bridge; do nft delete table $family netmode 2>/dev/null || true; done') // it goes by a plan of its own, with the last network
    expect(await picture(empty, [])).toEqual(before)
  }

  const { test: withTun } = requires('/dev/net/tun', 'nftProtocolKeys')
  withTun.each([{}, { owner: 7, group: 8, vnetHdr: true, multiQueue: true }])('a bridge and a sandbox with a TAP on it, %o', tap =>
    both(
      { name: 'lan', subnets: ['10.8.0.0/24', 'fd00:8::/64'], icc: false },
      { ip: '10.8.0.77', ip6: 'fd00:8::77', publish: ['8080:80'], tap },
    ),
  )
  test('a ptp network and a sandbox', () =>
    both(
      { name: 'lines', driver: 'ptp', subnets: ['10.8.0.0/24', 'fd00:8::/64'] },
      { ip: '10.8.0.77', ip6: 'fd00:8::77', publish: ['8080:80'] },
    ))
  withMacvlan('a macvlan network and a sandbox', () =>
    both({ name: 'lan', driver: 'macvlan', parent: 'eth0', subnets }, { ip: '198.51.100.77' }),
  )
  withIpvlan.each(['l2', 'l3', 'l3s'] as const)('an ipvlan network in mode %s and a sandbox', ipvlanMode =>
    both({ name: 'lan', driver: 'ipvlan', parent: 'eth0', ipvlanMode, subnets }, { ip: '198.51.100.77' }),
  )
  const onVlan = (driver: 'macvlan' | 'bridge') =>
    both({ name: 'lan', driver, parent: 'eth0.7', subnets: ['203.0.113.0/24'] }, { ip: '203.0.113.77' })
  withVlan('a macvlan network on a VLAN that it makes, and a sandbox', () => onVlan('macvlan'))
  withVlanAndRules('a bridge network on a VLAN that it makes, and a sandbox', () => onVlan('bridge'))
  test('a bridge with an uplink and a sandbox', () =>
    both({ name: 'lan', parent: 'eth0', bridge: 'br.lan', subnets }, { ip: '198.51.100.77' }))
})

/** Forwarding stays on, as after `docker network rm`: others may rely on it by now. The kernel answers as a router then, too. */
function withoutForwarding(seen: unknown): unknown {
  const isForwarding = (line: string): boolean => /forward|accept_redirects/.test(line)
  const isOfRouters = (route: { type?: string }): boolean => route.type === 'anycast'
  return JSON.parse(
    JSON.stringify(seen, (key, value: unknown) => {
      if (key === 'settings') return (value as string[]).filter(line => !isForwarding(line))
      return key === 'routes' ? (value as { type?: string }[]).filter(route => !isOfRouters(route)) : value
    }),
  )
}
