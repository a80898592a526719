/** What findings are drawn from: one collection, so that each finding is a pure function of it. */
import type { Finding } from '../contract.js'
import type { Address, Link, NeighborTable, Route, Ruleset } from '../plan/kernel-objects.js'
import type { NetworkRecord, SandboxRecord } from '../state/records.js'

export interface Facts {
  readonly networks: readonly NetworkRecord[]
  readonly sandboxes: readonly SandboxRecord[]
  readonly links: readonly Link[]
  readonly addresses: readonly Address[]
  readonly routes: readonly Route[]
  /** undefined: nf_tables can't be read. */
  readonly ruleset: Ruleset | undefined
  /** Names in /run/netns. */
  readonly namespaces: readonly string[]
  /** Inodes of adopted namespaces that are there, by path. */
  readonly adopted: Readonly<Record<string, string | undefined>>
  /** Value of a sysctl of the host's namespace (`net/ipv4/ip_forward`); undefined: there is none of that name. */
  readonly sysctls: Readonly<Record<string, string | undefined>>
  /** Effective capabilities of this process, as a bit mask. */
  readonly capabilities: bigint
  /** Tables of legacy iptables in this namespace: `filter`, `nat`. */
  readonly legacyTables: readonly string[]
  /** What a scratch namespace could not do: feature → the kernel's words. */
  readonly missing: Readonly<Record<string, string>>
  /** Running programs that manage networks, by their names. */
  readonly managers: readonly string[]
  /** Configuration files of such programs: path → text. */
  readonly configuration: Readonly<Record<string, string>>
  /** The machine's tables of neighbours; of their entries only those that the limit is for. */
  readonly neighborTables: readonly NeighborTable[]
  /** Records that could not be read: `sandboxes/web`. */
  readonly damaged: readonly string[]
}

/** One thing to look for. */
export type Check = (facts: Facts) => readonly Finding[]

/** Networks that are there, and forward something. */
export function outgoing({ networks }: Facts): readonly NetworkRecord[] {
  return networks.filter(({ phase, internal }) => phase === 'ready' && !internal)
}
