/** What a network driver has to say, as data: ops for its network and for an endpoint on it. */
import { fail } from '../../errors.js'
import type { LinkRef, Setting, Slot, Step } from '../../plan/op.js'
import type { EndpointRecord, NetworkRecord } from '../../state/records.js'
import { bridge } from './bridge.js'

/** What an endpoint needs to know besides its record. */
export interface Attachment {
  readonly sandbox: string
  readonly network: NetworkRecord
  readonly endpoint: EndpointRecord
  /** Index of the network's device: makes sure that it is still the one that the record is about. */
  readonly deviceIndex: number | undefined
  /** Of the sandbox's namespace. */
  readonly slot: Slot
  /** Families that this endpoint gives the default route of. */
  readonly gateways: readonly (4 | 6)[]
  /** Settings that the namespace has given to its new links already. */
  readonly defaults: readonly Setting[]
  /** Bridge ports send frames back where they came from. */
  readonly hairpin: boolean
}

export interface Driver {
  /** Makes the network's device, its addresses and its part of the ruleset. */
  createSteps(network: NetworkRecord): Step[]
  /** Takes all of that away; what is not there any more is fine. */
  removeSteps(network: NetworkRecord): Step[]
  /** The part of `createSteps` that fills the ruleset, for one that is made anew. */
  firewallSteps(network: NetworkRecord): Step[]
  /** Makes an endpoint in a namespace that is open as `slot`. */
  attachSteps(attachment: Attachment): Step[]
  /** The links on the host whose deletion takes an endpoint away. */
  linksOf(endpoint: EndpointRecord): LinkRef[]
}

const drivers: Readonly<Partial<Record<NetworkRecord['driver'], Driver>>> = { bridge }

/** The driver of a network or an endpoint. @throws UNSUPPORTED */
export function driverOf({ driver }: Pick<NetworkRecord, 'driver'>): Driver {
  const found = drivers[driver]
  if (found === undefined) throw fail('UNSUPPORTED', `The driver ${driver} is not there yet`, { field: 'driver', subject: driver })
  return found
}
