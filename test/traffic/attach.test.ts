import { once } from 'node:events'
import { afterEach, beforeEach, expect } from 'vitest'
import { type Host, openHost, type Sandbox } from '../../lib/index.js'
import { freshHost, type PrivateHost, PrivateNamespace } from '../setup/namespace.js'
import { addressOf, ask, askUdp, at, families, greet, greetUdp, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'

const { describe, test } = requires('root')

let machine: PrivateHost
let host: Host
let self: Peer
let outside: Peer

beforeEach(async () => {
  machine = await freshHost()
  self = new Peer(machine.netns)
  outside = new Peer(machine.outside.netns)
  host = await openHost({ netns: machine.netns, stateDir: machine.stateDir })
})

afterEach(async () => {
  // A test that failed half-way may have left some.
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await self[Symbol.asyncDispose]()
  await outside[Symbol.asyncDispose]()
  await machine.remove()
})

describe.each(families)('right after create, over $name', family => {
  const { version } = family
  const fixed = version === 4 ? '10.7.0.99' : 'fd07::99'
  const pinned = version === 4 ? { ip: fixed } : { ip6: fixed }

  beforeEach(async () => {
    await host.networks.create({ name: 'lan', subnets: ['10.7.0.0/24', 'fd07::/64'] })
  })

  test('the port of the bridge forwards', async () => {
    for (let round = 0; round < 10; round++) {
      await using web = await host.sandboxes.create({ name: 'web', network: 'lan' })
      const links = await host.namespace.links.list({ name: String(web.endpoints[0]?.hostIfname) })
      expect(links).toMatchObject([{ operstate: 'up', port: { state: 'forwarding' } }])
    }
  })

  test('the first datagram to a published port arrives, on a network that is as new', async () => {
    await using web = await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['5353:53/udp'] })
    await greetUdp(web, addressOf(web, family), 53)
    expect(await askUdp(outside, family.host, 5353)).toEqual({ saw: family.outside, from: at(family.host, 5353) })
  })

  test('the first datagram out arrives', async () => {
    await greetUdp(outside, family.outside, 53)
    await using web = await host.sandboxes.create({ name: 'web', network: 'lan' })
    expect(await askUdp(web, family.outside, 53)).toEqual({ saw: family.host, from: at(family.outside, 53) })
  })

  // Their caches hold the MAC address of the sandbox that had the address before, and what is sent there is lost.
  test('neighbours who knew the address by another MAC send to the new one', async () => {
    await using sibling = await host.sandboxes.create({ name: 'sibling', network: 'lan' })
    for (let round = 10; round < 20; round++) {
      const mac = `02:00:00:00:00:${round}`
      await using web = await host.sandboxes.create({ name: 'web', network: 'lan', mac, ...pinned })
      await greet(web, fixed, 80)
      await greetUdp(web, fixed, 53)
      for (const neighbor of [sibling, self]) {
        // A single datagram, and it arrives: the new sandbox announced itself before create() was done. An IPv6 address is put
        // to use on a work queue of the kernel, so there a first packet may have to be sent again, as TCP does.
        if (version === 4) expect(await askUdp(neighbor, fixed, 53)).toMatchObject({ from: at(fixed, 53) })
        else expect(await ask(neighbor, fixed, 80)).toBe(neighbor === self ? 'fd07::1' : addressOf(sibling, family))
      }
      for (const neighbor of [machine, new PrivateNamespace('sibling')]) {
        expect(await neighbor.ipJson('neighbor', 'show', 'to', fixed)).toMatchObject([{ lladdr: mac }])
      }
    }
  })
})

describe('an attached sandbox', () => {
  test('has the MAC address 02:42 and its IPv4 address, and its siblings see it', async () => {
    await using web = await host.sandboxes.create({ name: 'web' })
    await using sibling = await host.sandboxes.create({ name: 'sibling' })
    const ip = addressOf(web, { version: 4 })
    const mac = ['02', '42', ...ip.split('.').map(byte => Number(byte).toString(16).padStart(2, '0'))].join(':')
    expect(web.endpoints[0]?.mac).toBe(mac)
    await greet(web, ip, 80)
    expect(await ask(sibling, ip, 80)).toBe(addressOf(sibling, { version: 4 }))
    expect(await new PrivateNamespace('sibling').ipJson('neighbor', 'show', 'to', ip)).toMatchObject([{ dev: 'eth0', lladdr: mac }])
  })

  test('has a port without an address of its own, and the bridge knows where its frames go', async () => {
    await host.networks.create({ name: 'lan', subnets: ['10.7.0.0/24'] })
    await using web = await host.sandboxes.create({ name: 'web', network: 'lan' })
    const [{ mac, hostIfname = '' } = { mac: '' }] = web.endpoints
    const known = async () =>
      JSON.parse(await machine.run('bridge', '-j', 'fdb', 'show', 'brport', hostIfname)) as { mac: string; vlan?: number }[]
    // Told behind the answer. A kernel with VLANs on bridges says it of the port's own one as well.
    await expect
      .poll(async () => (await known()).filter(entry => entry.mac === mac && entry.vlan === undefined))
      .toMatchObject([{ state: '' }])
    expect(await machine.ipJson('address', 'show', 'dev', hostIfname)).toMatchObject([{ addr_info: [] }])
  })

  test('reaches others on a network that is too narrow for IPv6', async () => {
    await host.networks.create({ name: 'lan', subnets: ['10.7.0.0/24'], mtu: 1000 })
    await using web = await host.sandboxes.create({ name: 'web', network: 'lan' })
    await using sibling = await host.sandboxes.create({ name: 'sibling', network: 'lan' })
    await greet(web, addressOf(web, { version: 4 }), 80)
    expect(await ask(sibling, addressOf(web, { version: 4 }), 80)).toBe(addressOf(sibling, { version: 4 }))
  })

  test.each(['udp4', 'udp6'] as const)('gets what is sent to a group that it has joined, over %s', async type => {
    await host.networks.create({ name: 'lan', subnets: ['10.7.0.0/24', 'fd07::/64'] })
    await using web = await host.sandboxes.create({ name: 'web', network: 'lan' })
    await using sibling = await host.sandboxes.create({ name: 'sibling', network: 'lan' })
    const group = type === 'udp4' ? '239.7.7.7' : 'ff05::7'
    const linkOf = (sandbox: Sandbox) => (type === 'udp4' ? addressOf(sandbox, { version: 4 }) : '::%eth0')
    const member = await web.udp({ type, port: 5000 })
    member.addMembership(group, linkOf(web))
    const sender = await sibling.udp({ type })
    sender.setMulticastInterface(linkOf(sibling))
    const heard = once(member, 'message')
    sender.send('hello', 5000, group)
    expect(String((await heard)[0])).toBe('hello')
    member.close()
    sender.close()
  })

  test('is a namespace to ip netns', async () => {
    await using web = await host.sandboxes.create({ name: 'web' })
    expect((await machine.run('ip', 'netns', 'list')).split('\n').map(line => line.split(' ')[0])).toContain('web')
    const listed = await machine.run('ip', 'netns', 'exec', 'web', 'ip', '-j', '-4', 'address', 'show', 'eth0')
    const { address, prefix } = web.endpoints[0]?.ipv4 ?? {}
    expect(JSON.parse(listed)).toMatchObject([{ addr_info: [{ local: address, prefixlen: prefix }] }])
    await web.remove()
    expect((await machine.run('ip', 'netns', 'list')).split('\n').map(line => line.split(' ')[0])).not.toContain('web')
  })

  test("has the MTU of the default route's device, all along the way", async () => {
    await machine.ip('link', 'set', 'eth0', 'mtu', '1400')
    await using web = await host.sandboxes.create({ name: 'web' })
    const [endpoint] = web.endpoints
    expect(endpoint?.mtu).toBe(1400)
    expect(await new PrivateNamespace('web').ipJson('link', 'show', 'eth0')).toMatchObject([{ mtu: 1400 }])
    for (const device of ['netmode0', String(endpoint?.hostIfname)]) {
      expect(await machine.ipJson('link', 'show', device)).toMatchObject([{ mtu: 1400 }])
    }
  })

  test('lies in a default network that leaves existing routes alone', async () => {
    await machine.ip('route', 'add', '172.17.0.0/16', 'via', '198.51.100.2')
    await machine.outside.ip('address', 'add', '172.17.0.9/32', 'dev', 'eth0')
    await using web = await host.sandboxes.create({ name: 'web' })
    expect(web.endpoints[0]?.ipv4).toEqual({ address: '172.18.0.2', prefix: 16, gateway: '172.18.0.1' })
    await greet(outside, '172.17.0.9', 80)
    expect(await ask(self, '172.17.0.9', 80)).toBe('198.51.100.1')
    expect(await ask(web, '172.17.0.9', 80)).toBe('198.51.100.1')
  })
})
