/** Holes that others have had, each tried here with the packets that went through them. */
import { existsSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect } from 'vitest'
import { type Host, openHost } from '../../lib/index.js'
import { linkLocalOf } from '../../lib/network/mac.js'
import { allNodesMac, deliver, frame, icmp6, routerAdvertisement, udp4 } from '../setup/frames.js'
import { freshHost, type PrivateHost, PrivateNamespace } from '../setup/namespace.js'
import { addressOf, ask, askUdp, at, families, greet, greetUdp, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'

const { test } = requires('root', 'program:python3')

let machine: PrivateHost
let host: Host
let outside: Peer
let self: Peer

beforeEach(async () => {
  machine = await freshHost()
  if (existsSync('/proc/sys/net/bridge')) await machine.run('sysctl', '-qw', 'net.bridge.bridge-nf-call-ip6tables=0')
  outside = new Peer(machine.outside.netns)
  self = new Peer(machine.netns)
  host = await openHost({ netns: machine.netns, stateDir: machine.stateDir })
  await host.networks.create({ name: 'lan', subnets: ['10.7.0.0/24', 'fd07::/64'], bridge: 'lan0' })
})
afterEach(async () => {
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await outside[Symbol.asyncDispose]()
  await self[Symbol.asyncDispose]()
  await machine.remove()
})

test.each([
  ['is stopped at its port', true],
  ['is not listened to, where its port lets it through', false],
])('CVE-2020-13401: a router advertisement of a sandbox %s: it changes no route and no address of the host', async (_, spoofCheck) => {
  await host.networks.create({ name: 'free', subnets: ['10.8.0.0/24', 'fd08::/64'], bridge: 'free0', spoofCheck })
  await using bad = await host.sandboxes.create({ name: 'bad', network: 'free' })
  const { mac = '', ipv4 } = bad.endpoints[0] ?? {}
  // Default routes, and whatever speaks of the prefix that is offered.
  const steady = async () => {
    const found = [...(await machine.ipJson('-6', 'route', 'show', 'table', 'all')), ...(await machine.ipJson('-6', 'address'))]
    return found
      .filter(one => one.dst === 'default' || JSON.stringify(one).includes('2001:db8:bad:'))
      .map(({ dst, via, gateway, dev }) => ({ dst, via, gateway, dev }))
  }
  const before = await steady()
  const advertisement = frame(allNodesMac, mac, 0x86dd, icmp6(linkLocalOf(mac), 'ff02::1', routerAdvertisement(mac)))
  const ends = [
    { place: new PrivateNamespace('bad'), device: 'eth0', mac, address: ipv4?.address ?? '' },
    { place: machine, device: 'free0' },
  ] as const
  expect(await deliver(...ends, { advertisement })).toEqual(spoofCheck ? [] : ['advertisement'])
  expect(await steady()).toEqual(before)
  // The same message does give a route to who listens: it is a good one.
  await machine.run('sysctl', '-qw', 'net.ipv6.conf.free0.accept_ra=2')
  await deliver(...ends, { advertisement })
  expect((await steady()).length > before.length).toBe(!spoofCheck)
})

test('CVE-2020-8558: route_localnet lets neither neighbours nor sandboxes reach what listens on the loopback', async () => {
  await using web = await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['127.0.0.1:8080:80'] })
  expect(await machine.sysctl('net.ipv4.conf.lan0.route_localnet')).toBe('1')
  const heard: string[] = []
  const server = await self.udp({ host: '127.0.0.1', port: 5000 })
  const done = new Promise(resolve => {
    server.on('message', data => {
      heard.push(String(data))
      if (String(data) === 'its own') resolve(undefined)
    })
  })
  const { mac = '', ipv4 } = web.endpoints[0] ?? {}
  const bridge = (await machine.ipJson('link', 'show', 'lan0'))[0]?.address as string
  const inner = [
    { place: new PrivateNamespace('web'), device: 'eth0', mac, address: ipv4?.address ?? '' },
    { place: machine, device: 'lan0' },
  ] as const
  await deliver(...inner, { a: frame(bridge, mac, 0x0800, udp4(ipv4?.address ?? '', '127.0.0.1', 5000, 'from a sandbox')) })
  const [eth0] = await machine.ipJson('link', 'show', 'eth0')
  const [theirs] = await machine.outside.ipJson('link', 'show', 'eth0')
  const outer = [
    { place: machine.outside, device: 'eth0', mac: theirs?.address as string, address: '198.51.100.2' },
    { place: machine, device: 'eth0' },
  ] as const
  const packet = frame(
    eth0?.address as string,
    theirs?.address as string,
    0x0800,
    udp4('198.51.100.2', '127.0.0.1', 5000, 'from a neighbour'),
  )
  expect(await deliver(...outer, { packet })).toEqual(['packet'])
  const own = await self.udp({ host: '127.0.0.1' })
  own.send('its own', 5000, '127.0.0.1')
  await done
  own.close()
  expect(heard).toEqual(['its own'])
})

test.each(families)('CVE-2021-20199: a published port sees the client over $name, never the loopback or the gateway', async family => {
  await using web = await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['8080:80', '5353:53/udp'] })
  await greet(web, addressOf(web, family), 80)
  await greetUdp(web, addressOf(web, family), 53)
  expect(await ask(outside, family.host, 8080)).toBe(family.outside)
  expect(await askUdp(outside, family.host, 5353)).toEqual({ saw: family.outside, from: at(family.host, 5353) })
})

test.each(families)('CVE-2025-67499: a published port 53 leaves questions to other name servers alone, over $name', async family => {
  await using dns = await host.sandboxes.create({ name: 'dns', network: 'lan', publish: ['53:53/udp', '53:53'] })
  await using client = await host.sandboxes.create({ name: 'client', network: 'lan' })
  for (const place of [dns, outside]) {
    const address = place === dns ? addressOf(dns, family) : family.outside
    await greetUdp(place, address, 53)
    await greet(place, address, 53)
  }
  // Asked of the name server outside, it is that one which answers, and it sees the host.
  expect(await askUdp(client, family.outside, 53)).toEqual({ saw: family.host, from: at(family.outside, 53) })
  expect(await ask(client, family.outside, 53)).toBe(family.host)
  // Asked of the host, it is the sandbox.
  expect(await askUdp(outside, family.host, 53)).toEqual({ saw: family.outside, from: at(family.host, 53) })
})

test('CVE-2024-21626: a child is given no descriptor but its own three, and no working folder by one', async () => {
  await using web = await host.sandboxes.create({ name: 'web', network: 'lan' })
  const list = async (...command: [string, ...string[]]) =>
    (await text(web.spawn(command[0], command.slice(1)).stdout as NodeJS.ReadableStream)).trim()
  // `ls` opens the folder that it lists as the next one.
  expect((await list('ls', '/proc/self/fd')).split('\n')).toEqual(['0', '1', '2', '3'])
  expect(await list('readlink', '/proc/self/cwd')).toBe(process.cwd())
})
