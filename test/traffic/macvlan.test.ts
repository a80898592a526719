/** macvlan networks: who reaches whom in each mode, by real connections over IPv4 and IPv6. */
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { expect } from 'vitest'
import type { Host, NetworkOptions, Sandbox, SandboxOptions } from '../../lib/index.js'
import { type PrivateHost, PrivateNamespace } from '../setup/namespace.js'
import { addressOf, ask, askUdp, families, greet, greetUdp, type Peer, type Place } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'
import { homeSubnets, onStage, serving } from '../setup/stage.js'

const { describe, test } = requires('root', 'link:macvlan', 'program:nft')

let machine: PrivateHost
let host: Host
let self: Peer
let outside: Peer
onStage(
  stage => {
    ;({ machine, host, self, outside } = stage)
  },
  { repair: false },
)

/** The host's own LAN: its outside neighbour is the router. */
const lan = (macvlanMode: NonNullable<NetworkOptions['macvlanMode']>): NetworkOptions => ({
  name: 'lan',
  driver: 'macvlan',
  parent: 'eth0',
  macvlanMode,
  subnets: homeSubnets,
})

const sandbox = (name: string, options?: Partial<SandboxOptions>) => serving(host, name, options)

type Family = (typeof families)[number]
/** Who asks, and by which address he should be seen. */
interface Asker {
  readonly place: Place
  readonly own: (family: Family) => string
}
const from = (place: Sandbox): Asker => ({ place, own: family => addressOf(place, family) })
const fromOutside = (): Asker => ({ place: outside, own: family => family.outside })
const fromParent = (): Asker => ({ place: self, own: family => family.host })

/** For both families: `reached` if the answer tells that the asker was seen at his own address. */
async function reaches({ place, own }: Asker, to: Sandbox, quiet = false): Promise<string[]> {
  return Promise.all(
    families.map(async family => {
      const answer = await ask(place, addressOf(to, family), 80, { quiet })
      return answer === own(family) ? 'reached' : answer
    }),
  )
}

/** The outside neighbour as a switch that sends frames back out of the port they came in by (802.1Qbg). */
async function reflect(): Promise<void> {
  const at = machine.outside
  await at.ip('link', 'add', 'switch', 'type', 'bridge')
  await at.ip('link', 'set', 'eth0', 'master', 'switch')
  await at.ip('link', 'set', 'eth0', 'type', 'bridge_slave', 'hairpin', 'on')
  await at.ip('address', 'flush', 'dev', 'eth0', 'scope', 'global')
  await at.ip('link', 'set', 'switch', 'up')
  await at.ip('address', 'add', '198.51.100.2/24', 'dev', 'switch')
  await at.ip('address', 'add', '2001:db8:100::2/64', 'dev', 'switch', 'nodad')
}

const reached = ['reached', 'reached']

describe('a macvlan network in mode', () => {
  test('bridge: sandboxes and the LAN reach each other at their own addresses, the parent reaches none', async () => {
    await host.networks.create(lan('bridge'))
    const [a, b] = [await sandbox('a'), await sandbox('b')]
    expect(await reaches(from(a), b)).toEqual(reached)
    expect(await reaches(fromOutside(), a)).toEqual(reached)
    for (const family of families) {
      await greet(outside, family.outside, 8000 + family.version)
      expect(await ask(a, family.outside, 8000 + family.version)).toBe(addressOf(a, family))
    }
    expect(await reaches(fromParent(), a, true)).not.toContain('reached')
    expect(await machine.nft('list', 'ruleset')).toBe('') // nothing to decide about
  })

  test('private: the LAN is reached, siblings are not, not even by way of a switch that reflects', async () => {
    await reflect()
    await host.networks.create(lan('private'))
    const [a, b] = [await sandbox('a'), await sandbox('b')]
    expect(await reaches(fromOutside(), a)).toEqual(reached)
    expect(await reaches(fromOutside(), b)).toEqual(reached)
    expect(await reaches(from(a), b, true)).not.toContain('reached')
  })

  test('vepa: siblings are reached by way of the switch, if it reflects', async () => {
    await host.networks.create(lan('vepa'))
    const [a, b] = [await sandbox('a'), await sandbox('b')]
    expect(await reaches(fromOutside(), a)).toEqual(reached)
    expect(await reaches(from(a), b, true)).not.toContain('reached')
    await reflect()
    for (const one of [a, b]) await new PrivateNamespace(one.name).ip('neighbor', 'flush', 'all')
    expect(await reaches(from(a), b)).toEqual(reached)
  })

  test('passthru: one sandbox has the device, its MAC address included', async () => {
    await machine.ip('link', 'set', 'eth0', 'address', '02:00:00:00:00:01')
    await host.networks.create(lan('passthru'))
    const a = await sandbox('a')
    expect(a.endpoints).toMatchObject([{ mac: '02:00:00:00:00:01' }])
    expect(await new PrivateNamespace('a').ipJson('-d', 'link', 'show', 'eth0')).toMatchObject([
      { address: '02:00:00:00:00:01', linkinfo: { info_kind: 'macvlan', info_data: { mode: 'passthru' } } },
    ])
    expect(await reaches(fromOutside(), a)).toEqual(reached)
    const before = await machine.dump()
    await expect(host.sandboxes.create({ name: 'b', network: 'lan' })).rejects.toMatchObject({ code: 'ERR_NETMODE_BUSY' })
    await expect(host.sandboxes.create({ name: 'b', network: 'lan', mac: '02:00:00:00:00:02' })).rejects.toMatchObject({ field: 'mac' })
    expect(await machine.dump()).toEqual(before)
    await a.remove() // and at once there is room for another
    expect(await reaches(fromOutside(), await sandbox('b'))).toEqual(reached)
  })
})

describe('a sandbox on a macvlan network', () => {
  test('has no further names: nobody serves them there, and that is said', async () => {
    await host.networks.create(lan('bridge'))
    await expect(host.sandboxes.create({ name: 'a', network: 'lan', aliases: ['store'] })).rejects.toMatchObject({
      code: 'ERR_NETMODE_UNSUPPORTED',
      field: 'aliases',
    })
    expect(host.nameService.networks).toEqual([])
    await using pool = await host.sandboxes.pool({ size: 1, network: 'lan' })
    await expect(pool.take({ name: 'a', aliases: ['store'] })).rejects.toMatchObject({ code: 'ERR_NETMODE_UNSUPPORTED', field: 'aliases' })
    expect(pool.ready).toBe(1)
  })

  test('has what iproute2 says of it, and goes without a trace while a process holds its namespace', async () => {
    const before = await machine.dump()
    await machine.ip('link', 'set', 'eth0', 'mtu', '1400')
    await host.networks.create(lan('bridge'))
    const a = await sandbox('a', { ip: '198.51.100.77', ip6: '2001:db8:100::77' })
    expect(a.endpoints).toEqual([
      {
        network: 'lan',
        ifname: 'eth0',
        mac: '02:42:c6:33:64:4d',
        mtu: 1400,
        ipv4: { address: '198.51.100.77', prefix: 24, gateway: '198.51.100.2' },
        ipv6: { address: '2001:db8:100::77', prefix: 64, gateway: '2001:db8:100::2' },
      },
    ])
    const inside = new PrivateNamespace('a')
    expect(await inside.ipJson('-d', 'link', 'show', 'eth0')).toMatchObject([
      {
        address: '02:42:c6:33:64:4d',
        mtu: 1400,
        ifalias: 'netmode:a/lan',
        linkinfo: { info_kind: 'macvlan', info_data: { mode: 'bridge' } },
      },
    ])
    expect(await inside.ipJson('route', 'show', 'default')).toMatchObject([{ gateway: '198.51.100.2', dev: 'eth0' }])
    expect(await inside.ipJson('-6', 'route', 'show', 'default')).toMatchObject([{ gateway: '2001:db8:100::2', dev: 'eth0' }])
    expect(await a.namespace.links.list({ name: 'eth0' })).toMatchObject([{ kind: 'macvlan', macvlanMode: 'bridge' }])

    const holder = a.spawn('sh', ['-c', 'echo inside; exec sleep 600'], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(holder.stdout as Readable, 'data')
    const gone = new Promise(resolve => holder.once('exit', resolve))
    await a.remove()
    expect(await ask(outside, '198.51.100.77', 80, { quiet: true })).not.toBe('198.51.100.2')
    expect(await machine.run('nsenter', `--net=/proc/${holder.pid}/ns/net`, 'ip', '-br', 'link')).not.toContain('eth0')
    holder.kill()
    await gone
    await host.networks.remove('lan')
    await machine.ip('link', 'set', 'eth0', 'mtu', '1500')
    expect(await machine.dump()).toEqual(before)
  })

  test('publishes nothing, and says why; with a bridge endpoint too it does', async () => {
    await host.networks.create(lan('bridge'))
    await expect(host.sandboxes.create({ name: 'a', network: 'lan', publish: ['8080:80'] })).rejects.toThrow(
      /^Expected no value \(by network lan the sandbox is on the LAN itself, .*for publish\[0\]/,
    )
    const a = await host.sandboxes.create({
      name: 'a',
      networks: [{ network: 'lan' }, { network: 'bridge' }],
      publish: ['0.0.0.0:8080:80', '0.0.0.0:5353:53/udp'],
    })
    await greet(a, '0.0.0.0', 80)
    await greetUdp(a, '0.0.0.0', 53)
    // The LAN is nearer by its own link, which answers would take: so they are asked for by the bridge's address.
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('172.17.0.1')
    expect(await askUdp(outside, '198.51.100.1', 5353)).toEqual({ saw: '172.17.0.1', from: '198.51.100.1:5353' })
    await a.detach('lan')
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2')
    await a.attach('lan', { ip: '198.51.100.9', gatewayPriority: 1 })
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('172.17.0.1')
    expect(await ask(outside, '198.51.100.9', 80)).toBe('198.51.100.2')
  })

  test('is attached to it and detached from it while it lives', async () => {
    await host.networks.create(lan('bridge'))
    const a = await host.sandboxes.create({ name: 'a' })
    const endpoint = await a.attach('lan')
    expect(endpoint).toMatchObject({ ifname: 'eth1', ipv4: { address: '198.51.100.3' } })
    expect('hostIfname' in endpoint).toBe(false)
    await greet(a, '198.51.100.3', 80)
    expect(await ask(outside, '198.51.100.3', 80)).toBe('198.51.100.2')
    expect(await a.detach('lan')).toBe(true)
    expect((await a.namespace.links.list()).map(({ name }) => name)).toEqual(['lo', 'eth0'])
  })

  test('is given up when its namespace is gone', async () => {
    await host.networks.create(lan('bridge'))
    const before = await machine.dump()
    await host.sandboxes.create({ name: 'a', network: 'lan' })
    await machine.run('ip', 'netns', 'delete', 'a')
    expect(await host.recover()).toEqual({ rolledBack: [], repaired: ['a'], damaged: [] })
    // The kernel takes a namespace and what is in it apart in the background.
    await expect.poll(() => machine.dump(), { timeout: 10_000 }).toEqual(before)
  })

  test("does not take another's link for its own when an adopted namespace is given back", async () => {
    await host.networks.create(lan('bridge'))
    const shared = new PrivateNamespace('shared')
    await machine.run('ip', 'netns', 'add', 'shared')
    const a = await host.sandboxes.create({ name: 'a', network: 'lan', netns: shared.netns })
    await shared.ip('link', 'delete', 'eth0')
    await shared.ip('link', 'add', 'eth0', 'type', 'bridge')
    await a.remove()
    expect(await shared.ipJson('link', 'show', 'eth0')).toHaveLength(1)
    await shared.remove()
  })
})

describe('a macvlan network is refused, and nothing is left of it,', () => {
  test.each([
    ['without its parent', 'eth7', { code: 'ERR_NETMODE_NOT_FOUND', field: 'parent' }],
    ['on the loopback device', 'lo', { code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'parent' }],
    ['on the port of a bridge', 'port0', { code: 'ERR_NETMODE_BUSY', field: 'parent', holder: 'br9' }],
    ['on a VLAN that no network can have', 'eth0.4095', { code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'parent' }],
  ])('%s', async (_, name, error) => {
    await machine.ip('link', 'add', 'br9', 'type', 'bridge')
    await machine.ip('link', 'add', 'port0', 'master', 'br9', 'type', 'veth')
    const before = await machine.dump()
    await expect(host.networks.create({ ...lan('bridge'), parent: name })).rejects.toMatchObject(error)
    expect(await machine.dump()).toEqual(before)
  })

  test('with a larger MTU than its parent has', async () => {
    await expect(host.networks.create({ ...lan('bridge'), mtu: 1501 })).rejects.toMatchObject({ field: 'mtu' })
  })
})
