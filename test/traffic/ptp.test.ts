/** ptp networks: a routed link for every sandbox. What is promised of bridge networks holds, by real connections in both families. */
import { expect } from 'vitest'
import type { Host, NetworkOptions, Sandbox } from '../../lib/index.js'
import { dig, dug } from '../setup/dig.js'
import { type PrivateHost, PrivateNamespace } from '../setup/namespace.js'
import { addressOf, ask, askUdp, at, families, greet, greetUdp, type Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'
import { onStage } from '../setup/stage.js'

const { describe, test } = requires('root', 'program:nft')

let machine: PrivateHost
let host: Host
let self: Peer
let outside: Peer
onStage(stage => {
  ;({ machine, host, self, outside } = stage)
})

const wire: NetworkOptions = { name: 'wire', driver: 'ptp', subnets: ['10.8.0.0/24', 'fd00:8::/64'] }

async function sandbox(name: string, options: object = {}): Promise<Sandbox> {
  const made = await host.sandboxes.create({ name, network: 'wire', ...options })
  for (const family of families) await greet(made, addressOf(made, family), 80)
  return made
}

/** What the one answers to the other, for both families. */
const answers = (from: Parameters<typeof ask>[0], to: Sandbox, quiet = false): Promise<string[]> =>
  Promise.all(families.map(family => ask(from, addressOf(to, family), 80, { quiet })))
const addresses = (one: Sandbox): string[] => families.map(family => addressOf(one, family))

/** A neighbour who knows the way to sandboxes, and uses it. */
async function letOutsideRoute(): Promise<void> {
  await machine.outside.ip('route', 'add', '10.8.0.0/24', 'via', '198.51.100.1')
  await machine.outside.ip('-6', 'route', 'add', 'fd00:8::/64', 'via', '2001:db8:100::1')
}

describe('on a ptp network', () => {
  test('a sandbox has a link of its own, as iproute2 tells, and nothing is left of it', async () => {
    await machine.run('sysctl', '-qw', 'net/ipv4/ip_forward=1', 'net/ipv6/conf/all/forwarding=1') // what a network leaves on
    const before = await machine.dump()
    await machine.run('sysctl', '-qw', 'net/ipv6/conf/default/accept_ra=2')
    await host.networks.create(wire)
    const a = await host.sandboxes.create({ name: 'a', network: 'wire' })
    const [endpoint] = a.endpoints
    expect(endpoint).toMatchObject({
      ifname: 'eth0',
      ipv4: { address: '10.8.0.2', prefix: 32, gateway: '10.8.0.1' },
      ipv6: { address: 'fd00:8::2', prefix: 128, gateway: 'fd00:8::1' },
    })
    const link = String(endpoint?.hostIfname)
    expect(await machine.ipJson('-d', 'link', 'show', link)).toMatchObject([{ ifalias: 'netmode:a/wire', linkinfo: { info_kind: 'veth' } }])
    expect(await machine.ipJson('route', 'get', '10.8.0.2')).toMatchObject([{ dev: link, prefsrc: '10.8.0.1' }])
    expect(await machine.ipJson('-6', 'route', 'get', 'fd00:8::2')).toMatchObject([{ dev: link, prefsrc: 'fd00:8::1' }])
    expect(await machine.sysctl(`net.ipv6.conf.${link}.accept_ra`)).toBe('0')
    const inside = new PrivateNamespace('a')
    expect(await inside.ipJson('route', 'show')).toMatchObject([
      { dst: 'default', gateway: '10.8.0.1', dev: 'eth0' },
      { dst: '10.8.0.0/24', gateway: '10.8.0.1', dev: 'eth0' },
      { dst: '10.8.0.1', dev: 'eth0', scope: 'link' },
    ])
    // What nobody has is not looked for outside.
    expect(await ask(a, '10.8.0.99', 80)).toBe('unreachable')
    expect(await ask(self, 'fd00:8::99', 80)).toBe('unreachable')
    await a.remove()
    await host.networks.remove('wire')
    await machine.run('sysctl', '-qw', 'net/ipv6/conf/default/accept_ra=1')
    expect(await machine.dump()).toEqual(before)
  })

  test('the gateway answers, sandboxes reach each other at their own addresses, and the outside by the address of the host', async () => {
    await host.networks.create(wire)
    const [a, b] = [await sandbox('a'), await sandbox('b')]
    expect(await answers(a, b)).toEqual(addresses(a))
    expect(await answers(self, a)).toEqual(['10.8.0.1', 'fd00:8::1'])
    for (const family of families) {
      await greet(outside, family.outside, 8000)
      expect(await ask(a, family.outside, 8000)).toBe(family.host)
      await greet(self, family.host, 9000)
      expect(await ask(a, family.host, 9000)).toBe(addressOf(a, family))
    }
    expect(await new PrivateNamespace('a').succeeds('ping', '-c1', '-W5', '10.8.0.1')).toBe(true)
    expect(await new PrivateNamespace('a').succeeds('ping', '-c1', '-W5', 'fd00:8::1')).toBe(true)
  })

  test('published ports are reached from everywhere, and nothing else is', async () => {
    await letOutsideRoute()
    await host.networks.create(wire)
    await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
    const a = await sandbox('a', { publish: ['8080:80', '5353:53/udp', '127.0.0.1:8081:80', '[::1]:8081:80'] })
    const b = await sandbox('b')
    const bridgeFilter6 = (await machine.sysctl('net.bridge.bridge-nf-call-ip6tables').catch(() => '0')) === '1'
    const other = await host.sandboxes.create({ name: 'other', network: 'lan' })
    for (const family of families) {
      await greetUdp(a, addressOf(a, family), 53)
      const gateway = family.version === 4 ? '10.8.0.1' : 'fd00:8::1'
      expect(await ask(outside, family.host, 8080)).toBe(family.outside) // the client's address is kept
      expect(await askUdp(outside, family.host, 5353)).toEqual({ saw: family.outside, from: at(family.host, 5353) })
      // ::1 only where bridged frames don't pass ip6tables (docs/firewall.md).
      const byLoopback = family.version === 6 && bridgeFilter6 ? 'refused' : gateway
      expect(await ask(self, family.loopback, 8080)).toBe(byLoopback)
      expect(await ask(self, family.loopback, 8081)).toBe(byLoopback)
      for (const one of [a, b, other]) expect(await ask(one, family.host, 8080)).toBe(gateway)
      expect(await ask(outside, family.host, 8081, { quiet: true })).toBe('refused')
    }
    expect(await answers(outside, a, true)).toEqual(['silent', 'silent'])
    expect(await answers(other, a, true)).toEqual(['silent', 'silent'])
    await a.unpublish(['8080'])
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('refused')
  })

  test('icc=false: no sandbox reaches another, but what is published', async () => {
    await host.networks.create({ ...wire, icc: false })
    const [a, b] = [await sandbox('a', { publish: ['8080:80'] }), await sandbox('b')]
    expect(await answers(b, a, true)).toEqual(['silent', 'silent'])
    expect(await answers(self, a)).toEqual(['10.8.0.1', 'fd00:8::1'])
    for (const family of families) expect(await ask(b, family.host, 8080)).toBe(family.version === 4 ? '10.8.0.1' : 'fd00:8::1')
  })

  test('internal: no way out and none in; siblings are reached', async () => {
    await letOutsideRoute()
    await machine.run('sysctl', '-qw', 'net/ipv4/ip_forward=1', 'net/ipv6/conf/all/forwarding=1')
    await host.networks.create({ ...wire, internal: true })
    const [a, b] = [await sandbox('a'), await sandbox('b')]
    expect(await answers(a, b)).toEqual(addresses(a))
    for (const family of families) {
      await greet(outside, family.outside, 8000)
      expect(await ask(a, family.outside, 8000)).toBe('unreachable')
    }
    expect(await answers(outside, a, true)).toEqual(['silent', 'silent'])
    // Not even with a route of its own making.
    await new PrivateNamespace('a').ip('route', 'add', 'default', 'via', '10.8.0.1')
    expect(await ask(a, '198.51.100.2', 8000, { quiet: true })).toBe('silent')
    await expect(host.sandboxes.create({ name: 'c', network: 'wire', publish: ['80'] })).rejects.toMatchObject({ field: 'publish[0]' })
  })

  test('masquerade=false: the outside sees the address of the sandbox', async () => {
    await letOutsideRoute()
    await host.networks.create({ ...wire, masquerade: false })
    const a = await sandbox('a')
    for (const family of families) {
      await greet(outside, family.outside, 8000)
      expect(await ask(a, family.outside, 8000)).toBe(addressOf(a, family))
    }
  })

  test('a sandbox that takes the address of a sibling for its own is not heard', async () => {
    await host.networks.create(wire)
    const [a, b] = [await sandbox('a'), await sandbox('b')]
    const inside = new PrivateNamespace('a')
    await inside.ip('address', 'add', '10.8.0.77/32', 'dev', 'eth0')
    await inside.ip('-6', 'address', 'add', 'fd00:8::77/128', 'dev', 'eth0', 'nodad')
    // The way back is open, so that nothing but the check of the source is in the way.
    const link = String(b.endpoints[0]?.hostIfname)
    await machine.ip('route', 'add', '10.8.0.77/32', 'dev', link)
    await machine.ip('-6', 'route', 'add', 'fd00:8::77/128', 'dev', link)
    const udp = await b.udp({ host: '10.8.0.3', port: 53 })
    const heard: string[] = []
    udp.on('message', (_, { address }) => heard.push(address))
    const spoofed = await a.udp({ host: '10.8.0.77' })
    const honest = await a.udp({ host: '10.8.0.2' })
    const first = new Promise(resolve => udp.once('message', resolve))
    spoofed.send('x', 53, '10.8.0.3')
    honest.send('y', 53, '10.8.0.3')
    await first
    expect(heard).toEqual(['10.8.0.2'])
  })

  test('networks are attached and detached on a live sandbox, and the ruleset comes back with its links', async () => {
    await host.networks.create(wire)
    const [a, b] = [await host.sandboxes.create({ name: 'a', publish: ['8080:80'] }), await sandbox('b')]
    const before = await machine.dump()
    await a.attach('wire', { gatewayPriority: 1 })
    const [, endpoint] = a.endpoints
    await greet(a, '0.0.0.0', 80)
    expect(await ask(b, String(endpoint?.ipv4?.address), 80)).toBe('10.8.0.2')
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2')
    const withAll = await machine.nft('list', 'table', 'inet', 'netmode')
    await machine.nft('delete', 'table', 'inet', 'netmode')
    // Whether it or the guard of the ruleset was faster, it is as before.
    expect(await host.recover()).toMatchObject({ rolledBack: [], damaged: [] })
    expect(ruleset(await machine.nft('list', 'table', 'inet', 'netmode'))).toEqual(ruleset(withAll))
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2')
    expect(await a.detach('wire')).toBe(true)
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2')
    const { state: _, ruleset: after, ...rest } = await machine.dump()
    const { state: __, ruleset: old, ...was } = before
    expect(rest).toEqual(was)
    expect(sorted(after)).toEqual(sorted(old))
  })

  test('there are more than the 1,023 that a bridge takes', async () => {
    const count = 1100
    await host.networks.create({ ...wire, subnets: ['10.8.0.0/16'] })
    const names = Array.from({ length: count }, (_, i) => `box${i}`)
    for (let i = 0; i < count; i += 50)
      await Promise.all(names.slice(i, i + 50).map(name => host.sandboxes.create({ name, network: 'wire' })))
    const [first, last] = [await host.sandboxes.get('box0'), await host.sandboxes.get(`box${count - 1}`)]
    if (!first || !last) throw new Error('a box is gone')
    await greet(last, '0.0.0.0', 80)
    expect(await ask(first, String(last.endpoints[0]?.ipv4?.address), 80)).toBe(first.endpoints[0]?.ipv4?.address)
    expect(await host.sandboxes.removeAll(names)).toHaveLength(count)
    expect(await machine.ipJson('link', 'show', 'type', 'veth')).toHaveLength(1) // the host's own
    expect(await machine.nft('list', 'set', 'inet', 'netmode', 'routed')).not.toContain('elements')
  }, 300_000)
})

/** Without counters, and elements in an order of their own. */
const ruleset = (text: string): readonly string[] =>
  text
    .replaceAll(/packets \d+ bytes \d+/g, '')
    .split(/[\n{},]+/)
    .map(line => line.trim())
    .sort()
const sorted = (items: readonly unknown[]): readonly string[] => items.map(item => JSON.stringify(item)).sort()

describe.each([false, true])('names on a ptp network, internal %s,', internal => {
  const { test: withDig } = requires('root', 'program:nft', 'program:dig')

  withDig('are found over UDP and TCP, in both families, by name, alias and address', async () => {
    await host.networks.create({ ...wire, internal })
    // Nobody is there yet, and so is the gateway not, which questions go to.
    expect(host.nameService.networks.filter(({ error }) => error)).toEqual([])
    const a = await host.sandboxes.create({ name: 'a', network: 'wire' })
    const b = await host.sandboxes.create({ name: 'b', network: 'wire', aliases: ['store'] })
    for (const server of ['@10.8.0.1', '@fd00:8::1']) {
      for (const transport of ['+notcp', '+tcp']) {
        expect(await dug(a, server, transport, 'store', 'A')).toEqual([addressOf(b, families[0])])
        expect(await dug(a, server, transport, 'b.wire', 'AAAA')).toEqual([addressOf(b, families[1])])
        expect(await dug(b, server, transport, '-x', addressOf(a, families[0]))).toEqual(['a.wire.'])
      }
    }
    expect(await dug(a, 'b')).toEqual([addressOf(b, families[0])]) // by its own resolv.conf
    await host.networks.create({ name: 'other', driver: 'ptp', subnets: ['10.9.0.0/24'] })
    const c = await host.sandboxes.create({ name: 'c', network: 'other' })
    expect((await dig(c, '@10.9.0.1', '+time=1', '+tries=1', 'b.wire', 'A')).status).not.toBe('NOERROR')
  })
})
