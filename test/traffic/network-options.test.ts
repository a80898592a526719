/** What a network can be told, each as a user sees it. */
import { writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect } from 'vitest'
import { type Host, type NetworkOptions, openHost, type Sandbox } from '../../lib/index.js'
import { freshHost, type PrivateHost, PrivateNamespace, run } from '../setup/namespace.js'
import { addressOf, ask, families, greet, Peer } from '../setup/peers.js'
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
  host = await open()
})

afterEach(async () => {
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await self[Symbol.asyncDispose]()
  await outside[Symbol.asyncDispose]()
  await machine.remove()
})

const open = (config: object = {}): Promise<Host> => openHost({ netns: machine.netns, stateDir: machine.stateDir, config })

/** The same host with another configuration. */
async function reopen(config: object): Promise<void> {
  await host.close()
  host = await open(config)
}

const dual = ['10.7.0.0/24', 'fd07::/64']
const addresses = (sandbox: Sandbox) => sandbox.endpoints.map(({ ipv4 }) => ipv4?.address)

async function fill(network: string, count: number): Promise<string[]> {
  const given: string[] = []
  for (let i = 0; i < count; i++) {
    const sandbox = await host.sandboxes.create({ name: `${network}${i}`, network })
    given.push(String(addresses(sandbox)[0]))
  }
  return given
}

describe.each(families)('snat, over $name', family => {
  // Not the host's own, as a block that is routed to it: nothing but the translation knows the address.
  const fixed = family.version === 4 ? '203.0.113.9' : '2001:db8:113::9'
  const away: Record<4 | 6, NetworkOptions> = {
    4: { name: 'typed', subnets: dual, snat: '203.0.113.9' },
    6: { name: 'typed', subnets: dual, snat: ['2001:db8:113::9'] },
  }
  const docker: NetworkOptions = {
    name: 'docker',
    subnets: ['10.8.0.0/24', 'fd08::/64'],
    options: { 'com.docker.network.host_ipv4': '203.0.113.9', 'com.docker.network.host_ipv6': '2001:db8:113::9' },
  }

  test.each([away[family.version], docker])('$name: connections go out with the fixed address, and answers come back', async options => {
    await machine.outside.ip('route', 'add', fixed, 'via', family.host)
    await greet(outside, family.outside, 80)
    await host.networks.create(options)
    await host.networks.create({ name: 'plain', subnets: ['10.9.0.0/24', 'fd09::/64'] })
    await using web = await host.sandboxes.create({ name: 'web', network: options.name })
    await using other = await host.sandboxes.create({ name: 'other', network: 'plain' })
    expect(await ask(web, family.outside, 80)).toBe(fixed)
    expect(await ask(other, family.outside, 80)).toBe(family.host)
    // Within the host nothing is translated.
    await greet(self, family.host, 81)
    expect(await ask(web, family.host, 81)).toBe(addressOf(web, family))
  })

  test('it comes back after a flush, and goes with the network', async () => {
    await host.networks.create(away[family.version])
    const rules = await machine.nft('-s', 'list', 'map', 'inet', 'netmode', `snat${family.version}`)
    expect(rules).toContain(fixed)
    await machine.nft('flush', 'ruleset')
    await host.recover()
    expect(await machine.nft('-s', 'list', 'map', 'inet', 'netmode', `snat${family.version}`)).toBe(rules)
    await host.networks.create({ name: 'plain', subnets: ['10.9.0.0/24'] })
    await host.networks.remove('typed')
    expect(await machine.nft('list', 'ruleset')).not.toContain(fixed)
  })
})

describe('where ports are published that name no address', () => {
  const published = (sandbox: Sandbox) => sandbox.ports.map(({ hostIp, hostPort }) => `${hostIp} ${hostPort}`)

  test.each<Partial<NetworkOptions>>([
    { bindAddress: ['127.0.0.1', '::1'] },
    { bindAddress: '127.0.0.1' },
    { options: { 'com.docker.network.bridge.host_binding_ipv4': '127.0.0.1' } },
  ])('network with %j', async options => {
    const both = Array.isArray(options.bindAddress)
    await machine.run('sysctl', '-qew', 'net.bridge.bridge-nf-call-ip6tables=0')
    await reopen({})
    await host.networks.create({ name: 'lan', subnets: dual, ...options })
    await using web = await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['8080:80'] })
    expect(published(web)).toEqual(['127.0.0.1 8080', ...(both ? ['::1 8080'] : [])])
    for (const family of families) {
      await greet(web, addressOf(web, family), 80)
      expect(await ask(outside, family.host, 8080)).toBe('refused')
      expect(await ask(self, family.host, 8080)).toBe('refused')
      const gateway = family.version === 4 ? '10.7.0.1' : 'fd07::1'
      expect(await ask(self, family.loopback, 8080)).toBe(family.version === 4 || both ? gateway : 'refused')
    }
    // What names an address goes there, and what is published later follows the network too.
    expect(await web.publish(['198.51.100.1:8081:80', '8082:80'])).toMatchObject([
      { hostIp: '198.51.100.1' },
      { hostIp: '127.0.0.1' },
      ...(both ? [{ hostIp: '::1' }] : []),
    ])
    expect(await ask(outside, '198.51.100.1', 8081)).toBe('198.51.100.2')
    expect(await ask(outside, '198.51.100.1', 8082)).toBe('refused')
  })

  test("the host's ip, unless the network has its own", async () => {
    await reopen({ ip: '198.51.100.1' })
    await host.networks.create({ name: 'follows', subnets: dual })
    await host.networks.create({ name: 'everywhere', subnets: ['10.8.0.0/24', 'fd08::/64'], bindAddress: '0.0.0.0' })
    await using one = await host.sandboxes.create({ name: 'one', network: 'follows', publish: ['8080:80'] })
    await using all = await host.sandboxes.create({ name: 'all', network: 'everywhere', publish: ['8081:80'] })
    expect(published(one)).toEqual(['198.51.100.1 8080'])
    expect(published(all)).toEqual(['0.0.0.0 8081', ':: 8081'])
    const [ip4] = families
    await greet(one, addressOf(one, ip4), 80)
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2')
    expect(await ask(self, '127.0.0.1', 8080)).toBe('refused')
  })

  test('the network that takes the published connections decides', async () => {
    await host.networks.create({ name: 'quiet', subnets: ['10.7.0.0/24'], bindAddress: '127.0.0.1' })
    await host.networks.create({ name: 'loud', subnets: ['10.8.0.0/24'] })
    await using web = await host.sandboxes.create({
      name: 'web',
      networks: [{ network: 'quiet' }, { network: 'loud', gatewayPriority: 1 }],
    })
    expect(await web.publish('8080:80')).toMatchObject([{ hostIp: '0.0.0.0' }])
    await web.detach('loud')
    expect(await web.publish('8081:80')).toMatchObject([{ hostIp: '127.0.0.1' }])
  })

  test('an address that the host does not have is told with its origin', async () => {
    await host.networks.create({ name: 'lan', subnets: dual, bindAddress: '198.51.100.66' })
    await using web = await host.sandboxes.create({ name: 'web', network: 'lan' })
    await expect(web.publish('8080:80')).rejects.toMatchObject({ field: 'bindAddress of network lan' })
    await host.networks.create({ name: 'v6', subnets: ['fd08::/64', '10.8.0.0/24'], bindAddress: '::1', internal: false })
    await using both = await host.sandboxes.create({ name: 'both', network: 'v6', publish: ['8080:80'] })
    expect(published(both)).toEqual(['::1 8080'])
  })
})

describe('addresses', () => {
  test('several subnets of a family: the next one when the first is full; they reach each other through the host', async () => {
    await host.networks.create({ name: 'two', subnets: ['10.7.0.0/30', '10.7.1.0/29', 'fd07::/64'] })
    expect(await fill('two', 3)).toEqual(['10.7.0.2', '10.7.1.2', '10.7.1.3'])
    const [first, second] = [await host.sandboxes.get('two0'), await host.sandboxes.get('two1')]
    if (!first || !second) throw new Error('not there')
    await greet(second, '10.7.1.2', 80)
    expect(await ask(first, '10.7.1.2', 80)).toBe('10.7.0.2')
    await greet(outside, '198.51.100.2', 80)
    expect(await ask(second, '198.51.100.2', 80)).toBe('198.51.100.1')
    expect((await machine.ip('-4', '-br', 'address', 'show', String((await host.networks.get('two'))?.device))).trim()).toMatch(
      /10\.7\.0\.1\/30 10\.7\.1\.1\/29$/,
    )
  })

  test('a range, reserved addresses and a gateway keep theirs', async () => {
    await host.networks.create({
      name: 'lan',
      subnets: [{ subnet: '10.7.0.0/24', range: '10.7.0.64/30', gateway: '10.7.0.65', reserved: { printer: '10.7.0.66' } }],
    })
    expect(await fill('lan', 2)).toEqual(['10.7.0.64', '10.7.0.67'])
    await expect(host.sandboxes.create({ name: 'one-more', network: 'lan' })).rejects.toMatchObject({ code: 'ERR_NETMODE_EXHAUSTED' })
    await expect(host.sandboxes.create({ name: 'printer', network: 'lan', ip: '10.7.0.66' })).rejects.toMatchObject({
      code: 'ERR_NETMODE_ADDRESS_IN_USE',
      holder: 'printer',
    })
    await using fixed = await host.sandboxes.create({ name: 'fixed', network: 'lan', ip: '10.7.0.200' })
    expect(await new PrivateNamespace('fixed').ip('route')).toContain('default via 10.7.0.65 dev eth0')
    expect(fixed.endpoints[0]?.ipv4).toEqual({ address: '10.7.0.200', prefix: 24, gateway: '10.7.0.65' })
  })

  test("a gateway that is not the bridge, by Docker's name for it", async () => {
    await host.networks.create({
      name: 'lan',
      subnets: [
        { subnet: '10.7.0.0/24', reserved: { DefaultGatewayIPv4: '10.7.0.254' } },
        { subnet: 'fd07::/64', reserved: { DefaultGatewayIPv6: 'fd07::fe' } },
      ],
    })
    await using web = await host.sandboxes.create({ name: 'web', network: 'lan' })
    const inside = new PrivateNamespace('web')
    expect(await inside.ip('route')).toContain('default via 10.7.0.254 dev eth0')
    expect(await inside.ip('-6', 'route')).toContain('default via fd07::fe dev eth0')
    expect(await machine.ip('-br', 'address', 'show', String((await host.networks.get('lan'))?.device))).toContain('10.7.0.1/24 fd07::1/64')
    expect(web.endpoints[0]).toMatchObject({ ipv4: { gateway: '10.7.0.254' }, ipv6: { gateway: 'fd07::fe' } })
    expect((await host.networks.get('lan'))?.subnets[0]).toEqual({ subnet: '10.7.0.0/24', gateway: '10.7.0.1' })
  })

  test('without subnets: the pools, and why each was passed over', async () => {
    await reopen({
      'default-address-pools': [
        { base: '10.50.0.0/24', size: 24 },
        { base: '10.51.0.0/23', size: 24 },
        { base: '10.52.0.0/24', size: 24 },
        { base: 'fd50::/64', size: 64 },
      ],
    })
    await machine.ip('route', 'add', '10.50.0.128/25', 'via', '198.51.100.2')
    await machine.ip('route', 'add', 'prohibit', '10.52.0.7')
    await writeFile('/run/resolv.conf', 'nameserver 10.51.0.53\nnameserver 2001:db8::53\nnameserver 127.0.0.53\n')
    await run('mount', ['--bind', '/run/resolv.conf', '/etc/resolv.conf'])
    try {
      const first = await host.networks.create({ name: 'first' })
      expect(first.subnets).toEqual([{ subnet: '10.51.1.0/24', gateway: '10.51.1.1' }])
      const full = await host.networks.create({ name: 'second' }).catch((error: unknown) => error)
      expect(full).toMatchObject({ code: 'ERR_NETMODE_EXHAUSTED' })
      expect((full as Error).message).toBe(
        [
          'No free IPv4 subnet in the address pools:',
          '  10.50.0.0/24 overlaps 10.50.0.128/25 (a route through eth0)',
          '  10.51.0.0/24 overlaps 10.51.0.53/32 (a name server of /etc/resolv.conf)',
          '  10.51.1.0/24 overlaps 10.51.1.0/24 (network first)',
          '  10.52.0.0/24 overlaps 10.52.0.7/32 (a route of type prohibit)',
        ].join('\n'),
      )
      for (const [subnet, holder] of [
        ['10.51.1.128/25', 'network first'],
        ['10.51.0.0/25', 'a name server of /etc/resolv.conf'],
        ['2001:db8::/120', 'a name server of /etc/resolv.conf'],
        ['198.51.100.64/26', 'a route through eth0'],
      ]) {
        await expect(host.networks.create({ name: 'third', subnets: [String(subnet)] })).rejects.toMatchObject({
          code: 'ERR_NETMODE_SUBNET_OVERLAP',
          subject: subnet,
          holder,
        })
      }
    } finally {
      await run('umount', ['/etc/resolv.conf'])
    }
  })

  test('ipv6 without a subnet: an own /64 of the host, and one of the pools if they have some', async () => {
    const one = await host.networks.create({ name: 'one', ipv6: true })
    const two = await host.networks.create({ name: 'two', ipv6: true })
    const ula = [one, two].map(({ subnets }) => String(subnets[1]?.subnet))
    expect(ula[0]).toMatch(/^fd[0-9a-f]{2}:[0-9a-f:]+::\/64$/)
    expect(ula[1]).not.toBe(ula[0])
    await reopen({
      'default-address-pools': [
        { base: 'fd50::/48', size: 64 },
        { base: '10.60.0.0/16', size: 24 },
      ],
    })
    const three = await host.networks.create({ name: 'three', ipv6: true })
    expect(three.subnets.map(({ subnet }) => subnet)).toEqual(['10.60.0.0/24', 'fd50::/64'])
    await using web = await host.sandboxes.create({ name: 'web', network: 'three' })
    await greet(web, 'fd50::2', 80)
    expect(await ask(self, 'fd50::2', 80)).toBe('fd50::1')
  })
})

describe('devices', () => {
  test('a fixed name, an MTU and labels', async () => {
    const network = await host.networks.create({
      name: 'lan',
      subnets: ['10.7.0.0/24'],
      labels: { tier: 'front' },
      options: { 'com.docker.network.bridge.name': 'br-front', 'com.docker.network.driver.mtu': '1380' },
    })
    expect(network).toMatchObject({ device: 'br-front', labels: { tier: 'front' } })
    await using web = await host.sandboxes.create({ name: 'web', network: 'lan' })
    expect(web.endpoints[0]?.mtu).toBe(1380)
    expect(await machine.ipJson('link', 'show', 'br-front')).toMatchObject([{ mtu: 1380 }])
    expect(await new PrivateNamespace('web').ipJson('link', 'show', 'eth0')).toMatchObject([{ mtu: 1380 }])
    expect((await host.networks.list({ label: 'tier=front' })).map(({ name }) => name)).toEqual(['lan'])
  })

  test('links in the sandbox begin as the network says', async () => {
    await host.networks.create({ name: 'lan', subnets: ['10.7.0.0/24'], ifnamePrefix: 'lan' })
    await host.networks.create({
      name: 'wan',
      subnets: ['10.8.0.0/24'],
      options: { 'com.docker.network.container_iface_prefix': 'wan' },
    })
    await host.networks.create({ name: 'plain', subnets: ['10.9.0.0/24'] })
    await using web = await host.sandboxes.create({ name: 'web', networks: [{ network: 'lan' }, { network: 'wan', ifname: 'lan1' }] })
    await web.attach('plain')
    await using two = await host.sandboxes.create({ name: 'two', networks: [{ network: 'wan' }, { network: 'lan' }] })
    const names = async (name: string) => (await new PrivateNamespace(name).ipJson('link')).map(({ ifname }) => ifname)
    expect(await names('web')).toEqual(['lo', 'lan0', 'lan1', 'eth0'])
    expect(await names('two')).toEqual(['lo', 'wan0', 'lan0'])
    expect(two.endpoints.map(({ ifname }) => ifname)).toEqual(['wan0', 'lan0'])
  })

  test('ensure tells which of these differ', async () => {
    const options: NetworkOptions = { name: 'lan', subnets: dual, snat: '203.0.113.9', bindAddress: '127.0.0.1', ifnamePrefix: 'lan' }
    await host.networks.create(options)
    expect((await host.networks.ensure(options)).name).toBe('lan')
    const other = { ...options, snat: '203.0.113.10', bindAddress: ['127.0.0.1', '::1'], ifnamePrefix: 'net' }
    await expect(host.networks.ensure(other)).rejects.toMatchObject({
      code: 'ERR_NETMODE_MISMATCH',
      detail: 'snat, bindAddress, ifnamePrefix',
    })
  })

  test('removal is refused while endpoints live, with their names', async () => {
    await host.networks.create({ name: 'lan', subnets: ['10.7.0.0/24'] })
    await using web = await host.sandboxes.create({ name: 'web', network: 'lan' })
    await using db = await host.sandboxes.create({ name: 'db', network: 'lan' })
    await expect(host.networks.remove('lan')).rejects.toMatchObject({ code: 'ERR_NETMODE_BUSY', holder: 'db, web' })
    await web.remove()
    await db.remove()
    expect(await host.networks.remove('lan')).toBe(true)
  })
})
