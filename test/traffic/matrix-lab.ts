/**
 * The stage of the reachability matrix: a host with eight networks, one of each shape, every one with the sandbox in question and a
 * sibling; a ninth network with a stranger; the outside. Who sets the networks up (netmode, Docker) is left open: `Builder`.
 */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { type PrivateHost, PrivateNamespace } from '../setup/namespace.js'
import { at, Peer, type Place } from '../setup/peers.js'
import { type Answer, type Case, type Configuration, describeCase, shapes, type Target, type Vantage } from './matrix.js'

type Addresses = Readonly<Record<4 | 6, string>>

/** One namespace with a server on port 80. */
export interface Member {
  readonly name: string
  readonly addresses: Addresses
  /** Of its network. */
  readonly bridge: Addresses
}

/** Ports of the sandbox in question. */
export interface PublishedPorts {
  readonly all: number
  readonly one: number
  readonly loopback: number
}

/** A network of one shape. Names are those of namespaces in /run/netns. */
export interface Subject {
  readonly shape: Omit<Configuration, 'bridgeNf'>
  readonly network: string
  readonly subnets: readonly [v4: string, v6: string]
  readonly target: Member
  readonly sibling: Member
  readonly ports: PublishedPorts
}

/** The host's outer addresses, the outside's, and the loopback's. */
export const outer: Addresses = { 4: '198.51.100.1', 6: '2001:db8:100::1' }
export const away: Addresses = { 4: '198.51.100.2', 6: '2001:db8:100::2' }
const loopback: Addresses = { 4: '127.0.0.1', 6: '::1' }

/** The port that every server listens on, and the one that the stranger's is published as. */
export const served = 80
export const strangerPort = 9000

export const subjects: readonly Subject[] = shapes.map((shape, index) => {
  const i = index + 1 // `fd10:0::` would not be how the kernel prints it
  return {
    shape,
    network: `net${i}`,
    subnets: [`10.10.${i}.0/24`, `fd10:${i}::/64`],
    target: member(`web${i}`, `10.10.${i}.`, `fd10:${i}::`, 2),
    sibling: member(`sibling${i}`, `10.10.${i}.`, `fd10:${i}::`, 3),
    ports: { all: 8000 + 10 * i, one: 8001 + 10 * i, loopback: 8002 + 10 * i },
  }
})

export const strangers = {
  network: 'others',
  subnets: ['10.20.0.0/24', 'fd20::/64'],
  stranger: member('stranger', '10.20.0.', 'fd20::', 2),
} as const

const members: readonly Member[] = [...subjects.flatMap(({ target, sibling }) => [target, sibling]), strangers.stranger]

function member(name: string, v4: string, v6: string, last: number): Member {
  return { name, addresses: { 4: `${v4}${last}`, 6: `${v6}${last}` }, bridge: { 4: `${v4}1`, 6: `${v6}1` } }
}

/** What a subject publishes, in Docker's `-p` grammar. */
export function publications({ ports: { all, one, loopback: local } }: Subject): string[] {
  const sockets = [`${all}`, at(outer[4], one), at(outer[6], one), at(loopback[4], local), at(loopback[6], local)]
  return sockets.flatMap(socket => [`${socket}:${served}`, `${socket}:${served}/udp`])
}

/** How long a packet that must not come is waited for, how long one that must, and how long one of which nothing is known. In ms. */
const quiet = 400
const loud = 10_000
const unsure = 1_500

function patienceFor(expected: string | undefined): number {
  if (expected === undefined) return unsure
  return expected === 'silent' || expected === 'heard' ? quiet : loud
}

/** A client anywhere on the stage and the socket that it asks. */
export interface Question {
  /** Name of the namespace. */
  readonly from: string
  readonly protocol: 'tcp' | 'udp'
  readonly host: string
  readonly port: number
}

/** Servers in all namespaces, and clients. Open it when the networks are made. */
export class Lab implements AsyncDisposable {
  readonly #peers = new Map<string, Peer>()
  /** Every datagram that a server was sent: what a client has not heard of may still have come. */
  readonly #heard = new Set<string>()
  readonly #machine: PrivateHost

  private constructor(machine: PrivateHost) {
    this.#machine = machine
  }

  static async open(machine: PrivateHost): Promise<Lab> {
    const lab = new Lab(machine)
    await Promise.all([
      lab.#prepareHost(),
      lab.#prepareOutside(),
      ...subjects.flatMap(({ target, sibling, shape }) => [
        prepareSandbox(target, shape.internal),
        prepareSandbox(sibling, shape.internal).then(() => loseLoopback(sibling.name, sibling.bridge)),
      ]),
      prepareSandbox(strangers.stranger, false).then(() => loseLoopback('stranger', strangers.stranger.bridge)),
    ])
    for (const name of [machine.name, ...members.map(one => one.name)]) await lab.settled(name)
    for (const one of members) await lab.serve(one.name, one.addresses)
    await lab.serve(machine.outside.name, away)
    return lab
  }

  /** A place in the namespace of this name. */
  place(name: string): Place {
    const known = this.#peers.get(name) ?? new Peer(new PrivateNamespace(name).netns)
    this.#peers.set(name, known)
    return known
  }

  /** TCP and UDP servers there that tell who they are and whom they see. Answers what ends them. */
  async serve(name: string, addresses: Partial<Addresses>, port = served): Promise<() => void> {
    const place = this.place(name)
    const servers: { close(): unknown }[] = []
    for (const host of Object.values(addresses)) {
      const tell = (address: string | undefined) => JSON.stringify({ server: name, saw: address })
      const server = createServer(socket => {
        socket.on('error', () => {}) // the client may be gone already
        socket.end(tell(socket.remoteAddress))
      })
      await place.listen(server, { host, port })
      servers.push(server)
      const udp = await place.udp({ host, port })
      servers.push(udp)
      udp.on('message', (message, client) => {
        this.#heard.add(message.toString())
        udp.send(tell(client.address), client.port, client.address, () => {})
      })
    }
    return () => servers.forEach(server => void server.close())
  }

  /** Closes every socket in the namespace of this name. */
  async leave(name: string): Promise<void> {
    await this.#peers.get(name)?.[Symbol.asyncDispose]()
    this.#peers.delete(name)
  }

  /** Resolves when no IPv6 address is on trial any more: until then silence would say nothing. */
  async settled(name: string): Promise<void> {
    while ((await new PrivateNamespace(name).ip('-6', 'address', 'show', 'tentative')).trim() !== '') await delay(20)
  }

  /** Asks the server that this case is about. `expected`: decides how long is waited for. */
  async probe(one: Case, expected?: Answer): Promise<string> {
    const subject = subjectOf(one)
    const { from, family, protocol } = one
    const client = {
      place: this.place(this.#namespaceOf(from, subject)),
      ...this.#source(one, subject),
      patience: patienceFor(expected),
    }
    const { server, ...socket } = destination(one, subject)
    const text = describeCase(one)
    const reply = await ask(client, protocol, socket, text)
    if (typeof reply === 'string') return reply === 'silent' && this.#heard.has(text) ? 'heard' : reply
    const expectedName = server ?? this.#machine.outside.name
    if (reply.server !== expectedName) return `reached ${reply.server} instead of ${expectedName}`
    return seenAs(reply.saw, family, from, subject, server === 'stranger' ? strangers.stranger : subject.target)
  }

  /** Who answered and whom it saw, in words: `web1 sees outside`; or what came of it. */
  async reach({ from, protocol, ...socket }: Question, expected?: string): Promise<string> {
    const reply = await ask({ place: this.place(from), patience: patienceFor(expected) }, protocol, socket)
    return typeof reply === 'string' ? reply : `${reply.server} sees ${this.#nameOf(reply.saw)}`
  }

  #nameOf(address: string): string {
    const known = ([4, 6] as const).flatMap(family => [
      [outer[family], 'host'],
      [away[family], 'outside'],
      ...members.flatMap(({ name, addresses, bridge }) => [
        [addresses[family], name],
        [bridge[family], 'bridge'],
      ]),
    ])
    return new Map(known as [string, string][]).get(address) ?? address
  }

  async #prepareHost(): Promise<void> {
    // What is closed must say so every time, however often it is asked.
    await this.#machine.run('sysctl', '-qw', 'net.ipv4.icmp_ratemask=0', 'net.ipv6.icmp.ratelimit=0')
  }

  /** The outside knows all networks behind the host: what it doesn't reach, it doesn't for want of a route. */
  async #prepareOutside(): Promise<void> {
    const { outside } = this.#machine
    for (const [block, family] of [
      ['10.10.0.0/16', 4],
      ['10.20.0.0/16', 4],
      ['fd10::/16', 6],
      ['fd20::/16', 6],
    ] as const)
      await outside.ip('route', 'add', block, 'via', outer[family])
    await loseLoopback(outside.name, outer)
  }

  /**
   * Clients leave their address to the kernel, but for the loopback's, and those who send to somebody else's loopback: for ::1 the kernel
   * would take their link-local address, which no answer could come back to.
   */
  #source({ from, to, family }: Case, { sibling }: Subject): { localAddress?: string } {
    const abroad = { outside: away, sibling: sibling.addresses, stranger: strangers.stranger.addresses } as const
    if (from === 'loopback') return { localAddress: loopback[family] }
    return (to === 'loopback' || to === 'allByLoopback') && from in abroad
      ? { localAddress: abroad[from as keyof typeof abroad][family] }
      : {}
  }

  #namespaceOf(from: Vantage, { target, sibling }: Subject): string {
    switch (from) {
      case 'host':
      case 'loopback':
        return this.#machine.name
      case 'outside':
        return this.#machine.outside.name
      case 'sibling':
        return sibling.name
      case 'self':
        return target.name
      case 'stranger':
        return strangers.stranger.name
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#peers.values()].map(peer => peer[Symbol.asyncDispose]()))
  }
}

export function subjectOf({ icc, internal, masquerade }: Configuration): Subject {
  const found = subjects.find(({ shape }) => shape.icc === icc && shape.internal === internal && shape.masquerade === masquerade)
  if (found === undefined) throw new Error('no such shape')
  return found
}

/** Sandboxes of internal networks have no default route: these give themselves one, so that something has to stop them. */
async function prepareSandbox({ name, bridge }: Member, internal: boolean): Promise<void> {
  const sandbox = new PrivateNamespace(name)
  if (!internal) return
  await sandbox.ip('route', 'replace', 'default', 'via', bridge[4])
  await sandbox.ip('-6', 'route', 'replace', 'default', 'via', bridge[6])
}

/** From now on this namespace sends what is for 127.0.0.1 and ::1 to the host, as an attacker next door would. */
async function loseLoopback(name: string, via: Addresses): Promise<void> {
  const namespace = new PrivateNamespace(name)
  await namespace.run('sysctl', '-qw', 'net.ipv4.conf.all.route_localnet=1')
  await namespace.ip('address', 'delete', '127.0.0.1/8', 'dev', 'lo')
  await namespace.ip('-6', 'address', 'delete', '::1/128', 'dev', 'lo')
  await namespace.ip('route', 'add', '127.0.0.1/32', 'via', via[4])
  await namespace.ip('-6', 'route', 'add', '::1/128', 'via', via[6])
}

interface SocketAddress {
  readonly host: string
  readonly port: number
}

/** Whom a case asks, by which address. Without a name it is the outside. */
function destination({ to, family }: Case, { target, ports }: Subject): SocketAddress & { readonly server?: string } {
  const web = (host: string, port: number) => ({ server: target.name, host, port })
  const destinations: Readonly<Record<Target, SocketAddress & { readonly server?: string }>> = {
    sandbox: web(target.addresses[family], served),
    all: web(outer[family], ports.all),
    allByBridge: web(target.bridge[family], ports.all),
    allByLoopback: web(loopback[family], ports.all),
    one: web(outer[family], ports.one),
    oneByBridge: web(target.bridge[family], ports.one),
    loopback: web(loopback[family], ports.loopback),
    loopbackByHost: web(outer[family], ports.loopback),
    outside: { host: away[family], port: served },
    strangerSandbox: { server: 'stranger', host: strangers.stranger.addresses[family], port: served },
    strangerPublished: { server: 'stranger', host: outer[family], port: strangerPort },
  }
  return destinations[to]
}

function seenAs(saw: string, family: 4 | 6, from: Vantage, { target, sibling }: Subject, server: Member): string {
  const own: Partial<Record<Vantage, string>> = {
    outside: away[family],
    sibling: sibling.addresses[family],
    self: target.addresses[family],
    stranger: strangers.stranger.addresses[family],
  }
  if (saw === own[from]) return 'itself'
  if (saw === server.bridge[family]) return 'bridge'
  if (saw === outer[family]) return 'host'
  return `reached as ${saw}`
}

export interface Client {
  readonly place: Place
  readonly localAddress?: string
  /** ms */
  readonly patience: number
}

/** What a server said, or what came of it: `refused`, `silent`, `unreachable`. */
export async function ask(
  client: Client,
  protocol: 'tcp' | 'udp',
  to: SocketAddress,
  text = 'who am I?',
): Promise<{ server: string; saw: string } | string> {
  try {
    const answer = await (protocol === 'tcp' ? askTcp(client, to) : askUdp(client, to, text))
    return answer === '' ? 'closed' : JSON.parse(answer)
  } catch (error) {
    const { code, name } = error as { code?: unknown; name?: string }
    const outcome = kOutcomes[String(code)] ?? kOutcomes[String(name)]
    if (outcome === undefined) throw error
    return outcome
  }
}

async function askTcp({ place, localAddress, patience }: Client, { host, port }: SocketAddress): Promise<string> {
  const socket = await place.dial({ host, port, timeout: patience, ...(localAddress && { localAddress }) })
  socket.setTimeout(patience, () => socket.destroy(new DOMException('no answer', 'TimeoutError')))
  let answer = ''
  for await (const chunk of socket) answer += String(chunk)
  return answer
}

/** The socket is connected, so it learns of a closed port, and takes no answer but from whom it asked. */
async function askUdp({ place, localAddress, patience }: Client, { host, port }: SocketAddress, text: string): Promise<string> {
  const socket = await place.udp({ type: host.includes(':') ? 'udp6' : 'udp4', ...(localAddress && { host: localAddress }) })
  try {
    const connected = once(socket, 'connect')
    socket.connect(port, host)
    await connected
    socket.send(text)
    const [message] = (await once(socket, 'message', { signal: AbortSignal.timeout(patience) })) as [Buffer]
    return message.toString()
  } finally {
    socket.close()
  }
}

const kOutcomes: Readonly<Record<string, Answer | 'closed'>> = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'closed',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EINVAL: 'unreachable', // how the kernel refuses to send from 127.0.0.1 to another device
  TimeoutError: 'silent',
  AbortError: 'silent',
}
