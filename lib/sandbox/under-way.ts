/** Calls of one host that are on their way: its creates, its changes. */

/** ms for which those that are over are still reckoned with: where some have come, others may. */
const lately = 50
/** ms that anybody waits for them: each takes a few, unless it hangs on somebody's lock. */
const patience = 100

export class UnderWay {
  readonly #all = new Set<Promise<unknown>>()
  #lastEnd = Number.NEGATIVE_INFINITY

  get size(): number {
    return this.#all.size
  }

  /** Is one of them now, or was a moment ago? */
  get lately(): boolean {
    return this.#all.size > 0 || performance.now() - this.#lastEnd < lately
  }

  async add<T>(work: Promise<T>): Promise<T> {
    this.#all.add(work)
    try {
      return await work
    } finally {
      this.#all.delete(work)
      this.#lastEnd = performance.now()
    }
  }

  /** Resolves when those have ended that are on their way now, however. */
  async ended(): Promise<void> {
    await Promise.allSettled(this.#all)
  }

  /** The same, or after a while. */
  async endedSoon(): Promise<void> {
    if (this.#all.size === 0) return
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>(resolve => {
      timer = setTimeout(resolve, patience)
    })
    await Promise.race([this.ended(), late])
    clearTimeout(timer)
  }
}
