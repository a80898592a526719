/** Changing live sandboxes: ports published and taken back, networks attached and detached. */
import type { Context } from '../context.js'
import { fail } from '../errors.js'
import type { KnownNetwork } from '../network/known-network.js'
import { withNames } from '../network/name-servers.js'
import { type Networks, notFound } from '../network/networks.js'
import type { Link } from '../plan/kernel-objects.js'
import type { Plan } from '../plan/op.js'
import { changedMeanwhile, translate } from '../plan/translate.js'
import { type EndpointRecord, format, type PortRecord, type RedirectRecord, type SandboxRecord } from '../state/records.js'
import { shelve, withoutPorts, withPorts } from '../state/shelf.js'
import type { Store } from '../state/store.js'
import type { RedirectSelector, ValidRedirect } from '../validate/redirect-options.js'
import type { ValidEndpointOptions } from '../validate/sandbox-options.js'
import { ChangeForms } from './change-forms.js'
import { begun, type Change, changePlan, healPlan, isToBeFinished } from './change-plan.js'
import { draftEndpoint, ifnameOf } from './draft.js'
import { refuseOverlap } from './guest.js'
import { held } from './held.js'
import { openNamespace, slot } from './modes/mode.js'
import type { Ground } from './plans.js'
import { avoidPort, type PortChooser, Refused } from './port-choice.js'
import { type PortRequest, type PortSelector, selects } from './port-grammar.js'
import { UnderWay } from './under-way.js'

/** How often a change is drafted anew because another process was faster. */
const attempts = 1000

/** The sandbox as it is now, and what a call has changed. */
export interface Changed<T> {
  readonly record: SandboxRecord
  readonly changed: T
}

/** A draft of a change; no `change`: nothing is to be done. */
interface Draft<T> {
  readonly change?: Change
  readonly changed: T
  /** Takes back what the draft has taken for itself. */
  readonly giveBack?: (error: unknown) => void
}

export class Changes {
  readonly #context: Context
  readonly #store: Store
  readonly #networks: Networks
  readonly #ground: Ground
  readonly #ports: PortChooser
  readonly #forms: ChangeForms
  /** Of the files of those records that were written here. */
  readonly #versions = new WeakMap<SandboxRecord, string>()
  readonly #underWay = new UnderWay()
  #closed = false

  constructor(context: Context, store: Store, networks: Networks, ground: Ground, ports: PortChooser) {
    this.#context = context
    this.#store = store
    this.#networks = networks
    this.#ground = ground
    this.#ports = ports
    this.#forms = new ChangeForms(ground)
  }

  /** Publishes more ports. */
  publish(record: SandboxRecord, requests: readonly PortRequest[], signal?: AbortSignal): Promise<Changed<readonly PortRecord[]>> {
    this.#context.mechanism.expect()
    const refused = new Refused()
    const draft = (current: SandboxRecord) => this.#draftPublish(current, requests, refused, signal)
    return this.#run(record, draft, async error => avoidPort(error, requests, record, refused, 'ports'), signal)
  }

  /** The plan of `publish`, for explain. */
  async publishPlan(record: SandboxRecord, requests: readonly PortRequest[]): Promise<Plan> {
    const { change } = await this.#draftPublish(record, requests, new Refused())
    return change ? changePlan(this.#ground, change).plan : []
  }

  /** Takes published ports back. */
  unpublish(record: SandboxRecord, selectors: readonly PortSelector[], signal?: AbortSignal): Promise<Changed<readonly PortRecord[]>> {
    this.#context.mechanism.expect()
    const draft = async (current: SandboxRecord): Promise<Draft<readonly PortRecord[]>> => {
      const [hostPort, ...more] = new Set(selectors.map(selector => selector.hostPort))
      const isNear = more.length === 0 ? (port: PortRecord) => port.hostPort === hostPort : () => true
      const removed = current.ports.filter(port => isNear(port) && selectors.some(selector => selects(selector, port)))
      if (removed.length === 0) return { changed: removed }
      const after = withoutPorts(current, removed)
      return { changed: removed, change: { before: current, after, ports: { added: [], removed }, networks: [], networkSteps: [] } }
    }
    return this.#run(record, draft, async () => false, signal)
  }

  /** Brings connections to ports outside to a proxy on the host. */
  redirect(
    record: SandboxRecord,
    { protocol, ports, toPort, toAddress }: ValidRedirect,
    signal?: AbortSignal,
  ): Promise<Changed<readonly RedirectRecord[]>> {
    const wanted = ports.map(port => ({ protocol, port, toPort, ...(toAddress !== undefined && { toAddress }) }))
    const draft = async (current: SandboxRecord): Promise<Draft<readonly RedirectRecord[]>> => {
      refuseBorrowed(current, 'redirect')
      if (!this.#context.config.iptables)
        throw fail('UNSUPPORTED', 'A redirect needs rules, and config.iptables is false', { field: 'ports' })
      const others = (current.redirects ?? []).filter(
        one => !wanted.some(other => other.protocol === one.protocol && other.port === one.port),
      )
      return { changed: wanted, change: withRedirects(current, [...others, ...wanted]) }
    }
    return this.#run(this.#reread(record, signal), draft, async () => false, signal)
  }

  /** Ends that. */
  unredirect(
    record: SandboxRecord,
    { protocol, ports }: RedirectSelector,
    signal?: AbortSignal,
  ): Promise<Changed<readonly RedirectRecord[]>> {
    const selected = (one: RedirectRecord) => (protocol ?? one.protocol) === one.protocol && (ports?.includes(one.port) ?? true)
    const draft = async (current: SandboxRecord): Promise<Draft<readonly RedirectRecord[]>> => {
      const { redirects = [] } = current
      const removed = redirects.filter(selected)
      if (removed.length === 0) return { changed: removed }
      return {
        changed: removed,
        change: withRedirects(
          current,
          redirects.filter(one => !selected(one)),
        ),
      }
    }
    return this.#run(this.#reread(record, signal), draft, async () => false, signal)
  }

  /** Attaches to a further network. */
  attach(record: SandboxRecord, network: string, options: ValidEndpointOptions, signal?: AbortSignal): Promise<Changed<EndpointRecord>> {
    const canRetry = (error: unknown, { change }: Draft<EndpointRecord>) =>
      change ? this.#networks.canRetry(error, change.networks, [options.ip, options.ip6]) : Promise.resolve(false)
    return this.#run(this.#reread(record, signal), current => this.#draftAttach(current, network, options, signal), canRetry, signal)
  }

  /** Detaches from a network; false: was not attached. */
  detach(record: SandboxRecord, network: string, signal?: AbortSignal): Promise<Changed<boolean>> {
    const draft = async (current: SandboxRecord): Promise<Draft<boolean>> => {
      const endpoints = current.endpoints.filter(endpoint => endpoint.network !== network)
      if (endpoints.length === current.endpoints.length) return { changed: false }
      return { changed: true, change: { before: current, after: { ...current, endpoints }, networks: [], networkSteps: [] } }
    }
    return this.#run(this.#reread(record, signal), draft, async () => false, signal)
  }

  async #draftPublish(
    current: SandboxRecord,
    requests: readonly PortRequest[],
    refused: Refused,
    signal?: AbortSignal,
  ): Promise<Draft<readonly PortRecord[]>> {
    refuseBorrowed(current, 'publish')
    const added = await this.#ports.choose(requests, current.endpoints, refused, { field: 'ports', signal })
    if (added.length === 0) return { changed: added }
    return {
      changed: added,
      change: { before: current, after: withPorts(current, added), ports: { added, removed: [] }, networks: [], networkSteps: [] },
    }
  }

  async #draftAttach(
    current: SandboxRecord,
    name: string,
    options: ValidEndpointOptions,
    signal?: AbortSignal,
  ): Promise<Draft<EndpointRecord>> {
    refuseBorrowed(current, 'attach')
    if (current.endpoints.some(endpoint => endpoint.network === name)) {
      throw fail('EXISTS', `Sandbox ${current.name} is attached to network ${name} already`, { field: 'network', subject: name })
    }
    const taken = [
      ...current.endpoints.map(endpoint => endpoint.ifname),
      ...(current.guest ? [current.guest.tap] : []),
      ...(await this.#foreignLinks(current, signal)),
    ]
    const attachment = { ...options, network: name }
    const draft = (network: KnownNetwork) => draftEndpoint(network, attachment, ifnameOf(attachment, taken, network), '')
    const found = await this.#networks.draftOn(name, draft, signal)
    if (found === undefined) throw notFound(name)
    const { network, drafted: endpoint } = found
    try {
      refuseOverlap(current.guest, [endpoint], 'network')
    } catch (error) {
      this.#networks.giveBack([endpoint], error)
      throw error
    }
    const after = { ...current, endpoints: [...current.endpoints, endpoint] }
    return {
      changed: endpoint,
      change: { before: current, after, networks: [network], networkSteps: this.#networks.missingSteps([network]) },
      giveBack: error => this.#networks.giveBack([endpoint], error),
    }
  }

  /** Names of the links in an adopted namespace, where others may make some too. */
  async #foreignLinks({ netns }: SandboxRecord, signal?: AbortSignal): Promise<readonly string[]> {
    if (netns.owned) return []
    try {
      const plan: Plan = [openNamespace(netns), { apply: { op: 'link.list', ns: slot } }]
      const [, links] = (await this.#context.mechanism.run(plan, signal)) as [undefined, readonly Link[]]
      return links.map(({ name }) => name)
    } catch (error) {
      throw translate(error, signal)
    }
  }

  /** Those that are under way end, and no other begins. */
  async close(): Promise<void> {
    this.#closed = true
    while (this.#underWay.size > 0) await this.#underWay.ended()
  }

  /** Runs a change; drafted anew from the current record when another process has changed it meanwhile. */
  #run<T>(
    /** A handle's may be out of date. That shows when the plan is run; but where there may be nothing to do, it has to be read first. */
    record: SandboxRecord | Promise<SandboxRecord>,
    draft: (current: SandboxRecord) => Promise<Draft<T>>,
    canRetry: (error: unknown, draft: Draft<T>) => Promise<boolean>,
    signal?: AbortSignal,
  ): Promise<Changed<T>> {
    return this.#underWay.add(this.#carryOut(record, draft, canRetry, signal))
  }

  async #carryOut<T>(
    record: SandboxRecord | Promise<SandboxRecord>,
    draft: (current: SandboxRecord) => Promise<Draft<T>>,
    canRetry: (error: unknown, draft: Draft<T>) => Promise<boolean>,
    signal?: AbortSignal,
  ): Promise<Changed<T>> {
    let current = await record
    if (this.#closed) throw fail('CLOSED', 'This host has been closed')
    for (let attempt = 1; ; attempt++) {
      while (current.pending !== undefined) current = await this.#healed(current, signal)
      let drafted: Draft<T>
      try {
        drafted = await draft(current)
      } catch (error) {
        if (await this.#isCurrent(current, signal)) throw error
        current = await this.#reread(current, signal)
        continue
      }
      const { changed } = drafted
      const change = drafted.change && { ...drafted.change, version: this.#versions.get(drafted.change.before) }
      if (change === undefined) {
        if (await this.#isCurrent(current, signal)) return { record: current, changed }
        current = await this.#reread(current, signal)
        continue
      }
      const { plan, writing } = this.#forms.plan(change)
      try {
        const outputs = await this.#context.mechanism.run(plan, signal)
        // A plan that was written makes none.
        if (!('text' in plan)) this.#networks.learn(change.networks, plan, outputs)
        // Without the signal: it is as good as done, and what is left can't be taken back.
        if (isToBeFinished(change)) await this.#healed(begun(this.#ground, change))
        this.#networks.giveBack(change.before.endpoints.filter(endpoint => !change.after.endpoints.includes(endpoint)))
        if (change.networks.length > 0) await this.#context.names.ready(withNames(change.after).map(({ networkId }) => networkId))
        const { record: after } = shelve(this.#context.layout, change.after)
        if (!isToBeFinished(change)) this.#versions.set(after, outputs[writing] as string)
        return { record: after, changed }
      } catch (error) {
        drafted.giveBack?.(error)
        if (attempt === attempts) throw translate(error, signal)
        if (changedMeanwhile(error)) current = await this.#reread(current, signal)
        else if (!(await this.#ground.firewall.canRetry(error)) && !(await canRetry(error, drafted))) throw translate(error, signal)
      }
    }
  }

  /** Ends the change that another process has begun: waits for it, or, if that process is dead, puts things right. */
  async #healed(record: SandboxRecord, signal?: AbortSignal): Promise<SandboxRecord> {
    try {
      await this.#context.mechanism.run(healPlan(this.#ground, record, await held(this.#context.layout, record)), signal)
    } catch (error) {
      if (!changedMeanwhile(error)) throw translate(error, signal)
    }
    return this.#reread(record, signal)
  }

  /** Only a change finds out by itself whether it was drafted from the current record; a refusal, or nothing to do, has to ask. */
  async #isCurrent(record: SandboxRecord, signal?: AbortSignal): Promise<boolean> {
    return format(await this.#reread(record, signal)) === format(record)
  }

  /** The current record of the same sandbox. @throws NOT_FOUND when it is gone, though another may have its name */
  async #reread({ id, name }: SandboxRecord, signal?: AbortSignal): Promise<SandboxRecord> {
    signal?.throwIfAborted()
    const current = await this.#store.sandbox(name)
    if (current?.id !== id || current.phase === 'removing') throw fail('NOT_FOUND', `Sandbox ${name} is gone`, { subject: name })
    return current
  }
}

function withRedirects(before: SandboxRecord, redirects: RedirectRecord[]): Change {
  const { redirects: _, ...rest } = before
  return { before, after: { ...rest, ...(redirects.length > 0 && { redirects }) }, networks: [], networkSteps: [] }
}

/** What belongs to the namespace's owner is changed there. */
function refuseBorrowed({ name, mode, shares }: SandboxRecord, verb: string): void {
  if (mode !== 'host' && mode !== 'container') return
  const owner = mode === 'host' ? 'the host' : `sandbox ${shares}`
  throw fail('UNSUPPORTED', `Sandbox ${name} has nothing of its own to ${verb} (network ${mode}: the namespace belongs to ${owner})`, {
    subject: name,
  })
}
