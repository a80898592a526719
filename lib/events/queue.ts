/** First in, first out, in constant time however long it is: `Array.shift` moves all the rest. */
export class Queue<T> {
  #items: T[] = []
  #head = 0

  get length(): number {
    return this.#items.length - this.#head
  }

  push(item: T): void {
    this.#items.push(item)
  }

  shift(): T | undefined {
    const item = this.#items[this.#head]
    if (this.#head === this.#items.length) return undefined
    this.#head++
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) this.keep(() => true)
    return item
  }

  /** Drops what doesn't fit. */
  keep(fits: (item: T) => boolean): void {
    this.#items = this.#items.slice(this.#head).filter(fits)
    this.#head = 0
  }
}
