/** `openHost`: the front door. */
import { existsSync, mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'

import type { BridgeFilter, Context } from './context.js'
import type {
  Finding,
  Host,
  HostEvent,
  HostStats,
  Op,
  OpenHostOptions,
  Operations,
  Namespace as PublicNamespace,
  Recovery,
} from './contract.js'
import { NameService } from './dns/name-service.js'
import { collectFacts } from './doctor/collect.js'
import { findingsOf } from './doctor/doctor.js'
import { errnoName, fail, invalid } from './errors.js'
import { Events } from './events/events.js'
import { Firewall } from './firewall/firewall.js'
import { tableName } from './firewall/ruleset.js'
import { readHostConfig } from './host-config.js'
import { readStats } from './inspection/statistics.js'
import { NamedNamespaces } from './namespace/named-namespaces.js'
import { Namespace } from './namespace/namespace.js'
import type { Identity, NftListing } from './native.js'
import { Networks, notFound } from './network/networks.js'
import { explain } from './plan/explain.js'
import { KernelMechanism, type Mechanism, PlanFailure } from './plan/mechanism.js'
import type { ClaimGroups, ClaimList, FileLook, Sights } from './plan/op.js'
import { translate } from './plan/translate.js'
import { Guard, type Lost, type Unfinished } from './recovery/guard.js'
import { Recoverer } from './recovery/recovery.js'
import { Upkeep } from './recovery/upkeep.js'
import { HostResolver } from './sandbox/files.js'
import { publishInputs } from './sandbox/port-grammar.js'
import { Sandboxes } from './sandbox/sandboxes.js'
import { Layout } from './state/layout.js'
import { type ProcessIdentity, thisProcess } from './state/process.js'
import { Store } from './state/store.js'
import { eventOptions, openOptions } from './validate/call-options.js'
import { networkName } from './validate/guards.js'

/**
 * Opens a host: the calling process's network namespace, or another one. Nothing is changed in the kernel until a network or a
 * sandbox is made, but for what a dead process left behind (`repair`).
 *
 * @throws IN_USE when this namespace is worked from another state folder, PERMISSION without CAP_NET_ADMIN,
 *   NOT_A_NAMESPACE, NATIVE_LOAD
 */
export async function openHost(options: OpenHostOptions = {}): Promise<Host> {
  return openHostWith(options, mechanism => mechanism)
}

/** As `openHost`, with something between policy and kernel: how tests make single ops fail. */
export async function openHostWith(options: OpenHostOptions, between: (mechanism: Mechanism) => Mechanism): Promise<Host> {
  const { stateDir, netns, config: given, repair, nameService, signal } = openOptions(options)
  const config = await readHostConfig(given)
  const mechanism = between(new KernelMechanism(netns))
  let host: OpenHost | undefined
  try {
    const [identity, ...listings] = (await mechanism.run(
      [{ apply: { op: 'netns.identify' } }, { apply: { op: 'nft.list', family: 'inet' } }, { apply: { op: 'nft.list', family: 'bridge' } }],
      signal,
    )) as [Identity, NftListing, NftListing]
    const layout = new Layout(stateDir === undefined ? join(runtimeFolder(), String(identity.cookie ?? identity.inode)) : resolve(stateDir))
    const tables = listings.flatMap(({ tables = [] }) => tables.filter(({ name }) => name === tableName))
    const foreign = tables.find(({ comment }) => comment !== layout.root)
    if (foreign)
      throw fail('IN_USE', `This namespace is worked from the state folder ${foreign.comment ?? '(unknown)'}, not ${layout.root}`, {
        field: 'stateDir',
        subject: layout.root,
        ...(foreign.comment && { holder: foreign.comment }),
      })
    for (const folder of layout.folders) mkdirSync(folder, { recursive: true })
    const netnsPath =
      typeof netns === 'string'
        ? netns
        : netns === undefined
          ? `/proc/${process.pid}/ns/net`
          : 'pid' in netns
            ? `/proc/${netns.pid}/ns/net`
            : `/proc/${process.pid}/fd/${netns.fd}`
    const bridgeFilter = await readBridgeFilter(mechanism)
    const rules = { stateFolder: layout.root, loopback6: !bridgeFilter.ip6, ip6: config.ip6tables }
    const firewall = new Firewall(rules, tables.length > 0, config.iptables)
    const parts = { mechanism, layout, config, netnsPath, identity, bridgeFilter }
    host = new OpenHost(parts, firewall, thisProcess(), { nameService, repair })
    if (repair) await host.recover({ ...(signal && { signal }) })
    await host.nameService.begin()
    host.settle()
    return host as unknown as Host
  } catch (error) {
    await host?.giveUp()
    await mechanism.close()
    throw translate(error, signal)
  }
}

/** Where state folders are kept: on tmpfs, so that they end with the kernel state that they describe. */
function runtimeFolder(): string {
  if (process.geteuid?.() === 0) return '/run/netmode'
  const folder = process.env.XDG_RUNTIME_DIR
  if (folder === undefined)
    throw fail('STATE', 'Without root, XDG_RUNTIME_DIR or stateDir has to say where the state folder is', { field: 'stateDir' })
  return join(folder, 'netmode')
}

async function readBridgeFilter(mechanism: Mechanism): Promise<BridgeFilter> {
  try {
    const keys = ['net/bridge/bridge-nf-call-iptables', 'net/bridge/bridge-nf-call-ip6tables']
    const [ip4, ip6] = await mechanism.run(keys.map(key => ({ apply: { op: 'sysctl.get', key } })))
    return { ip4: ip4 === '1', ip6: ip6 === '1' }
  } catch (error) {
    if (error instanceof PlanFailure && errnoName(error.errno) === 'ENOENT') return { ip4: false, ip6: false } // br_netfilter is not loaded
    throw error
  }
}

class OpenHost {
  readonly namespace: PublicNamespace
  readonly namespaces: NamedNamespaces
  readonly networks: Networks
  readonly sandboxes: Sandboxes
  readonly nameService: NameService
  readonly #context: Context
  readonly #store: Store
  readonly #firewall: Firewall
  readonly #recoverer: Recoverer
  readonly #upkeep: Upkeep
  readonly #guard: Guard
  readonly #events: Events
  #closing: Promise<void> | undefined

  constructor(
    parts: Omit<Context, 'names' | 'care'>,
    firewall: Firewall,
    process: ProcessIdentity,
    { nameService, repair }: { readonly nameService: boolean; readonly repair: boolean },
  ) {
    const { mechanism } = parts
    const trip = async (apply: FileLook | ClaimList) => {
      try {
        return (await mechanism.run([{ apply }]))[0]
      } catch (error) {
        throw translate(error)
      }
    }
    const store = new Store(parts.layout, {
      files: async op => (await trip(op)) as Sights,
      claims: async op => (await trip(op)) as ClaimGroups,
    })
    const resolver = new HostResolver()
    const care = repair ? () => this.#guard.start() : () => {}
    const context: Context = { ...parts, names: { ready: ids => this.nameService.ready(ids) }, care }
    this.#context = context
    this.nameService = new NameService(context, store, resolver, nameService)
    this.#store = store
    this.#firewall = firewall
    this.namespace = new Namespace(context.mechanism, context.netnsPath, context.identity)
    this.namespaces = new NamedNamespaces(context.mechanism)
    this.networks = new Networks(context, store, firewall)
    const hairpin = context.bridgeFilter.ip4 || context.bridgeFilter.ip6
    const ipv6 = existsSync('/proc/net/if_inet6')
    const ground = { layout: context.layout, firewall, resolver, hairpin, ipv6 }
    this.sandboxes = new Sandboxes(context, store, this.networks, ground, process)
    this.#events = new Events(context)
    const tell = (type: 'sandbox.drifted' | 'sandbox.repaired', sandbox: string) => this.#events.tell([{ type, sandbox }])
    this.#upkeep = new Upkeep({ context, store, networks: this.networks, ground, tell })
    this.#recoverer = new Recoverer(context, store, this.networks, ground, this.#upkeep)
    this.#guard = new Guard(context, firewall.enabled, {
      ruleset: () => this.#recoverer.repairRuleset(),
      links: lost => this.#putRight(lost),
    })
    firewall.onGone(() => this.#recoverer.rebuildRuleset())
    if (firewall.there || store.isInUse()) care()
  }

  /** What others have taken from under sandboxes. */
  async #putRight(lost: Lost | undefined): Promise<Unfinished | undefined> {
    const upkeep = this.#upkeep
    if (lost === undefined) {
      await upkeep.checkNetworks()
      await upkeep.checkAllSandboxes()
      return upkeep.unfinished()
    }
    const { sandboxes, indexes, nsids, networks } = lost
    const { drifted } = networks || indexes.size > 0 ? await upkeep.checkNetworks() : { drifted: [] }
    const byNumber = indexes.size + nsids.size > 0 ? await upkeep.sandboxesOf(indexes, nsids) : []
    await upkeep.checkSandboxes(new Set([...sandboxes, ...byNumber, ...(await upkeep.sandboxesOn(drifted))]))
    return upkeep.unfinished()
  }

  async explain<K extends keyof Operations>(operation: K, ...args: Operations[K]): Promise<string> {
    this.#store.assertOpen()
    switch (operation) {
      case 'sandboxes.create':
        return explain(await this.sandboxes.createPlan(...(args as Operations['sandboxes.create'])))
      case 'sandboxes.remove':
        return explain(await this.sandboxes.removePlan(...(args as Operations['sandboxes.remove'])))
      case 'networks.create':
        return explain(await this.networks.createPlan(...(args as Operations['networks.create'])))
      case 'networks.remove': {
        const [name] = args as Operations['networks.remove']
        const known = await this.networks.resolve(networkName(name, 'name'))
        if (known?.record.phase !== 'ready') throw notFound(name)
        return explain(this.networks.removePlan(known.record))
      }
      case 'publish': {
        const [sandbox, ports] = args as Operations['publish']
        return explain(await this.sandboxes.publishPlan(sandbox, publishInputs(ports, 'ports')))
      }
      default:
        throw invalid('operation', 'one of sandboxes.create, sandboxes.remove, networks.create, networks.remove, publish', operation)
    }
  }

  async recover({ signal }: Op = {}): Promise<Recovery> {
    return this.#recoverer.recover(signal).catch(error => Promise.reject(translate(error, signal)))
  }

  events(options?: Op & { types?: readonly HostEvent['type'][] }): AsyncIterableIterator<HostEvent> {
    this.#store.assertOpen()
    return this.#events.subscribe(eventOptions(options))
  }

  stats({ signal }: Op = {}): Promise<HostStats> {
    this.#store.assertOpen()
    return readStats(this.#context, this.#store, this.#firewall, signal)
  }

  async doctor({ signal }: Op = {}): Promise<readonly Finding[]> {
    this.#store.assertOpen()
    signal?.throwIfAborted()
    return findingsOf(await collectFacts(this.#context, this.#store, this.#firewall, signal))
  }

  /** What is for those who keep the host open begins. */
  settle(): void {
    this.#guard.settle()
  }

  /** Ends what the constructor has begun, for one that could not be opened. */
  async giveUp(): Promise<void> {
    await this.#guard.close()
    await this.nameService.close()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    try {
      await this.sandboxes.removeEphemeral()
    } finally {
      this.#events.close()
      await this.#guard.close()
      await this.nameService.close()
      this.#store.close()
      await this.#context.mechanism.close()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
