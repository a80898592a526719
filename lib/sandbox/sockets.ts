/**
 * Sockets in a sandbox: made by a native thread in its namespace and handed to Node as descriptors. A socket stays where it was
 * made, so it would keep a removed namespace alive: those that are handed out are known here and destroyed on removal.
 */
import cluster from 'node:cluster'
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { closeSync } from 'node:fs'
import { Agent } from 'node:http'
import { isIP, isIPv6, type Server, Socket } from 'node:net'

import type { NamespaceRef } from '../contract.js'
import { fail, invalid } from '../errors.js'
import { open } from '../namespace/namespace.js'
import type { Mechanism } from '../plan/mechanism.js'
import type { SocketOpen } from '../plan/op.js'
import { translate } from '../plan/translate.js'
import { boolean, integer, ip, object, oneOf } from '../validate/guards.js'

const slot = 'sandbox'
const anyPort = integer(0, 65_535)

/** What can be destroyed. */
type Handed = Server | Socket | UdpSocket

/** The sockets of one sandbox that were handed out. */
export class Sockets {
  readonly #mechanism: Mechanism
  readonly #netns: NamespaceRef
  readonly #handed = new Set<Handed>()
  #gone = false
  #leaving: Promise<unknown> | undefined

  constructor(mechanism: Mechanism, netns: NamespaceRef) {
    this.#mechanism = mechanism
    this.#netns = netns
  }

  /** `server.listen` in the sandbox. */
  async listen<S extends Server>(server: S, input: unknown, signal?: AbortSignal): Promise<S> {
    const options = object(input, '', ['port', 'host', 'backlog', 'ipv6Only'])
    const host = options.optional('host', ip) ?? '::'
    if (cluster.isWorker) throw fail('UNSUPPORTED', 'A cluster worker cannot listen on a descriptor of its own')
    const fd = await this.#open(
      {
        type: 'stream',
        family: isIPv6(host) ? 6 : 4,
        address: host,
        port: options.required('port', anyPort),
        backlog: options.optional('backlog', integer(0, 65_535)) ?? 511,
        ipv6Only: options.optional('ipv6Only', boolean) ?? false,
      },
      signal,
    )
    const listening = once(server, 'listening', signal && { signal })
    server.listen({ fd })
    await listening
    // Connections that it accepts are sockets of the sandbox as well.
    server.on('connection', (socket: Socket) => this.#note(socket))
    return this.#note(server)
  }

  /** A connection from inside the sandbox. */
  async dial(input: unknown, signal?: AbortSignal): Promise<Socket> {
    const options = object(input, '', ['port', 'host', 'localAddress', 'timeout'])
    const host = options.required('host', ip)
    const port = options.required('port', integer(1, 65_535))
    const localAddress = options.optional('localAddress', ip)
    const timeout = options.optional('timeout', integer(1, 2 ** 31 - 1))
    if (localAddress !== undefined && isIP(localAddress) !== isIP(host))
      throw invalid('localAddress', `an address of the family of ${host}`, localAddress)
    const fd = await this.#open(
      { type: 'stream', family: isIPv6(host) ? 6 : 4, ...(localAddress !== undefined && { address: localAddress }) },
      signal,
    )
    // An IP literal and no second attempt: for another address Node would make another socket, in the host's namespace.
    const socket = this.#note(new Socket({ fd }).connect({ port, host, autoSelectFamily: false }))
    try {
      return await connected(socket, timeout, signal)
    } catch (error) {
      // The link goes before the namespace: the kernel may be the first to say that there is no way.
      if (!signal?.aborted) await this.#leaving
      throw this.#gone && !signal?.aborted ? gone() : error
    }
  }

  /** A bound UDP socket in the sandbox. */
  async udp(input: unknown, signal?: AbortSignal): Promise<UdpSocket> {
    const options = object(input ?? {}, '', ['port', 'host', 'type'])
    const host = options.optional('host', ip)
    const type = options.optional('type', oneOf('udp4', 'udp6')) ?? (host !== undefined && isIPv6(host) ? 'udp6' : 'udp4')
    if (host !== undefined && isIPv6(host) !== (type === 'udp6')) throw invalid('host', `an address of ${type}`, host)
    const fd = await this.#open(
      {
        type: 'datagram',
        family: type === 'udp6' ? 6 : 4,
        address: host ?? (type === 'udp6' ? '::' : '0.0.0.0'),
        port: options.optional('port', anyPort) ?? 0,
      },
      signal,
    )
    const socket = createSocket(type)
    const listening = once(socket, 'listening', signal && { signal })
    socket.bind({ fd })
    await listening
    return this.#note(socket)
  }

  /** An HTTP agent whose connections start in the sandbox. Hosts must be IP literals. */
  agent(input: unknown): Agent {
    const options = object(input ?? {}, '', ['keepAlive'])
    const agent = new Agent({ keepAlive: options.optional('keepAlive', boolean) ?? false })
    agent.createConnection = ((target: { host?: string; port?: number }, callback: (error: Error | null, socket?: Socket) => void) => {
      this.dial({ host: target.host, port: Number(target.port) }).then(socket => callback(null, socket), callback)
    }) as unknown as Agent['createConnection']
    return agent
  }

  /** A removal has begun: what fails before its end may fail because of it. */
  leave(removal: Promise<unknown>): void {
    this.#leaving = removal.catch(() => {})
  }

  /** Destroys all that was handed out; nothing is any more afterwards. */
  destroy(): void {
    this.#gone = true
    for (const one of this.#handed) {
      try {
        if (one instanceof Socket) one.destroy(one.connecting ? gone() : undefined)
        else one.close()
      } catch {
        // A UDP socket that was closed in this very tick: its event is still to come.
      }
    }
    this.#handed.clear()
  }

  #note<T extends Handed>(handed: T): T {
    this.#handed.add(handed)
    handed.once('close', () => this.#handed.delete(handed))
    return handed
  }

  async #open(request: Omit<SocketOpen, 'op' | 'ns'>, signal?: AbortSignal): Promise<number> {
    try {
      const fd = await this.#mechanism.socket(
        [{ apply: open(slot, this.#netns) }, { apply: { op: 'socket.open', ns: slot, ...request } }],
        signal,
      )
      if (!this.#gone) return fd
      closeSync(fd)
      throw gone()
    } catch (error) {
      throw translate(error, signal)
    }
  }
}

function gone(): Error {
  return fail('NAMESPACE_GONE', 'The sandbox has been removed')
}

/**
 * Resolves once connected; a failure, an abort or the time running out destroys the socket. A timer of its own: a timeout signal that only
 * AbortSignal.any() knows of may be collected as garbage (seen on Node 20), and would never come.
 */
async function connected(socket: Socket, timeout: number | undefined, signal: AbortSignal | undefined): Promise<Socket> {
  const stop = new AbortController()
  const onAbort = () => stop.abort(signal?.reason)
  const onTimeout = () => stop.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'))
  const timer = timeout === undefined ? undefined : setTimeout(onTimeout, timeout)
  signal?.addEventListener('abort', onAbort)
  if (signal?.aborted) onAbort()
  try {
    await once(socket, 'connect', { signal: stop.signal })
    return socket
  } catch (error) {
    socket.destroy()
    throw stop.signal.aborted ? stop.signal.reason : error
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}
