/** Virtual machines in sandboxes: real traffic through a TAP, many with one and the same address. */
import { afterEach, beforeEach, expect } from 'vitest'
import { type Host, isNetmodeError, type Sandbox, type SandboxOptions } from '../../lib/index.js'
import { changes, open, openBetween } from '../setup/between.js'
import { FakeGuests, type GuestSeat } from '../setup/guests.js'
import { freshHost, type PrivateHost, PrivateNamespace } from '../setup/namespace.js'
import { ask, askUdp, greet, greetUdp, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'

const { describe, test } = requires('root', 'program:nft', 'program:python3', '/dev/net/tun')

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

const slot = { address: '172.16.0.2/30' }

/** Where the sandbox's guest is plugged in. */
function seatOf({ netns, guest }: Sandbox): GuestSeat {
  if (guest === undefined) throw new Error('it has no guest')
  const { tap, mac, address, prefix, gateway } = guest
  return { netns, tap, mac, addresses: [{ address, prefix, gateway }] }
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
    const vm = await host.sandboxes.create({ name: 'vm', guest: slot, publish: ['8080:80'] })
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
    const options: SandboxOptions = { name: 'vm', guest: slot, publish: ['8080:80'] }
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
