/** Serving all networks that have names, for as long as this process has the claim. */
import { type FSWatcher, watch } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

import type { Context } from '../context.js'
import { errnoName, fail } from '../errors.js'
import { namePort, nameServersOf } from '../network/name-servers.js'
import { PlanFailure } from '../plan/mechanism.js'
import { translate } from '../plan/translate.js'
import type { HostResolver } from '../sandbox/files.js'
import type { NetworkRecord } from '../state/records.js'
import type { Store } from '../state/store.js'
import { NetworkServer } from './network-server.js'
import { Responder } from './responder.js'

/** A process that was killed may have let go of its claim an instant before its sockets. */
const attempts = 5
const pause = 20 // ms

export class NameServer {
  readonly #context: Context
  readonly #store: Store
  readonly #responder: Responder
  /** By the network's id. */
  readonly #servers = new Map<string, NetworkServer>()
  readonly #failures = new Map<string, { readonly record: NetworkRecord; readonly error: Error }>()
  #watcher: FSWatcher | undefined
  #looking: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined
  #closed = false

  constructor(context: Context, store: Store, resolver: HostResolver) {
    this.#context = context
    this.#store = store
    this.#responder = new Responder(context.layout, context.mechanism, resolver)
    try {
      this.#watcher = watch(context.layout.networks, { persistent: false }, () => void this.look())
      this.#watcher.on('error', () => {})
    } catch {
      // No inotify instance is left: others' networks are noticed when somebody says so.
    }
  }

  /** The networks that are served. */
  get serving(): readonly NetworkRecord[] {
    return [...this.#servers.values()].map(({ record }) => record)
  }

  /** Those that can't be, and why. */
  get failures(): readonly { readonly record: NetworkRecord; readonly error: Error }[] {
    return [...this.#failures.values()]
  }

  serves(networkId: string): boolean {
    return this.#servers.has(networkId)
  }

  /** Compares what is served with the networks that there are. Those who ask while one look waits for its turn share it. Never rejects. */
  look(): Promise<void> {
    this.#next ??= this.#looking.then(() => {
      this.#next = undefined
      this.#looking = this.#look().catch(() => {}) // the state folder is gone
      return this.#looking
    })
    return this.#next
  }

  close(): void {
    this.#closed = true
    this.#watcher?.close()
    this.#responder.close()
    for (const server of this.#servers.values()) server.close()
    this.#servers.clear()
  }

  async #look(): Promise<void> {
    if (this.#closed) return
    const { records } = await this.#store.networks()
    const wanted = new Map(
      records.filter(record => record.phase === 'ready' && nameServersOf(record).length > 0).map(one => [one.id, one] as const),
    )
    // First: a network may have been made anew with the same addresses.
    for (const [id, server] of this.#servers) {
      if (wanted.has(id)) continue
      server.close()
      this.#servers.delete(id)
    }
    for (const id of this.#failures.keys()) if (!wanted.has(id)) this.#failures.delete(id)
    this.#responder.forgetAllBut(new Set(wanted.keys()))
    for (const [id, record] of wanted) if (!this.#servers.has(id)) await this.#serve(record)
  }

  async #serve(record: NetworkRecord): Promise<void> {
    try {
      const server = await this.#open(record)
      if (this.#closed) return server.close()
      this.#servers.set(record.id, server)
      this.#failures.delete(record.id)
    } catch (cause) {
      if (this.#closed) return
      const before = this.#failures.get(record.id)
      const { message } = translate(cause) as Error
      const code = isTaken(cause) ? 'PORT_IN_USE' : 'KERNEL'
      const error = fail(code, `The names of network ${record.name} can't be served: ${message}`, { subject: record.name, cause })
      this.#failures.set(record.id, { record, error })
      if (before === undefined) process.emitWarning(error.message, { type: 'NetmodeWarning', code: error.code })
    }
  }

  async #open(record: NetworkRecord): Promise<NetworkServer> {
    const { mechanism, config } = this.#context
    // Without a ruleset nobody leads the questions elsewhere.
    const at = { addresses: nameServersOf(record), port: config.iptables ? namePort : 53 }
    const { id } = record
    const tries = this.#failures.has(id) ? 1 : attempts // that one stays, as it seems: nobody is to wait for it again and again
    for (let attempt = 1; ; attempt++) {
      try {
        return await NetworkServer.open(
          mechanism,
          record,
          at,
          (packet, from, transport) => this.#responder.respond(id, packet, from, transport),
          address => this.#responder.knows(id, address),
        )
      } catch (error) {
        if (!isTaken(error) || attempt === tries || this.#closed) throw error
        await delay(pause)
      }
    }
  }
}

function isTaken(error: unknown): boolean {
  return error instanceof PlanFailure && errnoName(error.errno) === 'EADDRINUSE'
}
