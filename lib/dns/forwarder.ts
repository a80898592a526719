/** Asking the servers outside: from the host's namespace, each time by a socket of its own. */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv6, Socket } from 'node:net'

import type { Mechanism } from '../plan/mechanism.js'
import { answersTo, forwardedDatagram, framed, idOf, isFailure, type Query, withId } from './message.js'
import { frames } from './stream.js'

const domainPort = 53
/** ms that one server may take. */
const patience = 2000
/** As many servers are asked, one after the other, as a resolver would ask. */
const mostServers = 3
/** Questions under way, of all and of one asker. Each has a descriptor. */
const mostAtOnce = 256
const mostOfOne = 64

export type Transport = 'udp' | 'tcp'

/** Whom to ask, and how. */
interface Errand {
  readonly query: Query
  readonly asker: string
  readonly servers: readonly string[]
  readonly transport: Transport
}

export class Forwarder {
  readonly #mechanism: Mechanism
  readonly #limits = new Set<AbortController>()
  readonly #underWay = new Map<string, number>()
  #count = 0
  #closed = false

  constructor(mechanism: Mechanism) {
    this.#mechanism = mechanism
  }

  /** The answer, as the client is to get it. undefined: nobody has one, or too much is under way already. */
  async ask(errand: Errand): Promise<Buffer | undefined> {
    const ofThis = this.#underWay.get(errand.asker) ?? 0
    if (this.#count >= mostAtOnce || ofThis >= mostOfOne) return undefined
    this.#count++
    this.#underWay.set(errand.asker, ofThis + 1)
    try {
      return await this.#askInTurn(errand)
    } finally {
      this.#count--
      const left = (this.#underWay.get(errand.asker) ?? 1) - 1
      if (left > 0) this.#underWay.set(errand.asker, left)
      else this.#underWay.delete(errand.asker)
    }
  }

  /** Ends what is under way. */
  close(): void {
    this.#closed = true
    for (const limit of this.#limits) limit.abort(new Error('closed'))
  }

  /** The first that answers; one that can't or won't is the last resort. */
  async #askInTurn({ query, servers, transport }: Errand): Promise<Buffer | undefined> {
    let failure: Buffer | undefined
    for (const server of servers.slice(0, mostServers)) {
      if (this.#closed) return undefined
      const answer = await (transport === 'udp' ? this.#byDatagram(server, query) : this.#byStream(server, query)).catch(() => undefined)
      if (answer === undefined) continue
      const own = withId(answer, idOf(query.packet))
      const fitting = transport === 'udp' ? forwardedDatagram(query, own) : own
      if (!isFailure(answer)) return fitting
      failure = fitting
    }
    return failure
  }

  /** From a random port, connected so that the kernel takes nobody else's answers, under a random id; what doesn't fit is not looked at. */
  async #byDatagram(server: string, query: Query): Promise<Buffer> {
    const family = isIPv6(server) ? 6 : 4
    const fd = await this.#open({ family, type: 'datagram', port: 0 })
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
    const id = randomInt(0x10000)
    const { signal, end } = this.#limit()
    const answered = new Promise<Buffer>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      socket.on('error', reject)
      socket.on('message', message => {
        if (answersTo(query, id, message)) resolve(message)
      })
    })
    answered.catch(() => {}) // it may fail while the socket is still being made ready
    try {
      const listening = once(socket, 'listening', { signal })
      socket.bind({ fd })
      await listening
      socket.unref()
      socket.connect(domainPort, server)
      await once(socket, 'connect', { signal })
      socket.send(withId(query.packet, id), () => {}) // a refusal comes as an error event
      return await answered
    } finally {
      end()
      socket.close()
    }
  }

  async #byStream(server: string, query: Query): Promise<Buffer> {
    const fd = await this.#open({ family: isIPv6(server) ? 6 : 4, type: 'stream' })
    const id = randomInt(0x10000)
    const { signal, end } = this.#limit()
    const socket = new Socket({ fd })
    socket.on('error', () => {}) // the reading below ends by it
    const stop = () => socket.destroy()
    signal.addEventListener('abort', stop, { once: true })
    try {
      socket.unref()
      socket.connect({ port: domainPort, host: server, autoSelectFamily: false })
      socket.write(framed(withId(query.packet, id)))
      for await (const answer of frames(socket)) if (answersTo(query, id, answer)) return answer
      throw new Error(`${server} has closed the connection`)
    } finally {
      end()
      socket.destroy()
    }
  }

  /** Ends after a server's time, or with all of it. */
  #limit(): { readonly signal: AbortSignal; readonly end: () => void } {
    const limit = new AbortController()
    const timer = setTimeout(() => limit.abort(new Error('no answer in time')), patience).unref()
    this.#limits.add(limit)
    const end = () => {
      clearTimeout(timer)
      this.#limits.delete(limit)
    }
    return { signal: limit.signal, end }
  }

  #open(request: { readonly family: 4 | 6; readonly type: 'stream' | 'datagram'; readonly port?: number }): Promise<number> {
    return this.#mechanism.socket([{ apply: { op: 'socket.open', ...request } }])
  }
}
