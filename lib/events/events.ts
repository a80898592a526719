/** `host.events`: what the kernel and the records of all processes tell, to each who asks. */
import type { Context } from '../context.js'
import type { HostEvent } from '../contract.js'
import type { NativeEvent } from '../native.js'
import type { Ruleset } from '../plan/kernel-objects.js'
import type { Watch } from '../plan/mechanism.js'
import type { Op } from '../plan/op.js'
import { translate } from '../plan/translate.js'
import type { ValidEventOptions } from '../validate/call-options.js'
import type { Happening } from './state-changes.js'
import { StateView } from './state-view.js'
import { Subscription } from './subscription.js'

type KernelType = 'link' | 'address' | 'route' | 'neighbor'
const kernelTypes: readonly KernelType[] = ['link', 'address', 'route', 'neighbor']

/** So many events that nobody has taken are forgotten and told of as an overrun; twice what there is to be read anew, if that is more. */
const fewest = 1 << 16

/** The subscriptions of one host. */
export class Events {
  readonly #context: Context
  readonly #open = new Set<Feed>()

  constructor(context: Context) {
    this.#context = context
  }

  subscribe(options: ValidEventOptions): AsyncIterableIterator<HostEvent> {
    const feed = new Feed(this.#context, options, () => this.#open.delete(feed))
    this.#open.add(feed)
    if (options.signal?.aborted) feed.subscription.end()
    return feed.subscription
  }

  /** What others have to tell: the guard of what is ours. */
  tell(happenings: readonly Happening[]): void {
    for (const feed of this.#open) feed.tell(happenings)
  }

  /** Every iterator ends. */
  close(): void {
    for (const feed of this.#open) feed.subscription.end()
  }
}

/** One subscription with a watcher of its own: nobody waits for another's slowness. */
class Feed {
  readonly subscription: Subscription
  readonly #context: Context
  readonly #types: ReadonlySet<string> | undefined
  readonly #kinds: readonly KernelType[]
  readonly #ruleset: boolean
  readonly #view: StateView | undefined
  readonly #watch: Watch
  /** Something is being read anew; events that come meanwhile wait, so that what was read comes first. */
  #reading = false
  #most = fewest

  constructor(context: Context, { types, signal }: ValidEventOptions, closed: () => void) {
    this.#context = context
    this.#types = types && new Set(types)
    this.#kinds = kernelTypes.filter(type => this.#wants(type))
    this.#ruleset = this.#wants('ruleset')
    const view = (types ?? ['sandbox.created']).some(type => type.includes('.')) ? new StateView(context.layout) : undefined
    this.#watch = context.mechanism.watch(
      { kinds: this.#kinds, ruleset: this.#ruleset, folders: view?.folders ?? [], trees: view?.trees ?? [] },
      () => this.#deliver(),
    )
    view?.refresh() // what has changed between the first look and the subscription was before it
    this.#view = view
    this.subscription = new Subscription(signal)
    this.subscription.from({
      hold: on => this.#watch.hold(on),
      close: () => {
        this.#watch.close()
        closed()
      },
    })
  }

  tell(happenings: readonly Happening[]): void {
    const time = Date.now()
    this.subscription.push(happenings.filter(({ type }) => this.#wants(type)).map(one => ({ time, ...one }) as HostEvent))
  }

  #wants(type: string): boolean {
    return type === 'overrun' || this.#types === undefined || this.#types.has(type)
  }

  #deliver(): void {
    if (this.#reading) return
    const events = this.#watch.take()
    const lost = events.findLastIndex(({ type }) => type === 'overrun')
    if (lost >= 0 || this.subscription.length + events.length > this.#most) void this.#readAnew()
    else this.tell(events.flatMap(event => this.#happenings(event)))
  }

  #happenings(event: NativeEvent): readonly Happening[] {
    if (event.type === 'loss') return [] // nobody asked for it here
    if (event.type === 'file') return this.#view?.changed(event.folder, event.name) ?? []
    return [event]
  }

  /** After an overrun: first that it happened, then what is there. */
  async #readAnew(): Promise<void> {
    this.#reading = true
    this.subscription.forget()
    this.tell([{ type: 'overrun' }, ...(this.#view?.refresh() ?? [])])
    try {
      const found = await this.#dump()
      this.#most = Math.max(fewest, 2 * found.length)
      this.tell(found)
    } catch {
      this.subscription.end() // the host was closed, or its namespace is gone
    }
    this.#reading = false
    this.#deliver()
  }

  async #dump(): Promise<readonly Happening[]> {
    const ops: Op[] = [...this.#kinds.map((kind): Op => ({ op: `${kind}.list` })), ...(this.#ruleset ? [{ op: 'nft.rules' } as const] : [])]
    if (ops.length === 0) return []
    const outputs = await this.#context.mechanism.run(ops.map(apply => ({ apply }))).catch(error => {
      throw translate(error)
    })
    return this.#kinds
      .flatMap((type, i): Happening[] => (outputs[i] as readonly object[]).map(object => ({ type, action: 'new', object })))
      .concat(this.#ruleset ? rulesetObjects(outputs.at(-1) as Ruleset) : [])
  }
}

function rulesetObjects({ chains, rules }: Ruleset): Happening[] {
  const object = (kind: string, { family, table, chain }: Ruleset['chains'][number]) => ({ kind, family, table, name: chain })
  return [...chains.map(chain => object('chain', chain)), ...rules.map(rule => object('rule', rule))].map(one => ({
    type: 'ruleset',
    action: 'new',
    object: one,
  }))
}
