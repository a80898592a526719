/** How much published ports have been used, as the ruleset has counted. */
import type { PortCounter } from '../contract.js'
import { errnoName } from '../errors.js'
import { publishElements, tableName } from '../firewall/ruleset.js'
import type { NftListing } from '../native.js'
import type { Counter } from '../plan/kernel-objects.js'
import { type Mechanism, PlanFailure } from '../plan/mechanism.js'
import type { NftElementVerb } from '../plan/op.js'
import { translate } from '../plan/translate.js'
import type { PortRecord, SandboxRecord } from '../state/records.js'
import { mappings } from './steps.js'

const nothing: Counter = { packets: 0, bytes: 0 }

/** Set → key, in words → what was counted. */
type Counts = ReadonlyMap<string, ReadonlyMap<string, Counter>>

/** Where what counts for a sandbox is. */
interface Places {
  readonly ports: readonly PortPlaces[]
  readonly sets: readonly string[]
}
/** Where the two counts of a port are: of its connections, and of what went through. */
interface PortPlaces {
  readonly port: PortRecord
  readonly entrance: Place | undefined
  readonly traffic: Place | undefined
}
interface Place {
  readonly set: string
  readonly key: string
}

/** Fewer inspections than that, in one turn, look at nothing beforehand. */
const few = 16

/** A set is listed as a whole, so whoever asks while one look is under way shares the next one with all the others. */
export class PortCounters {
  readonly #mechanism: Mechanism
  readonly #wanted = new Set<string>()
  readonly #places = new WeakMap<SandboxRecord, Places>()
  /** What the last look was at. */
  #last: readonly string[] = []
  #early: Promise<Counts | undefined> | undefined
  #asking = 0
  #next: Promise<Counts> | undefined
  #current: Promise<unknown> = Promise.resolve()

  constructor(mechanism: Mechanism) {
    this.#mechanism = mechanism
  }

  /**
   * For who will ask `of()` when he has the record. Where many do so in one turn, the sets that were looked at last are looked at while records
   * are read; undefined where they are few.
   */
  early(): Promise<Counts | undefined> {
    this.#asking += 1
    this.#early ??= Promise.resolve().then(async () => {
      const isCrowd = this.#asking >= few && this.#last.length > 0
      this.#asking = 0
      this.#early = undefined
      return isCrowd ? this.#look(this.#last).catch(() => undefined) : undefined
    })
    return this.#early
  }

  /**
   * One for each port of the sandbox, in their order. All zero while the ruleset is gone, or where a port leads nowhere. `early`: counts that
   * may do, if they are of the right sets.
   */
  async of(record: SandboxRecord, signal?: AbortSignal, early?: Promise<Counts | undefined>): Promise<readonly PortCounter[]> {
    if (record.ports.length === 0) return []
    const { ports, sets } = this.#placesOf(record)
    const seen = await early
    const counts = seen !== undefined && sets.every(set => seen.has(set)) ? seen : await this.#look(sets)
    signal?.throwIfAborted()
    const countOf = (place: Place | undefined): Counter => (place && counts.get(place.set)?.get(place.key)) ?? nothing
    return ports.map(({ port, entrance, traffic }) => {
      const { packets, bytes } = countOf(traffic)
      return { ...port, connections: countOf(entrance).packets, packets, bytes }
    })
  }

  /** Worked out once for each record that is kept in memory. */
  #placesOf(record: SandboxRecord): Places {
    const known = this.#places.get(record)
    if (known !== undefined) return known
    const ports = record.ports.map((port): PortPlaces => {
      const elements = elementsOf(record, port)
      return {
        port,
        entrance: placeOf(elements.find(({ set }) => /^(?:publish|limited)/.test(set))),
        traffic: placeOf(elements.find(({ set }) => set.startsWith('exposed'))),
      }
    })
    const sets = new Set(ports.flatMap(({ entrance, traffic }) => [entrance, traffic].flatMap(place => place?.set ?? [])))
    const places = { ports, sets: [...sets] }
    this.#places.set(record, places)
    return places
  }

  #look(sets: readonly string[]): Promise<Counts> {
    for (const set of sets) this.#wanted.add(set)
    this.#next ??= this.#current.then(() => {
      this.#last = [...this.#wanted]
      const look = readCounts(this.#mechanism, this.#last)
      this.#wanted.clear()
      this.#next = undefined
      this.#current = look.catch(() => {})
      return look
    })
    return this.#next
  }
}

async function readCounts(mechanism: Mechanism, sets: readonly string[]): Promise<Counts> {
  const listings = await list(mechanism, sets)
  return new Map(listings.map(({ counts = [] }, i) => [sets[i] as string, countsOf(counts)]))
}

/** From key, packets and bytes of each element in turn. */
function countsOf(flat: NonNullable<NftListing['counts']>): ReadonlyMap<string, Counter> {
  const counts = new Map<string, Counter>()
  for (let at = 0; at < flat.length; at += 3) counts.set(String(flat[at]), { packets: Number(flat[at + 1]), bytes: Number(flat[at + 2]) })
  return counts
}

function placeOf(element: NftElementVerb | undefined): Place | undefined {
  return element && { set: element.set, key: element.key.flatMap(datum => Object.values(datum)).join(' ') }
}

/** What a port has put into sets that count. */
function elementsOf(record: SandboxRecord, port: PortRecord): NftElementVerb[] {
  return publishElements(record.name, [], mappings({ ...record, ports: [port] }))
    .flatMap(({ apply }) => (apply.op === 'nft.element.add' ? [apply] : []))
    .filter(({ end }) => end === undefined)
}

async function list(mechanism: Mechanism, sets: readonly string[]): Promise<readonly NftListing[]> {
  if (sets.length === 0) return []
  try {
    const plan = sets.map(set => ({ apply: { op: 'nft.list', family: 'inet', table: tableName, set, counts: true } }) as const)
    return (await mechanism.run(plan)) as readonly NftListing[]
  } catch (error) {
    if (error instanceof PlanFailure && errnoName(error.errno) === 'ENOENT') return []
    throw translate(error)
  }
}
