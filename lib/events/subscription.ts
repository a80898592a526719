/** One consumer of events: what waits for it, and the consumer that waits. */
import type { HostEvent } from '../contract.js'
import { Queue } from './queue.js'

export interface Source {
  /** Whether somebody waits: only then does the source keep the process alive. */
  hold(on: boolean): void
  close(): void
}

/**
 * An async iterator that others push into. It ends with `end()` and with `return()`; an abort makes the waiting and all later calls of
 * `next()` reject with the signal's reason, once what came before has been taken.
 */
export class Subscription implements AsyncIterableIterator<HostEvent> {
  readonly #events = new Queue<HostEvent>()
  readonly #waiting: { readonly resolve: (result: IteratorResult<HostEvent>) => void; readonly reject: (reason: unknown) => void }[] = []
  readonly #signal: AbortSignal | undefined
  #source: Source | undefined
  #ended = false

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal
    signal?.addEventListener('abort', this.#abort, { once: true })
  }

  /** Where the events come from; closed with the subscription. */
  from(source: Source): void {
    this.#source = source
  }

  /** Events that wait to be taken. */
  get length(): number {
    return this.#events.length
  }

  /** Drops what the kernel told: it will be read anew. What became of sandboxes and networks is told once and kept. */
  forget(): void {
    this.#events.keep(({ type }) => type.includes('.'))
  }

  push(events: readonly HostEvent[]): void {
    if (this.#ended) return
    for (const event of events) this.#events.push(event)
    while (this.#waiting.length > 0 && this.#events.length > 0)
      this.#waiting.shift()?.resolve({ value: this.#events.shift() as HostEvent, done: false })
    this.#source?.hold(this.#waiting.length > 0)
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#signal?.removeEventListener('abort', this.#abort)
    this.#source?.close()
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if (this.#signal?.aborted) reject(this.#signal.reason)
      else resolve({ value: undefined, done: true })
    }
  }

  next(): Promise<IteratorResult<HostEvent>> {
    const event = this.#events.shift()
    if (event) return Promise.resolve({ value: event, done: false })
    if (this.#signal?.aborted) return Promise.reject(this.#signal.reason)
    if (this.#ended) return Promise.resolve({ value: undefined, done: true })
    this.#source?.hold(true)
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  return(): Promise<IteratorResult<HostEvent>> {
    this.#events.keep(() => false)
    this.end()
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  readonly #abort = (): void => this.end()
}
