/** The sockets of one network: a pair of UDP and TCP at each address that its sandboxes ask. */
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { closeSync } from 'node:fs'
import { createServer, isIPv6, type Server, type Socket } from 'node:net'

import type { Mechanism } from '../plan/mechanism.js'
import type { Plan } from '../plan/op.js'
import type { NetworkRecord } from '../state/records.js'
import type { Transport } from './forwarder.js'
import { framed, largestQuery } from './message.js'
import { frames } from './stream.js'

/** Connections at once, of all and of one asker. */
const mostConnections = 256
const mostOfOne = 16
/** ms for a whole question, from the end of the one before: who sends byte by byte has no more of it. */
const patience = 10_000
/** bytes that wait to be sent; beyond, answers are dropped, as the network drops them. */
const mostWaiting = 1 << 20

/** Answers a packet that came from an address of the network; undefined: not at all. */
export type Respond = (packet: Buffer, from: string, transport: Transport) => Promise<Buffer | undefined>
/** Is it a sandbox's? Others are not talked to. */
export type IsKnown = (address: string) => boolean

export class NetworkServer {
  readonly record: NetworkRecord
  readonly #datagrams: UdpSocket[] = []
  readonly #servers: Server[] = []
  readonly #connections = new Map<Socket, string>()
  readonly #respond: Respond
  readonly #isKnown: IsKnown

  private constructor(record: NetworkRecord, respond: Respond, isKnown: IsKnown) {
    this.record = record
    this.#respond = respond
    this.#isKnown = isKnown
  }

  /** Makes the sockets in the host's namespace, all or none. @throws PlanFailure: EADDRINUSE, EADDRNOTAVAIL */
  static async open(
    mechanism: Mechanism,
    record: NetworkRecord,
    at: { readonly addresses: readonly string[]; readonly port: number },
    respond: Respond,
    isKnown: IsKnown,
  ): Promise<NetworkServer> {
    const server = new NetworkServer(record, respond, isKnown)
    for (const address of at.addresses) {
      try {
        await server.#listen(mechanism, address, at.port)
      } catch (error) {
        server.close()
        throw error
      }
    }
    return server
  }

  close(): void {
    for (const socket of this.#datagrams.splice(0)) socket.close()
    for (const server of this.#servers.splice(0)) server.close()
    for (const socket of this.#connections.keys()) socket.destroy()
  }

  async #listen(mechanism: Mechanism, address: string, port: number): Promise<void> {
    const family = isIPv6(address) ? 6 : 4
    // On a ptp network the gateway is on each sandbox's line, and so comes with the first of them.
    const at = { family, address, port, ipv6Only: family === 6, freeBind: this.record.driver === 'ptp' } as const
    const open = (type: 'stream' | 'datagram'): Plan => [
      { apply: { op: 'socket.open', type, ...at, ...(type === 'stream' && { backlog: 128 }) } },
    ]
    const udp = await mechanism.socket(open('datagram'))
    const tcp = await mechanism.socket(open('stream')).catch(error => {
      closeSync(udp)
      throw error
    })
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
    socket.on('error', () => {}) // of a single answer: its asker has gone
    socket.on('message', (packet, from) => void this.#onDatagram(socket, packet, from))
    this.#datagrams.push(socket)
    const server = createServer(connection => void this.#onConnection(connection))
    server.maxConnections = mostConnections
    server.on('error', () => {})
    this.#servers.push(server)
    const listening = Promise.all([once(socket, 'listening'), once(server, 'listening')])
    socket.bind({ fd: udp })
    server.listen({ fd: tcp })
    await listening
    socket.unref()
    server.unref()
  }

  async #onDatagram(socket: UdpSocket, packet: Buffer, { address, port }: RemoteInfo): Promise<void> {
    if (!this.#isKnown(address)) return
    const answer = await this.#respond(packet, address, 'udp')
    if (answer === undefined || !this.#datagrams.includes(socket) || socket.getSendQueueSize() > mostWaiting) return
    socket.send(answer, port, address, () => {})
  }

  /** One question after the other: the next is not read before the last is answered, so that nobody makes us hold much. */
  async #onConnection(socket: Socket): Promise<void> {
    socket.on('error', () => {}) // the loop ends by it
    const { remoteAddress: from } = socket
    const others = [...this.#connections.values()].filter(address => address === from)
    if (from === undefined || others.length >= mostOfOne || !this.#isKnown(from)) return void socket.destroy()
    socket.unref()
    this.#connections.set(socket, from)
    socket.once('close', () => this.#connections.delete(socket))
    const timer = setTimeout(() => socket.destroy(), patience).unref()
    try {
      for await (const packet of frames(socket, largestQuery)) {
        const answer = await this.#respond(packet, from, 'tcp')
        if (answer === undefined) break
        if (!socket.write(framed(answer))) await once(socket, 'drain')
        timer.refresh()
      }
      socket.end() // what was written goes out; the timer sees to one who doesn't take it
    } catch {
      socket.destroy()
    } finally {
      if (socket.destroyed) clearTimeout(timer)
      else socket.once('close', () => clearTimeout(timer))
    }
  }
}
