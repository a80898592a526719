/** A sandbox's connections to the outside, taken by a proxy on the host. */
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect } from 'vitest'
import type { Host, Sandbox } from '../../lib/index.js'
import { open } from '../setup/between.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { addressOf, ask, askUdp, families, greet, greetUdp, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'

const { describe, test } = requires('root', 'program:python3', 'program:nft')

let machine: PrivateHost
let host: Host
let web: Sandbox
let outside: Peer
let self: Peer
const ended: (() => void)[] = []

beforeEach(async () => {
  machine = await freshHost()
  if (existsSync('/proc/sys/net/bridge')) await machine.run('sysctl', '-qw', 'net.bridge.bridge-nf-call-ip6tables=0')
  outside = new Peer(machine.outside.netns)
  self = new Peer(machine.netns)
  host = await open(machine)
  await host.networks.create({ name: 'lan', subnets: ['10.7.0.0/24', 'fd07::/64'] })
  web = await host.sandboxes.create({ name: 'web', network: 'lan' })
  for (const { outside: address } of families) for (const port of [80, 443]) await greet(outside, address, port)
})
afterEach(async () => {
  for (const end of ended.splice(0)) end()
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await outside[Symbol.asyncDispose]()
  await self[Symbol.asyncDispose]()
  await machine.remove()
})

/** Tells each client whom it saw, and where that one wanted to go, as the kernel remembers it (SO_ORIGINAL_DST). */
const proxy = `
import socket, struct, sys
address, port = sys.argv[1], int(sys.argv[2])
six = ':' in address
server = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if six: server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
server.bind((address, port))
server.listen()
print('ready', flush=True)
while True:
  client, peer = server.accept()
  raw = client.getsockopt(socket.IPPROTO_IPV6 if six else socket.SOL_IP, 80, 28)
  to = socket.inet_ntop(socket.AF_INET6, raw[8:24]) if six else socket.inet_ntoa(raw[4:8])
  client.sendall(f'{peer[0]} to {to} {struct.unpack(">H", raw[2:4])[0]}'.encode())
  client.close()
`

async function listen(address: string, port: number): Promise<void> {
  const child = machine.spawn('python3', ['-c', proxy, address, String(port)], { stdio: ['ignore', 'pipe', 'inherit'] })
  ended.push(() => child.kill('SIGKILL'))
  await once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), 'line')
}

describe.each(families)('over $name', family => {
  const { version, loopback } = family
  const any = version === 4 ? '0.0.0.0' : '::'
  const seen = (port: number) => `${addressOf(web, family)} to ${family.outside} ${port}`
  const direct = family.host // masqueraded

  test('goes to the proxy, which sees who it is and where he wanted to go, for as long as it is on', async () => {
    await listen(any, 3128)
    expect(await ask(web, family.outside, 80)).toBe(direct)
    expect(await web.redirect({ ports: [80], to: 3128 })).toEqual([{ protocol: 'tcp', port: 80, to: 3128 }])
    expect(await ask(web, family.outside, 80)).toBe(seen(80))
    expect(await ask(web, family.outside, 443)).toBe(direct)
    await web.redirect({ ports: 'all', to: 3128 })
    expect(await ask(web, family.outside, 443)).toBe(seen(443))
    await web.unredirect({ ports: 'all' })
    expect(await ask(web, family.outside, 443)).toBe(direct)
    expect(await ask(web, family.outside, 80)).toBe(seen(80))
    expect(await web.unredirect()).toEqual([{ protocol: 'tcp', port: 80, to: 3128 }])
    expect(await ask(web, family.outside, 80)).toBe(direct)
    expect(await web.unredirect()).toEqual([])
  })

  test('a proxy that listens on the loopback alone', async () => {
    await listen(loopback, 3128)
    await web.redirect({ ports: ['80-81', 443], to: version === 4 ? '127.0.0.1:3128' : '[::1]:3128' })
    expect(await ask(web, family.outside, 80)).toBe(seen(80))
    expect(await ask(web, family.outside, 443)).toBe(seen(443))
  })

  test('leaves others, the host and what is published on it alone', async () => {
    await listen(any, 3128)
    await using sibling = await host.sandboxes.create({ name: 'sibling', network: 'lan', publish: ['8080:80'] })
    await greet(sibling, addressOf(sibling, family), 80)
    await greet(self, family.host, 81)
    await web.redirect({ ports: 'all', to: 3128 })
    expect(await ask(sibling, family.outside, 80)).toBe(direct)
    expect(await ask(web, addressOf(sibling, family), 80)).toBe(addressOf(web, family))
    expect(await ask(web, family.host, 81)).toBe(addressOf(web, family))
    expect(await ask(web, family.host, 8080)).toBe(web.endpoints[0]?.[`ipv${version}`]?.gateway)
  })

  test('datagrams, which a name server of the host answers', async () => {
    await greetUdp(self, web.endpoints[0]?.[`ipv${version}`]?.gateway ?? '', 5353)
    await web.redirect({ ports: [53], to: 5353, protocol: 'udp' })
    const from = version === 4 ? `${family.outside}:53` : `[${family.outside}]:53`
    expect(await askUdp(web, family.outside, 53)).toEqual({ saw: addressOf(web, family), from })
  })
})

test('comes back after a flush, follows the sandbox to another network, and goes with it', async () => {
  const [family] = families
  await host.networks.create({ name: 'second', subnets: ['10.8.0.0/24'] })
  const before = await machine.dump()
  await listen('0.0.0.0', 3128)
  await using other = await host.sandboxes.create({ name: 'other', network: 'lan' })
  await other.redirect({ ports: [80], to: 3128 })
  const made = await machine.dump()
  await machine.nft('flush', 'ruleset')
  await host.recover()
  expect((await machine.dump()).ruleset).toEqual(made.ruleset)

  await other.attach('second', { gatewayPriority: 1 })
  const { ipv4 } = other.endpoints[1] ?? {}
  expect(await ask(other, family.outside, 80)).toBe(`${ipv4?.address} to ${family.outside} 80`)
  await other.detach('second')
  expect(await ask(other, family.outside, 80)).toBe(`${addressOf(other, family)} to ${family.outside} 80`)
  expect((await host.sandboxes.inspect('other')).Redirects).toEqual([{ Port: '80/tcp', To: '3128' }])

  await other.remove()
  expect((await machine.dump()).ruleset).toEqual(before.ruleset)
})

test('wrong arguments are named', async () => {
  const wrong = [
    [{ ports: [0], to: 3128 }, 'ports[0]'],
    [{ ports: [], to: 3128 }, 'ports'],
    [{ ports: ['9-8'], to: 3128 }, 'ports[0]'],
    [{ ports: 'some', to: 3128 }, 'ports'],
    [{ ports: [80], to: 65_536 }, 'to'],
    [{ ports: [80], to: '0.0.0.0:3128' }, 'to'],
    [{ ports: [80], to: 'proxy:3128' }, 'to'],
    [{ ports: [80] }, 'to'],
    [{ ports: [80], to: 3128, protocol: 'sctp' }, 'protocol'],
    [{ ports: [80], to: 3128, port: 1 }, 'port'],
  ] as const
  for (const [options, field] of wrong) {
    await expect(web.redirect(options as never), JSON.stringify(options)).rejects.toMatchObject({
      code: 'ERR_NETMODE_INVALID_ARGUMENT',
      field,
    })
  }
  await using none = await host.sandboxes.create({ name: 'guest', network: 'container:web' })
  await expect(none.redirect({ ports: [80], to: 3128 })).rejects.toMatchObject({ code: 'ERR_NETMODE_UNSUPPORTED' })
})
