/** A bridge of somebody else's: a network uses it, and leaves it as it was found. */
import { readFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect } from 'vitest'
import { type Host, openHost } from '../../lib/index.js'
import { open, openBetween } from '../setup/between.js'
import { freshHost, freshNamespace, type PrivateHost, PrivateNamespace } from '../setup/namespace.js'
import { addressOf, ask, families, greet, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'
import { settings } from '../setup/settings.js'
import { stateTree } from '../setup/state-tree.js'

const { describe, test } = requires('root', 'program:nft')
const [ip4, ip6] = families

let machine: PrivateHost
let host: Host
let self: Peer
let outside: Peer

beforeEach(async () => {
  machine = await freshHost()
  self = new Peer(machine.netns)
  outside = new Peer(machine.outside.netns)
  await machine.run('sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1') // what a network leaves on
  host = await open(machine)
})

afterEach(async () => {
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  for (const { name } of await host.networks.list()) await host.networks.remove(name)
  await host.close()
  await self[Symbol.asyncDispose]()
  await outside[Symbol.asyncDispose]()
  await machine.remove()
})

/** A bridge with addresses and a neighbour of its own, as a VM manager would have one: its MAC is its lowest port's. */
async function furnished(): Promise<PrivateNamespace> {
  const neighbor = await freshNamespace()
  await machine.ip('link', 'add', 'br0', 'mtu', '1450', 'type', 'bridge')
  await machine.ip(
    'link',
    'add',
    'vnet0',
    'address',
    '52:54:00:00:00:01',
    'mtu',
    '1450',
    'type',
    'veth',
    'peer',
    'name',
    'eth0',
    'netns',
    neighbor.name,
  )
  await machine.ip('link', 'set', 'vnet0', 'master', 'br0', 'up')
  await machine.ip('link', 'set', 'br0', 'up')
  for (const address of ['10.44.0.9/24', '10.44.0.10/24']) await machine.ip('address', 'add', address, 'brd', '+', 'dev', 'br0')
  await machine.ip('address', 'add', 'fd44::9/64', 'dev', 'br0', 'nodad')
  await neighbor.ip('link', 'set', 'eth0', 'up')
  await neighbor.ip('address', 'add', '10.44.0.50/24', 'dev', 'eth0')
  await neighbor.ip('address', 'add', 'fd44::50/64', 'dev', 'eth0', 'nodad')
  return neighbor
}

/** One without anything. It has been up once: that alone gives a link its queueing discipline for good. */
async function bare(): Promise<void> {
  await machine.ip('link', 'add', 'br0', 'type', 'bridge')
  for (const state of ['up', 'down']) await machine.ip('link', 'set', 'br0', state)
}

/** All that is known of the host. */
async function world(): Promise<object> {
  const [dump, sysctls, state] = await Promise.all([machine.dump(), settings(machine), stateTree(machine.stateDir)])
  return { ...dump, sysctls, state }
}

const bridge = async (): Promise<Record<string, unknown>> => (await machine.ipJson('link', 'show', 'br0'))[0] ?? {}
const defaultRoute = (name: string, ...family: string[]) => new PrivateNamespace(name).ip(...family, 'route', 'show', 'default')

describe('an existing bridge', () => {
  test("with addresses and ports: the network's subnets are its own, and all reach each other", async () => {
    await using neighbor = await furnished()
    await using vm = new Peer(neighbor.netns)
    const before = await world()
    const { address } = await bridge()
    const network = await host.networks.create({ name: 'lan', bridge: 'br0', ipv6: true })
    expect(network.device).toBe('br0')
    expect(network.subnets).toEqual([
      { subnet: '10.44.0.0/24', gateway: '10.44.0.9' },
      { subnet: 'fd44::/64', gateway: 'fd44::9' },
    ])
    // Its own second address is not for sandboxes.
    await expect(host.sandboxes.create({ name: 'x', network: 'lan', ip: '10.44.0.10' })).rejects.toMatchObject({
      code: 'ERR_NETMODE_ADDRESS_IN_USE',
    })
    await using web = await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['8080:80'] })
    expect(web.endpoints[0]?.mtu).toBe(1450)
    for (const [family, neighborAddress, gateway] of [
      [ip4, '10.44.0.50', '10.44.0.9'],
      [ip6, 'fd44::50', 'fd44::9'],
    ] as const) {
      await greet(web, addressOf(web, family), 80)
      await greet(vm, neighborAddress, 80)
      await greet(outside, family.outside, 80)
      expect(await ask(vm, addressOf(web, family), 80)).toBe(neighborAddress)
      expect(await ask(web, neighborAddress, 80)).toBe(addressOf(web, family))
      expect(await ask(self, addressOf(web, family), 80)).toBe(gateway)
      expect(await ask(web, family.outside, 80)).toBe(family.host)
      expect(await ask(outside, family.host, 8080)).toBe(family.outside)
    }
    expect(await ask(self, '127.0.0.1', 8080)).toBe('10.44.0.9')
    expect(await bridge()).toMatchObject({ address, mtu: 1450 }) // not that of our port
    expect(await bridge()).not.toHaveProperty('ifalias')
    await web.remove()
    await host.networks.remove('lan')
    expect(await world()).toEqual(before)
  })

  test('without anything: it gets what the network needs, and gives it back', async () => {
    await bare()
    const before = await world()
    const { address } = await bridge()
    await host.networks.create({ name: 'lan', bridge: 'br0', subnets: ['10.45.0.0/24', 'fd45::/64'] })
    for (const name of ['one', 'two']) await host.sandboxes.create({ name, network: 'lan' })
    const [one, two] = [await host.sandboxes.get('one'), await host.sandboxes.get('two')]
    if (!one || !two) throw new Error('not there')
    for (const family of families) {
      await greet(one, addressOf(one, family), 80)
      await greet(outside, family.outside, 80)
      expect(await ask(two, addressOf(one, family), 80)).toBe(addressOf(two, family))
      expect(await ask(one, family.outside, 80)).toBe(family.host)
    }
    expect(await machine.ip('-br', 'address', 'show', 'br0')).toMatch(/ 10\.45\.0\.1\/24 fd45::1\/64 .*fe80::1\/64/)
    expect(await bridge()).toMatchObject({ address })
    await one.remove()
    await two.remove()
    expect(await bridge()).toMatchObject({ address })
    await host.networks.remove('lan')
    expect(await world()).toEqual(before)
  })

  test("another gateway than the bridge's own address is another machine's", async () => {
    await using _ = await furnished()
    await host.networks.create({ name: 'lan', subnets: [{ subnet: '10.44.0.0/24', gateway: '10.44.0.50' }], bridge: 'br0' })
    await host.networks.create({ name: 'other', subnets: ['10.46.0.0/24'] })
    await using web = await host.sandboxes.create({ name: 'web', network: 'lan' })
    expect(await defaultRoute('web')).toMatch(/^default via 10\.44\.0\.50 /)
    expect(await machine.ip('-4', '-br', 'address', 'show', 'br0')).toMatch(/10\.44\.0\.9\/24 10\.44\.0\.10\/24 *\n$/)
    await web.remove()
    await host.networks.remove('lan')
    // One that was not asked for is the bridge's, wherever that lies in the block.
    await host.networks.create({ name: 'lan', subnets: ['10.44.0.0/24'], bridge: 'br0' })
    await using again = await host.sandboxes.create({ name: 'web', network: 'lan' })
    expect(await defaultRoute('web')).toMatch(/^default via 10\.44\.0\.9 /)
    expect(again.endpoints[0]?.ipv4?.gateway).toBe('10.44.0.9')
  })

  test("daemon.json's bridge, with fixed-cidr and default-gateway", async () => {
    await using _ = await furnished()
    const before = await world()
    const daemon = (more: object): Promise<Host> =>
      openHost({ netns: machine.netns, stateDir: machine.stateDir, config: { bridge: 'br0', ...more } })
    await using outer = await daemon({ 'fixed-cidr': '10.45.0.0/25' })
    await expect(outer.sandboxes.create({ name: 'web' })).rejects.toMatchObject({ field: 'config.fixed-cidr' })
    await using inner = await daemon({ 'fixed-cidr': '10.44.0.128/25', 'default-gateway': '10.44.0.50' })
    await using web = await inner.sandboxes.create({ name: 'web' })
    expect(web.endpoints[0]?.ipv4).toEqual({ address: '10.44.0.128', prefix: 24, gateway: '10.44.0.50' })
    expect(await defaultRoute('web')).toMatch(/^default via 10\.44\.0\.50 /)
    expect(web.endpoints[0]?.ipv6).toBeUndefined()
    await web.remove()
    await inner.networks.remove('bridge')
    expect(await world()).toEqual(before)
  })

  test('what is no bridge, and what another network has, is refused', async () => {
    await bare()
    await machine.ip('link', 'add', 'vnet0', 'type', 'veth', 'peer', 'name', 'vnet1')
    const before = await world()
    await expect(host.networks.create({ name: 'lan', bridge: 'vnet0' })).rejects.toMatchObject({
      code: 'ERR_NETMODE_EXISTS',
      field: 'bridge',
      subject: 'vnet0',
    })
    expect(await world()).toEqual(before)
    await host.networks.create({ name: 'lan', bridge: 'br0', subnets: ['10.45.0.0/24'] })
    await expect(host.networks.create({ name: 'two', bridge: 'br0', subnets: ['10.46.0.0/24'] })).rejects.toMatchObject({
      code: 'ERR_NETMODE_EXISTS',
      field: 'bridge',
      holder: 'network lan',
    })
    expect((await host.networks.ensure({ name: 'lan', bridge: 'br0' })).subnets).toEqual([{ subnet: '10.45.0.0/24', gateway: '10.45.0.1' }])
    await expect(host.networks.create({ name: 'two', bridge: 'br2', subnets: ['10.45.0.0/25'] })).rejects.toMatchObject({
      code: 'ERR_NETMODE_SUBNET_OVERLAP',
      holder: 'network lan',
    })
  })

  test('goes to one of two that ask for it at the same time', async () => {
    await bare()
    await using second = await open(machine)
    const asked = await Promise.allSettled([
      host.networks.create({ name: 'one', bridge: 'br0', subnets: ['10.45.0.0/24'] }),
      second.networks.create({ name: 'two', bridge: 'br0', subnets: ['10.46.0.0/24'] }),
    ])
    expect(asked.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(asked.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'ERR_NETMODE_EXISTS', field: 'bridge' } })
    expect((await machine.ip('-4', '-br', 'address', 'show', 'br0')).match(/10\.4\d\.0\.1\/24/g)).toHaveLength(1)
  })

  test('two processes that use it as the default network agree', async () => {
    await using _ = await furnished()
    const config = { bridge: 'br0' }
    await using one = await openHost({ netns: machine.netns, stateDir: machine.stateDir, config })
    await using two = await openHost({ netns: machine.netns, stateDir: machine.stateDir, config })
    const made = await Promise.all([one.sandboxes.create({ name: 'one' }), two.sandboxes.create({ name: 'two' })])
    expect(made.map(sandbox => sandbox.endpoints[0]?.ipv4?.address).sort()).toEqual(['10.44.0.1', '10.44.0.2'])
  })

  test('that is deleted meanwhile does not keep the network from going', async () => {
    await bare()
    await host.networks.create({ name: 'lan', bridge: 'br0', subnets: ['10.45.0.0/24', 'fd45::/64'] })
    await machine.ip('link', 'delete', 'br0')
    expect(await host.networks.remove('lan')).toBe(true)
    expect(await machine.nft('list', 'ruleset')).toBe('')
  })
})

describe('dying or failing in the middle leaves the bridge as it was found', () => {
  const options = { name: 'lan', bridge: 'br0', subnets: ['10.45.0.0/24', 'fd45::/64'] }

  test('at every op of the making', async () => {
    await bare()
    const before = await world()
    const { host: tried, between } = await openBetween(machine)
    await tried.networks.create(options)
    const length = between.planWith('address.add').length
    await tried.networks.remove('lan')
    expect(await world()).toEqual(before)
    for (let at = 1; at < length; at++) {
      between.change = plan => [...plan.slice(0, at), { apply: { op: 'sysctl.get', key: 'net/no_such_key' } }, ...plan.slice(at)]
      await expect(tried.networks.create(options)).rejects.toThrow()
      between.change = plan => plan
      expect({ at, ...(await world()) }).toEqual({ at, ...before })
    }
    await tried.close()
    for (let at = 1; at < length; at++) {
      const { host: killed, between: last } = await openBetween(machine)
      const died = last.killAfter(at)
      void killed.networks.create(options)
      await died
      await (await open(machine)).close() // recovers
      expect({ at, ...(await world()) }).toEqual({ at, ...before })
    }
  })

  test('at every op of the removal', async () => {
    await bare()
    const before = await world()
    await host.networks.create(options)
    const record = JSON.parse(await readFile(`${machine.stateDir}/networks/lan.json`, 'utf8')) as object
    const { host: tried, between } = await openBetween(machine)
    await tried.networks.remove('lan')
    const length = between.planWith('address.delete').length
    expect(record).toMatchObject({
      adopted: { up: false, addresses: [{ address: '10.45.0.1' }, { address: 'fd45::1' }, { address: 'fe80::1' }] },
    })
    await tried.close()
    expect(await world()).toEqual(before)
    for (let at = 4; at < length; at++) {
      await host.networks.create(options)
      const { host: killed, between: last } = await openBetween(machine)
      const died = last.killAfter(at)
      void killed.networks.remove('lan')
      await died
      await (await open(machine)).close()
      expect({ at, ...(await world()) }).toEqual({ at, ...before })
    }
  })
})
