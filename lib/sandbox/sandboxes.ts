/** `host.sandboxes`: the sandboxes of one host. */
import type { Context } from '../context.js'
import type {
  CreatedSandbox,
  Filter,
  Op,
  PoolOptions,
  PortCounter,
  Sandbox,
  SandboxInfo,
  SandboxOptions,
  SandboxPool,
  SandboxSummary,
} from '../contract.js'
import { fail, invalid } from '../errors.js'
import { frozen } from '../frozen.js'
import type { Identity, Output } from '../native.js'
import { withNames } from '../network/name-servers.js'
import type { Networks } from '../network/networks.js'
import { PlanFailure } from '../plan/mechanism.js'
import type { NetnsOpen, Plan } from '../plan/op.js'
import { translate } from '../plan/translate.js'
import { ownTurn } from '../plan/turns.js'
import type { SandboxRecord } from '../state/records.js'
import type { Store } from '../state/store.js'
import { hasLabels, filter as validFilter } from '../validate/call-options.js'
import { sandboxName } from '../validate/guards.js'
import { poolOptions, sandboxOptions, type ValidSandboxOptions } from '../validate/sandbox-options.js'
import { Changes } from './changes.js'
import { PortCounters } from './counters.js'
import { CreateForms } from './create-forms.js'
import { Creation } from './creation.js'
import { publicEndpoint } from './endpoint.js'
import { etcPaths } from './files.js'
import { publicGuest } from './guest.js'
import { sandboxInfo, withCounters } from './inspect.js'
import { openNamespace, slot } from './modes/mode.js'
import { orderNamespace } from './namespace-order.js'
import { type Ground, removePlan } from './plans.js'
import { Pool } from './pool.js'
import { PortChooser, Refused } from './port-choice.js'
import type { PortRequest } from './port-grammar.js'
import { Removals } from './removals.js'
import { SandboxHandle } from './sandbox.js'
import { Sockets } from './sockets.js'
import { UnderWay } from './under-way.js'

/** How often a plan is drawn up anew because another process was faster. Each time somebody got ahead, so the crowd bounds it. */
const attempts = 1000
/** Namespaces that one plan looks at: each is a descriptor while it does. */
const identifiedAtOnce = 64

export class Sandboxes {
  /** Of live sandboxes, for their handles. */
  readonly changes: Changes
  readonly #context: Context
  readonly #store: Store
  readonly #networks: Networks
  readonly #ground: Ground
  readonly #forms: CreateForms
  readonly #removals: Removals
  readonly #ports: PortChooser
  readonly #counters: PortCounters
  readonly #process: NonNullable<SandboxRecord['ephemeral']>
  /** Those that this process made and that end with it: names and ids. */
  readonly #ephemeral = new Map<string, string>()
  /** What was handed out, by the id of its sandbox. */
  readonly #sockets = new Map<string, { readonly name: string; readonly sockets: Sockets }>()
  readonly #pools = new Set<Pool>()
  /** Whose namespace was what at the last list, by the id of the sandbox. */
  #identified: ReadonlyMap<string, { readonly version: string; readonly identity: Identity }> = new Map()
  readonly #infos = new WeakMap<SandboxRecord, SandboxInfo>()
  readonly #creating = new UnderWay()

  constructor(context: Context, store: Store, networks: Networks, ground: Ground, process: NonNullable<SandboxRecord['ephemeral']>) {
    this.#context = context
    this.#store = store
    this.#networks = networks
    this.#ground = ground
    this.#forms = new CreateForms(ground)
    this.#ports = new PortChooser(context)
    this.#counters = new PortCounters(context.mechanism)
    this.#removals = new Removals(context, store, networks, ground, this.#creating)
    this.changes = new Changes(context, store, networks, ground, this.#ports)
    this.#process = process
  }

  create(options: SandboxOptions, op: Op = {}): Promise<CreatedSandbox> {
    return this.#creating.add(this.#create(options, op))
  }

  async #create(options: SandboxOptions, { signal }: Op): Promise<CreatedSandbox> {
    signal?.throwIfAborted()
    const turn = ownTurn()
    if (turn !== undefined) {
      await turn
      signal?.throwIfAborted()
    }
    const cancelOrder = orderNamespace(this.#context.mechanism, this.#networks, options)
    try {
      return await this.#carryOut(sandboxOptions(options), signal)
    } catch (error) {
      cancelOrder()
      throw error
    }
  }

  async #carryOut(valid: ValidSandboxOptions, signal?: AbortSignal): Promise<CreatedSandbox> {
    const creation = this.#creation(valid)
    for (let attempt = 1; ; attempt++) {
      const draft = await creation.draft(signal)
      const plan = creation.writtenPlan(draft)
      try {
        const outputs = await this.#context.mechanism.run(plan, signal)
        creation.learn(draft, plan, outputs)
        this.#context.care()
        if (valid.ephemeral) this.#ephemeral.set(valid.name, draft.record.id)
        const getReady = this.#context.names.ready(withNames(draft.record).map(({ networkId }) => networkId))
        if (getReady !== undefined) await getReady
        const record: SandboxRecord = { ...draft.record, phase: 'ready' }
        const made = outputs.find(isIdentity)
        return made === undefined ? await this.#handle(record) : this.#handleOf(record, made)
      } catch (error) {
        creation.giveBack(draft, error)
        if (attempt === attempts || !(await creation.canRetry(error, draft))) throw translate(error, signal)
      }
    }
  }

  async pool(options: PoolOptions, { signal }: Op = {}): Promise<SandboxPool> {
    const valid = poolOptions(options)
    signal?.throwIfAborted()
    const pool: Pool = new Pool(valid, {
      context: this.#context,
      ground: this.#ground,
      networks: this.#networks,
      ports: this.#ports,
      process: this.#process,
      creation: one => this.#creation(one),
      create: (one, abort) => this.#carryOut(one, abort),
      made: (record, identity) => {
        if (record.ephemeral) this.#ephemeral.set(record.name, record.id)
        return this.#handle(record, identity)
      },
      remove: name => this.#removals.remove({ name }),
      closed: () => this.#pools.delete(pool),
    })
    this.#pools.add(pool)
    try {
      await pool.fill(signal)
    } catch (error) {
      await pool.close()
      throw error
    }
    return pool
  }

  async get(name: string, { signal }: Op = {}): Promise<Sandbox | undefined> {
    sandboxName(name, 'name')
    signal?.throwIfAborted()
    const record = await this.#store.sandbox(name)
    return record && isLive(record) ? await this.#handle(record) : undefined
  }

  async list(filter?: Filter, { signal }: Op = {}): Promise<readonly Sandbox[]> {
    const found = await this.#found(filter, signal)
    const identities = await this.#identities(found)
    return await Promise.all(found.map((record, i) => this.#handle(record, identities[i])))
  }

  async summaries(filter?: Filter, { signal }: Op = {}): Promise<readonly SandboxSummary[]> {
    return (await this.#found(filter, signal)).map(record => {
      const { id, name, mode, labels, ephemeral, guest, endpoints, ports } = record
      const known = { id, name, mode, netns: this.netnsPath(record), labels, ephemeral: ephemeral !== undefined }
      return { ...known, ...(guest && { guest: publicGuest(guest) }), endpoints: endpoints.map(publicEndpoint), ports }
    })
  }

  async #found(filter: Filter | undefined, signal?: AbortSignal): Promise<readonly SandboxRecord[]> {
    const { name, mode, network, labels } = validFilter(filter)
    signal?.throwIfAborted()
    const { records } = await this.#store.sandboxes()
    return records
      .filter(isLive)
      .filter(record => name === undefined || record.name === name)
      .filter(record => mode === undefined || record.mode === mode)
      .filter(record => network === undefined || record.endpoints.some(endpoint => endpoint.network === network))
      .filter(record => hasLabels(record.labels, labels))
  }

  async inspect(name: string, { signal }: Op = {}): Promise<SandboxInfo> {
    sandboxName(name, 'name')
    const early = this.#counters.early()
    const record = await this.record(name, signal)
    return withCounters(this.#infoOf(record), await this.#counters.of(record, signal, early))
  }

  /** Put together once for each record that is kept in memory. */
  #infoOf(record: SandboxRecord): SandboxInfo {
    const known = this.#infos.get(record)
    if (known !== undefined) return known
    const info = frozen(sandboxInfo(record, { netnsPath: this.netnsPath(record), files: etcPaths(this.#context.layout, record) }))
    this.#infos.set(record, info)
    return info
  }

  async remove(name: string, op: Op = {}): Promise<boolean> {
    return this.#remove(sandboxName(name, 'name'), undefined, op)
  }

  /** A sandbox, and not another one that has its name by now. */
  removeThis({ name, id }: Pick<SandboxRecord, 'name' | 'id'>, op: Op = {}): Promise<boolean> {
    return this.#remove(name, id, op)
  }

  /** `id`: only if it is that one. */
  async #remove(name: string, id: string | undefined, op: Op): Promise<boolean> {
    op.signal?.throwIfAborted()
    const isMeant = (known: string) => id === undefined || id === known
    const socketsOf = () => [...this.#sockets].filter(([known, one]) => one.name === name && isMeant(known))
    const removing = this.#removals.remove({ name, id }, op)
    for (const [, { sockets }] of socketsOf()) sockets.leave(removing)
    const removed = await removing
    if (isMeant(this.#ephemeral.get(name) ?? '')) this.#ephemeral.delete(name)
    for (const [known, { sockets }] of socketsOf()) {
      this.#sockets.delete(known)
      sockets.destroy()
    }
    return removed
  }

  /** Of all handles of a sandbox: whoever removes it ends what any of them has handed out. */
  socketsOf(record: SandboxRecord): Sockets {
    const { id, name } = record
    const known = this.#sockets.get(id) ?? { name, sockets: new Sockets(this.#context.mechanism, this.netnsPath(record)) }
    this.#sockets.set(id, known)
    return known.sockets
  }

  async removeAll(names: readonly string[], op: Op = {}): Promise<readonly string[]> {
    if (!Array.isArray(names)) throw invalid('names', 'an array of names', names)
    for (const [i, name] of names.entries()) sandboxName(name, `names[${i}]`)
    return this.#removeAll(names, new Map(), op)
  }

  /** `ids`: of those that are to be none but that. */
  async #removeAll(names: readonly string[], ids: ReadonlyMap<string, string>, op: Op): Promise<readonly string[]> {
    const removed = new Set<string>()
    const errors: unknown[] = []
    for (const group of await this.#inOrder(names)) {
      const results = await Promise.allSettled(group.map(name => this.#remove(name, ids.get(name), op)))
      for (const [i, result] of results.entries()) {
        if (result.status === 'rejected') errors.push(result.reason)
        else if (result.value) removed.add(group[i] as string)
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, `${errors.length} of ${names.length} sandboxes could not be removed`)
    return names.filter(name => removed.delete(name))
  }

  /** Those who share a namespace first, since it can't go while it is shared. */
  async #inOrder(names: readonly string[]): Promise<readonly (readonly string[])[]> {
    const records = await Promise.all(names.map(name => this.#store.sandbox(name)))
    const shares = (_: string, i: number) => records[i]?.shares !== undefined
    return [names.filter(shares), names.filter((name, i) => !shares(name, i))]
  }

  /** `host.close()`. */
  async removeEphemeral(): Promise<void> {
    while (this.#pools.size + this.#creating.size + this.#ephemeral.size > 0) {
      // What of them can't be removed has no lock any more: the next openHost() takes care of it.
      await Promise.allSettled([...this.#pools].map(pool => pool.close()))
      await this.#creating.ended()
      await this.#removeAll([...this.#ephemeral.keys()], new Map(this.#ephemeral), {})
    }
    await this.changes.close()
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
      forms: this.#forms,
      networks: this.#networks,
      ports: this.#ports,
      process: this.#process,
      options,
      refused: new Refused(),
      liveRecord: (name, signal) => this.record(name, signal),
    })
  }

  /** Of the ports of a sandbox. */
  counters(record: SandboxRecord, signal?: AbortSignal): Promise<readonly PortCounter[]> {
    return this.#counters.of(record, signal)
  }

  /** Where a sandbox's namespace is; for host mode as this process sees it, whoever made the sandbox. */
  netnsPath({ mode, netns }: SandboxRecord): string {
    return mode === 'host' ? this.#context.netnsPath : netns.path
  }

  async #handle(record: SandboxRecord, identity?: Identity): Promise<CreatedSandbox> {
    return this.#handleOf(record, identity ?? (await this.#identity(record)))
  }

  #handleOf(record: SandboxRecord, identity: Identity): CreatedSandbox {
    return new SandboxHandle(record, identity, this, this.#context) as unknown as CreatedSandbox
  }

  /** Asked for only where something else is at a path than at the last time. */
  async #identities(records: readonly SandboxRecord[]): Promise<readonly Identity[]> {
    const versions = await this.#store.versions(records.map(({ netns }) => netns.path))
    const known = records.map(({ id }, i) => {
      const one = this.#identified.get(id)
      return one !== undefined && one.version === versions[i] ? one.identity : undefined
    })
    const unknown = records.filter((_, i) => known[i] === undefined)
    const fresh = (await this.#identify(unknown)).values()
    const identities = known.map(identity => identity ?? (fresh.next().value as Identity))
    this.#identified = new Map(
      records.flatMap(({ id }, i) => {
        const [version, identity] = [versions[i], identities[i]]
        return version !== undefined && identity !== undefined ? [[id, { version, identity }] as const] : []
      }),
    )
    return identities
  }

  /** Many at a time; one by one only where a namespace among them is gone. */
  async #identify(records: readonly SandboxRecord[]): Promise<readonly Identity[]> {
    const groups = Array.from({ length: Math.ceil(records.length / identifiedAtOnce) }, (_, i) =>
      records.slice(i * identifiedAtOnce, (i + 1) * identifiedAtOnce),
    )
    const identities = groups.map(async group => {
      const own = group.filter(({ mode }) => mode !== 'host')
      const plan = own.flatMap(({ name, netns }): Plan => {
        const { apply } = openNamespace(netns)
        return [{ apply: { ...apply, slot: name } as NetnsOpen }, { apply: { op: 'netns.identify', ns: name } }]
      })
      try {
        const outputs = await this.#context.mechanism.run(plan)
        return group.map(record => (record.mode === 'host' ? this.#context.identity : (outputs[2 * own.indexOf(record) + 1] as Identity)))
      } catch (error) {
        if (!(error instanceof PlanFailure)) throw error
        return await Promise.all(group.map(record => this.#identity(record)))
      }
    })
    return (await Promise.all(identities)).flat()
  }

  /** All zero where the namespace is gone: the sandbox can still be looked at and removed. */
  async #identity({ mode, netns }: SandboxRecord): Promise<Identity> {
    if (mode === 'host') return this.#context.identity
    try {
      const plan: Plan = [openNamespace(netns), { apply: { op: 'netns.identify', ns: slot } }]
      return (await this.#context.mechanism.run(plan))[1] as Identity
    } catch (error) {
      if (!(error instanceof PlanFailure)) throw error
      return { dev: 0n, inode: BigInt(netns.inode ?? 0), cookie: 0n }
    }
  }
}

/** What was made in a plan that makes one namespace at most. */
function isIdentity(output: Output): output is Identity {
  return typeof output === 'object' && 'inode' in output
}

function isLive({ phase }: SandboxRecord): boolean {
  return phase === 'ready' || phase === 'changing'
}
