/** Removing sandboxes: those that are asked for at the same time share one wait of the kernel's. */

import type { Context } from '../context.js'
import type { Op } from '../contract.js'
import { fail } from '../errors.js'
import type { Networks } from '../network/networks.js'
import { PlanFailure } from '../plan/mechanism.js'
import { changedMeanwhile, translate } from '../plan/translate.js'
import type { SandboxRecord } from '../state/records.js'
import type { Store } from '../state/store.js'
import { held } from './held.js'
import { type Ground, removePlan } from './plans.js'
import type { UnderWay } from './under-way.js'

/** Links deleted in one wait. More hold the kernel's routing lock so long that others feel it. */
const batchSize = 32
/** So many while others are being made. */
const smallBatchSize = 8

/** What is to go: whoever has the name, or only the one with that id. */
export interface Meant {
  readonly name: string
  readonly id?: string | undefined
}

interface Waiting extends Meant {
  readonly signal: AbortSignal | undefined
  readonly resolve: (removed: boolean) => void
  readonly reject: (error: unknown) => void
}

/** Takes removals as they come; while one batch is under way, the next one gathers. */
export class Removals {
  readonly #context: Context
  readonly #store: Store
  readonly #networks: Networks
  readonly #ground: Ground
  readonly #creating: UnderWay
  #waiting: Waiting[] = []
  #serving = false

  constructor(context: Context, store: Store, networks: Networks, ground: Ground, creating: UnderWay) {
    this.#context = context
    this.#store = store
    this.#networks = networks
    this.#ground = ground
    this.#creating = creating
  }

  /** false: was not there. */
  remove(meant: Meant, { signal }: Op = {}): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...meant, signal, resolve, reject })
      if (!this.#serving) void this.#serve()
    })
  }

  async #serve(): Promise<void> {
    this.#serving = true
    await Promise.resolve() // those that are asked for in the same tick join
    while (this.#waiting.length > 0) {
      await this.#removeBatch(this.#waiting.splice(0, this.#creating.lately ? smallBatchSize : batchSize))
      // A create takes the lock a few times over. One that has waited for this batch is not to wait for the next ones as well.
      await this.#creating.endedSoon()
    }
    this.#serving = false
  }

  /** Settles all of the batch; never rejects. */
  async #removeBatch(batch: readonly Waiting[]): Promise<void> {
    let wanted = batch.filter(({ signal, reject }) => {
      if (signal?.aborted) reject(signal.reason)
      return !signal?.aborted
    })
    try {
      const found = await this.#records(wanted)
      const isThere = ({ name, id }: Meant) => found.some(record => record.name === name && (id === undefined || record.id === id))
      for (const one of wanted) if (!isThere(one)) one.resolve(false)
      wanted = wanted.filter(isThere)
      const records = found.filter(record => wanted.some(({ name }) => name === record.name))
      // Who shares a namespace goes before the one whose it is.
      const sharers = wanted.filter(({ name }) => records.some(record => record.name === name && record.shares !== undefined))
      if (sharers.length > 0 && sharers.length < wanted.length) {
        await this.#removeBatch(sharers)
        return await this.#removeBatch(wanted.filter(one => !sharers.includes(one)))
      }
      settle(wanted, records.length > 0 ? await this.#run(records) : new Set())
    } catch (error) {
      if (new Set(wanted.map(({ name }) => name)).size <= 1) {
        for (const { reject } of wanted) reject(error)
        return
      }
      // One of them is in the way of the others: each for itself, so that the error meets the one that it is about.
      for (const name of new Set(wanted.map(one => one.name))) await this.#removeBatch(wanted.filter(one => one.name === name))
    }
  }

  async #records(batch: readonly Waiting[]): Promise<readonly SandboxRecord[]> {
    const names = [...new Set(batch.map(one => one.name))]
    const records = await Promise.all(names.map(name => this.#store.sandbox(name)))
    return records.filter(record => record !== undefined)
  }

  /** Answers the names of those that this call has removed. */
  async #run(records: readonly SandboxRecord[]): Promise<Set<string>> {
    const { layout } = this.#context
    try {
      const holds = new Map(await Promise.all(records.filter(isUnfinished).map(async one => [one.name, await held(layout, one)] as const)))
      await this.#context.mechanism.run(removePlan(this.#ground, records, { holds }))
      for (const { endpoints } of records) this.#networks.giveBack(endpoints)
      return new Set(records.map(({ name }) => name))
    } catch (error) {
      const [record] = records
      if (records.length > 1 || record === undefined) throw error
      if (changedMeanwhile(error)) return this.#again(record)
      if (error instanceof PlanFailure && error.op.op === 'expect.names') throw await this.#shared(record)
      throw translate(error)
    }
  }

  /** Of the same one: whoever has the name by now has come after it. */
  async #again({ name, id }: SandboxRecord): Promise<Set<string>> {
    const current = await this.#store.sandbox(name)
    return current?.id === id ? this.#run([current]) : new Set()
  }

  async #shared({ name }: SandboxRecord): Promise<Error> {
    const { records } = await this.#store.sandboxes()
    const sharers = records.filter(({ shares }) => shares === name).map(record => record.name)
    return fail('BUSY', `The namespace of sandbox ${name} is shared by ${sharers.join(', ') || 'one that is being made'}`, {
      subject: name,
      ...(sharers.length > 0 && { holder: sharers.join(', ') }),
    })
  }
}

function isUnfinished({ phase }: SandboxRecord): boolean {
  return phase !== 'ready'
}

/** Who asks twice for the same one is told once that it was there. */
function settle(batch: readonly Waiting[], removed: Set<string>): void {
  for (const { name, resolve } of batch) resolve(removed.delete(name))
}
