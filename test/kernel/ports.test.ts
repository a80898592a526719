/** Published ports on a real kernel: Docker's -p grammar, who holds what, and flows that outlive a rule. */
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import type { Host, PortInput, PublishedPort, Sandbox } from '../../lib/index.js'
import type { Outcome } from '../process/programs/crowd.js'
import { open, openBetween } from '../setup/between.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { ask, askUdp, families, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'
import { Programs } from '../setup/program.js'
import { stateTree } from '../setup/state-tree.js'
import { answer, answerUdp, Talk } from '../setup/talk.js'

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
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
  web = await host.sandboxes.create({ name: 'web', network: 'lan' })
})
afterEach(async () => {
  await outside[Symbol.asyncDispose]()
  await self[Symbol.asyncDispose]()
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await machine.remove()
})

/** `0.0.0.0:8080->80/tcp` */
const show = ({ hostIp, hostPort, containerPort, protocol }: PublishedPort): string =>
  `${hostIp.includes(':') ? `[${hostIp}]` : hostIp}:${hostPort}->${containerPort}/${protocol}`
const both = (rest: string): string[] => [`0.0.0.0:${rest}`, `[::]:${rest}`]

/** Elements of the ruleset's sets and maps, and claims on disk, that speak of published ports. */
async function traces(): Promise<readonly string[]> {
  const table = JSON.parse(await machine.nft('-j', 'list', 'table', 'inet', 'netmode')) as {
    nftables: { map?: Elements; set?: Elements }[]
  }
  const elements = table.nftables
    .map(one => one.map ?? one.set)
    .filter(one => /^(publish|exposed)/.test(one?.name ?? ''))
    .flatMap(one => (one?.elem ?? []).map(element => `${one?.name} ${JSON.stringify(element)}`))
  const claims = Object.keys(await stateTree(`${machine.stateDir}/ports`))
  return [...elements, ...claims]
}
interface Elements {
  readonly name: string
  readonly elem?: readonly unknown[]
}

describe('what -p means', () => {
  test.each<[PortInput | readonly PortInput[], readonly string[]]>([
    ['8080:80', both('8080->80/tcp')],
    ['8000-8002:80-82', ['8000->80/tcp', '8001->81/tcp', '8002->82/tcp'].flatMap(both)],
    ['5353:53/udp', both('5353->53/udp')],
    ['5000:5000/SCTP', both('5000->5000/sctp')],
    ['127.0.0.1:8080:80', ['127.0.0.1:8080->80/tcp']],
    ['198.51.100.1:8080-8081:80-81/udp', ['198.51.100.1:8080->80/udp', '198.51.100.1:8081->81/udp']],
    ['[2001:DB8:100::1]:8080:80', ['[2001:db8:100::1]:8080->80/tcp']],
    ['[::1]:8080:80', ['[::1]:8080->80/tcp']],
    ['[::]:8080:80', ['[::]:8080->80/tcp']],
    ['0.0.0.0:8080:80', ['0.0.0.0:8080->80/tcp']],
    [['8080:80', '8081:80', '8080:80/udp'], ['8080->80/tcp', '8081->80/tcp', '8080->80/udp'].flatMap(both)],
    [
      ['127.0.0.1:8080:80', '198.51.100.1:8080:81'],
      ['127.0.0.1:8080->80/tcp', '198.51.100.1:8080->81/tcp'],
    ],
    [{ containerPort: 80, hostPort: 8080 }, both('8080->80/tcp')],
    [{ containerPort: 53, hostPort: 53, hostIp: '127.0.0.53', protocol: 'udp' }, ['127.0.0.53:53->53/udp']],
  ])('%j on a live sandbox, and back', async (ports, expected) => {
    const before = await traces()
    const published = await web.publish(ports as PortInput)
    expect(published.map(show)).toEqual(expected)
    expect(web.ports).toEqual(published)
    expect((await host.sandboxes.get('web'))?.ports).toEqual(published)
    const claims = (await traces()).filter(one => /^\w+-\d+\//.test(one))
    expect(claims).toHaveLength(expected.length)
    expect((await web.unpublish(published)).map(show)).toEqual(expected)
    expect(await traces()).toEqual(before)
    // The same at creation.
    await using made = await host.sandboxes.create({ name: 'made', network: 'lan', publish: [ports].flat() as PortInput[] })
    expect(made.ports.map(show)).toEqual(expected)
  })

  test('a range of host ports for one container port: the first that is free', async () => {
    await host.sandboxes.create({ name: 'other', network: 'lan', publish: ['8000:80', '[::]:8001:80'] })
    await self.listen(createServer(), { host: '198.51.100.1', port: 8002 })
    expect((await web.publish('8000-8005:80')).map(show)).toEqual(both('8003->80/tcp'))
    expect((await web.publish('8000-8005:80')).map(show)).toEqual(both('8004->80/tcp'))
    // Of one family only: what the other family has taken is no hindrance.
    expect((await web.publish('0.0.0.0:8001-8005:80')).map(show)).toEqual(['0.0.0.0:8001->80/tcp'])
    expect((await web.publish('8000-8005:80')).map(show)).toEqual(both('8005->80/tcp'))
    await expect(web.publish('8000-8005:80')).rejects.toMatchObject({ code: 'ERR_NETMODE_PORT_IN_USE', subject: '8000-8005/tcp' })
    expect((await web.publish('8000-8005:80/udp')).map(show)).toEqual(both('8000->80/udp'))
  })

  test('a range of which much is published takes one plan, not one for each port that is taken', async () => {
    await host.sandboxes.create({ name: 'other', network: 'lan', publish: ['8000-8029:8000-8029', '127.0.0.1:8030:80'] })
    const { host: counting, between } = await openBetween(machine)
    const claiming = () => between.plans.filter(plan => plan.some(({ apply }) => apply.op === 'port.claim')).length
    const made = await counting.sandboxes.create({ name: 'made', network: 'lan', publish: ['0.0.0.0:8000-8040:80'] })
    // 127.0.0.1:8030 is in the way of 0.0.0.0:8030, and not of another address.
    expect(made.ports.map(show)).toEqual(['0.0.0.0:8031->80/tcp'])
    expect(claiming()).toBe(1)
    expect((await made.publish('198.51.100.1:8000-8040:81')).map(show)).toEqual(['198.51.100.1:8030->81/tcp'])
    expect(claiming()).toBe(2)
    await counting.close()
  })

  test('a fixed port that is taken is refused at once, though others could be chosen', async () => {
    await host.sandboxes.create({ name: 'other', network: 'lan', publish: ['8000:80'] })
    await expect(web.publish(['8000-8005:80', '8000:81', '82'])).rejects.toMatchObject({ code: 'ERR_NETMODE_PORT_IN_USE', holder: 'other' })
    // Within one call the range makes way for the fixed one.
    expect((await web.publish(['8001-8005:80', '8001:81'])).map(show)).toEqual([...both('8002->80/tcp'), ...both('8001->81/tcp')])
  })

  test('random ports come from ip_local_port_range without the reserved ones, the same for IPv4 and IPv6', async () => {
    await machine.run('sysctl', '-qw', 'net.ipv4.ip_local_port_range=40000 40009', 'net.ipv4.ip_local_reserved_ports=40003-40005,40008')
    await self.listen(createServer(), { host: '198.51.100.1', port: 40_001 }) // of IPv4 only
    await self.listen(createServer(), { host: '::1', port: 40_002 }) // of IPv6 only
    const published = await web.publish(['80', '81', { containerPort: 82 }])
    expect(published.map(({ hostIp, containerPort }) => `${hostIp} ${containerPort}`)).toEqual(
      [80, 81, 82].flatMap(port => [`0.0.0.0 ${port}`, `:: ${port}`]),
    )
    for (const port of [80, 81, 82])
      expect(new Set(published.filter(one => one.containerPort === port).map(one => one.hostPort)).size).toBe(1)
    expect(new Set((await web.publish('83')).map(({ hostIp }) => hostIp))).toEqual(new Set(['0.0.0.0', '::']))
    expect([...new Set(web.ports.map(({ hostPort }) => hostPort))].sort()).toEqual([40_000, 40_006, 40_007, 40_009])
    await expect(web.publish('84')).rejects.toMatchObject({
      code: 'ERR_NETMODE_EXHAUSTED',
      message: expect.stringContaining('40000-40009'),
    })
    // Another protocol has ports of its own.
    expect((await web.publish('53/udp')).every(({ hostPort }) => hostPort >= 40_000 && hostPort <= 40_009)).toBe(true)
  })

  test('publishAll publishes what is exposed and not published already', async () => {
    await using box = await host.sandboxes.create({
      name: 'box',
      network: 'lan',
      expose: ['80', '81/tcp', '53/udp', '9000-9001'],
      publish: ['8080:80'],
      publishAll: true,
    })
    const containerPorts = box.ports.map(({ containerPort, protocol, hostIp }) => `${hostIp} ${containerPort}/${protocol}`)
    expect(containerPorts).toEqual(
      ['80/tcp', '81/tcp', '53/udp', '9000/tcp', '9001/tcp'].flatMap(port => [`0.0.0.0 ${port}`, `:: ${port}`]),
    )
    expect(box.ports.slice(0, 2).map(show)).toEqual(both('8080->80/tcp'))
    await using exposed = await host.sandboxes.create({ name: 'exposed', network: 'lan', expose: ['80'] })
    expect(exposed.ports).toEqual([])
  })

  test.each<[PortInput, string]>([
    ['203.0.113.9:8080:80', 'an address of this host'],
    ['[2001:db8::9]:8080:80', 'an address of this host'],
  ])('%s is refused: %s', async (port, reason) => {
    const before = await traces()
    await expect(web.publish(port)).rejects.toMatchObject({
      code: 'ERR_NETMODE_INVALID_ARGUMENT',
      field: 'ports[0].hostIp',
      message: expect.stringContaining(reason),
    })
    expect(await traces()).toEqual(before)
  })

  test('a family that the sandbox has no address of is refused; without an address only the other is published', async () => {
    await host.networks.create({ name: 'four', subnets: ['10.4.0.0/24'] })
    await using box = await host.sandboxes.create({ name: 'box', network: 'four' })
    expect((await box.publish('8080:80')).map(show)).toEqual(['0.0.0.0:8080->80/tcp'])
    await expect(box.publish('[::1]:8081:80')).rejects.toMatchObject({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'ports[0].hostIp' })
  })

  test('unpublish takes the host side, and only what is there', async () => {
    await web.publish(['8080:80', '127.0.0.1:8081:80', '8080:80/udp'])
    expect(await web.unpublish('9999')).toEqual([])
    expect(await web.unpublish('8080:81')).toEqual([])
    expect((await web.unpublish('[::]:8080')).map(show)).toEqual(['[::]:8080->80/tcp'])
    expect((await web.unpublish(['8080:80', '8081'])).map(show)).toEqual(['0.0.0.0:8080->80/tcp', '127.0.0.1:8081->80/tcp'])
    expect(web.ports.map(show)).toEqual(both('8080->80/udp'))
    await expect(web.unpublish('/udp')).rejects.toMatchObject({
      code: 'ERR_NETMODE_INVALID_ARGUMENT',
      field: expect.stringMatching(/^ports/),
    })
  })
})

describe.each(families)('who reaches a port over $name', ({ version, host: address, outside: client, loopback }) => {
  const target = version === 4 ? '10.9.0.2' : 'fd00:9::2'
  const gateway = version === 4 ? '10.9.0.1' : 'fd00:9::1'
  const bracketed = (ip: string) => (version === 4 ? ip : `[${ip}]`)
  beforeEach(async () => {
    await answer(web, target, 80)
    await answerUdp(web, target, 53)
  })

  test('published on all addresses, published and taken back while it lives', async () => {
    expect(await ask(outside, address, 8080)).toBe('refused')
    for (let round = 0; round < 3; round++) {
      await web.publish(['8080:80', '5353:53/udp'])
      expect(await ask(outside, address, 8080)).toBe(`${client} at ${target}`)
      expect(await ask(self, loopback, 8080)).toBe(`${gateway} at ${target}`)
      expect(await askUdp(outside, address, 5353)).toMatchObject({ saw: `${client} at ${target}` })
      await web.unpublish(['8080', '5353/udp'])
      expect(await ask(outside, address, 8080)).toBe('refused')
      expect(await ask(self, loopback, 8080)).toBe('refused')
      expect(await askUdp(outside, address, 5353, { quiet: true })).toBe('silent')
    }
  })

  test('published on one address', async () => {
    await web.publish([`${bracketed(address)}:8080:80`, `${bracketed(address)}:5353:53/udp`])
    expect(await ask(outside, address, 8080)).toBe(`${client} at ${target}`)
    expect(await askUdp(outside, address, 5353)).toMatchObject({ saw: `${client} at ${target}` })
    expect(await ask(self, loopback, 8080)).toBe('refused')
    expect(await ask(outside, version === 4 ? '2001:db8:100::1' : '198.51.100.1', 8080)).toBe('refused')
  })

  test('published on the loopback address only', async () => {
    await web.publish([`${bracketed(loopback)}:8080:80`, `${bracketed(loopback)}:5353:53/udp`])
    expect(await ask(self, loopback, 8080)).toBe(`${gateway} at ${target}`)
    expect(await askUdp(self, loopback, 5353)).toMatchObject({ saw: `${gateway} at ${target}` })
    expect(await ask(outside, address, 8080)).toBe('refused')
    expect(await ask(self, address, 8080)).toBe('refused')
    expect(await askUdp(outside, address, 5353, { quiet: true })).toBe('silent')
  })
})

const hasSctp = existsSync('/proc/sys/net/sctp')
if (!hasSctp) process.stderr.write('skipped: this needs SCTP in the kernel\n')
describe('with SCTP in the kernel', { skip: !hasSctp }, () => {
  test('a client reaches a published port', async () => {
    await web.publish('5000:5000/sctp')
    const python = (body: string) => ['-c', `import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)\n${body}`]
    const server = web.spawn(
      'python3',
      python("s.bind(('0.0.0.0', 5000)); s.listen(); print('up', flush=True); s.accept()[0].send(b'hello')"),
    )
    await new Promise(resolve => server.stdout?.once('data', resolve))
    const client = python("s.connect(('198.51.100.1', 5000)); print(s.recv(9).decode())")
    expect(await machine.outside.run('python3', ...client)).toBe('hello\n')
  })
})

describe('who holds a port', () => {
  const me = new RegExp(`^process ${process.pid} \\(.+\\)$`)
  const refused = (holder: unknown) => ({ code: 'ERR_NETMODE_PORT_IN_USE', holder })

  test.each<[claim: string, listens: string, isInTheWay: boolean]>([
    ['8080:80', '0.0.0.0', true],
    ['8080:80', '127.0.0.1', true],
    ['8080:80', '::1', true],
    ['8080:80', '::', true],
    ['0.0.0.0:8080:80', '::1', false],
    ['127.0.0.1:8080:80', '0.0.0.0', true],
    ['127.0.0.1:8080:80', '127.0.0.1', true],
    ['127.0.0.1:8080:80', '198.51.100.1', false],
    ['198.51.100.1:8080:80', '::', true], // an IPv6 wildcard socket takes IPv4 as well
    ['[::1]:8080:80', '0.0.0.0', false],
    ['[::1]:8080:80', '::', true],
  ])('%s while a server listens on %s', async (claim, listens, isInTheWay) => {
    const before = await traces()
    const server = await self.listen(createServer(), { host: listens, port: 8080 })
    if (isInTheWay) {
      await expect(web.publish(claim)).rejects.toMatchObject(refused(expect.stringMatching(me)))
      expect(await traces()).toEqual(before)
    }
    // Another protocol is another port.
    expect(await web.publish(`${claim}/udp`)).not.toEqual([])
    if (isInTheWay) await new Promise(resolve => server.close(resolve))
    expect(await web.publish(claim)).not.toEqual([])
  })

  test.each<[claim: string, bound: string, isInTheWay: boolean]>([
    ['5353:53/udp', '0.0.0.0', true],
    ['5353:53/udp', '198.51.100.1', true],
    ['127.0.0.1:5353:53/udp', '0.0.0.0', true],
    ['127.0.0.1:5353:53/udp', '198.51.100.1', false],
  ])('%s while a UDP socket is bound to %s', async (claim, bound, isInTheWay) => {
    const socket = await self.udp({ host: bound, port: 5353 })
    if (isInTheWay) await expect(web.publish(claim)).rejects.toMatchObject(refused(expect.stringMatching(me)))
    else expect(await web.publish(claim)).toHaveLength(1)
    socket.close()
  })

  test('what a client has connected from is in nobody’s way', async () => {
    await answer(outside, '198.51.100.2', 80)
    const server = createServer(() => {})
    await outside.listen(server, { host: '198.51.100.2', port: 81 })
    const socket = await self.dial({ host: '198.51.100.2', port: 81 })
    expect(await web.publish(`${socket.localPort}:80`)).toHaveLength(2)
    socket.destroy()
  })

  test.each<[first: string, second: string, isInTheWay: boolean]>([
    ['8080:80', '8080:81', true],
    ['0.0.0.0:8080:80', '127.0.0.1:8080:80', true],
    ['127.0.0.1:8080:80', '0.0.0.0:8080:80', true],
    ['198.51.100.1:8080:80', '8080:80', true],
    ['[::]:8080:80', '[::1]:8080:80', true],
    ['[::1]:8080:80', '8080:80', true],
    ['127.0.0.1:8080:80', '127.0.0.1:8080:80', true],
    ['127.0.0.1:8080:80', '127.0.0.2:8080:80', false],
    ['0.0.0.0:8080:80', '[::]:8080:80', false],
    ['8080:80', '8080:80/udp', false],
    ['8080:80/sctp', '8080:80/tcp', false],
    ['8080:80', '8081:80', false],
  ])('%s, then %s by another sandbox', async (first, second, isInTheWay) => {
    await web.publish(first)
    const before = await traces()
    const other = { name: 'other', network: 'lan', publish: [second] }
    if (isInTheWay) {
      await expect(host.sandboxes.create(other)).rejects.toMatchObject(refused('web'))
      expect(await traces()).toEqual(before)
      await expect(web.publish(second)).rejects.toMatchObject(refused('web'))
      await web.unpublish(first.replace(/:\d+(\/\w+)?$/, '$1'))
    }
    expect((await host.sandboxes.create(other)).ports).not.toEqual([])
  })
})

describe('20 processes', () => {
  let programs: Programs
  beforeAll(async () => {
    programs = await Programs.bundle('test/process/programs/crowd.ts')
  })
  afterAll(() => programs[Symbol.asyncDispose]())

  const addresses = ['0.0.0.0', '127.0.0.1', '198.51.100.1', '[::]', '[2001:db8:100::1]']
  const family = (address: string) => (address.startsWith('[') ? 6 : 4)
  const isWildcard = (address: string) => address === '0.0.0.0' || address === '[::]'
  const conflict = (a: string, b: string) => family(a) === family(b) && (a === b || isWildcard(a) || isWildcard(b))

  test('mix wildcards and single addresses on the same ports: one winner for each real conflict', async () => {
    const ports = [8080, 8081, 8082, 8083]
    const claims = (process: number) =>
      ports.map((port, i) => ({ name: `box-${process}-${port}`, address: addresses[(process + i) % addresses.length] as string, port }))
    const all = Array.from({ length: 20 }, (_, i) =>
      programs.start(
        'crowd',
        machine.netns,
        machine.stateDir,
        ...claims(i).map(({ name, address, port }) => JSON.stringify({ name, network: 'lan', publish: [`${address}:${port}:80`] })),
      ),
    )
    await Promise.all(all.map(one => one.hear()))
    for (const one of all) one.say('go')
    const outcomes = (await Promise.all(all.map(async one => JSON.parse(await one.hear()) as Outcome[]))).flat()
    const failures = outcomes.flatMap(one => ('failed' in one ? [one] : []))
    expect(new Set(failures.map(({ failed }) => failed))).toEqual(new Set(['ERR_NETMODE_PORT_IN_USE']))
    const asked = all.flatMap((_, i) => claims(i))
    const won = asked.filter(({ name }) => outcomes.some(one => one.name === name && !('failed' in one)))
    for (const one of asked) {
      const rivals = won.filter(other => other.port === one.port && other.name !== one.name && conflict(one.address, other.address))
      // A winner has no rival; who lost, lost to a winner.
      if (won.includes(one)) expect(rivals).toEqual([])
      else expect(rivals.length, `${one.address}:${one.port}`).toBeGreaterThan(0)
    }
    expect((await host.sandboxes.list()).map(({ name }) => name).sort()).toEqual([...won.map(({ name }) => name), 'web'].sort())
    for (const one of all) one.say('enough')
    expect(await Promise.all(all.map(one => one.end()))).toEqual(all.map(() => 0))
    expect(Object.keys(await stateTree(`${machine.stateDir}/ports`))).toEqual([])
  })
})

describe.each(families)('a UDP client over $name that goes on sending', ({ version, host: address, outside: client }) => {
  const targetOf = (sandbox: Sandbox) => String((version === 4 ? sandbox.endpoints[0]?.ipv4 : sandbox.endpoints[0]?.ipv6)?.address)
  const specific = version === 4 ? address : `[${address}]`
  const met = (sandbox: Sandbox) => `${client} at ${targetOf(sandbox)}`

  test.each(['5353:53/udp', `${specific}:5353:53/udp`])('meets each owner of %s in turn', async port => {
    const other = await host.sandboxes.create({ name: 'other', network: 'lan' })
    for (const one of [web, other]) await answerUdp(one, targetOf(one), 53)
    using talk = await Talk.begin(outside, address, 5353)
    expect(await talk.say(true)).toBe('silent')
    await web.publish(port)
    expect(await talk.say()).toBe(met(web))
    await web.unpublish('5353/udp')
    expect(await talk.say(true)).toBe('silent')
    await other.publish(port)
    expect(await talk.say()).toBe(met(other))
    await other.remove()
    expect(await talk.say(true)).toBe('silent')
    await using third = await host.sandboxes.create({ name: 'third', network: 'lan', publish: [port] })
    await answerUdp(third, targetOf(third), 53)
    expect(await talk.say()).toBe(met(third))
  })

  test('to the same port somewhere else is left alone', async () => {
    const remote = await outside.udp({ host: client, port: 5353 })
    const mine = await web.udp({ type: version === 4 ? 'udp4' : 'udp6' })
    const heard: string[] = []
    const hears = () => new Promise<void>(resolve => mine.once('message', text => resolve(void heard.push(String(text)))))
    const sender = new Promise<{ address: string; port: number }>(resolve => remote.once('message', (_, from) => resolve(from)))
    mine.send('?', 5353, client)
    const { address: seen, port } = await sender
    expect(seen).toBe(address) // masqueraded
    await using other = await host.sandboxes.create({ name: 'other', network: 'lan', publish: ['5353:53/udp'] })
    // Only the tracked flow knows the way back to the sandbox.
    let answered = hears()
    remote.send('first', port, seen)
    await answered
    await other.unpublish('5353/udp')
    answered = hears()
    remote.send('second', port, seen)
    await answered
    expect(heard).toEqual(['first', 'second'])
  })

  test('to another published port is left alone', async () => {
    await web.publish('5354:53/udp')
    const server = await answerUdp(web, targetOf(web), 53)
    const caller = await outside.udp({ type: version === 4 ? 'udp4' : 'udp6' })
    const next = () => new Promise<string>(resolve => caller.once('message', (_, from) => resolve(`${from.address} ${from.port}`)))
    const asked = new Promise<{ address: string; port: number }>(resolve => server.once('message', (_, from) => resolve(from)))
    let answered = next()
    caller.send('?', 5354, address)
    expect(await answered).toBe(`${address} 5354`)
    await web.publish('5353:53/udp')
    await web.unpublish('5353/udp')
    answered = next()
    const { port } = await asked
    server.send('late', port, client)
    expect(await answered).toBe(`${address} 5354`)
  })
})
