/** Sockets in any namespace of a test, and servers that tell whom they saw. */
import type { RemoteInfo, Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Sandbox } from '../../lib/index.js'
import { KernelMechanism } from '../../lib/plan/mechanism.js'
import { Sockets } from '../../lib/sandbox/sockets.js'

/** Where sockets can be opened: a sandbox is one, a `Peer` another. */
export type Place = Pick<Sandbox, 'listen' | 'dial' | 'udp'>

/** A place in a namespace that is no sandbox: the host, its outside neighbour. Its sockets end with it. */
export class Peer implements Place, AsyncDisposable {
  readonly #mechanism = new KernelMechanism()
  readonly #sockets: Sockets

  /** @param netns path of the namespace, as `PrivateNamespace.netns` */
  constructor(netns: string) {
    this.#sockets = new Sockets(this.#mechanism, netns)
  }

  listen: Place['listen'] = (server, options) => this.#sockets.listen(server, options)
  dial: Place['dial'] = options => this.#sockets.dial(options)
  udp: Place['udp'] = options => this.#sockets.udp(options)

  async [Symbol.asyncDispose](): Promise<void> {
    this.#sockets.destroy()
    await this.#mechanism.close()
  }
}

/** The two families, with the addresses that `freshHost` gives. */
export const families = [
  { name: 'IPv4', version: 4, loopback: '127.0.0.1', host: '198.51.100.1', outside: '198.51.100.2' },
  { name: 'IPv6', version: 6, loopback: '::1', host: '2001:db8:100::1', outside: '2001:db8:100::2' },
] as const

/** The address of a sandbox's first endpoint. */
export function addressOf({ name, endpoints: [endpoint] }: Sandbox, { version }: { readonly version: 4 | 6 }): string {
  const address = version === 4 ? endpoint?.ipv4 : endpoint?.ipv6
  if (address === undefined) throw new Error(`sandbox ${name} has no IPv${version} address`)
  return address.address
}

/** How long a packet that must not come is waited for. What must come is waited for until the test ends. */
const kSilence = 300

/** `quiet`: nothing is expected to come, so the answer is not waited for long. */
export interface Patience {
  readonly quiet?: boolean
  /** ms; nobody knows what will come, so it is waited for that long. */
  readonly within?: number
}

/** A TCP server that tells every client the address that it came from, as seen there. */
export async function greet(place: Place, host: string, port: number): Promise<void> {
  await place.listen(
    createServer(socket => {
      socket.on('error', () => {}) // the client may be gone already
      socket.end(String(socket.remoteAddress))
    }),
    { host, port },
  )
}

/** Asks such a server; its answer, or `refused`, `unreachable`, or `silent` when nothing came back. */
export async function ask(
  place: Place,
  host: string,
  port: number,
  { quiet = false, within = quiet ? kSilence : undefined }: Patience = {},
): Promise<string> {
  try {
    const socket = await place.dial({ host, port, ...(within !== undefined && { timeout: within }) })
    let answer = ''
    for await (const chunk of socket) answer += String(chunk)
    return answer
  } catch (error) {
    return outcomeOf(error)
  }
}

const kOutcomes: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refused',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EADDRNOTAVAIL: 'unreachable', // no address of that family
  TimeoutError: 'silent',
  AbortError: 'silent',
}

function outcomeOf(error: unknown): string {
  const { code, name } = error as { code?: unknown; name?: string }
  const outcome = kOutcomes[String(code)] ?? kOutcomes[String(name)]
  if (outcome === undefined) throw error
  return outcome
}

/** A UDP server that tells every client the address that its datagram came from, as seen there. */
export async function greetUdp(place: Place, host: string, port: number): Promise<UdpSocket> {
  const socket = await place.udp({ host, port })
  return socket.on('message', (_, { address, port }) => socket.send(address, port, address))
}

/** What came back to one datagram, and from where: that has to be where the datagram went. */
export interface UdpAnswer {
  readonly saw: string
  readonly from: string
}

/** Sends exactly one datagram to such a server; its answer, or `silent` when nothing came back. */
export async function askUdp(place: Place, host: string, port: number, { quiet = false }: Patience = {}): Promise<UdpAnswer | 'silent'> {
  const socket = await place.udp({ type: host.includes(':') ? 'udp6' : 'udp4' })
  try {
    socket.send('who am I?', port, host)
    const [message, sender] = (await once(socket, 'message', quiet ? { signal: AbortSignal.timeout(kSilence) } : {})) as [
      Buffer,
      RemoteInfo,
    ]
    return { saw: message.toString(), from: at(sender.address, sender.port) }
  } catch (error) {
    if (outcomeOf(error) === 'silent') return 'silent'
    throw error
  } finally {
    socket.close()
  }
}

/** `192.0.2.1:53`, `[2001:db8::1]:53`. */
export function at(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
