/** Making a sandbox: a draft, a plan, and another draft where somebody else was faster. */
import type { Context } from '../context.js'
import type { NamespaceRef } from '../contract.js'
import { fail, invalid } from '../errors.js'
import { open } from '../namespace/namespace.js'
import { sharedRef } from '../namespace/shared-ref.js'
import type { Identity, Output } from '../native.js'
import type { KnownNetwork } from '../network/known-network.js'
import { type Networks, notFound } from '../network/networks.js'
import type { Link } from '../plan/kernel-objects.js'
import type { WrittenPlan } from '../plan/mechanism.js'
import type { Plan } from '../plan/op.js'
import { changedMeanwhile, linkNameTaken, translate } from '../plan/translate.js'
import type { SandboxRecord } from '../state/records.js'
import type { ValidSandboxOptions } from '../validate/sandbox-options.js'
import type { CreateForms } from './create-forms.js'
import { draftEndpoint, draftRecord, ifnameOf } from './draft.js'
import { refuseOverlap } from './guest.js'
import { createPlan, type Entrance, type Ground } from './plans.js'
import { avoidPort, type PortChooser, type Refused } from './port-choice.js'
import type { PortRequest } from './port-grammar.js'

/** A sandbox that is to be made, with the networks of its endpoints in the same order. */
export interface Draft {
  readonly record: SandboxRecord
  readonly networks: readonly KnownNetwork[]
  readonly entrance: Entrance
}

/** A namespace that the sandbox is to have. */
interface Place {
  readonly netns: SandboxRecord['netns']
  readonly adopted?: NamespaceRef
  /** Names of the links that are in it already. */
  readonly links: readonly string[]
}

/** What is to be published: as asked, and with `publishAll` every exposed port that is not. */
export function requestsOf({ publish, publishAll, expose }: ValidSandboxOptions): readonly PortRequest[] {
  if (!publishAll) return publish
  return [
    ...publish,
    ...expose.filter(one => !publish.some(port => port.containerPort === one.containerPort && port.protocol === one.protocol)),
  ]
}

/** One sandbox on its way. */
export class Creation {
  readonly #context: Context
  readonly #ground: Ground
  readonly #forms: CreateForms
  readonly #networks: Networks
  readonly #ports: PortChooser
  readonly #process: NonNullable<SandboxRecord['ephemeral']>
  readonly #options: ValidSandboxOptions
  readonly #refused: Refused
  readonly #liveRecord: (name: string, signal?: AbortSignal) => Promise<SandboxRecord>

  constructor(parts: {
    readonly context: Context
    readonly ground: Ground
    readonly forms: CreateForms
    readonly networks: Networks
    readonly ports: PortChooser
    readonly process: NonNullable<SandboxRecord['ephemeral']>
    readonly options: ValidSandboxOptions
    readonly refused: Refused
    /** The record of another sandbox. @throws NOT_FOUND */
    readonly liveRecord: (name: string, signal?: AbortSignal) => Promise<SandboxRecord>
  }) {
    this.#context = parts.context
    this.#ground = parts.ground
    this.#forms = parts.forms
    this.#networks = parts.networks
    this.#ports = parts.ports
    this.#process = parts.process
    this.#options = parts.options
    this.#refused = parts.refused
    this.#liveRecord = parts.liveRecord
  }

  /** Chooses names, addresses and ports; changes nothing but hints. */
  async draft(signal?: AbortSignal): Promise<Draft> {
    const { joins } = this.#options
    if (joins !== undefined) return this.#draftJoining(joins, signal)
    const { netns, adopted, links } = await this.#place(signal)
    const record = draftRecord(this.#options, netns, this.#process, this.#context.config)
    const entrance = adopted === undefined ? {} : { adopted }
    const networks: KnownNetwork[] = []
    const endpoints: SandboxRecord['endpoints'] = []
    try {
      for (const [i, attachment] of this.#options.attachments.entries()) {
        const taken = [
          ...links,
          ...(record.guest ? [record.guest.tap] : []),
          ...endpoints.map(one => one.ifname),
          ...this.#options.attachments.flatMap(({ ifname }) => ifname ?? []),
        ]
        const field = this.#options.attachments.length > 1 ? `networks[${i}].` : ''
        const draft = (network: KnownNetwork) => draftEndpoint(network, attachment, ifnameOf(attachment, taken, network), field)
        const found = await this.#networks.draftOn(attachment.network, draft, signal)
        if (found === undefined) throw notFound(attachment.network)
        endpoints.push(found.drafted)
        networks.push(found.network)
      }
      refuseOverlap(record.guest, endpoints)
      const ports = await this.#ports.choose(requestsOf(this.#options), endpoints, this.#refused, { field: 'publish', signal })
      return { record: { ...record, endpoints, ports }, networks, entrance }
    } catch (error) {
      this.giveBack({ record: { ...record, endpoints }, networks, entrance }, error)
      throw error
    }
  }

  /** For explain. */
  plan({ record, networks, entrance }: Draft): Plan {
    return createPlan(this.#ground, record, { networks, networkSteps: this.#networks.missingSteps(networks), ...entrance })
  }

  /** The same, and as far as it can be, written already. */
  writtenPlan(draft: Draft): Plan | WrittenPlan {
    const [network, ...others] = draft.networks
    const { there, enabled } = this.#ground.firewall
    const isReady = network?.record.phase === 'ready' && others.length === 0 && (there || !enabled)
    const draw = () => this.plan(draft)
    return isReady ? this.#forms.plan(this.#options, draft.record, network, draw) : draw()
  }

  /** A plan has gone through: what it made is known now. */
  learn({ networks }: Draft, plan: Plan | WrittenPlan, outputs: readonly unknown[]): void {
    // A plan that was written has found all that it needs made.
    if (!('text' in plan)) this.#networks.learn(networks, plan, outputs)
  }

  /** Frees what a draft that came to nothing has taken for itself. */
  giveBack({ record }: Draft, error?: unknown): void {
    this.#networks.giveBack(record.endpoints, error)
  }

  /** Was somebody else faster, so that a new draft can succeed? */
  async canRetry(error: unknown, { record, networks, entrance }: Draft): Promise<boolean> {
    if (this.#ground.resolver.canRetry(error) || (entrance.owner && changedMeanwhile(error))) return true
    // In a namespace of its own no name is taken: it is the host's end, whose name is drawn by lot.
    if (record.netns.owned && linkNameTaken(error)) return true
    if (avoidPort(error, requestsOf(this.#options), record, this.#refused, 'publish')) return true
    const wanted = this.#options.attachments.flatMap(({ ip, ip6 }) => [ip, ip6])
    return this.#networks.canRetry(error, networks, wanted)
  }

  async #draftJoining(name: string, signal?: AbortSignal): Promise<Draft> {
    const owner = await this.#liveRecord(name, signal)
    if (owner.mode === 'host' || owner.shares !== undefined) {
      throw fail('UNSUPPORTED', `Sandbox ${name} has no namespace of its own to share (its mode is ${owner.mode})`, {
        field: 'network',
        subject: name,
      })
    }
    const { path, inode } = owner.netns
    const record = draftRecord(
      this.#options,
      { path, owned: false, ...(inode !== undefined && { inode }) },
      this.#process,
      this.#context.config,
    )
    // The host name belongs to the namespace's owner as well.
    return { record: { ...record, hostname: owner.hostname }, networks: [], entrance: { owner } }
  }

  async #place(signal?: AbortSignal): Promise<Place> {
    const { mode, name, netns } = this.#options
    if (mode === 'host') return { netns: { path: this.#context.netnsPath, owned: false }, links: [] }
    if (netns !== undefined) return this.#adopt(netns, signal)
    return { netns: { path: `/run/netns/${name}`, owned: true }, links: [] }
  }

  /**
   * A namespace to adopt, checked, with a path that others can open. A descriptor ends with the process that has it: what it
   * leads to gets a name, as `ip netns attach` gives one.
   */
  async #adopt(given: NamespaceRef, signal?: AbortSignal): Promise<Place> {
    const ref = sharedRef(given)
    const plan: Plan = [
      { apply: open('adopted', ref) },
      { apply: { op: 'netns.identify', ns: 'adopted' } },
      { apply: { op: 'link.list', ns: 'adopted' } },
    ]
    const [, identity, links] = (await this.#run(plan, signal)) as [undefined, Identity, readonly Link[]]
    const { dev, inode } = this.#context.identity
    if (identity.dev === dev && identity.inode === inode)
      throw invalid('netns', "another namespace than the host's own (that is network: 'host')", given)
    const named = typeof ref === 'object' && 'fd' in ref
    const path = typeof ref === 'string' ? ref : 'pid' in ref ? `/proc/${ref.pid}/ns/net` : `/run/netns/${this.#options.name}`
    return {
      netns: { path, owned: false, ...(named && { named }), inode: String(identity.inode) },
      ...(named && { adopted: ref }),
      links: links.map(link => link.name),
    }
  }

  async #run(plan: Plan, signal?: AbortSignal): Promise<readonly Output[]> {
    try {
      return await this.#context.mechanism.run(plan, signal)
    } catch (error) {
      throw translate(error, signal)
    }
  }
}
