/** The free addresses of one subnet, as far as this process knows. A hint only: the kernel decides. */
import { fail, invalid } from '../errors.js'
import { type Cidr, contains, firstOf, formatIp, type Ip, lastOf, parseCidr, parseIp, usableOf } from './cidr.js'

/** What the addresses are taken from. */
export interface AddressRange {
  /** CIDR */
  readonly subnet: string
  /** CIDR inside it; default: all of it. */
  readonly range?: string
  /** address → what it is kept for (`gateway`), never given. */
  readonly reserved?: Readonly<Record<string, string>>
}

/**
 * Next-fit, as Docker: goes on after the address given last and comes round at the end, so that one just freed is the
 * last to be reused. Sparse, so a /64 costs no more than a /24; full stretches are skipped 32 addresses at a time.
 */
export class Addresses {
  readonly #subnet: Cidr
  readonly #first: bigint
  readonly #last: bigint
  readonly #usable: { readonly first: Ip; readonly last: Ip }
  readonly #reserved: ReadonlyMap<bigint, string>
  /** address >> 5 → one bit for each address that is taken or reserved */
  readonly #words = new Map<bigint, number>()
  #next: bigint
  #inRange = 0
  #used = 0

  constructor(options: AddressRange) {
    this.#subnet = parseCidr(options.subnet, 'subnet')
    this.#usable = usableOf(this.#subnet)
    const range = options.range === undefined ? this.#usable : spanOf(parseCidr(options.range, 'range'))
    this.#first = max(range.first.value, this.#usable.first.value)
    this.#last = min(range.last.value, this.#usable.last.value)
    this.#next = this.#first
    const reserved = Object.entries(options.reserved ?? {}).map(([text, why]): [bigint, string] => [this.#parse(text), why])
    this.#reserved = new Map(reserved)
    for (const value of this.#reserved.keys()) this.#set(value)
  }

  /** Addresses taken, outside of the range included, reserved ones not. */
  get used(): number {
    return this.#used
  }

  /** Addresses that `take()` could still give. */
  get free(): bigint {
    const all = this.#last < this.#first ? 0n : this.#last - this.#first + 1n
    return all - BigInt(this.#inRange)
  }

  /**
   * Takes an address: the preferred one (anywhere in the subnet) or the next free one of the range.
   * Throws ERR_NETMODE_ADDRESS_IN_USE, ERR_NETMODE_EXHAUSTED, or INVALID_ARGUMENT for an address that no host can have here.
   */
  take(preferred?: string): string {
    if (preferred !== undefined) return this.#takeThis(preferred)
    const value = this.#search(this.#next, this.#last) ?? this.#search(this.#first, this.#next - 1n)
    if (value === undefined) {
      throw fail(
        'EXHAUSTED',
        `No free address left in ${this.#text(this.#first)}-${this.#text(this.#last)}: ${this.#used} in use, ${this.#reserved.size} reserved`,
      )
    }
    this.#set(value)
    this.#used++
    this.#next = value === this.#last ? this.#first : value + 1n
    return this.#text(value)
  }

  /** Notes that an address is taken (read from the kernel or a record). false: was noted already, or is reserved. */
  mark(address: string, field = 'address'): boolean {
    const value = this.#parse(address, field)
    if (this.#has(value)) return false
    this.#set(value)
    this.#used++
    return true
  }

  /** Gives an address back. false: was not taken. */
  release(address: string): boolean {
    const value = this.#parse(address)
    if (!this.#has(value) || this.#reserved.has(value)) return false
    this.#clear(value)
    this.#used--
    return true
  }

  /** Every address taken, reserved ones not; in no order. */
  *taken(): Generator<string> {
    for (const [word, bits] of this.#words) {
      for (let bit = 0n; bit < 32n; bit++) {
        const value = (word << 5n) | bit
        if ((bits >>> Number(bit)) & 1 && !this.#reserved.has(value)) yield this.#text(value)
      }
    }
  }

  /** Is it in the subnet, whether a host can have it or not? */
  covers(address: string): boolean {
    return contains(this.#subnet, parseIp(address))
  }

  /** Is it taken or reserved? */
  has(address: string): boolean {
    return this.#has(this.#parse(address))
  }

  #takeThis(address: string): string {
    const value = this.#parse(address)
    const why = this.#reserved.get(value)
    if (why !== undefined) throw fail('ADDRESS_IN_USE', `${address} is reserved (${why})`, { subject: address, holder: why })
    if (!this.mark(address)) throw fail('ADDRESS_IN_USE', `${address} is in use`, { subject: address })
    return this.#text(value)
  }

  #parse(text: string, field = 'address'): bigint {
    const ip = parseIp(text, field)
    const { first, last } = this.#usable
    if (!contains(this.#subnet, ip) || ip.value < first.value || ip.value > last.value) {
      throw invalid(field, `an address from ${formatIp(first)} to ${formatIp(last)}`, text, { range: true })
    }
    return ip.value
  }

  #text(value: bigint): string {
    return formatIp({ family: this.#subnet.family, value })
  }

  #has(value: bigint): boolean {
    return (((this.#words.get(value >> 5n) ?? 0) >>> Number(value & 31n)) & 1) === 1
  }

  #set(value: bigint): void {
    const word = value >> 5n
    this.#words.set(word, (this.#words.get(word) ?? 0) | (1 << Number(value & 31n)))
    if (value >= this.#first && value <= this.#last) this.#inRange++
  }

  #clear(value: bigint): void {
    const word = value >> 5n
    const rest = (this.#words.get(word) ?? 0) & ~(1 << Number(value & 31n))
    if (rest === 0) this.#words.delete(word)
    else this.#words.set(word, rest)
    if (value >= this.#first && value <= this.#last) this.#inRange--
  }

  /** The lowest free value from `from` to `to`. */
  #search(from: bigint, to: bigint): bigint | undefined {
    let value = from
    while (value <= to) {
      const bit = Number(value & 31n)
      const open = (~(this.#words.get(value >> 5n) ?? 0) >>> bit) << bit
      if (open !== 0) {
        const lowest = 31 - Math.clz32(open & -open)
        const found = (value & ~31n) + BigInt(lowest)
        return found <= to ? found : undefined
      }
      value = (value & ~31n) + 32n
    }
    return undefined
  }
}

/** All of a range, its ends included: they are network and broadcast of nothing. */
function spanOf(range: Cidr): { readonly first: Ip; readonly last: Ip } {
  return { first: firstOf(range), last: lastOf(range) }
}

const max = (a: bigint, b: bigint): bigint => (a > b ? a : b)
const min = (a: bigint, b: bigint): bigint => (a < b ? a : b)
