/** What a sandbox can send: frames made by hand inside it, and who gets to see them. */
import { afterEach, beforeEach, expect } from 'vitest'
import { type Host, openHost, type Sandbox } from '../../lib/index.js'
import { linkLocalOf } from '../../lib/network/mac.js'
import {
  advertisement,
  allNodesMac,
  arp,
  broadcastMac,
  deliver,
  frame,
  icmp6,
  redirectTo,
  routerAdvertisement,
  solicitation,
  udp4,
} from '../setup/frames.js'
import { freshHost, type PrivateHost, PrivateNamespace } from '../setup/namespace.js'
import { Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'

const { describe, test } = requires('root', 'program:python3', 'program:nft')

let machine: PrivateHost
let host: Host

beforeEach(async () => {
  machine = await freshHost()
  host = await openHost({ netns: machine.netns, stateDir: machine.stateDir, repair: false })
  await host.networks.create({ name: 'lan', subnets: ['10.7.0.0/24', 'fd07::/64'], bridge: 'lan0' })
})

afterEach(async () => {
  // A test that failed half-way may have left some.
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await machine.remove()
})

/** MAC and addresses of a sandbox's first endpoint. */
type Speaker = Pick<Sandbox, 'name' | 'endpoints'>

function identity({ endpoints: [endpoint] }: Speaker) {
  const { mac = '', ipv4, ipv6 } = endpoint ?? {}
  return { mac, ip4: ipv4?.address ?? '', ip6: ipv6?.address ?? '', link: linkLocalOf(mac) }
}

/** What of these frames comes from one sandbox to its sibling. */
function between(from: Sandbox, to: Sandbox, frames: Readonly<Record<string, Buffer>>): Promise<readonly string[]> {
  const { mac, ip4: address } = identity(from)
  return deliver(
    { place: new PrivateNamespace(from.name), device: 'eth0', mac, address },
    { place: new PrivateNamespace(to.name), device: 'eth0' },
    frames,
  )
}

const gateway = { ip4: '10.7.0.1', ip6: 'fd07::1', link: 'fe80::1' }
const group = 'ff02::1'
/** Made by no rule from a MAC, as with `addr_gen_mode` stable_secret. */
const stablePrivacy = 'fe80::1:2:3:4'

/** What is a sandbox's own to say. */
function honest(sandbox: Speaker, sibling: Speaker): Record<string, Buffer> {
  const { mac, ip4, ip6, link } = identity(sandbox)
  const other = identity(sibling)
  const say = (from: string, message: Buffer) => frame(allNodesMac, mac, 0x86dd, icmp6(from, group, message))
  return {
    IPv4: frame(other.mac, mac, 0x0800, udp4(ip4, other.ip4)),
    ARP: frame(broadcastMac, mac, 0x0806, arp(mac, ip4, other.ip4)),
    'ARP answer': frame(other.mac, mac, 0x0806, arp(mac, ip4, other.ip4, 2)),
    'solicitation from its address': say(ip6, solicitation(other.ip6, mac)),
    'solicitation from its link-local address': say(link, solicitation(other.ip6, mac)),
    'solicitation from a link-local address that no MAC tells': say(stablePrivacy, solicitation(other.ip6, mac)),
    'is its own address free?': say('::', solicitation(ip6)),
    'is its link-local address free?': say('::', solicitation(link)),
    'is a link-local address free that no MAC tells?': say('::', solicitation(stablePrivacy)),
    'advertisement of its address': say(ip6, advertisement(ip6, mac)),
    'advertisement of its link-local address': say(link, advertisement(link, mac)),
    'advertisement of a link-local address that no MAC tells': say(stablePrivacy, advertisement(stablePrivacy, mac)),
  }
}

/** What it is not. */
function forged(sandbox: Speaker, sibling: Speaker): Record<string, Buffer> {
  const { mac, ip4, ip6, link } = identity(sandbox)
  const other = identity(sibling)
  const say = (from: string, message: Buffer, as = mac) => frame(allNodesMac, as, 0x86dd, icmp6(from, group, message))
  return {
    'IPv4 from another MAC': frame(broadcastMac, '02:00:00:00:00:99', 0x0800, udp4(ip4, other.ip4)),
    "IPv4 from the sibling's MAC": frame(broadcastMac, other.mac, 0x0800, udp4(ip4, other.ip4)),
    "IPv4 from the sibling's address": frame(broadcastMac, mac, 0x0800, udp4(other.ip4, ip4)),
    'IPv4 as the sibling': frame(broadcastMac, other.mac, 0x0800, udp4(other.ip4, ip4)),
    "IPv4 from the gateway's address": frame(broadcastMac, mac, 0x0800, udp4(gateway.ip4, other.ip4)),
    'IPv4 from nowhere': frame(broadcastMac, mac, 0x0800, udp4('0.0.0.0', '255.255.255.255', 67)),
    "ARP for the sibling's address": frame(broadcastMac, mac, 0x0806, arp(mac, other.ip4)),
    "ARP for the gateway's address": frame(broadcastMac, mac, 0x0806, arp(mac, gateway.ip4)),
    'ARP answer for the gateway': frame(broadcastMac, mac, 0x0806, arp(mac, gateway.ip4, other.ip4, 2)),
    'ARP that names another MAC': frame(broadcastMac, mac, 0x0806, arp('02:00:00:00:00:99', ip4)),
    'ARP from another MAC': frame(broadcastMac, '02:00:00:00:00:99', 0x0806, arp(mac, ip4)),
    "IPv6 from the sibling's address": say(other.ip6, solicitation(gateway.ip6, mac)),
    "IPv6 from the sibling's link-local address": say(other.link, solicitation(gateway.ip6, mac)),
    "IPv6 from the gateway's address": say(gateway.ip6, solicitation(other.ip6, mac)),
    "IPv6 from the gateway's link-local address": say(gateway.link, solicitation(other.ip6, mac)),
    'IPv6 from another MAC': say(ip6, solicitation(other.ip6, mac), '02:00:00:00:00:99'),
    'link-local IPv6 from another MAC': say(stablePrivacy, solicitation(other.ip6, mac), '02:00:00:00:00:99'),
    'IPv6 from nowhere': frame(allNodesMac, mac, 0x86dd, icmp6('::', group, Buffer.from([128, 0, 0, 0, 0, 0, 0, 0]))),
    "advertisement of the sibling's address": say(ip6, advertisement(other.ip6, mac)),
    "advertisement of the sibling's link-local address": say(link, advertisement(other.link, mac)),
    "advertisement of the gateway's address": say(ip6, advertisement(gateway.ip6, mac)),
    "advertisement of the gateway's link-local address": say(stablePrivacy, advertisement(gateway.link, mac)),
    'advertisement from nowhere': say('::', advertisement(other.ip6, mac)),
    "is the sibling's address free?": say('::', solicitation(other.ip6)),
    "is the gateway's link-local address free?": say('::', solicitation(gateway.link)),
    'router advertisement': say(link, routerAdvertisement(mac)),
    'router advertisement behind options': frame(
      allNodesMac,
      mac,
      0x86dd,
      icmp6(link, group, routerAdvertisement(mac), { hopByHop: true }),
    ),
    "advertisement of the sibling's address behind options": frame(
      allNodesMac,
      mac,
      0x86dd,
      icmp6(ip6, group, advertisement(other.ip6, mac), { hopByHop: true }),
    ),
    redirect: say(link, redirectTo(link, '2001:db8::1')),
    'router advertisement with a VLAN tag': frame(allNodesMac, mac, 0x86dd, icmp6(link, group, routerAdvertisement(mac)), 7),
    'IPv4 as the sibling with a VLAN tag': frame(broadcastMac, mac, 0x0800, udp4(other.ip4, ip4), 7),
    'neither IP nor ARP': frame(broadcastMac, mac, 0x88b5, Buffer.alloc(46)),
  }
}

describe('a sandbox', () => {
  test('is heard with what is its own, and with nothing else', async () => {
    await using one = await host.sandboxes.create({ name: 'one', network: 'lan' })
    await using two = await host.sandboxes.create({ name: 'two', network: 'lan' })
    expect(await between(one, two, honest(one, two))).toEqual(Object.keys(honest(one, two)))
    expect(await between(one, two, forged(one, two))).toEqual([])
  })

  test.each([
    ['of its own', {}, { spoofCheck: false }],
    ['of its network', { spoofCheck: false }, {}],
  ])('says what it likes with spoofCheck: false %s', async (_, network, endpoint) => {
    await host.networks.create({ name: 'free', subnets: ['10.8.0.0/24', 'fd08::/64'], ...network })
    await using one = await host.sandboxes.create({ name: 'one', network: 'free', ...endpoint })
    await using two = await host.sandboxes.create({ name: 'two', network: 'free', spoofCheck: true })
    const { 'IPv4 as the sibling with a VLAN tag': _vlan, ...frames } = forged(one, two)
    expect(await between(one, two, frames)).toEqual(Object.keys(frames))
    // The other one chose otherwise, and is held to it.
    expect(await between(two, one, forged(two, one))).toEqual([])
  })

  test('with IPv4 only is not heard in IPv6', async () => {
    await host.networks.create({ name: 'four', subnets: ['10.8.0.0/24'] })
    await using one = await host.sandboxes.create({ name: 'one', network: 'four' })
    await using two = await host.sandboxes.create({ name: 'two', network: 'four' })
    const { mac, link } = identity(one)
    const frames = { IPv6: frame(allNodesMac, mac, 0x86dd, icmp6(link, group, solicitation('fe80::1', mac))) }
    expect(await between(one, two, frames)).toEqual([])
  })

  test('is held to its addresses on a network that it joins later, and heard by the host and others at once', async () => {
    await host.networks.create({ name: 'late', subnets: ['10.8.0.0/24', 'fd08::/64'] })
    await using one = await host.sandboxes.create({ name: 'one', network: 'lan' })
    await using two = await host.sandboxes.create({ name: 'two', network: 'late' })
    const { mac } = await one.attach('late')
    const late = { name: 'one', endpoints: one.endpoints.slice(1) }
    const { ip4 } = identity(late)
    const ends = [
      { place: new PrivateNamespace('one'), device: 'eth1', mac, address: ip4 },
      { place: new PrivateNamespace('two'), device: 'eth0' },
    ] as const
    expect(await deliver(...ends, honest(late, two))).toEqual(Object.keys(honest(late, two)))
    expect(await deliver(...ends, forged(late, two))).toEqual([])
    await one.detach('late')
    expect(await machine.nft('list', 'table', 'bridge', 'netmode')).not.toContain(mac)
  })

  test('talks over a link-local address that the kernel makes from a secret', async () => {
    await using one = await host.sandboxes.create({ name: 'one', network: 'lan' })
    await using two = await host.sandboxes.create({ name: 'two', network: 'lan' })
    const inside = new PrivateNamespace('one')
    await inside.run('sysctl', '-qw', 'net.ipv6.conf.eth0.stable_secret=2001:db8::5ec7')
    await inside.ip('link', 'set', 'eth0', 'down')
    await inside.ip('link', 'set', 'eth0', 'addrgenmode', 'stable_secret')
    await inside.ip('link', 'set', 'eth0', 'up')
    expect(await inside.succeeds('ping', '-6', '-c', '1', '-w', '20', `${linkLocalOf(identity(two).mac)}%eth0`)).toBe(true)
    const [link] = await inside.ipJson('-6', 'address', 'show', 'dev', 'eth0', 'scope', 'link')
    const [{ local = '' } = {}] = (link?.addr_info ?? []) as { local?: string }[]
    expect(local).not.toBe(linkLocalOf(identity(one).mac))
    expect(local).toMatch(/^fe80::/)
  })

  test('leaves nothing of it when it goes', async () => {
    const before = (await machine.dump()).ruleset
    await host.sandboxes.create({ name: 'one', network: 'lan' })
    await host.sandboxes.create({ name: 'two', network: 'lan', spoofCheck: false })
    expect((await machine.dump()).ruleset).not.toEqual(before)
    await host.sandboxes.removeAll(['one', 'two'])
    expect((await machine.dump()).ruleset).toEqual(before)
  })
})

describe('the host', () => {
  test('drops what comes from a sandbox with an address that does not live there, whatever the bridge lets in', async () => {
    await host.networks.create({ name: 'free', subnets: ['10.8.0.0/24'], bridge: 'free0', spoofCheck: false })
    await using one = await host.sandboxes.create({ name: 'one', network: 'free' })
    const { mac, ip4 } = identity(one)
    const bridgeMac = (await machine.ipJson('link', 'show', 'free0'))[0]?.address as string
    const heard: string[] = []
    await using self = new Peer(machine.netns)
    const server = await self.udp({ host: '10.8.0.1', port: 5000 })
    const last = new Promise<void>(resolve => {
      server.on('message', data => {
        heard.push(String(data))
        if (String(data) === 'itself') resolve()
      })
    })
    const to = (from: string, text: string) => frame(bridgeMac, mac, 0x0800, udp4(from, '10.8.0.1', 5000, text))
    const frames = {
      a: to('10.8.0.77', 'its subnet'),
      b: to('203.0.113.9', 'the internet'),
      c: to('198.51.100.2', 'the LAN'),
      d: to(ip4, 'itself'),
    }
    const ends = [
      { place: new PrivateNamespace('one'), device: 'eth0', mac, address: ip4 },
      { place: machine, device: 'free0' },
    ] as const
    expect(await deliver(...ends, frames)).toEqual(['a', 'b', 'c', 'd'])
    await last
    expect(heard).toEqual(['its subnet', 'itself'])
  })
})
