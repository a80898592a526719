/** Making a sandbox: a draft, a plan, and another draft where somebody else was faster. */
import type { Context } from '../context.js'
import { fail } from '../errors.js'
import type { Identity } from '../native.js'
import type { KnownNetwork } from '../network/known-network.js'
import { type Networks, notFound } from '../network/networks.js'
import type { Plan, Step } from '../plan/op.js'
import { translate } from '../plan/translate.js'
import type { SandboxRecord } from '../state/records.js'
import type { ValidSandboxOptions } from '../validate/sandbox-options.js'
import { draftEndpoint, draftRecord, freeIfname } from './draft.js'
import { createPlan, type Ground } from './plans.js'
import { avoidPort, choosePorts, type Refused } from './port-choice.js'
import type { PortRequest } from './port-grammar.js'
import type { RandomPorts } from './random-ports.js'

/** A sandbox that is to be made, with the networks of its endpoints in the same order. */
export interface Draft {
  readonly record: SandboxRecord
  readonly networks: readonly KnownNetwork[]
}

/** One sandbox on its way. */
export class Creation {
  readonly #context: Context
  readonly #ground: Ground
  readonly #networks: Networks
  readonly #random: RandomPorts
  readonly #process: NonNullable<SandboxRecord['ephemeral']>
  readonly #options: ValidSandboxOptions
  readonly #refused: Refused
  readonly #liveRecord: (name: string, signal?: AbortSignal) => Promise<SandboxRecord>

  constructor(parts: {
    readonly context: Context
    readonly ground: Ground
    readonly networks: Networks
    readonly random: RandomPorts
    readonly process: NonNullable<SandboxRecord['ephemeral']>
    readonly options: ValidSandboxOptions
    readonly refused: Refused
    /** The record of another sandbox. @throws NOT_FOUND */
    readonly liveRecord: (name: string, signal?: AbortSignal) => Promise<SandboxRecord>
  }) {
    this.#context = parts.context
    this.#ground = parts.ground
    this.#networks = parts.networks
    this.#random = parts.random
    this.#process = parts.process
    this.#options = parts.options
    this.#refused = parts.refused
    this.#liveRecord = parts.liveRecord
  }

  /** Chooses names, addresses and ports; changes nothing but hints. */
  async draft(signal?: AbortSignal): Promise<Draft> {
    const { joins } = this.#options
    if (joins !== undefined) return this.#draftJoining(joins, signal)
    const record = draftRecord(this.#options, await this.#netns(signal), this.#process)
    const networks: KnownNetwork[] = []
    const endpoints: SandboxRecord['endpoints'] = []
    const requests = this.#requests()
    if (requests.some(({ hostPort }) => hostPort === undefined)) await this.#random.prepare(this.#context.mechanism, signal)
    try {
      for (const [i, attachment] of this.#options.attachments.entries()) {
        const network = await this.#networks.resolve(attachment.network, signal)
        if (network === undefined) throw notFound(attachment.network)
        const taken = [...endpoints.map(({ ifname }) => ifname), ...this.#options.attachments.flatMap(({ ifname }) => ifname ?? [])]
        const field = this.#options.attachments.length > 1 ? `networks[${i}].` : ''
        endpoints.push(draftEndpoint(network, attachment, attachment.ifname ?? freeIfname(taken), field))
        networks.push(network)
      }
      return { record: { ...record, endpoints, ports: choosePorts(requests, endpoints, this.#random, this.#refused) }, networks }
    } catch (error) {
      this.giveBack({ record: { ...record, endpoints }, networks }, error)
      throw error
    }
  }

  /** What is to be published: as asked, and with `publishAll` every exposed port that is not. */
  #requests(): readonly PortRequest[] {
    const { publish, publishAll, expose } = this.#options
    if (!publishAll) return publish
    return [
      ...publish,
      ...expose.filter(one => !publish.some(port => port.containerPort === one.containerPort && port.protocol === one.protocol)),
    ]
  }

  plan({ record, networks }: Draft): Step[] {
    return createPlan(this.#ground, record, networks, this.#networks.missingSteps(networks))
  }

  /** A plan has gone through: what it made is known now. */
  learn({ networks }: Draft, plan: Plan, outputs: readonly unknown[]): void {
    this.#networks.learn(networks, plan, outputs)
  }

  /** Frees what a draft that came to nothing has taken for itself. */
  giveBack({ record }: Draft, error?: unknown): void {
    this.#networks.giveBack(record.endpoints, error)
  }

  /** Was somebody else faster, so that a new draft can succeed? */
  async canRetry(error: unknown, { networks }: Draft): Promise<boolean> {
    if (avoidPort(error, this.#requests(), this.#refused)) return true
    const wanted = this.#options.attachments.flatMap(({ ip, ip6 }) => [ip, ip6])
    return this.#networks.canRetry(error, networks, wanted)
  }

  async #draftJoining(name: string, signal?: AbortSignal): Promise<Draft> {
    const other = await this.#liveRecord(name, signal)
    if (other.mode === 'host' || other.shares !== undefined) {
      throw fail('UNSUPPORTED', `Sandbox ${name} has no namespace of its own to share (its mode is ${other.mode})`, {
        field: 'network',
        subject: name,
      })
    }
    return { record: draftRecord(this.#options, { path: other.netns.path, owned: false }, this.#process), networks: [] }
  }

  async #netns(signal?: AbortSignal): Promise<SandboxRecord['netns']> {
    const { mode, name, netns } = this.#options
    if (mode === 'host') return { path: this.#context.netnsPath, owned: false }
    return netns === undefined ? { path: `/run/netns/${name}`, owned: true } : this.#adopt(netns, signal)
  }

  /** A namespace to adopt, checked, with a path that others can open. */
  async #adopt(netns: NonNullable<ValidSandboxOptions['netns']>, signal?: AbortSignal): Promise<SandboxRecord['netns']> {
    const ref = typeof netns === 'string' ? { path: netns } : netns
    const path = 'path' in ref ? ref.path : 'pid' in ref ? `/proc/${ref.pid}/ns/net` : `/proc/${process.pid}/fd/${ref.fd}`
    try {
      const plan: Plan = [{ apply: { op: 'netns.open', slot: 'adopted', ...ref } }, { apply: { op: 'netns.identify', ns: 'adopted' } }]
      const [, identity] = (await this.#context.mechanism.run(plan, signal)) as [undefined, Identity]
      return { path, owned: false, inode: String(identity.inode) }
    } catch (error) {
      throw translate(error, signal)
    }
  }
}
