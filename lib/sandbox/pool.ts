/** A warm pool: sandboxes that are all but made, to be taken in a fraction of the time. */

import type { Context } from '../context.js'
import type { CreatedSandbox, Op, Sandbox, SandboxPool, TakeOptions } from '../contract.js'
import { errnoName, fail, invalid, isNetmodeError } from '../errors.js'
import type { Identity } from '../native.js'
import { withNames } from '../network/name-servers.js'
import type { Networks } from '../network/networks.js'
import { PlanFailure } from '../plan/mechanism.js'
import { translate } from '../plan/translate.js'
import { randomHex } from '../random.js'
import type { SandboxRecord } from '../state/records.js'
import { sandboxOptions, takeOptions, type ValidSandboxOptions } from '../validate/sandbox-options.js'
import { type Creation, requestsOf } from './creation.js'
import { draftRecord, refuseAliases } from './draft.js'
import type { Ground } from './plans.js'
import { dropPlan, type Reserved, reservePlan } from './pool-plans.js'
import { avoidPort, type PortChooser, Refused } from './port-choice.js'
import { SandboxHandle } from './sandbox.js'
import { likenessOf, TakeForms } from './take-forms.js'

/** How often one is drafted anew because another process was faster. */
const attempts = 1000
/** A share of the pool; and milliseconds without a take. See Pool's `#fillBehind`. */
const few = 1 / 8
const moment = 10

/** What a pool needs of those whose sandboxes it makes. */
export interface Makers {
  readonly context: Context
  readonly ground: Ground
  readonly networks: Networks
  readonly ports: PortChooser
  readonly process: NonNullable<SandboxRecord['ephemeral']>
  creation(options: ValidSandboxOptions): Creation
  create(options: ValidSandboxOptions, signal?: AbortSignal): Promise<CreatedSandbox>
  /** One has been made by other means. */
  made(record: SandboxRecord, identity: Identity): Promise<CreatedSandbox>
  closed(): void
  /** Removes what no handle leads to. */
  remove(name: string): Promise<boolean>
}

/** Is the one that was to be taken not as it was before, or not as it should be? What the ruleset lacks is no fault of its. */
function isHarmed(error: unknown): boolean {
  if (!(error instanceof PlanFailure)) return false
  const { op } = error.op
  const isGone = op === 'netns.take' || op === 'expect.link' || (op.startsWith('file.') && errnoName(error.errno) === 'ENOENT')
  return isGone || op === 'claim' || (error.failure.undo?.length ?? 0) > 0
}

export class Pool implements SandboxPool {
  readonly size: number
  readonly network: string
  readonly #makers: Makers
  readonly #forms: TakeForms
  readonly #ready: Reserved[] = []
  /** In the hands of takes that may give them back. */
  #inHands = 0
  readonly #underWay = new Set<Promise<unknown>>()
  #filling: Promise<void> | undefined
  #closing: Promise<void> | undefined
  #pause: NodeJS.Timeout | undefined

  constructor({ size, network }: { readonly size: number; readonly network: string }, makers: Makers) {
    this.size = size
    this.network = network
    this.#makers = makers
    this.#forms = new TakeForms(makers.ground)
  }

  get ready(): number {
    return this.#ready.length
  }

  take(options: TakeOptions, { signal }: Op = {}): Promise<CreatedSandbox> {
    return this.#tracked(this.#take(options, signal))
  }

  giveBack(sandbox: Sandbox, op: Op = {}): Promise<boolean> {
    return this.#tracked(this.#giveBack(sandbox, op))
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Until it is full, or one can't be made. @throws CLOSED */
  fill(signal?: AbortSignal): Promise<void> {
    this.#filling ??= this.#tracked(this.#fill(signal)).finally(() => {
      this.#filling = undefined
    })
    return this.#filling
  }

  async #fill(signal?: AbortSignal): Promise<void> {
    while (this.#closing === undefined && this.#ready.length + this.#inHands < this.size) {
      this.#ready.push(await this.#make())
      signal?.throwIfAborted()
    }
    this.#assertOpen()
  }

  /**
   * Takes come in crowds, and what is made beside them slows them: once nobody has taken one for a moment, or at once where few are left. What
   * can't be made now is made, or fails, when somebody asks for it.
   */
  #fillBehind(): void {
    if (this.#ready.length < this.size * few) setImmediate(this.#fillTracked)
    else if (this.#pause === undefined) this.#pause = setTimeout(this.#fillTracked, moment).unref()
    else this.#pause.refresh()
  }

  readonly #fillTracked = (): void => {
    void this.fill().catch(() => {})
  }

  async #take(options: TakeOptions, signal?: AbortSignal): Promise<CreatedSandbox> {
    this.#assertOpen()
    signal?.throwIfAborted()
    this.#makers.context.mechanism.expect()
    const valid = takeOptions(options, this.network)
    const refused = new Refused()
    try {
      for (;;) {
        const reserved = this.#ready.shift()
        if (reserved === undefined) {
          const made = await this.#create(valid, signal)
          if (made === undefined) continue
          return made
        }
        this.#inHands += 1
        const taken = await this.#takeOver(reserved, valid, refused, signal).finally(() => {
          this.#inHands -= 1
        })
        if (taken !== undefined) return taken
      }
    } finally {
      this.#fillBehind()
    }
  }

  /** undefined: one is ready after all. What the pool was just making for itself may have had the last address. */
  async #create(valid: ValidSandboxOptions, signal?: AbortSignal): Promise<CreatedSandbox | undefined> {
    try {
      return await this.#makers.create(valid, signal)
    } catch (error) {
      if (!(isNetmodeError(error) && error.code === 'ERR_NETMODE_EXHAUSTED')) throw error
      await this.#filling?.catch(() => {})
      if (this.#ready.length === 0) throw error
      return undefined
    }
  }

  /** undefined: to be tried again, with this one or another. */
  async #takeOver(
    reserved: Reserved,
    valid: ValidSandboxOptions,
    refused: Refused,
    signal?: AbortSignal,
  ): Promise<CreatedSandbox | undefined> {
    const { context, ground, ports, process, made } = this.#makers
    const requests = requestsOf(valid)
    const aliases = [...(valid.attachments[0]?.aliases ?? [])]
    const endpoints = reserved.record.endpoints.map(endpoint => ({ ...endpoint, aliases }))
    let record: SandboxRecord
    try {
      if (endpoints.some(({ lan }) => lan)) refuseAliases(this.network, aliases)
      const draft = draftRecord(valid, { path: `/run/netns/${valid.name}`, owned: true }, process, context.config)
      record = { ...draft, endpoints, ports: await ports.choose(requests, endpoints, refused, { field: 'publish', signal }) }
      await context.mechanism.run(this.#forms.plan({ reserved, record }), signal)
    } catch (error) {
      const isLost = isHarmed(error)
      if (isLost) await this.#discard([reserved])
      else this.#ready.unshift(reserved)
      if (isLost && signal?.aborted !== true) return undefined
      if (error instanceof PlanFailure && (await ground.firewall.canRetry(error))) return undefined
      if (avoidPort(error, requests, { endpoints }, refused, 'publish')) return undefined
      throw translate(error, signal)
    }
    await context.names.ready(withNames(record).map(({ networkId }) => networkId))
    return await made({ ...record, phase: 'ready' }, reserved.identity)
  }

  async #giveBack(sandbox: Sandbox, op: Op): Promise<boolean> {
    this.#assertOpen()
    if (!(sandbox instanceof SandboxHandle)) throw invalid('sandbox', 'a sandbox that was taken', sandbox)
    try {
      return await sandbox.remove(op)
    } finally {
      this.#fillBehind()
    }
  }

  async #make(): Promise<Reserved> {
    const { context, ground, networks } = this.#makers
    const valid = sandboxOptions({ name: 'reserved', network: this.network })
    // No name that a user could give, or ask for.
    const creation = this.#makers.creation({ ...valid, name: `~${randomHex(6)}` })
    for (let attempt = 1; ; attempt++) {
      const draft = await creation.draft()
      const record: SandboxRecord = { ...draft.record, phase: 'pooled' }
      const hostResolver = ground.resolver.text()
      const plan = reservePlan(ground, record, draft.networks, networks.missingSteps(draft.networks))
      try {
        const outputs = await context.mechanism.run(plan)
        creation.learn(draft, plan, outputs)
        const namespace = plan.findIndex(({ apply }) => apply.op === 'netns.create')
        const link = plan.findIndex(({ apply }) => apply.op === 'link.add' && (apply.peer ?? apply.bornIn) !== undefined)
        const identity = outputs[namespace] as Identity
        return { record, identity, linkIndex: outputs[link] as number | undefined, hostResolver, likeness: likenessOf(record) }
      } catch (error) {
        creation.giveBack(draft, error)
        if (attempt === attempts || !(await creation.canRetry(error, draft))) throw translate(error)
      }
    }
  }

  /** They and what is written of them go; whoever finds them first, in a moment when they are nobody's, does the same. */
  async #discard(reserved: readonly Reserved[]): Promise<void> {
    const { context, remove } = this.#makers
    for (const { record } of reserved) {
      // Not there: it was lost on the way back.
      await context.mechanism.run(dropPlan([record.name])).catch(() => {})
    }
    await Promise.all(reserved.map(({ record }) => remove(record.name)))
  }

  async #close(): Promise<void> {
    clearTimeout(this.#pause)
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay)
    this.#makers.closed()
    await this.#discard(this.#ready.splice(0))
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw fail('CLOSED', 'This pool has been closed')
  }

  async #tracked<T>(call: Promise<T>): Promise<T> {
    this.#underWay.add(call)
    try {
      return await call
    } finally {
      this.#underWay.delete(call)
    }
  }
}
