/** The name service and what else there is: published ports, other name servers, strangers, and nobody at all. */
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import packet from 'dns-packet'
import { afterEach, beforeEach, expect } from 'vitest'
import type { Host, Sandbox } from '../../lib/index.js'
import { namePort } from '../../lib/network/name-servers.js'
import { open } from '../setup/between.js'
import { dig, dug } from '../setup/dig.js'
import { freshHost, freshNamespace, type PrivateHost } from '../setup/namespace.js'
import { ask, askUdp, greet, greetUdp, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'
import { Upstream } from '../setup/upstream.js'

const { test } = requires('root', 'program:dig')

const upstreamAddress = '198.51.100.2'

let machine: PrivateHost
let host: Host
let web: Sandbox
beforeEach(async () => {
  machine = await freshHost()
  host = await open(machine)
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd09::/64'] })
})
afterEach(async () => {
  if (host.nameService.role === 'idle') host = await open(machine)
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await machine.remove()
})

async function makeWeb(): Promise<void> {
  web = await host.sandboxes.create({ name: 'web', network: 'lan', dns: [upstreamAddress] })
}

const outputOf = async (sandbox: Sandbox, command: string, ...args: string[]): Promise<string> => {
  const { stdout } = sandbox.spawn(command, args)
  return stdout ? (await text(stdout)).trim() : ''
}

test.each(['before', 'after'])('a port 53 that is published %s takes nothing from it, and nothing is taken from that port', async when => {
  if (when === 'after') await makeWeb()
  const dns = await host.sandboxes.create({ name: 'dns', network: 'lan', publish: ['53:53/udp', '53:53/tcp'] })
  if (when === 'before') await makeWeb()
  await greet(dns, '0.0.0.0', 53)
  await greetUdp(dns, '0.0.0.0', 53)
  await using outside = new Peer(machine.outside.netns)
  expect(await ask(outside, '198.51.100.1', 53)).toBe(upstreamAddress)
  expect(await askUdp(outside, '198.51.100.1', 53)).toMatchObject({ saw: upstreamAddress })
  for (const transport of ['+notcp', '+tcp'])
    for (const server of ['10.9.0.1', 'fd09::1'])
      expect(await dug(web, transport, `@${server}`, 'dns')).toEqual([dns.endpoints[0]?.ipv4?.address])
  expect(await ask(web, '198.51.100.1', 53)).not.toMatch(/silent|refused/) // by another address of the host it is the published one
})

test.each([4, 6] as const)('a network without IPv%i has names, and one without icc', async absent => {
  const one = absent === 4 ? ['fd06::/64'] : ['10.6.0.0/24']
  const [subnet = ''] = one
  await host.networks.create({ name: 'one', subnets: one, icc: false })
  await host.sandboxes.create({ name: 'db', network: 'one' })
  const app = await host.sandboxes.create({ name: 'app', network: 'one' })
  const [found = '', ...others] = [...(await dug(app, 'db', 'A')), ...(await dug(app, '+tcp', 'db', 'AAAA'))]
  expect(others).toEqual([])
  expect(found.startsWith(subnet.slice(0, 4))).toBe(true)
  expect(await outputOf(app, 'getent', 'hosts', found)).toMatch(/ db\.one$/)
})

requires('root', 'program:dig', 'br_netfilter').test('frames that pass iptables on the bridge reach it as well', async () => {
  await machine.run('sysctl', '-qw', 'net.bridge.bridge-nf-call-iptables=1', 'net.bridge.bridge-nf-call-ip6tables=1')
  await makeWeb()
  for (const transport of ['+notcp', '+tcp'])
    for (const server of ['10.9.0.1', 'fd09::1']) expect(await dug(web, transport, `@${server}`, 'web')).toEqual(['10.9.0.2'])
})

test('a name server of the host that has port 53 on all addresses is not in the way, nor are we in its', async () => {
  await using local = new Peer(machine.netns)
  await greetUdp(local, '0.0.0.0', 53)
  await greet(local, '0.0.0.0', 53)
  await makeWeb()
  expect(host.nameService.networks).toEqual([{ network: 'lan', addresses: ['10.9.0.1', 'fd09::1'] }])
  expect(await dug(web, 'web')).toEqual(['10.9.0.2'])
  expect(await dug(web, '+tcp', 'web')).toEqual(['10.9.0.2'])
  expect(await askUdp(web, '198.51.100.1', 53)).toMatchObject({ saw: '10.9.0.2' })
  await using outside = new Peer(machine.outside.netns)
  expect(await ask(outside, '198.51.100.1', 53)).toBe(upstreamAddress)
})

test('a port of ours that somebody else has is told of, and resolvers go on to the next server', async () => {
  await using local = new Peer(machine.netns)
  await local.udp({ host: '0.0.0.0', port: namePort }) // and says nothing
  await using _ = await Upstream.open(machine.outside.netns, upstreamAddress, {
    'upstream.test': [{ type: 'A', name: 'upstream.test', ttl: 60, data: '192.0.2.7' }],
  })
  const warned = once(process, 'warning')
  await makeWeb()
  expect(host.nameService.networks).toEqual([
    {
      network: 'lan',
      addresses: ['10.9.0.1', 'fd09::1'],
      error: expect.objectContaining({ code: 'ERR_NETMODE_PORT_IN_USE', subject: 'lan' }),
    },
  ])
  expect(await warned).toEqual([expect.objectContaining({ name: 'NetmodeWarning', code: 'ERR_NETMODE_PORT_IN_USE' })])
  expect(await outputOf(web, 'getent', 'ahostsv4', 'upstream.test')).toMatch(/^192\.0\.2\.7 /)
})

test('when nobody serves, the question is refused at once and the next server is asked', async () => {
  await using upstream = await Upstream.open(machine.outside.netns, upstreamAddress, {
    'upstream.test': [{ type: 'A', name: 'upstream.test', ttl: 60, data: '192.0.2.7' }],
  })
  await makeWeb()
  await host.close()
  expect((await dig(web, 'web')).all).toContain('connection refused')
  expect(await outputOf(web, 'getent', 'ahostsv4', 'upstream.test')).toMatch(/^192\.0\.2\.7 /)
  expect(upstream.asked).toContain('udp upstream.test A')
})

test('strangers on a network, and the host itself, are not answered', async () => {
  await makeWeb()
  const device = (await host.networks.get('lan'))?.device ?? ''
  await using stranger = await freshNamespace('stranger')
  await machine.ip('link', 'add', 'stranger', 'master', device, 'up', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'stranger')
  await stranger.ip('address', 'add', '10.9.0.200/24', 'dev', 'eth0')
  await stranger.ip('link', 'set', 'eth0', 'up')
  const question = packet.encode({ type: 'query', id: 7, questions: [{ type: 'A', name: 'web' }] })
  for (const netns of [stranger.netns, machine.netns]) {
    await using peer = new Peer(netns)
    const socket = await peer.udp()
    socket.on('error', () => {})
    const heard = once(socket, 'message').then(
      () => 'answered',
      () => 'silent',
    )
    for (const port of [53, namePort]) socket.send(question, port, '10.9.0.1')
    // What was sent before has been dealt with when a later question is answered.
    expect(await dug(web, 'web')).toEqual(['10.9.0.2'])
    expect(await Promise.race([heard, dug(web, 'web').then(() => 'silent')])).toBe('silent')
  }
})

test('a network that is removed and made anew is served anew, and its sockets are closed in between', async () => {
  const sockets = async () => (await machine.run('ss', '-Hlntu', `sport = :${namePort}`)).trim().split('\n').filter(Boolean).length
  await makeWeb()
  expect(await sockets()).toBe(4)
  await web.remove()
  await host.networks.remove('lan')
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
  await makeWeb()
  expect(await dug(web, 'web')).toEqual(['10.9.0.2'])
  expect(await sockets()).toBe(2)
  await host.close()
  expect(await sockets()).toBe(0)
})

test('the default network has no names, as with Docker', async () => {
  const plain = await host.sandboxes.create({ name: 'plain', dns: ['198.51.100.9'], dnsSearch: ['.'], dnsOptions: ['attempts:1'] })
  expect(await outputOf(plain, 'cat', '/etc/resolv.conf')).toBe('nameserver 198.51.100.9\noptions attempts:1')
  await plain.attach('lan')
  expect(await outputOf(plain, 'cat', '/etc/resolv.conf')).toBe('nameserver 10.9.0.1\nnameserver 198.51.100.9\noptions attempts:1 ndots:0')
  await plain.detach('lan')
  expect(await outputOf(plain, 'cat', '/etc/resolv.conf')).toBe('nameserver 198.51.100.9\noptions attempts:1')
  expect((await dig(plain, '+timeout=1', '@172.17.0.1', 'plain')).status).toBe('silent')
})
