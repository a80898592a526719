/** TAPs as ports of a network's bridge: guests of a VMM on the host, with real traffic. */
import { expect } from 'vitest'
import type { Endpoint, Host, Sandbox } from '../../lib/index.js'

import { linkLocalOf } from '../../lib/network/mac.js'

import { advertisement, allNodesMac, arp, broadcastMac, deliver, frame, icmp6, udp4 } from '../setup/frames.js'
import { FakeGuests, type GuestSeat } from '../setup/guests.js'
import { type PrivateHost, PrivateNamespace, run } from '../setup/namespace.js'
import { addressOf, ask, askUdp, families, greet, greetUdp, type Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'
import { homeSubnets, onStage } from '../setup/stage.js'

const { describe, test } = requires('root', 'program:nft', 'program:python3', '/dev/net/tun')
const asOthers = requires('realRoot', 'program:python3', '/dev/net/tun')

let machine: PrivateHost
let host: Host
let self: Peer
let outside: Peer
onStage(stage => {
  ;({ machine, host, self, outside } = stage)
})

const dual = { name: 'lan', subnets: ['10.7.0.0/24', 'fd07::/64'], bridge: 'lan0' }

/** Where a guest is plugged in that goes by what it was leased. */
function seatOf({ ifname, mac, ipv4, ipv6 }: Endpoint): GuestSeat {
  return { netns: machine.netns, tap: ifname, mac, addresses: [ipv4, ipv6].filter(one => one !== undefined) }
}

/** The endpoint of a sandbox that has one. */
function onlyEndpoint({ name, endpoints: [endpoint] }: Sandbox): Endpoint {
  if (endpoint === undefined) throw new Error(`${name} has no endpoint`)
  return endpoint
}

/** A sandbox with a TAP, and the guest behind it. */
async function startGuest(vm: Sandbox): Promise<FakeGuests> {
  return FakeGuests.start(seatOf(onlyEndpoint(vm)))
}

describe('a TAP on a bridge', () => {
  test('is a port as iproute2 sees it, with what was asked for, and goes without a trace', async () => {
    await host.networks.create({ ...dual, mtu: 1400, icc: false })
    await (await host.sandboxes.create({ name: 'first', network: 'lan' })).remove() // a bridge keeps limits of its first port
    const before = await machine.dump()
    const vm = await host.sandboxes.create({
      name: 'vm',
      network: 'lan',
      ip: '10.7.0.9',
      tap: { owner: 1234, group: 4321, vnetHdr: true, multiQueue: true },
    })
    const endpoint = onlyEndpoint(vm)
    expect(endpoint).toEqual({
      network: 'lan',
      ifname: expect.stringMatching(/^tap[0-9a-f]{7}$/),
      hostIfname: endpoint.ifname,
      mac: '02:42:0a:07:00:09',
      mtu: 1400,
      ipv4: { address: '10.7.0.9', prefix: 24, gateway: '10.7.0.1' },
      ipv6: { address: expect.stringMatching(/^fd07::/), prefix: 64, gateway: 'fd07::1' },
      tap: { owner: 1234, group: 4321, vnetHdr: true, multiQueue: true },
    })
    const [link] = await machine.ipJson('-d', 'link', 'show', endpoint.ifname)
    expect(link).toMatchObject({
      master: 'lan0',
      mtu: 1400,
      address: 'fe:42:0a:07:00:09', // never the guest's: the kernel would keep its frames for itself
      group: '28269',
      ifalias: 'netmode:vm/lan',
      linkinfo: {
        info_kind: 'tun',
        info_data: { type: 'tap', pi: false, vnet_hdr: true, multi_queue: true, persist: true, user: 1234, group: 4321 },
        info_slave_kind: 'bridge',
        info_slave_data: { isolated: true },
      },
    })
    expect(link?.flags).toContain('UP')
    expect((await new PrivateNamespace('vm').ipJson('link', 'show')).map(({ ifname }) => ifname)).toEqual(['lo'])
    expect((await vm.inspect()).NetworkSettings).toMatchObject({
      Networks: {
        lan: {
          IPAddress: '10.7.0.9',
          MacAddress: '02:42:0a:07:00:09',
          DriverOpts: {
            'netmode.tap': endpoint.ifname,
            'netmode.tap.owner': '1234',
            'netmode.tap.group': '4321',
            'netmode.tap.vnet_hdr': 'true',
            'netmode.tap.multi_queue': 'true',
          },
        },
      },
    })
    expect((await host.networks.inspect('lan')).Containers).toMatchObject({ [vm.id]: { Name: 'vm', IPv4Address: '10.7.0.9/24' } })
    await vm.remove()
    expect(await machine.dump()).toEqual(before)
  })

  test('its guest reaches a sandbox, the host and outside, and is reached, by its own address, in both families', async () => {
    await host.networks.create(dual)
    const vm = await host.sandboxes.create({ name: 'vm', network: 'lan', tap: {}, publish: ['8080:80', '5353:53/udp'] })
    const web = await host.sandboxes.create({ name: 'web', network: 'lan' })
    await using guests = await startGuest(vm)
    const guest = guests.at(0)
    for (const family of families) {
      await greet(guest, addressOf(vm, family), 80)
      await greetUdp(guest, addressOf(vm, family), 53)
      await greet(web, addressOf(web, family), 80)
      await greet(outside, family.outside, 9000)
      expect(await ask(guest, addressOf(web, family), 80)).toBe(addressOf(vm, family))
      expect(await ask(web, addressOf(vm, family), 80)).toBe(addressOf(web, family))
      expect(await ask(self, addressOf(vm, family), 80)).toBe(family.version === 4 ? '10.7.0.1' : 'fd07::1')
      expect(await ask(guest, family.outside, 9000)).toBe(family.host) // masqueraded
      expect(await ask(outside, family.host, 8080)).toBe(family.outside) // published, the client's address is kept
      expect(await askUdp(outside, family.host, 5353)).toMatchObject({ saw: family.outside })
    }
    const [stats] = (await host.stats()).endpoints.filter(({ sandbox }) => sandbox === 'vm')
    expect(stats?.received.packets).toBeGreaterThan(10)
    expect(stats?.sent.packets).toBeGreaterThan(10)
  })

  test('its guest is heard with its own addresses and with nothing else, unless spoofCheck is false', async () => {
    await host.networks.create(dual)
    const web = await host.sandboxes.create({ name: 'web', network: 'lan' })
    for (const spoofCheck of [true, false]) {
      const vm = await host.sandboxes.create({ name: 'vm', network: 'lan', tap: {}, spoofCheck })
      await using guests = await startGuest(vm)
      const { mac, ipv4 } = onlyEndpoint(vm)
      const [own, others] = [ipv4?.address ?? '', addressOf(web, families[0])]
      const [link, theirs] = [mac, onlyEndpoint(web).mac].map(linkLocalOf) as [string, string]
      const say = (message: Buffer) => frame(allNodesMac, mac, 0x86dd, icmp6(link, 'ff02::1', message))
      const honest = {
        IPv4: frame(broadcastMac, mac, 0x0800, udp4(own, others)),
        ARP: frame(broadcastMac, mac, 0x0806, arp(mac, own, others)),
        IPv6: say(advertisement(link, mac)),
      }
      const forged = {
        'IPv4 as the sandbox': frame(broadcastMac, mac, 0x0800, udp4(others, own)),
        'another MAC': frame(broadcastMac, '02:00:00:00:00:99', 0x0800, udp4(own, others)),
        'ARP as the gateway': frame(broadcastMac, mac, 0x0806, arp(mac, '10.7.0.1')),
        "the sandbox's link-local address": say(advertisement(theirs, mac)),
      }
      const ends = [
        { place: guests.namespaceOf(0), device: 'eth0', mac, address: own },
        { place: new PrivateNamespace('web'), device: 'eth0' },
      ] as const
      expect(await deliver(...ends, { ...honest, ...forged })).toEqual(Object.keys(spoofCheck ? honest : { ...honest, ...forged }))
      await vm.remove()
    }
  })

  test('waits for its VMM: one that ends and comes again finds the same port', async () => {
    await host.networks.create(dual)
    const vm = await host.sandboxes.create({ name: 'vm', network: 'lan', tap: {}, publish: ['8080:80'] })
    for (let boot = 0; boot < 2; boot++) {
      await using guests = await startGuest(vm)
      await greet(guests.at(0), '0.0.0.0', 80)
      expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2')
    }
  })

  test('keeps siblings apart with icc=false, and has no way out of an internal network', async () => {
    await host.networks.create({ ...dual, icc: false })
    await host.networks.create({ name: 'inner', subnets: ['10.8.0.0/24'], internal: true })
    const vm = await host.sandboxes.create({ name: 'vm', network: 'lan', tap: {} })
    const other = await host.sandboxes.create({ name: 'other', network: 'lan', tap: {} })
    const shut = await host.sandboxes.create({ name: 'shut', network: 'inner', tap: {} })
    await using guests = await FakeGuests.start(...[vm, other, shut].map(one => seatOf(onlyEndpoint(one))))
    await greet(outside, '198.51.100.2', 9000)
    await greet(guests.at(0), '0.0.0.0', 80)
    expect(await ask(guests.at(0), '198.51.100.2', 9000)).toBe('198.51.100.1')
    expect(await ask(guests.at(1), addressOf(vm, families[0]), 80, { quiet: true })).not.toBe(addressOf(other, families[0]))
    await guests.namespaceOf(2).ip('route', 'add', 'default', 'via', '10.8.0.1')
    expect(await ask(guests.at(2), '198.51.100.2', 9000, { quiet: true })).not.toBe('198.51.100.1')
  })

  test('comes and goes on a live sandbox beside a link of its own, which keeps the default route', async () => {
    await host.networks.create(dual)
    const vm = await host.sandboxes.create({ name: 'vm' })
    const inside = new PrivateNamespace('vm')
    const routes = await inside.ipJson('route', 'show', 'default')
    const endpoint = await vm.attach('lan', { tap: {}, gatewayPriority: 7 })
    expect(await inside.ipJson('route', 'show', 'default')).toEqual(routes)
    // Ports go by priority, as ever.
    await vm.publish('8080:80')
    await using guests = await FakeGuests.start(seatOf(endpoint))
    await greet(guests.at(0), '0.0.0.0', 80)
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2')
    expect(await vm.detach('lan')).toBe(true)
    expect(await machine.ipJson('link', 'show', 'type', 'tun')).toEqual([])
    expect(await machine.nft('list', 'table', 'bridge', 'netmode')).not.toContain(endpoint.mac)
    await greet(vm, '0.0.0.0', 80)
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2')
  })

  test('on a bridge with an uplink its guest is on the LAN', async () => {
    await host.networks.create({
      name: 'home',
      parent: 'eth0',
      subnets: [homeSubnets[0]],
    })
    const vm = await host.sandboxes.create({ name: 'vm', network: 'home', ip: '198.51.100.77', tap: {} })
    await using guests = await startGuest(vm)
    await greet(guests.at(0), '198.51.100.77', 80)
    await greet(outside, '198.51.100.2', 9000)
    expect(await ask(outside, '198.51.100.77', 80)).toBe('198.51.100.2')
    expect(await ask(guests.at(0), '198.51.100.2', 9000)).toBe('198.51.100.77')
  })

  test('what its port may say comes back after a flush', async () => {
    await host.networks.create(dual)
    const vm = await host.sandboxes.create({ name: 'vm', network: 'lan', tap: {}, publish: ['8080:80'] })
    await using guests = await startGuest(vm)
    await greet(guests.at(0), '0.0.0.0', 80)
    const before = (await machine.dump()).ruleset
    await machine.nft('flush', 'ruleset')
    await host.recover()
    expect((await machine.dump()).ruleset).toEqual(before)
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2')
  })

  test('is refused where there is no bridge, in modes without networks, and with a name', async () => {
    await host.networks.create({ name: 'lines', driver: 'ptp', subnets: ['10.8.0.0/24'] })
    const before = await machine.dump()
    const refused = { code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'tap' }
    for (const network of ['lines', 'none', 'host'])
      await expect(host.sandboxes.create({ name: 'vm', network, tap: {} }), network).rejects.toMatchObject(refused)
    await expect(host.sandboxes.create({ name: 'vm', networks: [{ network: 'lines', tap: {} }] })).rejects.toMatchObject({
      code: 'ERR_NETMODE_INVALID_ARGUMENT',
      field: 'tap',
    })
    await expect(host.sandboxes.create({ name: 'vm', tap: {}, ifname: 'tap0' })).rejects.toMatchObject({ ...refused, field: 'ifname' })
    expect(await machine.dump()).toEqual(before)
  })
})

describe('where the kernel has no TUN/TAP', () => {
  test('places for virtual machines are refused, with what is missing, and nothing is left', async () => {
    await host.networks.create(dual)
    const before = await machine.dump()
    await run('mount', ['-t', 'tmpfs', 'tmpfs', '/dev/net']) // seen by this file alone
    try {
      for (const place of [{ tap: {} }, { guest: { address: '172.16.0.2/30' } }])
        await expect(host.sandboxes.create({ name: 'vm', network: 'lan', ...place })).rejects.toMatchObject({
          code: 'ERR_NETMODE_UNSUPPORTED',
          syscall: 'tap.add',
          detail: expect.stringContaining('/dev/net/tun'),
        })
    } finally {
      await run('umount', ['/dev/net'])
    }
    expect(await machine.dump()).toEqual(before)
  })
})

/** The device node is opened first: who may do that is another matter. */
const kOpenTap = `
import fcntl, os, struct, sys
device = os.open('/dev/net/tun', os.O_RDWR)
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
fcntl.ioctl(device, 0x400454CA, struct.pack('16sH22x', sys.argv[1].encode(), 0x1002))
`

asOthers.describe('the owner of a TAP', () => {
  asOthers.test('opens it without any privilege, and nobody else does', async () => {
    const vm = await host.sandboxes.create({ name: 'vm', tap: { owner: 1234 } })
    const opens = (uid: number) => machine.succeeds('python3', '-c', kOpenTap, onlyEndpoint(vm).ifname, `${uid}`)
    expect(await opens(1234)).toBe(true)
    expect(await opens(1235)).toBe(false)
  })
})
