/** `host.nameService`: names for sandboxes on user-defined networks, served by one of the processes that have the host open. */
import cluster from 'node:cluster'

import type { Context } from '../context.js'
import type { Op, NameService as Public } from '../contract.js'
import { fail } from '../errors.js'
import { nameServersOf } from '../network/name-servers.js'
import type { HostResolver } from '../sandbox/files.js'
import type { Store } from '../state/store.js'
import type { Claim, Line } from './election.js'
import { isAlive, readHolder } from './holder.js'
import type { NameServer } from './server.js'

/** ms that the making of a sandbox waits for another process to take notice of its network. */
const patience = 1000

export class NameService implements Public {
  readonly #context: Context
  readonly #store: Store
  readonly #resolver: HostResolver
  readonly #isAutomatic: boolean
  /** Set while this process serves. */
  #server: NameServer | undefined
  #claim: Claim | undefined
  /** Set while another one does. */
  #line: Line | undefined
  /** Networks that the other one has taken notice of. */
  readonly #noticed = new Set<string>()
  #starting: Promise<void> | undefined
  /** It is to start; another one served a moment ago. */
  #soon: NodeJS.Immediate | undefined
  #waiting: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = []
  #closed = false

  /** `isAutomatic`: starts when there is a network with names. */
  constructor(context: Context, store: Store, resolver: HostResolver, isAutomatic: boolean) {
    this.#context = context
    this.#store = store
    this.#resolver = resolver
    this.#isAutomatic = isAutomatic
  }

  get role(): Public['role'] {
    if (this.#server !== undefined) return 'serving'
    return this.#line === undefined && this.#soon === undefined ? 'idle' : 'waiting'
  }

  get networks(): Public['networks'] {
    const { serving = [], failures = [] } = this.#server ?? {}
    const served = serving.map(record => ({ network: record.name, addresses: nameServersOf(record) }))
    const failed = failures.map(({ record, error }) => ({ network: record.name, addresses: nameServersOf(record), error }))
    return [...served, ...failed].sort((a, b) => (a.network < b.network ? -1 : 1))
  }

  async serve({ signal }: Op = {}): Promise<void> {
    signal?.throwIfAborted()
    if (cluster.isWorker) throw fail('UNSUPPORTED', 'A cluster worker cannot listen on a descriptor of its own')
    await this.#start()
    if (this.#server !== undefined) return
    await new Promise<void>((resolve, reject) => {
      const waiting = { resolve, reject }
      this.#waiting.push(waiting)
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
  }

  /**
   * Starts by itself if there is a network with names already: made by this process before, or by another. Where another one serves, the
   * line to it is for later: who opens a host for a moment needs none.
   */
  async begin(): Promise<void> {
    if (!this.#startsByItself) return
    const { records } = await this.#store.networks()
    const ids = records.filter(record => nameServersOf(record).length > 0).map(({ id }) => id)
    const holder = ids.length > 0 ? readHolder(this.#context.layout.nameServiceClaim) : undefined
    if (holder === undefined || !seemsAlive(holder)) return this.ready(ids)
    this.#soon = setImmediate(() => void this.ready(ids)).unref()
  }

  /**
   * Resolves when the questions of sandboxes on these networks are answered, as far as that is up to us: a sandbox that was made is
   * made, with names or without. Never rejects. undefined: they are.
   */
  ready(networkIds: readonly string[]): Promise<void> | undefined {
    const server = this.#server
    const areServed = server !== undefined && networkIds.every(id => server.serves(id))
    return networkIds.length === 0 || areServed || !this.#startsByItself ? undefined : this.#getReady(networkIds)
  }

  async #getReady(networkIds: readonly string[]): Promise<void> {
    try {
      await this.#start()
      const server = this.#server
      if (server !== undefined) {
        if (!networkIds.every(id => server.serves(id))) await server.look()
      } else if (this.#line !== undefined && !networkIds.every(id => this.#noticed.has(id))) {
        await inTime(this.#line.notify())
        for (const id of networkIds) this.#noticed.add(id)
      }
    } catch {
      // `networks` tells of what can't be served.
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    clearImmediate(this.#soon)
    await this.#starting?.catch(() => {})
    this.#line?.close()
    this.#server?.close()
    await this.#claim?.close()
    this.#turnAway(fail('CLOSED', 'This host has been closed'))
    this.#server = undefined
    this.#line = undefined
    this.#soon = undefined
  }

  get #startsByItself(): boolean {
    return this.#isAutomatic && !this.#closed && !cluster.isWorker
  }

  #start(): Promise<void> {
    this.#starting ??= this.#elect()
      .catch(error => {
        this.#starting = undefined // the next one tries again
        throw error
      })
      .finally(() => {
        this.#soon = undefined
      })
    return this.#starting
  }

  /** Loaded here: who has no such network doesn't pay for it. */
  async #elect(): Promise<void> {
    const [{ Claim, Election }, { NameServer }] = await Promise.all([import('./election.js'), import('./server.js')])
    const { mechanism, layout } = this.#context
    let server: NameServer | undefined
    const won = await new Election(mechanism, layout).run(async () => server?.look())
    this.#noticed.clear()
    if (!(won instanceof Claim)) return this.#wait(won)
    this.#claim = won
    if (this.#closed) return
    server = new NameServer(this.#context, this.#store, this.#resolver)
    this.#server = server
    await server.look()
    for (const { resolve } of this.#waiting.splice(0)) resolve()
  }

  /** Their turn won't come. */
  #turnAway(error: unknown): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }

  #wait(line: Line): void {
    this.#line = line
    void line.ended.then(() => {
      this.#line = undefined
      this.#starting = undefined
      if (!this.#closed) this.#start().catch(error => this.#turnAway(error))
    })
  }
}

/** What can't be told is found out by asking. */
function seemsAlive(holder: string): boolean {
  try {
    return isAlive(holder)
  } catch {
    return false
  }
}

/** A process that is stopped answers nobody. */
async function inTime(work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>(resolve => {
    timer = setTimeout(resolve, patience)
  })
  await Promise.race([work, late])
  clearTimeout(timer)
}
