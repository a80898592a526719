/** Upkeep: puts right what others have taken from networks and sandboxes that are there: links, addresses, routes, namespaces. */
import type { Context } from '../context.js'
import { driverOf } from '../network/drivers/drivers.js'
import type { Networks } from '../network/networks.js'
import type { Address, Link, Route } from '../plan/kernel-objects.js'
import { linkGroup } from '../plan/link-group.js'
import { PlanFailure } from '../plan/mechanism.js'
import type { NetnsOpen, Op, Plan, RouteList, Step } from '../plan/op.js'
import { namespaceGone } from '../plan/translate.js'
import { gatewayEndpoint } from '../sandbox/gateway.js'
import { held } from '../sandbox/held.js'
import { openNamespace, slot } from '../sandbox/modes/mode.js'
import { type Ground, removePlan } from '../sandbox/plans.js'
import { attachSteps, deleteLinksIn } from '../sandbox/steps.js'
import { expectRecord } from '../state/expectation.js'
import { lockRoot } from '../state/lock.js'
import { type EndpointRecord, format, type NetworkRecord, type SandboxRecord } from '../state/records.js'
import type { Store } from '../state/store.js'
import { again, type Facts, hasLinks, isWhole, type Seen } from './drift.js'
import type { Unfinished } from './guard.js'
import { hasNamespace, namespaceNames } from './judgement.js'

/** How often a sandbox is looked at anew because somebody else was at work on it. */
const attempts = 20

/** Namespaces that one plan looks into. */
const visited = 32

const nothing: Facts = { links: [], addresses: [], routes: [] }

/** Who hears of what was found and done. */
export type Tell = (type: 'sandbox.drifted' | 'sandbox.repaired', sandbox: string) => void

/** An endpoint with the steps that made it. */
interface Expected {
  readonly endpoint: EndpointRecord
  readonly steps: readonly Step[]
}

export class Upkeep {
  readonly #context: Context
  readonly #store: Store
  readonly #networks: Networks
  readonly #ground: Ground
  readonly #tell: Tell
  /** Those that could not be put right yet: each is told of once. */
  readonly #drifted = new Set<string>()
  /** Networks that could not be put right, and why: neither are the sandboxes on them. */
  readonly #broken = new Map<string, unknown>()
  /** Sandboxes whose repair failed, and why. */
  readonly #failed = new Map<string, unknown>()

  constructor(parts: {
    readonly context: Context
    readonly store: Store
    readonly networks: Networks
    readonly ground: Ground
    readonly tell: Tell
  }) {
    this.#context = parts.context
    this.#store = parts.store
    this.#networks = parts.networks
    this.#ground = parts.ground
    this.#tell = parts.tell
  }

  /** Looks at all networks; answers those that had lost something, and which of them were put right. */
  async checkNetworks(signal?: AbortSignal): Promise<{ readonly drifted: readonly string[]; readonly repaired: readonly string[] }> {
    const { records } = await this.#store.networks()
    const expected = records
      .filter(({ phase }) => phase === 'ready')
      .map(record => ({ record, steps: lastingSteps(record) }))
      .filter(({ steps }) => steps.length > 0)
    this.#broken.clear()
    if (expected.length === 0) return { drifted: [], repaired: [] }
    const host = await this.#facts(
      expected.flatMap(({ steps }) => steps),
      signal,
    )
    const drifted = expected.filter(({ steps }) => !isWhole(steps, () => host))
    for (const { record, steps } of drifted) {
      const { name } = record
      for (const sandbox of await this.sandboxesOn([name])) this.#tellOnce(sandbox)
      const path = this.#context.layout.network(name)
      const plan: Plan = [
        lockRoot(this.#context.layout, 'exclusive'),
        { apply: { op: 'expect.unchanged', path, text: format(record) } },
        ...again(
          steps,
          hasLinks(steps, () => host),
        ),
      ]
      const failure = await this.#try(plan, signal)
      if (failure !== undefined) this.#broken.set(name, failure)
      this.#networks.forget(name)
    }
    const names = drifted.map(({ record }) => record.name)
    return { drifted: names, repaired: names.filter(name => !this.#broken.has(name)) }
  }

  /** What the last looks have left as it was, because putting it right failed. */
  unfinished(): Unfinished | undefined {
    const [error] = [...this.#broken.values(), ...this.#failed.values()]
    return error === undefined ? undefined : { sandboxes: [...this.#failed.keys()], networks: this.#broken.size > 0, error }
  }

  /** Has all that the last looks found been put right? */
  get isRight(): boolean {
    return this.#drifted.size === 0
  }

  /** Looks at these sandboxes; answers the names of those that were put right. `immediate`: passes over who is at work. */
  async checkSandboxes(
    names: Iterable<string>,
    { immediate = false, signal }: { immediate?: boolean; signal?: AbortSignal | undefined } = {},
  ): Promise<readonly string[]> {
    const repaired = await Promise.all([...names].map(async name => ((await this.#check(name, immediate, signal)) ? [name] : [])))
    return repaired.flat()
  }

  /**
   * Looks at all of them: what they have in common once, and into many namespaces in one trip. Only where something may be wrong is there a
   * second look. `known`: those that are whole. Answers those that were put right, and those that needed nothing.
   */
  async checkAllSandboxes(
    how: { immediate?: boolean; signal?: AbortSignal | undefined; known?: ReadonlySet<string> } = {},
  ): Promise<{ readonly repaired: readonly string[]; readonly whole: ReadonlySet<string> }> {
    const { signal, known = new Set() } = how
    const { records } = await this.#store.sandboxes()
    const ready = records.filter(({ name, phase }) => phase === 'ready' && !known.has(name))
    const namespaces = namespaceNames()
    const networks = new Map((await this.#store.networks()).records.map(record => [record.name, record]))
    const expected = ready.map(record => ({ record, steps: this.#expectedOn(record, networks).flatMap(({ steps }) => steps) }))
    const host = await this.#facts(
      expected.flatMap(({ steps }) => steps),
      signal,
    )
    const whole = new Set<string>(known)
    for (let at = 0; at < expected.length; at += visited) {
      const group = expected.slice(at, at + visited)
      const insides = await this.#insides(
        group.filter(({ steps }) => isEntered(steps)).map(({ record }) => record),
        signal,
      )
      for (const { record, steps } of group) {
        if (this.#drifted.has(record.name) || record.endpoints.some(({ network }) => this.#broken.has(network))) continue
        if (!hasNamespace(record, namespaces)) continue
        const inside = isEntered(steps) ? insides?.get(record.name) : nothing
        if (inside !== undefined && isWhole(steps, ns => (ns === undefined ? host : inside))) whole.add(record.name)
      }
    }
    signal?.throwIfAborted()
    const repaired = await this.checkSandboxes(
      (await this.#store.sandboxNames()).filter(name => !whole.has(name)),
      how,
    )
    return { repaired, whole }
  }

  /** Sandboxes on networks of these names. */
  async sandboxesOn(networks: readonly string[]): Promise<readonly string[]> {
    if (networks.length === 0) return []
    const { records } = await this.#store.sandboxes()
    return records.filter(({ endpoints }) => endpoints.some(({ network }) => networks.includes(network))).map(({ name }) => name)
  }

  /**
   * Sandboxes that have links of these indexes, or namespaces that the host knows by these ids. One whose link is elsewhere by now is
   * known by the other end, which has no carrier then.
   */
  async sandboxesOf(indexes: ReadonlySet<number>, nsids: ReadonlySet<number>): Promise<readonly string[]> {
    const links = await this.#hostLinks()
    return links
      .filter(
        ({ group, index, linkNetnsid, lowerUp }) => group === linkGroup && (!lowerUp || indexes.has(index) || nsids.has(linkNetnsid ?? -1)),
      )
      .flatMap(({ alias }) => sandboxOf(alias) ?? [])
  }

  async #check(name: string, immediate: boolean, signal?: AbortSignal): Promise<boolean> {
    for (let attempt = 1; attempt <= attempts; attempt++) {
      const record = await this.#store.sandbox(name)
      this.#failed.delete(name)
      if (record?.phase !== 'ready') {
        this.#drifted.delete(name)
        return false
      }
      const repair = await this.#repairOf(record, immediate, signal).catch(cantEnter)
      if (repair instanceof PlanFailure) {
        this.#failed.set(name, repair)
        return false
      }
      if (repair === 'fine') {
        // Whoever it was that put it right.
        const was = this.#drifted.delete(name)
        if (was) this.#tell('sandbox.repaired', name)
        return was
      }
      // While it was looked at it may have begun to go or to change: then what is missing is missing for good reason.
      if (!isSame(record, await this.#store.sandbox(name))) continue
      this.#tellOnce(name)
      if (repair === 'stuck') return false
      const failure = await this.#try(repair.plan, signal)
      if (failure === undefined) {
        if (repair.last) return this.#drifted.delete(name)
        continue
      }
      if (isOvertaken(failure)) {
        if (immediate) return false
        if (attempt < attempts) continue
      }
      this.#failed.set(name, failure)
      return false
    }
    return false
  }

  #tellOnce(name: string): void {
    if (!this.#drifted.has(name)) this.#tell('sandbox.drifted', name)
    this.#drifted.add(name)
  }

  /** What puts a sandbox right. `last`: it is gone then. `stuck`: nothing that is ours to do. */
  async #repairOf(
    record: SandboxRecord,
    immediate: boolean,
    signal?: AbortSignal,
  ): Promise<'fine' | 'stuck' | { readonly plan: Plan; readonly last: boolean }> {
    if (!hasNamespace(record, namespaceNames())) {
      for (const sharer of await this.#store.sharers(record.name)) await this.#check(sharer, immediate, signal)
      const holds = new Map([[record.name, await held(this.#context.layout, record)]])
      return { plan: removePlan(this.#ground, [record], { immediate, holds, released: true }), last: true }
    }
    const expected = await this.#expected(record)
    if (expected.length === 0) return 'fine'
    const steps = expected.flatMap(one => one.steps)
    const entered = isEntered(steps)
    const [host, inside] = await Promise.all([this.#facts(steps, signal), entered ? this.#inside(record, signal) : nothing])
    if (inside === undefined) return 'fine' // gone by now: its links go too, and tell of it
    const seen: Seen = ns => (ns === undefined ? host : inside)
    if (isWhole(steps, seen)) return record.endpoints.some(({ network }) => this.#broken.has(network)) ? 'stuck' : 'fine'
    // One that netmode has made has its loopback device up: this is another, that somebody has given its name.
    if (entered && record.netns.owned && !inside.links.some(({ loopback, up }) => loopback && up)) return 'stuck'
    const { layout } = this.#context
    const links = await this.#hostLinks(signal)
    const plan = [
      lockRoot(layout, 'shared'),
      { apply: { op: 'lock', path: layout.sandbox(record.name), mode: 'exclusive', immediate } } as const,
      ...expectRecord(layout, record),
      ...(entered ? [openNamespace(record.netns)] : []),
      ...expected.flatMap(one => this.#remake(record, one, seen, links)),
    ]
    return { plan, last: false }
  }

  #remake({ name }: SandboxRecord, { endpoint, steps }: Expected, seen: Seen, hostLinks: readonly Link[]): Step[] {
    if (isWhole(steps, seen)) return []
    if (hasLinks(steps, seen)) return again(steps, true)
    // What is left of it may have another name or be elsewhere; with one end all of it goes. Inside it is known by its MAC.
    const alias = `netmode:${name}/${endpoint.network}`
    const isOurs = (link: Link) => link.group === linkGroup && (link.alias === alias || link.name === endpoint.hostIfname)
    const isOursInside = ({ kind, mac }: Link) => kind === 'veth' && mac === endpoint.mac
    return [
      ...deletion(hostLinks.filter(isOurs)),
      ...deletion(seen(slot).links.filter(isOursInside), { ns: slot }),
      ...deleteLinksIn(slot, [endpoint], true),
      ...again(steps, false),
    ]
  }

  async #expected(sandbox: SandboxRecord): Promise<readonly Expected[]> {
    const names = [...new Set(sandbox.endpoints.map(({ network }) => network))]
    const records = await Promise.all(names.map(name => this.#store.network(name)))
    return this.#expectedOn(sandbox, new Map(names.map((name, i) => [name, records[i]])))
  }

  /** The endpoints whose networks are there. */
  #expectedOn({ name, endpoints }: SandboxRecord, networks: ReadonlyMap<string, NetworkRecord | undefined>): readonly Expected[] {
    return endpoints.flatMap((endpoint): Expected[] => {
      const record = networks.get(endpoint.network)
      if (record?.id !== endpoint.networkId || record.phase !== 'ready') return []
      const gateways = ([4, 6] as const).filter(family => gatewayEndpoint(endpoints, family) === endpoint)
      return [{ endpoint, steps: attachSteps(this.#ground, name, endpoint, { record, deviceIndex: undefined }, gateways) }]
    })
  }

  /**
   * What the host holds of what these steps are about. Asked for by name: a list of all links takes the longer the more sandboxes there
   * are, and is never whole where links come and go.
   */
  async #facts(steps: readonly Step[], signal?: AbortSignal): Promise<Facts> {
    const ops = steps.map(({ apply }) => apply)
    const names = [...new Set(ops.flatMap(hostNames))]
    const found = await this.#context.mechanism.run(
      names.map(name => ({ apply: { op: 'link.list', name } }) as const),
      signal,
    )
    const links = (found as readonly (readonly Link[])[]).flat()
    const addressed = new Set(ops.flatMap(op => (op.op === 'address.add' && op.ns === undefined ? [op.link.name] : [])))
    const addresses = links
      .filter(({ name }) => addressed.has(name))
      .map(({ name, index }) => ({ op: 'address.list', link: { name, index } }) as const)
    const routes = new Map(ops.flatMap(op => (op.op === 'route.add' && op.ns === undefined ? [routeList(op)] : [])))
    const wish = [...addresses, ...routes.values()]
    if (wish.length === 0) return { ...nothing, links }
    const lists = await this.#context.mechanism.run(
      wish.map(apply => ({ apply })),
      signal,
    )
    return {
      links,
      addresses: (lists.slice(0, addresses.length) as (readonly Address[])[]).flat(),
      routes: (lists.slice(addresses.length) as (readonly Route[])[]).flat(),
    }
  }

  async #hostLinks(signal?: AbortSignal): Promise<readonly Link[]> {
    const [links] = await this.#context.mechanism.run([{ apply: { op: 'link.list', partialOk: true } }], signal)
    return links as readonly Link[]
  }

  /** undefined: its namespace is gone. */
  async #inside({ netns }: SandboxRecord, signal?: AbortSignal): Promise<Facts | undefined> {
    const lists = (['link.list', 'address.list', 'route.list'] as const).map(op => ({ apply: { op, ns: slot } }))
    try {
      const [, links, addresses, routes] = await this.#context.mechanism.run([openNamespace(netns), ...lists], signal)
      return { links, addresses, routes } as Facts
    } catch (error) {
      if (namespaceGone(error)) return undefined
      throw error
    }
  }

  /** What is in the namespaces of these, by their names; undefined where one of them can't be entered. */
  async #insides(records: readonly SandboxRecord[], signal?: AbortSignal): Promise<ReadonlyMap<string, Facts> | undefined> {
    const lists = (['link.list', 'address.list', 'route.list'] as const).map(op => ({ op }))
    const plan = records.flatMap(({ name, netns }): Plan => {
      const { apply } = openNamespace(netns)
      return [{ apply: { ...apply, slot: name } as NetnsOpen }, ...lists.map(({ op }) => ({ apply: { op, ns: name } }))]
    })
    try {
      const outputs = await this.#context.mechanism.run(plan, signal)
      return new Map(
        records.map(({ name }, i) => {
          const [links, addresses, routes] = outputs.slice((lists.length + 1) * i + 1)
          return [name, { links, addresses, routes } as Facts]
        }),
      )
    } catch (error) {
      if (error instanceof PlanFailure) return undefined
      throw error
    }
  }

  async #try(plan: Plan, signal?: AbortSignal): Promise<PlanFailure | undefined> {
    try {
      await this.#context.mechanism.run(plan, signal)
      return undefined
    } catch (error) {
      if (error instanceof PlanFailure) return error
      throw error
    }
  }
}

/** What keeps one from a look into a namespace that is there is the matter of its sandbox alone. */
function cantEnter(error: unknown): PlanFailure {
  if (error instanceof PlanFailure && error.op.op === 'netns.open') return error
  throw error
}

/** A link that is there by now was made by another process, which has seen the same. */
function isOvertaken({ op: { op } }: PlanFailure): boolean {
  return /^(lock|expect\.|link\.add)/.test(op)
}

/** The links on the host that `isWhole` and `hasLinks` look for, for one op. */
function hostNames(op: Op): readonly string[] {
  if ('ns' in op && op.ns !== undefined) return []
  switch (op.op) {
    case 'tap.add':
      return [op.name]
    case 'link.add':
    case 'link.set':
      return [op.op === 'link.add' ? op.name : (op.name ?? op.link.name), ...(op.master ? [op.master.name] : [])]
    case 'address.add':
    case 'route.add':
      return op.link ? [op.link.name] : []
    default:
      return []
  }
}

/** A TAP on the host has nothing in any namespace. */
function isEntered(steps: readonly Step[]): boolean {
  return steps.some(({ apply }) => 'ns' in apply && apply.ns === slot)
}

function deletion(found: readonly Link[], at: { readonly ns?: typeof slot } = {}): Step[] {
  const links = found.map(({ name, index }) => ({ name, index }))
  return links.length > 0 ? [{ apply: { op: 'link.delete', ...at, links, missingOk: true } }] : []
}

/** The sandbox that a link of ours belongs to. */
export function sandboxOf(alias = ''): string | undefined {
  return /^netmode:([^/]+)\//.exec(alias)?.[1]
}

/** Of what makes a network, that which can be taken from it: no trial, no setting of the whole host, and nothing of the ruleset. */
function lastingSteps(record: NetworkRecord): Step[] {
  const steps = driverOf(record).createSteps(record)
  const passing = new Set(steps.flatMap(({ apply }) => (apply.op === 'link.delete' ? (apply.links ?? []).map(({ name }) => name) : [])))
  return steps.filter(({ apply }) => {
    if (apply.op.startsWith('nft.') || apply.op === 'link.delete') return false
    if (apply.op === 'sysctl.set') return record.device !== '' && apply.key.includes(`/${record.device}/`)
    return apply.op !== 'link.add' || !passing.has(apply.name)
  })
}

function routeList({ table, family, to, via }: Extract<Op, { op: 'route.add' | 'route.replace' | 'route.delete' }>): [string, RouteList] {
  const of = family ?? ((via ?? to).includes(':') ? 6 : 4)
  return [`${table} ${of}`, { op: 'route.list', family: of, ...(table !== undefined && { table }) }]
}

function isSame(a: SandboxRecord, b: SandboxRecord | undefined): boolean {
  return b !== undefined && format(a) === format(b)
}
