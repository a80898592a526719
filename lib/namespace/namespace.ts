/** A network namespace and the verbs of iproute2 on it: `host.namespace`, `sandbox.namespace`. */
import type { Op as CallOptions, LinkName, NamespaceRef, Namespace as PublicNamespace } from '../contract.js'
import { errnoName, fail } from '../errors.js'
import type { Identity, Output } from '../native.js'
import type { Address, Link, Neighbor, Route } from '../plan/kernel-objects.js'
import { type Mechanism, PlanFailure } from '../plan/mechanism.js'
import type { LinkRef, Op, Slot, Step } from '../plan/op.js'
import { translate } from '../plan/translate.js'
import { namespaceRef } from '../validate/guards.js'
import * as valid from '../validate/namespace-verbs.js'

const slot: Slot = 'namespace'

/** Each call opens the namespace anew: no handle keeps it alive. */
export class Namespace implements PublicNamespace {
  readonly path: string
  readonly inode: bigint
  readonly cookie: bigint
  readonly #mechanism: Mechanism
  /** undefined: the host's own, which every plan has at hand. */
  readonly #ref: NamespaceRef | undefined

  constructor(mechanism: Mechanism, path: string, identity: Identity, ref?: NamespaceRef) {
    this.#mechanism = mechanism
    this.#ref = ref
    this.path = path
    this.inode = identity.inode
    this.cookie = identity.cookie ?? 0n
  }

  readonly links: PublicNamespace['links'] = {
    list: async (filter, op) => {
      const { name, master } = valid.linkFilter(filter)
      return this.#list<Link>(
        { op: 'link.list', ...this.#ns, ...(name !== undefined && { name }), ...(master !== undefined && { master: { name: master } }) },
        op,
      )
    },
    add: async (options, op) => {
      const verb = valid.linkAdd(options)
      const { peer } = verb
      // What it is to have beside its making comes in a message of its own, and may be refused.
      const undo: Op = { op: 'link.delete', ...this.#ns, links: [{ name: verb.name }], missingOk: true }
      await this.#run([{ apply: { op: 'link.add', ...this.#ns, ...verb, ...(peer && { peer: { ...peer, ...this.#ns } }) }, undo }], op)
      return this.#link(verb.name, op)
    },
    set: async (options, op) => {
      const { rename, ...verb } = valid.linkSet(options)
      const down = rename !== undefined && verb.up === false && (await this.#isUp(verb.link, op)) ? [this.#takeDown(verb.link)] : []
      await this.#run([...down, { op: 'link.set', ...this.#ns, ...verb, ...(rename !== undefined && { name: rename }) }], op)
      return this.#link(rename ?? verb.link.name, op)
    },
    move: async (options, op) => {
      const { link, to, rename } = valid.linkMove(options)
      const target = open('target', to)
      // The kernel moves first and then finds the new name taken, which leaves the link there under its old one.
      if (rename !== undefined && (await this.#list([target, { op: 'link.list', ns: 'target', name: rename }], op)).length > 0) {
        throw fail('EXISTS', `A link called ${rename} exists in the target namespace`, { field: 'rename', subject: rename })
      }
      await this.#run([target, { op: 'link.set', ...this.#ns, link, moveTo: 'target', ...(rename !== undefined && { name: rename }) }], op)
    },
    delete: async (options, op) => this.#delete({ op: 'link.delete', ...this.#ns, links: [valid.linkDelete(options).link] }, op),
  }

  readonly addresses: PublicNamespace['addresses'] = {
    list: async (filter, op) => this.#list<Address>({ op: 'address.list', ...this.#ns, ...valid.byLink(filter) }, op),
    add: async (options, op) => this.#do({ op: 'address.add', ...this.#ns, ...valid.address(options) }, op),
    replace: async (options, op) => this.#do({ op: 'address.replace', ...this.#ns, ...valid.address(options) }, op),
    delete: async (options, op) => this.#delete({ op: 'address.delete', ...this.#ns, ...valid.address(options) }, op),
  }

  readonly routes: PublicNamespace['routes'] = {
    list: async (filter, op) => this.#list<Route>({ op: 'route.list', ...this.#ns, ...valid.routeFilter(filter) }, op),
    add: async (options, op) => this.#do({ op: 'route.add', ...this.#ns, ...valid.route(options) }, op),
    replace: async (options, op) => this.#do({ op: 'route.replace', ...this.#ns, ...valid.route(options) }, op),
    delete: async (options, op) => this.#delete({ op: 'route.delete', ...this.#ns, ...valid.route(options) }, op),
  }

  readonly neighbors: PublicNamespace['neighbors'] = {
    list: async (filter, op) => this.#list<Neighbor>({ op: 'neighbor.list', ...this.#ns, ...valid.neighborFilter(filter) }, op),
    add: async (options, op) => this.#do({ op: 'neighbor.add', ...this.#ns, ...valid.neighbor(options) }, op),
    replace: async (options, op) => this.#do({ op: 'neighbor.replace', ...this.#ns, ...valid.neighbor(options) }, op),
    delete: async (options, op) => this.#delete({ op: 'neighbor.delete', ...this.#ns, ...valid.neighbor(options) }, op),
  }

  readonly sysctls: PublicNamespace['sysctls'] = {
    get: async (key, op) => (await this.#run([{ op: 'sysctl.get', ...this.#ns, key: valid.sysctlKey(key) }], op)) as string,
    set: async (key, value, op) =>
      this.#do({ op: 'sysctl.set', ...this.#ns, key: valid.sysctlKey(key), value: valid.sysctlValue(value) }, op),
  }

  get #ns(): { ns?: Slot } {
    return this.#ref === undefined ? {} : { ns: slot }
  }

  /** Fails where another namespace has taken the place of this one. */
  #open(): Op[] {
    return this.#ref === undefined ? [] : [{ ...open(slot, this.#ref), inode: String(this.inode) } as Op]
  }

  /** Ahead of a new name: kernels before 6.2 give none to a link that is up, and they give the name first and take the link down then. */
  #takeDown(link: LinkRef): Step {
    const set = { op: 'link.set', ...this.#ns, link } as const
    return { apply: { ...set, up: false }, undo: { ...set, up: true } }
  }

  async #isUp({ name, index }: LinkRef, op?: CallOptions): Promise<boolean> {
    const links = await this.#list<Link>({ op: 'link.list', ...this.#ns }, op)
    return links.some(link => link.up && (index === undefined ? link.name === name : link.index === index))
  }

  /** Runs the ops with the namespace open; answers the last one's output. */
  async #run(ops: readonly (Op | Step)[], { signal }: CallOptions = {}): Promise<Output> {
    const steps = [...this.#open(), ...ops].map(one => ('op' in one ? { apply: one } : one))
    try {
      return (await this.#mechanism.run(steps, signal)).at(-1)
    } catch (error) {
      throw translate(error, signal)
    }
  }

  async #do(op: Op, call?: CallOptions): Promise<void> {
    await this.#run([op], call)
  }

  async #list<T>(op: Op | readonly Op[], call?: CallOptions): Promise<readonly T[]> {
    return (await this.#run([op].flat(), call)) as unknown as readonly T[]
  }

  /** false: was not there. */
  async #delete(op: Op, call: CallOptions = {}): Promise<boolean> {
    const steps = [...this.#open(), op].map(apply => ({ apply }))
    try {
      await this.#mechanism.run(steps, call.signal)
      return true
    } catch (error) {
      if (error instanceof PlanFailure && error.op === op && missing.has(errnoName(error.errno))) return false
      throw translate(error, call.signal)
    }
  }

  async #link(name: string, op?: CallOptions): Promise<Link> {
    const [link] = await this.#list<Link>({ op: 'link.list', ...this.#ns, name }, op)
    return link as Link
  }
}

const missing: ReadonlySet<string> = new Set(['ENODEV', 'ENOENT', 'ESRCH', 'EADDRNOTAVAIL'])

/** The op that opens a namespace as a slot. */
export function open(as: Slot, ref: NamespaceRef): Op {
  const checked = namespaceRef(ref, 'netns')
  return { op: 'netns.open', slot: as, ...(typeof checked === 'string' ? { path: checked } : checked) }
}

/** A link by name, or as it is. */
export function linkRef(link: LinkName): LinkRef {
  return typeof link === 'string' ? { name: link } : link
}
