/** Ports that only some may ask: from outside, from sandboxes, from the host; as they are before any translation. */
import { existsSync } from 'node:fs'
import { afterEach, beforeEach, expect } from 'vitest'
import type { Host, Sandbox } from '../../lib/index.js'
import { open } from '../setup/between.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { addressOf, ask, askUdp, families, greet, greetUdp, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'

const { describe, test } = requires('root', 'program:nft')

let machine: PrivateHost
let host: Host
let web: Sandbox
let outside: Peer
let self: Peer

beforeEach(async () => {
  machine = await freshHost()
  // The way back from a bridge to ::1 ends in br_netfilter (docs/firewall.md).
  if (existsSync('/proc/sys/net/bridge')) await machine.run('sysctl', '-qw', 'net.bridge.bridge-nf-call-ip6tables=0')
  outside = new Peer(machine.outside.netns)
  self = new Peer(machine.netns)
  host = await open(machine)
  await host.networks.create({ name: 'lan', subnets: ['10.7.0.0/24', 'fd07::/64'] })
  await host.networks.create({ name: 'other', subnets: ['10.8.0.0/24', 'fd08::/64'] })
  web = await host.sandboxes.create({ name: 'web', network: 'lan' })
})
afterEach(async () => {
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await outside[Symbol.asyncDispose]()
  await self[Symbol.asyncDispose]()
  await machine.remove()
})

describe.each(families)('over $name', family => {
  const { version, loopback } = family
  const lan = version === 4 ? '10.7.0.0/24' : 'fd07::/64'
  const other = version === 4 ? '10.8.0.0/24' : 'fd08::/64'
  const lastBit = version === 4 ? '198.51.100.2/31' : '2001:db8:100::2/127'

  test.each([
    ['the client itself', family.outside],
    ['a block that it is in', lastBit],
    ['everyone', version === 4 ? '0.0.0.0/0' : '::/0'],
  ])('a port for %s is open to it, and to others as if it were not published', async (_, source) => {
    await web.publish({ containerPort: 80, hostPort: 8080, allow: [source] })
    await greet(web, addressOf(web, family), 80)
    expect(await ask(outside, family.host, 8080)).toBe(family.outside)
    const everyone = source.endsWith('/0')
    expect(await ask(self, loopback, 8080)).toBe(everyone ? gatewayOf(web, version) : 'refused')
    expect((await ask(self, family.host, 8080)) === 'refused').toBe(!everyone)
  })

  test('a port for others is closed to the client, on all addresses and on one', async () => {
    await web.publish([
      { containerPort: 80, hostPort: 8080, allow: [lan, other, loopback] },
      { containerPort: 80, hostPort: 8081, hostIp: family.host, allow: [lan] },
    ])
    await greet(web, addressOf(web, family), 80)
    expect(await ask(outside, family.host, 8080)).toBe('refused')
    expect(await ask(outside, family.host, 8081)).toBe('refused')
    await web.unpublish(['8080', `${version === 4 ? family.host : `[${family.host}]`}:8081`])
    await web.publish({ containerPort: 80, hostPort: 8081, hostIp: family.host, allow: [family.outside, lan] })
    expect(await ask(outside, family.host, 8081)).toBe(family.outside)
  })

  test('the host has to be among them by the address that it asks from', async () => {
    await web.publish({ containerPort: 80, hostPort: 8080, allow: [loopback] })
    await greet(web, addressOf(web, family), 80)
    expect(await ask(self, loopback, 8080)).toBe(gatewayOf(web, version))
    expect(await ask(self, family.host, 8080)).toBe('refused')
  })

  test('sandboxes are told apart by their own addresses, whatever they are translated to', async () => {
    await using sibling = await host.sandboxes.create({ name: 'sibling', network: 'lan' })
    await using stranger = await host.sandboxes.create({ name: 'stranger', network: 'other' })
    await greet(web, addressOf(web, family), 80)
    await web.publish([
      { containerPort: 80, hostPort: 8080, allow: [lan] },
      { containerPort: 80, hostPort: 8081, allow: [addressOf(stranger, family)] },
    ])
    expect(await ask(sibling, family.host, 8080)).toBe(gatewayOf(web, version))
    expect(await ask(stranger, family.host, 8080)).toBe('refused')
    expect(await ask(sibling, family.host, 8081)).toBe('refused')
    expect(await ask(stranger, family.host, 8081)).toBe(gatewayOf(web, version))
  })

  test('datagrams as well, also where one goes on sending that was refused before', async () => {
    const server = { containerPort: 53, hostPort: 5353, protocol: 'udp' } as const
    await web.publish({ ...server, allow: [lan] })
    await greetUdp(web, addressOf(web, family), 53)
    const client = await outside.udp({ type: version === 6 ? 'udp6' : 'udp4' })
    client.send('?', 5353, family.host)
    expect(await askUdp(outside, family.host, 5353, { quiet: true })).toBe('silent')
    await web.unpublish('5353/udp')
    await web.publish({ ...server, allow: [lastBit] })
    const answered = new Promise(resolve => client.once('message', data => resolve(String(data))))
    client.send('?', 5353, family.host)
    expect(await answered).toBe(family.outside)
    client.close()
  })
})

test('a port for sources of one family is open to nobody in the other', async () => {
  await web.publish({ containerPort: 80, hostPort: 8080, allow: ['198.51.100.0/24'] })
  for (const family of families) {
    await greet(web, addressOf(web, family), 80)
    expect(await ask(outside, family.host, 8080)).toBe(family.version === 4 ? family.outside : 'refused')
  }
})

test('ranges that overlap are one, and all of it comes back after a flush and goes with the port', async () => {
  const before = await machine.dump()
  const allow = ['198.51.100.0/24', '198.51.100.2', '198.51.0.0/16', '2001:db8::/32', '2001:db8::/32']
  const [port] = await web.publish({ containerPort: 80, hostPort: 8080, allow })
  expect(port?.allow).toEqual(['198.51.0.0/16', '2001:db8::/32'])
  expect((await web.refresh()).ports.map(one => one.allow)).toEqual([port?.allow, port?.allow])
  const made = await machine.dump()
  await machine.nft('flush', 'ruleset')
  await host.recover()
  expect((await machine.dump()).ruleset).toEqual(made.ruleset)
  await web.unpublish(web.ports)
  expect((await machine.dump()).ruleset).toEqual(before.ruleset)
})

test('a thousand ranges of other ports cost one without any nothing: its elements are in hash sets as ever', async () => {
  const allow = Array.from({ length: 100 }, (_, i) => `10.${i}.0.0/16`)
  await web.publish(Array.from({ length: 10 }, (_, i) => ({ containerPort: 80, hostPort: 9000 + i, allow })))
  const sets = (await host.explain('publish', 'web', ['8080:81'])).matchAll(/add element inet netmode (\w+)/g)
  expect([...sets].map(([, set]) => set)).toEqual(['publish4_any', 'exposed4', 'publish6_any', 'exposed6'])
})

const gatewayOf = ({ endpoints: [endpoint] }: Sandbox, version: 4 | 6): string | undefined => endpoint?.[`ipv${version}`]?.gateway
