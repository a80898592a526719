import { once } from 'node:events'
import { createServer } from 'node:net'
import { afterEach, beforeEach, expect } from 'vitest'
import { type Host, openHost } from '../../lib/index.js'
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
  // Where bridged frames pass ip6tables, ::1 does not reach published ports; reach.test.ts has both.
  await machine.run('sysctl', '-qew', 'net.bridge.bridge-nf-call-ip6tables=0')
  host = await openHost({ netns: machine.netns, stateDir: machine.stateDir })
  await host.networks.create({ name: 'lan', subnets: ['10.7.0.0/24', 'fd07::/64'] })
})

afterEach(async () => {
  // A test that failed half-way may have left some.
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await self[Symbol.asyncDispose]()
  await outside[Symbol.asyncDispose]()
  await machine.remove()
})

describe.each(families)('over $name', family => {
  const { version, loopback } = family
  // A second address of the host beside `family.host`.
  const second = version === 4 ? '198.51.100.3' : '2001:db8:100::3'
  const addSecond = () =>
    machine.ip('address', 'add', `${second}/${version === 4 ? 24 : 64}`, 'dev', 'eth0', ...(version === 6 ? ['nodad'] : []))

  test('a port published on one address of the host answers there alone', async () => {
    await addSecond()
    await using web = await host.sandboxes.create({ name: 'web', network: 'lan', publish: [`${at(second, 8080)}:80`] })
    await greet(web, addressOf(web, family), 80)
    expect(await ask(outside, second, 8080)).toBe(family.outside)
    expect(await ask(self, second, 8080)).toBe(version === 4 ? family.host : second) // as the kernel chooses its source
    expect(await ask(outside, family.host, 8080)).toBe('refused')
    expect(await ask(self, family.host, 8080)).toBe('refused')
    expect(await ask(self, loopback, 8080)).toBe('refused')
  })

  test('one port number on two addresses leads to two sandboxes', async () => {
    await addSecond()
    await using one = await host.sandboxes.create({ name: 'one', network: 'lan', publish: [`${at(family.host, 8080)}:80`] })
    await using two = await host.sandboxes.create({ name: 'two', network: 'lan', publish: [`${at(second, 8080)}:80`] })
    await one.listen(
      createServer(socket => socket.end('one')),
      { host: addressOf(one, family), port: 80 },
    )
    await two.listen(
      createServer(socket => socket.end('two')),
      { host: addressOf(two, family), port: 80 },
    )
    expect(await ask(outside, family.host, 8080)).toBe('one')
    expect(await ask(outside, second, 8080)).toBe('two')
  })

  test('answers of a published udp port come from the address that was asked', async () => {
    await addSecond()
    await using dns = await host.sandboxes.create({ name: 'dns', network: 'lan', publish: ['5353:53/udp'] })
    await greetUdp(dns, addressOf(dns, family), 53)
    for (const address of [family.host, second]) {
      expect(await askUdp(outside, address, 5353)).toEqual({ saw: family.outside, from: at(address, 5353) })
    }
  })

  test('unpublishing closes a tcp port to new connections', async () => {
    await using web = await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['8080:80'] })
    await greet(web, addressOf(web, family), 80)
    expect(await ask(outside, family.host, 8080)).toBe(family.outside)
    await web.unpublish('8080')
    expect(await ask(outside, family.host, 8080)).toBe('refused')
    expect(await ask(self, loopback, 8080)).toBe('refused')
    await web.publish('8080:80')
    expect(await ask(outside, family.host, 8080)).toBe(family.outside)
  })

  test('a client that goes on sending follows a udp port to its next sandbox', async () => {
    await using one = await host.sandboxes.create({ name: 'one', network: 'lan', publish: ['5353:53/udp'] })
    await using two = await host.sandboxes.create({ name: 'two', network: 'lan' })
    for (const sandbox of [one, two]) {
      const server = await sandbox.udp({ host: addressOf(sandbox, family), port: 53 })
      server.on('message', (_, { address, port }) => server.send(sandbox.name, port, address))
    }
    const client = await outside.udp({ type: version === 6 ? 'udp6' : 'udp4' })
    const exchange = async () => {
      client.send('who are you?', 5353, family.host)
      return String((await once(client, 'message'))[0])
    }
    expect(await exchange()).toBe('one')
    await one.unpublish('5353/udp')
    await two.publish('5353:53/udp')
    expect(await exchange()).toBe('two')
  })

  test("a port published on loopback is the host's alone", async () => {
    await using web = await host.sandboxes.create({ name: 'web', network: 'lan', publish: [`${at(loopback, 8080)}:80`] })
    await using sibling = await host.sandboxes.create({ name: 'sibling', network: 'lan' })
    await greet(web, addressOf(web, family), 80)
    expect(await ask(self, loopback, 8080)).toBe(web.endpoints[0]?.[`ipv${version}`]?.gateway)
    for (const stranger of [outside, sibling, self]) expect(await ask(stranger, family.host, 8080)).toBe('refused')
  })

  test("neither a neighbour nor a sandbox reaches the host's loopback by routing to it", async () => {
    await using web = await host.sandboxes.create({ name: 'web', network: 'lan', publish: [`${at(loopback, 8080)}:80`] })
    await using sibling = await host.sandboxes.create({ name: 'sibling', network: 'lan' })
    await greet(web, addressOf(web, family), 80)
    await greet(self, loopback, 9000)
    await sendLoopbackTo(machine.outside, version, family.host)
    await sendLoopbackTo(new PrivateNamespace('sibling'), version, String(sibling.endpoints[0]?.[`ipv${version}`]?.gateway))
    const answers = [outside, sibling].flatMap(place => [8080, 9000].map(port => ask(place, loopback, port, { quiet: true })))
    expect(await Promise.all(answers)).toEqual(['silent', 'silent', 'silent', 'silent'])
  })
})

/** Makes a namespace send what is for the loopback address to a gateway, as somebody with root there can. */
async function sendLoopbackTo(namespace: PrivateNamespace, version: 4 | 6, gateway: string): Promise<void> {
  const loopback = version === 4 ? '127.0.0.1' : '::1'
  await namespace.ip('address', 'delete', `${loopback}/${version === 4 ? 8 : 128}`, 'dev', 'lo')
  if (version === 4) await namespace.run('sysctl', '-qw', 'net.ipv4.conf.eth0.route_localnet=1')
  await namespace.ip('route', 'add', loopback, 'via', gateway)
}

describe('of a network', () => {
  test('without icc, siblings do not reach each other, and all else works', async () => {
    await host.networks.create({ name: 'apart', subnets: ['10.9.0.0/24', 'fd09::/64'], icc: false })
    await using web = await host.sandboxes.create({ name: 'web', network: 'apart', publish: ['8080:80'] })
    await using sibling = await host.sandboxes.create({ name: 'sibling', network: 'apart' })
    for (const family of families) {
      await greet(web, addressOf(web, family), 80)
      await greet(outside, family.outside, 80)
      expect(await ask(outside, family.host, 8080)).toBe(family.outside)
      expect(await ask(sibling, family.outside, 80)).toBe(family.host)
      expect(['silent', 'unreachable']).toContain(await ask(sibling, addressOf(web, family), 80, { quiet: true }))
    }
  })

  test('that is internal, siblings reach each other, and nothing else goes in or out', async () => {
    await host.networks.create({ name: 'inner', subnets: ['10.9.0.0/24', 'fd09::/64'], internal: true })
    await using web = await host.sandboxes.create({ name: 'web', network: 'inner' })
    await using sibling = await host.sandboxes.create({ name: 'sibling', network: 'inner' })
    for (const family of families) {
      await greet(web, addressOf(web, family), 80)
      await greet(outside, family.outside, 80)
      expect(await ask(sibling, addressOf(web, family), 80)).toBe(addressOf(sibling, family))
      expect(['silent', 'unreachable']).toContain(await ask(sibling, family.outside, 80, { quiet: true }))
    }
  })

  test('without masquerade, the outside sees the sandbox itself', async () => {
    await host.networks.create({ name: 'routed', subnets: ['10.9.0.0/24', 'fd09::/64'], masquerade: false })
    await using web = await host.sandboxes.create({ name: 'web', network: 'routed' })
    for (const family of families) {
      await machine.outside.ip('route', 'add', addressOf(web, family), 'via', family.host)
      await greet(outside, family.outside, 80)
      expect(await ask(web, family.outside, 80)).toBe(addressOf(web, family))
    }
  })
})
