/** `host.networks`: the networks of one host. */

import type { Context } from '../context.js'
import type { Filter, Network, NetworkInfo, NetworkOptions, Op } from '../contract.js'
import { errnoName, fail, isNetmodeError } from '../errors.js'
import type { Firewall } from '../firewall/firewall.js'
import type { Link } from '../plan/kernel-objects.js'
import { PlanFailure } from '../plan/mechanism.js'
import type { Plan, Step } from '../plan/op.js'
import { changedMeanwhile, translate } from '../plan/translate.js'
import { lockRoot } from '../state/lock.js'
import { type AdoptedRecord, type EndpointRecord, format, type NetworkRecord } from '../state/records.js'
import type { Store } from '../state/store.js'
import { hasLabels, filter as validFilter } from '../validate/call-options.js'
import { networkName } from '../validate/guards.js'
import { networkOptions } from '../validate/network-options.js'
import { defaultNetwork, defaultNetworkOptions, hasDefaultNetwork } from './default-network.js'
import { differences, draftNetwork } from './draft.js'
import { ownSysctls } from './drivers/bridge.js'
import { driverOf } from './drivers/drivers.js'
import { readHostFacts } from './host-facts.js'
import { networkInfo } from './inspect.js'
import { KnownNetwork } from './known-network.js'
import { readUplink } from './uplink.js'

/** How often a plan is made anew because another process changed what it was based on. */
const attempts = 16

export class Networks {
  readonly #context: Context
  readonly #store: Store
  readonly #firewall: Firewall
  readonly #known = new Map<string, KnownNetwork>()

  constructor(context: Context, store: Store, firewall: Firewall) {
    this.#context = context
    this.#store = store
    this.#firewall = firewall
  }

  async create(options: NetworkOptions, op: Op = {}): Promise<Network> {
    const valid = networkOptions(options, this.#context.config.defaultNetworkOpts)
    for (let attempt = 1; ; attempt++) {
      if (await this.#current(valid.name, op.signal))
        throw fail('EXISTS', `A network called ${valid.name} exists`, { field: 'name', subject: valid.name })
      const record = await this.#draft(valid, op.signal)
      try {
        return this.#handle(await this.#make(record, op.signal))
      } catch (error) {
        if (attempt === attempts || !(isLookedAtTooEarly(error) || (await this.#firewall.canRetry(error))))
          throw translate(error, op.signal)
      }
    }
  }

  async ensure(options: NetworkOptions, op: Op = {}): Promise<Network> {
    const valid = networkOptions(options, this.#context.config.defaultNetworkOpts)
    const existing = await this.#current(valid.name, op.signal)
    if (existing === undefined) {
      try {
        return await this.create(options, op)
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ERR_NETMODE_EXISTS')) throw error
        return this.ensure(options, op) // another process was faster: compare with what it made
      }
    }
    const differ = differences(valid, existing.record)
    if (differ.length > 0)
      throw fail('MISMATCH', `Network ${valid.name} exists with other options: ${differ.join(', ')}`, {
        field: differ[0] as string,
        subject: valid.name,
        detail: differ.join(', '),
      })
    return this.#handle(existing)
  }

  async get(name: string, op: Op = {}): Promise<Network | undefined> {
    const known = await this.#current(networkName(name, 'name'), op.signal)
    return known && this.#handle(known)
  }

  async list(filter?: Filter, op: Op = {}): Promise<readonly Network[]> {
    op.signal?.throwIfAborted()
    const { name, labels } = validFilter(filter)
    const { records } = await this.#store.networks()
    return records
      .filter(record => record.phase === 'ready' && (name === undefined || record.name === name))
      .filter(record => hasLabels(record.labels, labels))
      .map(record => this.#handleOf(record))
  }

  async inspect(name: string, op: Op = {}): Promise<NetworkInfo> {
    const known = await this.#current(networkName(name, 'name'), op.signal)
    if (known === undefined) throw notFound(name)
    const { records } = await this.#store.sandboxes()
    return networkInfo(known.record, records, await this.#store.leases(known.record.id))
  }

  async remove(name: string, op: Op = {}): Promise<boolean> {
    networkName(name, 'name')
    op.signal?.throwIfAborted()
    const record = await this.#store.network(name)
    if (record === undefined) return false
    try {
      // Without the signal: what has begun to go can't be put back, so it goes to the end.
      await this.#context.mechanism.run(await this.removePlan(record))
      await this.removeTableIfUnused()
    } catch (error) {
      if (changedMeanwhile(error)) return await this.remove(name, op)
      if (error instanceof PlanFailure && error.op.op === 'expect.names') throw await this.#busy(record)
      throw translate(error, op.signal)
    } finally {
      this.forget(name)
    }
    return true
  }

  async prune(filter?: Filter, op: Op = {}): Promise<readonly string[]> {
    const removed: string[] = []
    for (const network of await this.list(filter, op)) {
      if (network.name === defaultNetwork) continue
      const leases = await this.#store.leases(network.id)
      if (leases.length > 0) continue
      if (await this.remove(network.name, op)) removed.push(network.name)
    }
    return removed
  }

  /** A network by name; the default one even if it is not made yet (its `deviceIndex` is undefined then). */
  async resolve(name: string, signal?: AbortSignal): Promise<KnownNetwork | undefined> {
    const known = await this.#load(name, signal)
    const { config } = this.#context
    if (known !== undefined || name !== defaultNetwork || !hasDefaultNetwork(config)) return known
    return new KnownNetwork(await this.#draft(networkOptions(defaultNetworkOptions(config)), signal), undefined, [])
  }

  /**
   * Drafts something on a network; undefined: there is none. Where it is full as far as is known here, the disk is asked: others may
   * have given addresses back.
   */
  async draftOn<T>(name: string, draft: (network: KnownNetwork) => T, signal?: AbortSignal) {
    for (let known = await this.resolve(name, signal), again = true; known !== undefined; known = await this.resolve(name, signal)) {
      try {
        return { network: known, drafted: draft(known) }
      } catch (error) {
        if (!again || !(isNetmodeError(error) && error.code === 'ERR_NETMODE_EXHAUSTED')) throw error
        again = false
        this.forget(name)
      }
    }
    return undefined
  }

  /** As far as is known here, which may be nothing or not the latest. */
  known(name: string): KnownNetwork | undefined {
    return this.#known.get(name)
  }

  /** What was known of it may be wrong: read it again next time. */
  forget(name: string): void {
    this.#known.delete(name)
  }

  /** A plan has made a network that was only drafted. */
  made(draft: KnownNetwork, deviceIndex: number | undefined): KnownNetwork {
    const known = draft.ready(deviceIndex)
    this.#known.set(known.record.name, known)
    this.#context.care()
    return known
  }

  /** Frees the hints of endpoints that came to nothing or are gone, but for the address that turned out to be taken. */
  giveBack(endpoints: readonly EndpointRecord[], error?: unknown): void {
    const taken = takenAddress(error)
    for (const { networkId, network, ipv4, ipv6 } of endpoints) {
      const known = this.#known.get(network)
      if (known?.record.id !== networkId) continue
      for (const choice of [ipv4, ipv6]) if (choice && choice.address !== taken) known.release(choice.address)
    }
  }

  /**
   * Did a plan with endpoints on these networks fail only because another process was faster, so that a new draft can succeed?
   * `wanted`: addresses that were asked for, and for which there is no other.
   */
  async canRetry(error: unknown, networks: readonly KnownNetwork[], wanted: readonly (string | undefined)[]): Promise<boolean> {
    if (await this.#firewall.canRetry(error)) return true
    const taken = takenAddress(error)
    if (taken !== undefined) {
      if (wanted.includes(taken)) return false
      for (const network of networks) network.relearn(await this.#store.leases(network.record.id))
      return true
    }
    if (!isOutdated(error, networks)) return false
    for (const { record } of networks) this.forget(record.name)
    return true
  }

  /** What has to be made first of networks that are only drafted. */
  missingSteps(networks: readonly KnownNetwork[]): Step[] {
    const missing = new Map(networks.filter(({ record }) => record.phase === 'creating').map(({ record }) => [record.id, record]))
    return [...missing.values()].flatMap(record => this.steps(record))
  }

  /** A plan with `missingSteps` has gone through. */
  learn(networks: readonly KnownNetwork[], plan: Plan, outputs: readonly unknown[]): void {
    if (networks.some(({ record }) => driverOf(record).usesFirewall(record))) this.#firewall.made()
    for (const network of networks) if (network.record.phase === 'creating') this.made(network, deviceIndex(plan, outputs, network.record))
  }

  /** Record, leases folder, device: everything that makes a network, inside of a plan that holds the lock. */
  steps(record: NetworkRecord): Step[] {
    const { layout } = this.#context
    const path = layout.network(record.name)
    return [
      ...(record.adopted ? [{ apply: { op: 'expect.names', path: layout.networks, names: record.adopted.beside } } as const] : []),
      { apply: { op: 'file.write', path, text: format(record), how: 'create' }, undo: { op: 'file.remove', path }, journal: true },
      {
        apply: { op: 'folder.create', path: layout.networkLeases(record.id) },
        undo: { op: 'folder.remove', path: layout.networkLeases(record.id) },
      },
      ...this.#allowed(driverOf(record).createSteps(record)),
      { apply: { op: 'file.write', path, text: format({ ...record, phase: 'ready' }), how: 'replace' } },
    ]
  }

  /** The plan of `create`. */
  async createPlan(options: NetworkOptions): Promise<Step[]> {
    return this.#planFor(await this.#draft(networkOptions(options, this.#context.config.defaultNetworkOpts)))
  }

  /** The plan of `remove`; fails at `expect.names` while endpoints live. */
  removePlan(record: NetworkRecord): Step[] {
    const { layout } = this.#context
    const path = layout.network(record.name)
    return [
      lockRoot(this.#context.layout, 'exclusive'),
      { apply: { op: 'expect.unchanged', path, text: format(record) } },
      { apply: { op: 'expect.names', path: layout.networkLeases(record.id), names: [] } },
      { apply: { op: 'file.write', path, text: format({ ...record, phase: 'removing' }), how: 'replace' } },
      ...this.#allowed(driverOf(record).removeSteps(record)),
      { apply: { op: 'folder.remove', path: layout.networkLeases(record.id) } },
      { apply: { op: 'file.remove', path } },
    ]
  }

  /** What the host's configuration leaves of a driver's steps. */
  #allowed(steps: readonly Step[]): Step[] {
    const { config } = this.#context
    return this.#firewall.allowed(steps).filter(({ apply }) => config.ipForward || apply.op !== 'sysctl.set' || !isForwarding(apply.key))
  }

  #planFor(record: NetworkRecord): Step[] {
    const table = driverOf(record).usesFirewall(record) ? this.#firewall.steps() : []
    return [lockRoot(this.#context.layout, 'exclusive'), ...table, ...this.steps(record)]
  }

  async #draft(valid: ReturnType<typeof networkOptions>, signal?: AbortSignal): Promise<NetworkRecord> {
    const { mechanism, config, layout } = this.#context
    const { records } = await this.#store.networks()
    const facts = await readHostFacts(mechanism, records, signal)
    const drafted = draftNetwork(valid, { facts, config, networks: records, hostId: layout.root })
    const { parent, vlan, driver, adopted } = drafted
    const hasUplink = driver === 'bridge' && parent !== undefined && vlan === undefined
    const record = hasUplink
      ? { ...drafted, uplink: await readUplink(mechanism, parent, signal) }
      : adopted
        ? await this.#withSettings(drafted, adopted, signal)
        : drafted
    if (!config.ipForward) await this.#refuseWithoutForwarding(record, signal)
    return record
  }

  /** An adopted device's settings as they are now, to be put back when the network goes. */
  async #withSettings(record: NetworkRecord, adopted: AdoptedRecord, signal?: AbortSignal): Promise<NetworkRecord> {
    const sysctls: Record<string, string> = {}
    for (const key of ownSysctls(record)) {
      try {
        const [value] = await this.#context.mechanism.run([{ apply: { op: 'sysctl.get', key } }], signal)
        sysctls[key] = value as string
      } catch (error) {
        // A kernel without IPv6 has nothing to be put back.
        if (!(error instanceof PlanFailure && errnoName(error.errno) === 'ENOENT')) throw error
      }
    }
    return { ...record, adopted: { ...adopted, sysctls } }
  }

  /** With `ip-forward: false` the host's administrator has to have switched on what the network needs. */
  async #refuseWithoutForwarding(record: NetworkRecord, signal?: AbortSignal): Promise<void> {
    const needed = driverOf(record)
      .createSteps(record)
      .flatMap(({ apply }) => (apply.op === 'sysctl.set' && isForwarding(apply.key) ? [apply.key] : []))
    if (needed.length === 0) return
    const values = await this.#context.mechanism.run(
      needed.map(key => ({ apply: { op: 'sysctl.get', key } })),
      signal,
    )
    const off = needed.filter((_, i) => values[i] === '0').map(key => key.replaceAll('/', '.'))
    if (off.length === 0) return
    throw fail('UNSUPPORTED', `Network ${record.name} needs forwarding: ${off.join(' and ')} is 0, and config.ip-forward is false`, {
      field: 'config.ip-forward',
      subject: off.join(', '),
    })
  }

  async #make(record: NetworkRecord, signal?: AbortSignal): Promise<KnownNetwork> {
    const plan = this.#planFor(record)
    const outputs = await this.#context.mechanism.run(plan, signal)
    if (driverOf(record).usesFirewall(record)) this.#firewall.made()
    return this.made(new KnownNetwork(record, undefined, []), deviceIndex(plan, outputs, record))
  }

  /** As the record on disk says: another process may have removed what is known here, or made it anew. */
  async #current(name: string, signal?: AbortSignal): Promise<KnownNetwork | undefined> {
    signal?.throwIfAborted()
    const record = await this.#store.network(name)
    if (record?.id !== this.#known.get(name)?.record.id) this.forget(name)
    return this.#load(name, signal)
  }

  /** From memory, or from disk with a look at the kernel. */
  async #load(name: string, signal?: AbortSignal): Promise<KnownNetwork | undefined> {
    const known = this.#known.get(name)
    if (known !== undefined) return known
    const record = await this.#store.network(name)
    if (record === undefined || record.phase !== 'ready') return undefined
    const device = await this.#device(record, signal)
    const loaded = new KnownNetwork(record, device?.index, await this.#store.leases(record.id))
    if (device !== undefined || record.device === '') this.#known.set(name, loaded)
    return loaded
  }

  /** undefined: it is not there, or the network has none. */
  async #device({ device }: NetworkRecord, signal?: AbortSignal): Promise<Link | undefined> {
    if (device === '') return undefined
    const [links] = (await this.#context.mechanism.run([{ apply: { op: 'link.list', name: device } }], signal)) as [readonly Link[]]
    return links[0]
  }

  /** With the last network the ruleset goes as well. */
  async removeTableIfUnused(): Promise<void> {
    try {
      await this.#context.mechanism.run([
        lockRoot(this.#context.layout, 'exclusive'),
        { apply: { op: 'expect.names', path: this.#context.layout.networks, names: [] } },
        ...this.#firewall.removeSteps(),
      ])
      this.#firewall.gone()
    } catch (error) {
      if (!(error instanceof PlanFailure && error.op.op === 'expect.names')) throw error
    }
  }

  async #busy(record: NetworkRecord): Promise<Error> {
    const { records } = await this.#store.sandboxes()
    const users = records.filter(sandbox => sandbox.endpoints.some(({ networkId }) => networkId === record.id))
    const names = [...new Set(users.map(({ name, phase }) => (phase === 'pooled' ? 'a warm pool' : name)))]
    return fail('BUSY', `Network ${record.name} has live endpoints: ${names.join(', ') || 'one that is being made'}`, {
      subject: record.name,
      ...(names.length > 0 && { holder: names.join(', ') }),
    })
  }

  #handle(known: KnownNetwork): Network {
    return this.#handleOf(known.record)
  }

  #handleOf(record: NetworkRecord): Network {
    return {
      id: record.id,
      name: record.name,
      driver: record.driver,
      ...(record.device !== '' && { device: record.device }),
      subnets: record.subnets.map(({ subnet, gateway }) => ({ subnet, gateway })),
      labels: record.labels,
      inspect: op => this.inspect(record.name, op),
      remove: op => this.remove(record.name, op),
    }
  }
}

/** What `link.add` of the network's device answered. */
function deviceIndex(plan: readonly Step[], outputs: readonly unknown[], record: NetworkRecord): number | undefined {
  const made = plan.findIndex(({ apply }) => apply.op === 'link.add' && apply.name === record.device && apply.ns === undefined)
  return made < 0 ? undefined : (outputs[made] as number)
}

export function notFound(name: string): Error {
  return fail('NOT_FOUND', `No network called ${name}`, { subject: name })
}

/** Another network was made or removed since the bridge was looked at that is to be adopted. */
function isLookedAtTooEarly(error: unknown): boolean {
  return error instanceof PlanFailure && error.op.op === 'expect.names'
}

function isForwarding(key: string): boolean {
  return key === 'net/ipv4/ip_forward' || key === 'net/ipv6/conf/all/forwarding'
}

/** The address that a claim found taken. */
function takenAddress(error: unknown): string | undefined {
  if (!(error instanceof PlanFailure) || error.op.op !== 'claim' || errnoName(error.errno) !== 'EEXIST') return undefined
  return error.op.path.slice(error.op.path.lastIndexOf('/') + 1)
}

/** A network was removed, or made, by another process since it was looked at. */
function isOutdated(error: unknown, networks: readonly KnownNetwork[]): boolean {
  if (!(error instanceof PlanFailure)) return false
  const errno = errnoName(error.errno)
  switch (error.op.op) {
    case 'expect.names': // the bridge of a network that is to be made was looked at too early
      return networks.some(({ record }) => record.adopted !== undefined && record.phase === 'creating')
    case 'claim': // the folder of its leases is gone
      return errno === 'ENOENT'
    case 'link.add': // its device is gone, or another one
      return errno === 'ENODEV' && networks.some(({ deviceIndex }) => deviceIndex !== undefined)
    case 'file.write': // the default network is there now
      return errno === 'EEXIST' && networks.some(({ record }) => record.phase === 'creating')
    default:
      return false
  }
}
