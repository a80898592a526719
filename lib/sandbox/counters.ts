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

/** Set and key, as JSON → what was counted. */
type Counts = ReadonlyMap<string, Counter>

/** A set is listed as a whole, so whoever asks while one look is under way shares the next one with all the others. */
export class PortCounters {
  readonly #mechanism: Mechanism
  readonly #wanted = new Set<string>()
  #next: Promise<Counts> | undefined
  #current: Promise<unknown> = Promise.resolve()

  constructor(mechanism: Mechanism) {
    this.#mechanism = mechanism
  }

  /** One for each port of the sandbox, in their order. All zero while the ruleset is gone, or where a port leads nowhere. */
  async of(record: SandboxRecord, signal?: AbortSignal): Promise<readonly PortCounter[]> {
    if (record.ports.length === 0) return []
    const elements = new Map(record.ports.map(port => [port, elementsOf(record, port)]))
    const counts = await this.#look([...elements.values()].flat().map(({ set }) => set))
    signal?.throwIfAborted()
    const countOf = (element: NftElementVerb | undefined): Counter =>
      (element && counts.get(JSON.stringify([element.set, element.key]))) ?? nothing
    return record.ports.map(port => {
      const entrance = countOf(elements.get(port)?.find(({ set }) => /^(?:publish|limited)/.test(set)))
      const traffic = countOf(elements.get(port)?.find(({ set }) => set.startsWith('exposed')))
      return { ...port, connections: entrance.packets, packets: traffic.packets, bytes: traffic.bytes }
    })
  }

  #look(sets: readonly string[]): Promise<Counts> {
    for (const set of sets) this.#wanted.add(set)
    this.#next ??= this.#current.then(() => {
      const look = readCounts(this.#mechanism, [...this.#wanted])
      this.#wanted.clear()
      this.#next = undefined
      this.#current = look.catch(() => {})
      return look
    })
    return this.#next
  }
}

async function readCounts(mechanism: Mechanism, sets: readonly string[]): Promise<Counts> {
  const counts = new Map<string, Counter>()
  const listings = await list(mechanism, sets)
  for (const [i, { elements = [] }] of listings.entries()) {
    for (const { key, counter = nothing } of elements) counts.set(JSON.stringify([sets[i], key]), counter)
  }
  return counts
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
    const plan = sets.map(set => ({ apply: { op: 'nft.list', family: 'inet', table: tableName, set } }) as const)
    return (await mechanism.run(plan)) as readonly NftListing[]
  } catch (error) {
    if (error instanceof PlanFailure && errnoName(error.errno) === 'ENOENT') return []
    throw translate(error)
  }
}
