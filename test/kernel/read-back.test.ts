/** After each operation, iproute2 and nft see what `inspect`, `endpoints` and `ports` say. */
import { afterEach, beforeEach, expect } from 'vitest'
import type { Address, Endpoint, Host, Network, PublishedPort, Sandbox } from '../../lib/index.js'
import { open } from '../setup/between.js'
import { freshHost, type PrivateHost, PrivateNamespace } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'

const { describe, test } = requires('root', 'program:nft')

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

type Json = Record<string, unknown>

async function link(place: PrivateNamespace, name: string): Promise<Json | undefined> {
  return (await place.ipJson('-d', 'link', 'show')).find(({ ifname }) => ifname === name)
}

/** The addresses of a link that are not of the kernel's own making, as `ADDRESS/PREFIX`. */
async function addresses(place: PrivateNamespace, name: string): Promise<string[]> {
  const [found] = await place.ipJson('address', 'show', 'dev', name)
  const infos = (found?.addr_info ?? []) as Json[]
  return infos.filter(({ scope }) => scope === 'global').map(({ local, prefixlen }) => `${local}/${prefixlen}`)
}

/** The gateways of the default routes that go through a link. */
async function gateways(place: PrivateNamespace, name: string): Promise<unknown[]> {
  const routes = await Promise.all(['-4', '-6'].map(family => place.ipJson(family, 'route', 'show', 'default')))
  return routes.flat().flatMap(({ dev, gateway }) => (dev === name ? [gateway] : []))
}

/** The elements of a set or map of the ruleset, as the JSON of nft has them. */
async function elements(set: string): Promise<unknown[]> {
  const { nftables } = JSON.parse(await machine.nft('-j', 'list', 'ruleset')) as { nftables: Record<string, Json>[] }
  const found = nftables.map(one => one.set ?? one.map).find(one => one?.name === set)
  return (found?.elem ?? []) as unknown[]
}

/** As nft shows an element of a map of published ports: key and comment, value. */
interface Mapped {
  readonly elem: { readonly val: { readonly concat: readonly unknown[] }; readonly comment: string }
}

/** What is published, read from the ruleset alone: `SANDBOX PROTOCOL ADDRESS:PORT -> TARGET:PORT`. */
async function publishedInKernel(): Promise<string[]> {
  const maps = ['publish4', 'publish4_any', 'publish6', 'publish6_any']
  const lines = await Promise.all(
    maps.map(async map =>
      (await elements(map)).map(pair => {
        const [{ elem }, { concat: to }] = pair as [Mapped, { concat: readonly unknown[] }]
        const key = elem.val.concat
        const from = map.endsWith('_any') ? [map.includes('4') ? '0.0.0.0' : '::', key[1]] : key.slice(1)
        return `${elem.comment} ${key[0]} ${from.join(' ')} -> ${to.join(' ')}`
      }),
    ),
  )
  return lines.flat().sort()
}

/** The same, from what a sandbox says. */
function publishedBy({ name, ports, endpoints }: Sandbox): string[] {
  const target = ({ hostIp }: PublishedPort): Address | undefined => (hostIp.includes(':') ? endpoints[0]?.ipv6 : endpoints[0]?.ipv4)
  return ports
    .map(port => `${name} ${port.protocol} ${port.hostIp} ${port.hostPort} -> ${target(port)?.address} ${port.containerPort}`)
    .sort()
}

/** What a network says of itself is what the kernel has. */
async function expectNetwork(network: Network): Promise<void> {
  const { device = '', subnets, name } = network
  const info = await network.inspect()
  const options = info.Options as Record<string, string>
  expect(await link(machine, device)).toMatchObject({
    ifname: options['com.docker.network.bridge.name'],
    mtu: Number(options['com.docker.network.driver.mtu']),
    ifalias: `netmode:/${name}`,
    group: String(0x6e6d),
    flags: expect.arrayContaining(['UP']),
    linkinfo: { info_kind: 'bridge' },
  })
  expect(await addresses(machine, device)).toEqual(subnets.map(({ subnet, gateway }) => `${gateway}/${subnet.split('/')[1]}`))
  expect(info.IPAM).toMatchObject({ Config: subnets.map(({ subnet, gateway }) => ({ Subnet: subnet, Gateway: gateway })) })
  const routes = [...(await machine.ipJson('-4', 'route')), ...(await machine.ipJson('-6', 'route'))]
  const own = routes.filter(({ dev, dst }) => dev === device && !String(dst).startsWith('fe80')).map(({ dst }) => dst)
  expect(own).toEqual(subnets.map(({ subnet }) => subnet))
  expect(await elements('bridges')).toContain(device)
  const pair = { concat: [device, device] }
  const same = await elements('same')
  if (options['com.docker.network.bridge.enable_icc'] === 'true') expect(same).toContainEqual(pair)
  else expect(same).not.toContainEqual(pair)
}

const blocks = (subnet: string): unknown => ({ prefix: { addr: subnet.split('/')[0], len: Number(subnet.split('/')[1]) } })

/** What a sandbox says of an endpoint is what the kernel has on both ends. */
async function expectEndpoint(sandbox: Sandbox, endpoint: Endpoint, icc = true): Promise<void> {
  const inside = new PrivateNamespace(sandbox.name)
  const network = await host.networks.get(endpoint.network)
  const both = [endpoint.ipv4, endpoint.ipv6].filter(one => one !== undefined)

  expect(await link(inside, endpoint.ifname)).toMatchObject({
    address: endpoint.mac,
    mtu: endpoint.mtu,
    num_tx_queues: 1,
    flags: expect.arrayContaining(['UP', 'LOWER_UP']),
    linkinfo: { info_kind: 'veth' },
  })
  expect(await addresses(inside, endpoint.ifname)).toEqual(both.map(({ address, prefix }) => `${address}/${prefix}`))
  expect(await gateways(inside, endpoint.ifname)).toEqual(both.flatMap(({ gateway }) => gateway ?? []))
  expect((await link(inside, 'lo'))?.flags).toContain('UP')

  const peer = await link(machine, endpoint.hostIfname ?? '')
  expect(peer).toMatchObject({
    mtu: endpoint.mtu,
    master: network?.device,
    ifalias: `netmode:${sandbox.name}/${endpoint.network}`,
    group: String(0x6e6d),
    flags: expect.arrayContaining(['UP', 'LOWER_UP']),
    linkinfo: { info_kind: 'veth', info_slave_kind: 'bridge', info_slave_data: { isolated: !icc } },
  })
  expect(await inside.sysctl(`net.ipv6.conf.${endpoint.ifname}.disable_ipv6`)).toBe(endpoint.ipv6 ? '0' : '1')

  expect((await sandbox.inspect()).NetworkSettings).toMatchObject({
    SandboxKey: `/run/netns/${sandbox.name}`,
    Networks: {
      [endpoint.network]: {
        IPAddress: endpoint.ipv4?.address ?? '',
        IPPrefixLen: endpoint.ipv4?.prefix ?? 0,
        Gateway: endpoint.ipv4?.gateway ?? '',
        GlobalIPv6Address: endpoint.ipv6?.address ?? '',
        GlobalIPv6PrefixLen: endpoint.ipv6?.prefix ?? 0,
        IPv6Gateway: endpoint.ipv6?.gateway ?? '',
        MacAddress: endpoint.mac,
      },
    },
  })
}

/** What Docker's JSON says of the published ports, in the form of `publishedBy`'s left side. */
async function expectPorts(...sandboxes: readonly Sandbox[]): Promise<void> {
  expect(await publishedInKernel()).toEqual(sandboxes.flatMap(publishedBy).sort())
  for (const sandbox of sandboxes) {
    const { Ports } = (await sandbox.inspect()).NetworkSettings as { Ports: Record<string, { HostIp: string; HostPort: string }[]> }
    const told = Object.entries(Ports).flatMap(([port, bound]) => bound.map(({ HostIp, HostPort }) => `${HostIp} ${HostPort} ${port}`))
    const ports = sandbox.ports.map(one => `${one.hostIp} ${one.hostPort} ${one.containerPort}/${one.protocol}`)
    expect(told.sort()).toEqual(ports.sort())
  }
}

describe('a network', () => {
  test('with IPv4, its MTU taken from the device of the default route', async () => {
    await machine.ip('link', 'set', 'eth0', 'mtu', '1402')
    const lan = await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
    await expectNetwork(lan)
    expect(await link(machine, lan.device ?? '')).toMatchObject({ mtu: 1402 })
    expect(await elements('masquerade4')).toEqual([blocks('10.9.0.0/24')])
    expect(await machine.sysctl('net.ipv4.ip_forward')).toBe('1')
    expect(await machine.sysctl('net.ipv6.conf.all.forwarding')).toBe('0')
  })

  test('dual stack, with options', async () => {
    const subnets = [{ subnet: '10.9.0.0/20', gateway: '10.9.1.1' }, 'fd00:9::/64']
    const lan = await host.networks.create({ name: 'lan', subnets, bridge: 'br-own', mtu: 1300, icc: false, masquerade: false })
    await expectNetwork(lan)
    expect(lan.subnets).toEqual([
      { subnet: '10.9.0.0/20', gateway: '10.9.1.1' },
      { subnet: 'fd00:9::/64', gateway: 'fd00:9::1' },
    ])
    expect(await elements('masquerade4')).toEqual([])
    expect(await elements('masquerade6')).toEqual([])
    expect(await elements('inside6')).toEqual([blocks('fd00:9::/64')])
    expect(await machine.sysctl('net.ipv6.conf.all.forwarding')).toBe('1')
  })

  test('internal: forwarding is not switched on for it', async () => {
    const lan = await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'], internal: true })
    await expectNetwork(lan)
    expect(await elements('internal')).toEqual([lan.device])
    expect(await machine.sysctl('net.ipv4.ip_forward')).toBe('0')
  })

  test('two of them, one removed: its part of the ruleset goes, the other stays', async () => {
    const first = await host.networks.create({ name: 'first', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
    const before = await machine.dump()
    const second = await host.networks.create({ name: 'second', subnets: ['10.8.0.0/24', 'fd00:8::/64'] })
    await expectNetwork(first)
    await expectNetwork(second)
    expect(await second.remove()).toBe(true)
    expect(await machine.dump()).toEqual(before)
    await expectNetwork(first)
  })
})

describe('a sandbox', () => {
  test('on the default network: a v4-only one', async () => {
    const web = await host.sandboxes.create({ name: 'web' })
    const [endpoint] = web.endpoints
    expect(endpoint).toMatchObject({
      network: 'bridge',
      ifname: 'eth0',
      mac: '02:42:ac:11:00:02',
      ipv4: { address: '172.17.0.2', prefix: 16 },
    })
    expect(endpoint).not.toHaveProperty('ipv6')
    await expectEndpoint(web, endpoint as Endpoint)
    const bridge = (await host.networks.get('bridge')) as Network
    expect(bridge.device).toBe('netmode0')
    await expectNetwork(bridge)
    expect(await bridge.inspect()).toMatchObject({ Containers: { [web.id]: { Name: 'web', IPv4Address: '172.17.0.2/16' } } })
  })

  test.each([true, false])('dual stack with everything fixed, icc %s', async icc => {
    await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'], mtu: 1400, icc })
    const web = await host.sandboxes.create({
      name: 'web',
      network: 'lan',
      ip: '10.9.0.77',
      ip6: 'fd00:9::abcd',
      mac: '02:00:00:00:00:07',
      ifname: 'lan0',
    })
    const [endpoint] = web.endpoints
    expect(endpoint).toMatchObject({ ifname: 'lan0', mac: '02:00:00:00:00:07', mtu: 1400 })
    expect(endpoint).toMatchObject({ ipv4: { address: '10.9.0.77' }, ipv6: { address: 'fd00:9::abcd' } })
    await expectEndpoint(web, endpoint as Endpoint, icc)
  })

  test('on two networks: the default route goes through the one with the higher priority', async () => {
    await host.networks.create({ name: 'first', subnets: ['10.9.0.0/24'] })
    await host.networks.create({ name: 'second', subnets: ['10.8.0.0/24'] })
    const web = await host.sandboxes.create({ name: 'web', networks: [{ network: 'first' }, { network: 'second', gatewayPriority: 1 }] })
    const inside = new PrivateNamespace('web')
    expect(web.endpoints.map(({ ifname, network }) => `${ifname} ${network}`)).toEqual(['eth0 first', 'eth1 second'])
    expect(await gateways(inside, 'eth0')).toEqual([])
    expect(await gateways(inside, 'eth1')).toEqual(['10.8.0.1'])
    await expectEndpoint(web, web.endpoints[1] as Endpoint)
  })

  test('on an internal network has no way out', async () => {
    await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'], internal: true })
    const web = await host.sandboxes.create({ name: 'web', network: 'lan' })
    expect(web.endpoints[0]?.ipv4).toEqual({ address: '10.9.0.2', prefix: 24 })
    await expectEndpoint(web, web.endpoints[0] as Endpoint)
  })

  test('attached to a network and detached again', async () => {
    await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
    const web = await host.sandboxes.create({ name: 'web', publish: ['8080:80'] })
    const [before, inside] = [await machine.dump(), new PrivateNamespace('web')]
    const endpoint = await web.attach('lan', { ip: '10.9.0.9' })
    expect(await link(inside, endpoint.ifname)).toMatchObject({ address: endpoint.mac, mtu: endpoint.mtu })
    expect(await addresses(inside, endpoint.ifname)).toEqual(['10.9.0.9/24', `${endpoint.ipv6?.address}/64`])
    expect(await link(machine, endpoint.hostIfname ?? '')).toMatchObject({ ifalias: 'netmode:web/lan' })
    await expectPorts(web)
    expect(await web.detach('lan')).toBe(true)
    await expectEndpoint(web, web.endpoints[0] as Endpoint)
    const { state: _, links, ...rest } = await machine.dump()
    expect(rest).toEqual((({ state: __, links: ___, ...others }) => others)(before))
    expect(links.length).toBe(before.links.length)
  })
})

describe('published ports', () => {
  test('appear and go one by one', async () => {
    await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
    const web = await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['8080:80', '127.0.0.1:53:53/udp'] })
    const db = await host.sandboxes.create({ name: 'db', network: 'lan', publish: ['5432'] })
    expect(web.ports).toHaveLength(3)
    await expectPorts(web, db)

    const added = await web.publish(['[::1]:9000:90', '198.51.100.1:8081:80', '7000-7002:7000-7002/udp', '81'])
    expect(added.map(({ hostIp, hostPort }) => `${hostIp} ${hostPort}`)).toEqual(
      expect.arrayContaining(['::1 9000', '198.51.100.1 8081', '0.0.0.0 7000', ':: 7002']),
    )
    await expectPorts(web, db)

    expect(await web.unpublish('8080')).toHaveLength(2)
    await expectPorts(web, db)
    // 8081 still leads to port 80: it stays reachable from outside.
    expect(JSON.stringify(await elements('exposed4'))).toContain(JSON.stringify(['tcp', web.endpoints[0]?.ipv4?.address, 80]))

    expect(await web.remove()).toBe(true)
    await expectPorts(db)
    expect(await db.unpublish(db.ports)).toHaveLength(2)
    for (const set of ['publish4', 'publish4_any', 'publish6', 'publish6_any', 'exposed4', 'exposed6'])
      expect(await elements(set)).toEqual([])
  })
})

test('all that was made goes with what it was made for', async () => {
  await machine.run('sysctl', '-qw', 'net/ipv6/conf/all/forwarding=1') // stays on afterwards, and brings routes of its own
  const before = await machine.dump()
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
  await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['8080:80', '53:53/udp'] })
  await host.sandboxes.create({ name: 'db' })
  await host.sandboxes.create({ name: 'alone', network: 'none' })
  await host.sandboxes.create({ name: 'beside', network: 'container:web' })
  expect(await host.sandboxes.removeAll(['beside', 'web', 'db', 'alone', 'never'])).toEqual(['beside', 'web', 'db', 'alone'])
  expect(await host.networks.remove('lan')).toBe(true)
  expect(await host.networks.remove('bridge')).toBe(true)
  expect(await host.networks.remove('bridge')).toBe(false)
  expect(await machine.dump()).toEqual(before)
})
