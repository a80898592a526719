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

/** One for each port of the sandbox, in their order. All zero while the ruleset is gone, or where a port leads nowhere. */
export async function portCounters(mechanism: Mechanism, record: SandboxRecord, signal?: AbortSignal): Promise<readonly PortCounter[]> {
  const elements = new Map(record.ports.map(port => [port, elementsOf(record, port)]))
  const sets = [...new Set([...elements.values()].flat().map(({ set }) => set))]
  const counts = new Map<string, Counter>()
  const listings = await list(mechanism, sets, signal)
  for (const [i, { elements = [] }] of listings.entries()) {
    for (const { key, counter = nothing } of elements) counts.set(JSON.stringify([sets[i], key]), counter)
  }
  const countOf = (element: NftElementVerb | undefined): Counter =>
    (element && counts.get(JSON.stringify([element.set, element.key]))) ?? nothing
  return record.ports.map(port => {
    const entrance = countOf(elements.get(port)?.find(({ set }) => /^(?:publish|limited)/.test(set)))
    const traffic = countOf(elements.get(port)?.find(({ set }) => set.startsWith('exposed')))
    return { ...port, connections: entrance.packets, packets: traffic.packets, bytes: traffic.bytes }
  })
}

/** What a port has put into sets that count. */
function elementsOf(record: SandboxRecord, port: PortRecord): NftElementVerb[] {
  return publishElements(record.name, [], mappings({ ...record, ports: [port] }))
    .flatMap(({ apply }) => (apply.op === 'nft.element.add' ? [apply] : []))
    .filter(({ end }) => end === undefined)
}

async function list(mechanism: Mechanism, sets: readonly string[], signal?: AbortSignal): Promise<readonly NftListing[]> {
  if (sets.length === 0) return []
  try {
    const plan = sets.map(set => ({ apply: { op: 'nft.list', family: 'inet', table: tableName, set } }) as const)
    return (await mechanism.run(plan, signal)) as readonly NftListing[]
  } catch (error) {
    if (error instanceof PlanFailure && errnoName(error.errno) === 'ENOENT') return []
    throw translate(error, signal)
  }
}
