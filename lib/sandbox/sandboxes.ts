/** `host.sandboxes`: the sandboxes of one host. */
import type { Context } from '../context.js'
import type { CreatedSandbox, Filter, Op, Sandbox, SandboxInfo, SandboxOptions } from '../contract.js'
import { fail, invalid } from '../errors.js'
import type { Networks } from '../network/networks.js'
import type { Plan } from '../plan/op.js'
import { translate } from '../plan/translate.js'
import type { SandboxRecord } from '../state/records.js'
import type { Store } from '../state/store.js'
import { hasLabels, filter as validFilter } from '../validate/call-options.js'
import { sandboxName } from '../validate/guards.js'
import { sandboxOptions, type ValidSandboxOptions } from '../validate/sandbox-options.js'
import { Changes } from './changes.js'
import { Creation } from './creation.js'
import { sandboxInfo } from './inspect.js'
import { type Ground, removePlan } from './plans.js'
import { Refused } from './port-choice.js'
import type { PortRequest } from './port-grammar.js'
import { RandomPorts } from './random-ports.js'
import { Removals } from './removals.js'
import { SandboxHandle } from './sandbox.js'

/** How often a plan is drawn up anew because another process was faster. Each time somebody got ahead, so the crowd bounds it. */
const attempts = 1000

export class Sandboxes {
  /** Of live sandboxes, for their handles. */
  readonly changes: Changes
  readonly #context: Context
  readonly #store: Store
  readonly #networks: Networks
  readonly #ground: Ground
  readonly #removals: Removals
  readonly #random = new RandomPorts()
  readonly #process: NonNullable<SandboxRecord['ephemeral']>
  /** Those that this process made and that end with it. */
  readonly #ephemeral = new Set<string>()

  constructor(context: Context, store: Store, networks: Networks, ground: Ground, process: NonNullable<SandboxRecord['ephemeral']>) {
    this.#context = context
    this.#store = store
    this.#networks = networks
    this.#ground = ground
    this.#removals = new Removals(context, store, networks, ground)
    this.changes = new Changes(context, store, networks, ground, this.#random)
    this.#process = process
  }

  async create(options: SandboxOptions, { signal }: Op = {}): Promise<CreatedSandbox> {
    const valid = sandboxOptions(options)
    const creation = this.#creation(valid)
    for (let attempt = 1; ; attempt++) {
      const draft = await creation.draft(signal)
      const plan = creation.plan(draft)
      try {
        creation.learn(draft, plan, await this.#context.mechanism.run(plan, signal))
        if (valid.ephemeral) this.#ephemeral.add(valid.name)
        return this.#handle({ ...draft.record, phase: 'ready' })
      } catch (error) {
        creation.giveBack(draft, error)
        if (attempt === attempts || !(await creation.canRetry(error, draft))) throw translate(error, signal)
      }
    }
  }

  async get(name: string, { signal }: Op = {}): Promise<Sandbox | undefined> {
    sandboxName(name, 'name')
    signal?.throwIfAborted()
    const record = await this.#store.sandbox(name)
    return record && isLive(record) ? this.#handle(record) : undefined
  }

  async list(filter?: Filter, { signal }: Op = {}): Promise<readonly Sandbox[]> {
    const { name, mode, network, labels } = validFilter(filter)
    signal?.throwIfAborted()
    const { records } = await this.#store.sandboxes()
    return records
      .filter(isLive)
      .filter(record => name === undefined || record.name === name)
      .filter(record => mode === undefined || record.mode === mode)
      .filter(record => network === undefined || record.endpoints.some(endpoint => endpoint.network === network))
      .filter(record => hasLabels(record.labels, labels))
      .map(record => this.#handle(record))
  }

  async inspect(name: string, { signal }: Op = {}): Promise<SandboxInfo> {
    return sandboxInfo(await this.record(sandboxName(name, 'name'), signal))
  }

  async remove(name: string, op: Op = {}): Promise<boolean> {
    sandboxName(name, 'name')
    op.signal?.throwIfAborted()
    const removed = await this.#removals.remove(name, op)
    this.#ephemeral.delete(name)
    return removed
  }

  async removeAll(names: readonly string[], op: Op = {}): Promise<readonly string[]> {
    if (!Array.isArray(names)) throw invalid('names', 'an array of names', names)
    for (const [i, name] of names.entries()) sandboxName(name, `names[${i}]`)
    const results = await Promise.allSettled(names.map(name => this.remove(name, op)))
    const errors = results.flatMap(result => (result.status === 'rejected' ? [result.reason as unknown] : []))
    if (errors.length > 0) throw new AggregateError(errors, `${errors.length} of ${names.length} sandboxes could not be removed`)
    return names.filter((_, i) => (results[i] as PromiseFulfilledResult<boolean>).value)
  }

  /** `host.close()`. */
  async removeEphemeral(): Promise<void> {
    await this.removeAll([...this.#ephemeral])
  }

  /** The current record. @throws NOT_FOUND */
  async record(name: string, signal?: AbortSignal): Promise<SandboxRecord> {
    signal?.throwIfAborted()
    const record = await this.#store.sandbox(name)
    if (record === undefined || !isLive(record)) throw fail('NOT_FOUND', `No sandbox called ${name}`, { subject: name })
    return record
  }

  /** The plan of `create`, for explain. */
  async createPlan(options: SandboxOptions): Promise<Plan> {
    const creation = this.#creation(sandboxOptions(options))
    const draft = await creation.draft()
    creation.giveBack(draft)
    return creation.plan(draft)
  }

  /** The plan of `remove`, for explain. */
  async removePlan(name: string): Promise<Plan> {
    return removePlan(this.#ground, [await this.record(sandboxName(name, 'name'))])
  }

  /** The plan of `publish`, for explain. */
  async publishPlan(name: string, requests: readonly PortRequest[]): Promise<Plan> {
    return this.changes.publishPlan(await this.record(sandboxName(name, 'sandbox')), requests)
  }

  #creation(options: ValidSandboxOptions): Creation {
    return new Creation({
      context: this.#context,
      ground: this.#ground,
      networks: this.#networks,
      random: this.#random,
      process: this.#process,
      options,
      refused: new Refused(),
      liveRecord: (name, signal) => this.record(name, signal),
    })
  }

  #handle(record: SandboxRecord): CreatedSandbox {
    return new SandboxHandle(record, this, this.#context) as unknown as CreatedSandbox
  }
}

function isLive({ phase }: SandboxRecord): boolean {
  return phase === 'ready' || phase === 'changing'
}
