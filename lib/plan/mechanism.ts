/** Mechanism: hands plans to the addon and makes errors of what comes back. */
import type { NamespaceRef } from '../contract.js'
import { fail, fromKernel, isCalledOff, type KernelFailure } from '../errors.js'
import { type JsonOf, type NativeSession, type NativeWatch, native, type Output, type Trouble, toJson, type WatchWish } from '../native.js'
import type { NetnsCreate, Op, Plan } from './op.js'
import { ownTurn } from './turns.js'

/** A plan that was written while it was drawn up. */
export interface WrittenPlan {
  readonly text: JsonOf<Plan>
  /** What is written there. */
  steps(): Plan
}

/** A namespace as a `netns.create` would ask for it, written; its name and slot say nothing. */
export type Order = JsonOf<Omit<NetnsCreate, 'op'>>

/** The steps of a plan, written or not. */
export function stepsOf(plan: Plan | WrittenPlan): Plan {
  return 'text' in plan ? plan.steps() : plan
}

/** A plan that failed and was rolled back, before policy has put it in the user's words. */
export class PlanFailure extends Error {
  override readonly name = 'PlanFailure'
  /** The op that failed. */
  readonly op: Op
  readonly failure: KernelFailure

  constructor(plan: Plan, trouble: Trouble, undo: readonly Trouble[]) {
    super(`${trouble.syscall} failed`)
    const step = plan[trouble.step] as Plan[number]
    this.op = step.apply
    this.failure = {
      ...describe(trouble, step.apply),
      undo: undo.map(one => describe(one, (plan[one.step] as Plan[number]).undo ?? step.apply)),
    }
  }

  /** Positive, as in `os.constants.errno`. */
  get errno(): number {
    return this.failure.errno
  }
}

function describe(trouble: Trouble, op: Op): KernelFailure {
  return {
    errno: trouble.errno,
    syscall: trouble.syscall,
    detail: trouble.detail,
    holder: trouble.holder,
    offset: trouble.offset,
    subject: subjectOf(op),
  }
}

/** What an op is done to, in a word or two. */
function subjectOf(op: Op): string | undefined {
  switch (op.op) {
    case 'link.set':
    case 'link.settle':
    case 'expect.link':
    case 'address.list':
    case 'neighbor.list':
    case 'fdb.replace':
      return op.link?.name
    case 'link.delete':
      return op.links?.map(link => link.name).join(', ') ?? `group ${op.group}`
    case 'address.add':
    case 'address.replace':
    case 'address.delete':
      return `${op.address}/${op.prefix} on ${op.link.name}`
    case 'neighbor.add':
    case 'neighbor.replace':
    case 'neighbor.delete':
      return `${op.address} on ${op.link.name}`
    case 'nft.element.add':
    case 'nft.element.delete':
      return op.set
    case 'port.claim':
    case 'port.release':
      return `${op.address.includes(':') ? `[${op.address}]` : op.address}:${op.port}/${op.protocol}`
    case 'nft.table.add':
    case 'nft.table.delete':
    case 'nft.list':
    case 'nft.rules':
      return op.table
    case 'nft.chain.add':
    case 'nft.rule.add':
      return op.chain
    case 'nft.set.add':
      return op.set
    case 'conntrack.flush':
      return `${op.protocol} ${op.port}`
    case 'netns.open':
      return op.path ?? (op.pid === undefined ? `fd ${op.fd}` : `pid ${op.pid}`)
    case 'rule.add':
    case 'rule.delete':
      return String(op.priority)
  }
  if ('path' in op) return op.path
  if ('key' in op) return op.key
  if ('to' in op) return op.to
  if ('name' in op) return op.name
  return undefined
}

/** A native watch that ends by itself. */
export interface Watch extends Omit<NativeWatch, 'close'> {
  /** There are no more events from here on; the host's end waits for what is left to be done. Idempotent. */
  close(): void
}

/** What policy talks to. Tests put another one in between to make ops fail. */
export interface Mechanism {
  /**
   * Runs a plan as a whole; answers one output per step.
   * @throws PlanFailure after everything was taken back, `signal.reason` after an abort
   */
  run(plan: Plan | WrittenPlan, signal?: AbortSignal): Promise<readonly Output[]>
  /** Runs a plan whose last step is a `socket.open`; answers the descriptor, which is the caller's to close. @throws as `run`, CLOSED */
  socket(plan: Plan, signal?: AbortSignal): Promise<number>
  /**
   * Has a namespace made for a plan that is still being drawn up, to be named by its `netns.create`. It is nothing yet: without a plan
   * that comes for it nobody ever sees it. Answers what says that none will come.
   */
  order(like: Order): () => void
  /** A plan will come in a moment, and whoever asked waits for it: a thread is woken that looks out for it. None may come after all. */
  expect(): void
  /** Subscribed when it returns; `onEvents` is called when there is something to take. @throws CLOSED, CAPACITY, KERNEL */
  watch(wish: WatchWish, onEvents: () => void): Watch
  /** Waits for what is under way, and what is done behind answers; nothing is open any more then. */
  close(): Promise<void>
}

/** The real one. */
export class KernelMechanism implements Mechanism {
  readonly #session: NativeSession
  readonly #underWay = new Set<Promise<unknown>>()
  #closed = false

  /** @throws NOT_A_NAMESPACE, NAMESPACE_GONE, PERMISSION, NATIVE_LOAD */
  constructor(netns?: NamespaceRef) {
    const { Session } = native()
    try {
      this.#session = new Session(netns === undefined ? undefined : toJson(typeof netns === 'string' ? { path: netns } : netns))
    } catch (error) {
      throw fromNative(error, 'netns.open', typeof netns === 'string' ? netns : JSON.stringify(netns))
    }
  }

  async run(plan: Plan | WrittenPlan, signal?: AbortSignal): Promise<readonly Output[]> {
    signal?.throwIfAborted()
    if (this.#closed) throw fail('CLOSED', 'This host has been closed')
    const trip = this.#trip(plan, signal)
    this.#underWay.add(trip)
    try {
      const report = await trip
      if (report.failure === undefined) return report.outputs
      const { failure: trouble, undo = [] } = report
      const failure = new PlanFailure(stepsOf(plan), trouble, undo)
      if (undo.length === 0 && isCalledOff(trouble, signal)) throw signal.reason
      throw failure
    } finally {
      this.#underWay.delete(trip)
    }
  }

  async socket(plan: Plan, signal?: AbortSignal): Promise<number> {
    const fd = (await this.run(plan, signal)).at(-1) as number
    if (!this.#session.adopt(fd)) throw fail('CLOSED', 'This host has been closed')
    return fd
  }

  watch(wish: WatchWish, onEvents: () => void): Watch {
    if (this.#closed) throw fail('CLOSED', 'This host has been closed')
    try {
      const watch = new (native().Watch)(this.#session, toJson(wish), onEvents)
      return { take: () => watch.take(), hold: on => watch.hold(on), close: () => this.#end(watch) }
    } catch (error) {
      throw fromNative(error, 'watch', 'events')
    }
  }

  #end(watch: NativeWatch): void {
    const ended = new Promise<void>(resolve => watch.close(resolve))
    this.#underWay.add(ended)
    void ended.then(() => this.#underWay.delete(ended))
  }

  #trip(plan: Plan | WrittenPlan, signal?: AbortSignal) {
    return new Promise<Parameters<Parameters<NativeSession['run']>[1]>[0]>(resolve => {
      const id = this.#session.run('text' in plan ? plan.text : toJson(plan), report => {
        signal?.removeEventListener('abort', cancel)
        // What follows is as much work as the report's plan was, and others may have ended as well.
        const turn = this.#underWay.size > 1 ? ownTurn() : undefined
        resolve(turn === undefined ? report : turn.then(() => report))
      })
      const cancel = () => this.#session.cancel(id)
      signal?.addEventListener('abort', cancel, { once: true })
    })
  }

  order(like: Order): () => void {
    if (this.#closed || !this.#session.order(like)) return () => {}
    return () => this.#session.cancelOrder()
  }

  expect(): void {
    if (!this.#closed) this.#session.expect()
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.allSettled(this.#underWay)
    await new Promise<void>(resolve => this.#session.close(resolve))
  }
}

function fromNative(error: unknown, syscall: string, subject: string): unknown {
  if (!(error instanceof Error && 'errno' in error && typeof error.errno === 'number')) return error
  return fromKernel({ errno: error.errno, syscall, detail: error.message, subject })
}
