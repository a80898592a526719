/** Virtual machines in sandboxes: real traffic through a TAP, many with one and the same address. */
import { expect } from 'vitest'
import { type GuestOptions, type Host, isNetmodeError, type Sandbox, type SandboxOptions } from '../../lib/index.js'
import { changes, openBetween } from '../setup/between.js'
import { FakeGuests, type GuestSeat } from '../setup/guests.js'
import { type PrivateHost, PrivateNamespace } from '../setup/namespace.js'
import { addressOf, ask, askUdp, families, greet, greetUdp, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'
import { onStage } from '../setup/stage.js'

const { describe, test } = requires('root', 'program:nft', 'program:python3', '/dev/net/tun')

let machine: PrivateHost
let host: Host

onStage(stage => {
  ;({ machine, host } = stage)
})

const slot = { address: '172.16.0.2/30' }

/** Where the sandbox's guest is plugged in. */
function seatOf({ netns, guest }: Sandbox): GuestSeat {
  if (guest === undefined) throw new Error('it has no guest')
  const { tap, mac, address, prefix, gateway, ipv6 } = guest
  return { netns, tap, mac, addresses: [{ address, prefix, gateway }, ...(ipv6 ? [ipv6] : [])] }
}

/** How many packets of a guest a rule of the guard has dropped. */
async function dropped(name: string, rule: string): Promise<number> {
  const listed = await new PrivateNamespace(name).nft('list', 'chain', 'inet', 'netmode', 'guard')
  return Number(listed.split(rule)[1]?.match(/^ counter packets (\d+) bytes \d+ drop/)?.[1])
}

const withoutCounts = (rules: string): string => rules.replaceAll(/ counter packets \d+ bytes \d+/g, '')

describe('a microVM slot', () => {
  test('is one call: its TAP, addresses and rules, as iproute2 and nft see them', async () => {
    const vm = await host.sandboxes.create({
      name: 'vm',
      guest: { ...slot, tap: 'vmtap0', owner: 1234, group: 4321, vnetHdr: true, multiQueue: true, mtu: 1400 },
    })
    expect(vm.guest).toEqual({
      tap: 'vmtap0',
      address: '172.16.0.2',
      prefix: 30,
      gateway: '172.16.0.1',
      mac: '06:00:ac:10:00:02',
      gatewayMac: '02:42:ac:10:00:01',
      mtu: 1400,
    })
    const inside = new PrivateNamespace('vm')
    const [tap] = await inside.ipJson('-d', 'address', 'show', 'dev', 'vmtap0')
    expect(tap).toMatchObject({
      mtu: 1400,
      address: '02:42:ac:10:00:01',
      linkinfo: {
        info_kind: 'tun',
        info_data: { type: 'tap', pi: false, vnet_hdr: true, multi_queue: true, persist: true, user: 1234, group: 4321 },
      },
      addr_info: [{ local: '172.16.0.1', prefixlen: 30 }],
    })
    expect(tap?.flags).toContain('UP')
    expect(await inside.ipJson('neighbor', 'show', 'dev', 'vmtap0')).toEqual([
      expect.objectContaining({ dst: '172.16.0.2', lladdr: '06:00:ac:10:00:02', state: ['PERMANENT'] }),
    ])
    const rules = await inside.nft('list', 'ruleset')
    const shown = withoutCounts(rules).match(/^\t\t(?!type).+/gm)
    expect(shown?.map(line => line.trim())).toEqual([
      'iifname "vmtap0" ip saddr != 172.16.0.2 drop',
      'iifname != "vmtap0" meta nfproto ipv4 fib daddr type local dnat ip to 172.16.0.2',
      'oifname != "vmtap0" ip saddr 172.16.0.2 masquerade',
    ])
    await vm.remove()
    expect(await machine.ipJson('link', 'show', 'type', 'tun')).toEqual([])
  })

  test('published ports lead to the guest, and it goes out with the host’s address', async () => {
    const vm = await host.sandboxes.create({ name: 'vm', guest: slot, publish: ['8080:80', '5353:53/udp'] })
    await using guests = await FakeGuests.start(seatOf(vm))
    await using outside = new Peer(machine.outside.netns)
    await using here = new Peer(machine.netns)
    const guest = guests.at(0)
    await greet(guest, '0.0.0.0', 80)
    await greetUdp(guest, '0.0.0.0', 53)
    await greet(outside, '0.0.0.0', 9000)

    expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2') // the client's address is kept
    expect(await ask(here, '127.0.0.1', 8080)).toBe('172.17.0.1')
    expect(await askUdp(outside, '198.51.100.1', 5353)).toEqual({ saw: '198.51.100.2', from: '198.51.100.1:5353' })
    expect(await ask(guest, '198.51.100.2', 9000)).toBe('198.51.100.1')

    // A port that is published later needs nothing inside; one that is taken back leads nowhere.
    await greet(guest, '0.0.0.0', 81)
    await vm.publish('8081:81')
    expect(await ask(outside, '198.51.100.1', 8081)).toBe('198.51.100.2')
    await vm.unpublish('8081')
    expect(await ask(outside, '198.51.100.1', 8081)).toBe('refused')
  })

  test('takes the sandbox’s place among its neighbours, and on a network that is attached later', async () => {
    await host.networks.create({ name: 'back', subnets: ['10.2.0.0/24'], internal: true })
    const vm = await host.sandboxes.create({ name: 'vm', guest: slot })
    const other = await host.sandboxes.create({ name: 'other' })
    const db = await host.sandboxes.create({ name: 'db', network: 'back' })
    await using guests = await FakeGuests.start(seatOf(vm))
    const guest = guests.at(0)
    await greet(guest, '0.0.0.0', 80)
    await greet(other, '0.0.0.0', 80)
    await greet(db, '0.0.0.0', 80)
    const [own = '', others = '', dbs = ''] = [vm, other, db].map(({ endpoints }) => endpoints[0]?.ipv4?.address ?? '')

    expect(await ask(other, own, 80)).toBe(others)
    expect(await ask(guest, others, 80)).toBe(own)
    const { ipv4 } = await vm.attach('back')
    expect(await ask(guest, dbs, 80)).toBe(ipv4?.address)
    expect(await ask(db, ipv4?.address ?? '', 80)).toBe(dbs)
    await vm.remove()
    await db.remove()
    await host.networks.remove('back')
  })

  test('a guest that takes another address is not let out', async () => {
    const vm = await host.sandboxes.create({ name: 'vm', guest: { address: '172.16.0.2/29' } })
    await using outside = new Peer(machine.outside.netns)
    await greet(outside, '0.0.0.0', 9000)
    await using guests = await FakeGuests.start({
      ...seatOf(vm),
      addresses: [{ address: '172.16.0.3', prefix: 29, gateway: '172.16.0.1' }],
    })
    expect(await ask(guests.at(0), '198.51.100.2', 9000, { quiet: true })).toBe('silent')
    expect(await dropped('vm', 'ip saddr != 172.16.0.2')).toBeGreaterThan(0)
  })

  test('a guest with IPv6 as well: in both families its ports are published, and it goes out and to neighbours as the sandbox', async () => {
    await host.networks.create({ name: 'lan', subnets: ['10.7.0.0/24', 'fd07::/64'] })
    await host.networks.create({ name: 'four', subnets: ['10.8.0.0/24'] })
    const both: GuestOptions = { ...slot, address6: 'fd16::2/126' }
    const vm = await host.sandboxes.create({ name: 'vm', network: 'lan', guest: both, publish: ['8080:80', '5353:53/udp'] })
    const twin = await host.sandboxes.create({ name: 'twin', network: 'four', guest: both })
    const web = await host.sandboxes.create({ name: 'web', network: 'lan' })
    expect(vm.guest).toMatchObject({ address: '172.16.0.2', ipv6: { address: 'fd16::2', prefix: 126, gateway: 'fd16::1' } })
    await using guests = await FakeGuests.start(seatOf(vm), seatOf(twin))
    await using outside = new Peer(machine.outside.netns)
    const guest = guests.at(0)
    for (const family of families) {
      await greet(guest, family.version === 4 ? '172.16.0.2' : 'fd16::2', 80)
      await greetUdp(guest, family.version === 4 ? '172.16.0.2' : 'fd16::2', 53)
      await greet(outside, family.outside, 9000)
      await greet(web, addressOf(web, family), 80)
      expect(await ask(outside, family.host, 8080)).toBe(family.outside) // the client's address is kept
      expect(await askUdp(outside, family.host, 5353)).toMatchObject({ saw: family.outside })
      expect(await ask(guest, family.outside, 9000)).toBe(family.host)
      expect(await ask(web, addressOf(vm, family), 80)).toBe(addressOf(web, family))
      expect(await ask(guest, addressOf(web, family), 80)).toBe(addressOf(vm, family))
    }
    // On a network without IPv6 it has IPv4 to go out with, and no more; one that is attached later gives it the rest.
    expect(await ask(guests.at(1), '198.51.100.2', 9000)).toBe('198.51.100.1')
    expect(await ask(guests.at(1), '2001:db8:100::2', 9000)).toBe('unreachable')
    await twin.attach('lan')
    expect(await ask(guests.at(1), '2001:db8:100::2', 9000)).toBe('2001:db8:100::1')
  })

  test('on a ptp network as on a bridge, in both families', async () => {
    await host.networks.create({ name: 'lines', driver: 'ptp', subnets: ['10.8.0.0/24', 'fd08::/64'] })
    const guest: GuestOptions = { ...slot, address6: 'fd16::2/126' }
    const one = await host.sandboxes.create({ name: 'one', network: 'lines', guest, publish: ['8080:80'] })
    const two = await host.sandboxes.create({ name: 'two', network: 'lines', guest })
    await using guests = await FakeGuests.start(seatOf(one), seatOf(two))
    await using outside = new Peer(machine.outside.netns)
    for (const family of families) {
      await greet(guests.at(0), family.version === 4 ? '172.16.0.2' : 'fd16::2', 80)
      await greet(outside, family.outside, 9000)
      expect(await ask(outside, family.host, 8080)).toBe(family.outside)
      expect(await ask(guests.at(0), family.outside, 9000)).toBe(family.host)
      expect(await ask(guests.at(1), addressOf(one, family), 80)).toBe(addressOf(two, family))
    }
  })

  test('its ruleset and addresses in IPv6, as nft and iproute2 see them', async () => {
    await host.sandboxes.create({ name: 'vm', guest: { ...slot, address6: 'fd16::2/126', gateway6: 'fd16::3' } })
    const inside = new PrivateNamespace('vm')
    expect(
      withoutCounts(await inside.nft('list', 'ruleset'))
        .match(/^\t\t(?!type).+/gm)
        ?.map(line => line.trim()),
    ).toEqual([
      'iifname "tap0" ip saddr != 172.16.0.2 drop',
      'iifname "tap0" ip6 saddr fd16::2 accept',
      'iifname "tap0" ip6 saddr fe80::/64 accept',
      'iifname "tap0" ip6 saddr :: accept',
      'iifname "tap0" meta nfproto ipv6 drop',
      'iifname != "tap0" meta nfproto ipv4 fib daddr type local dnat ip to 172.16.0.2',
      'iifname != "tap0" meta nfproto ipv6 fib daddr type local dnat ip6 to fd16::2',
      'oifname != "tap0" ip saddr 172.16.0.2 masquerade',
      'oifname != "tap0" ip6 saddr fd16::2 masquerade',
    ])
    const [tap] = await inside.ipJson('-6', 'address', 'show', 'dev', 'tap0', 'scope', 'global')
    expect(tap?.addr_info).toMatchObject([{ local: 'fd16::3', prefixlen: 126 }])
    expect(await inside.ipJson('-6', 'neighbor', 'show', 'dev', 'tap0', 'nud', 'permanent')).toMatchObject([
      { dst: 'fd16::2', lladdr: '06:00:ac:10:00:02' },
    ])
  })

  test('what overlaps a network of the sandbox is refused, in either family', async () => {
    await host.networks.create({ name: 'lan', subnets: ['10.7.0.0/24', 'fd07::/64'] })
    const before = await machine.dump()
    const wrong = { 'guest.address': { address: '10.7.0.2/30' }, 'guest.address6': { ...slot, address6: 'fd07::2/126' } }
    for (const [field, guest] of Object.entries(wrong))
      await expect(host.sandboxes.create({ name: 'vm', network: 'lan', guest })).rejects.toMatchObject({
        code: 'ERR_NETMODE_SUBNET_OVERLAP',
        field,
        holder: 'lan',
      })
    expect(await machine.dump()).toEqual(before)
    const vm = await host.sandboxes.create({ name: 'vm', network: 'none', guest: { ...slot, address6: 'fd07::2/126' } })
    await expect(vm.attach('lan')).rejects.toMatchObject({ code: 'ERR_NETMODE_SUBNET_OVERLAP', field: 'network' })
  })

  test('a guest that takes another IPv6 address is not let out', async () => {
    await host.networks.create({ name: 'lan', subnets: ['10.7.0.0/24', 'fd07::/64'] })
    const vm = await host.sandboxes.create({ name: 'vm', network: 'lan', guest: { ...slot, address6: 'fd16::2/64' } })
    await using outside = new Peer(machine.outside.netns)
    await greet(outside, '2001:db8:100::2', 9000)
    await using guests = await FakeGuests.start({ ...seatOf(vm), addresses: [{ address: 'fd16::9', prefix: 64, gateway: 'fd16::1' }] })
    expect(await ask(guests.at(0), '2001:db8:100::2', 9000, { quiet: true })).toBe('silent')
    expect(await dropped('vm', 'meta nfproto ipv6')).toBeGreaterThan(0)
  })

  test('a hundred with the same inner address, each by its own port', async () => {
    const ports = Array.from({ length: 100 }, (_, i) => 9000 + i)
    const vms = await Promise.all(
      ports.map(port => host.sandboxes.create({ name: `vm${port}`, guest: slot, publish: [`${port}:${port}`] })),
    )
    expect(new Set(vms.map(({ guest }) => JSON.stringify(guest))).size).toBe(1)
    await using guests = await FakeGuests.start(...vms.map(seatOf))
    await using outside = new Peer(machine.outside.netns)
    await greet(outside, '0.0.0.0', 8999)
    // Each listens where no other does: an answer can only be its own.
    for (const [i, port] of ports.entries()) await greet(guests.at(i), '172.16.0.2', port)
    for (const [i, port] of ports.entries()) {
      expect(await ask(outside, '198.51.100.1', port)).toBe('198.51.100.2')
      expect(await ask(guests.at(i), '198.51.100.2', 8999)).toBe('198.51.100.1')
    }
  }, 300_000)

  test('the ruleset inside comes back after a flush, the way to the guest with it', async () => {
    const vm = await host.sandboxes.create({ name: 'vm', guest: { ...slot, address6: 'fd16::2/126' }, publish: ['8080:80'] })
    await using guests = await FakeGuests.start(seatOf(vm))
    await using outside = new Peer(machine.outside.netns)
    await greet(guests.at(0), '0.0.0.0', 80)
    const inside = new PrivateNamespace('vm')
    const before = await inside.nft('list', 'ruleset')
    await inside.nft('flush', 'ruleset')
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('refused')
    expect(await host.recover()).toEqual({ rolledBack: [], repaired: ['vm'], damaged: [] })
    expect(withoutCounts(await inside.nft('list', 'ruleset'))).toBe(withoutCounts(before))
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2')
    expect(await host.recover()).toMatchObject({ repaired: [] })
  })

  test('whichever op fails, nothing is left, and the next call succeeds', async () => {
    await host.sandboxes.create({ name: 'first' }) // table and default network are there
    const { host: second, between } = await openBetween(machine)
    const options: SandboxOptions = { name: 'vm', guest: { ...slot, address6: 'fd16::2/126' }, publish: ['8080:80'] }
    const before = await machine.dump()
    for (let at = 0, length = 1; at < length; at++) {
      between.change = plan => {
        if (!changes(plan)) return plan
        length = plan.length
        return [...plan.slice(0, at), { apply: { op: 'sysctl.get', key: 'net/ipv4/no_such_key' } }, ...plan.slice(at)]
      }
      await expect(second.sandboxes.create(options), `before op ${at}`).rejects.toSatisfy(isNetmodeError)
      expect(await machine.dump(), `before op ${at}`).toEqual(before)
    }
    between.change = plan => plan
    await second.sandboxes.create(options)
    await second.sandboxes.remove('vm')
    await second.close()
    expect(await machine.dump()).toEqual(before)
  })
})
