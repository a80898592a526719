/** What a network driver has to say, as data: ops for its network and for an endpoint on it. */
import type { LinkRef, Setting, Slot, Step } from '../../plan/op.js'
import type { EndpointRecord, NetworkRecord } from '../../state/records.js'

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
  /** The host has IPv6, which ports have no use of. */
  readonly ipv6: boolean
}

/** What an endpoint's record has to say, by the nature of its network. */
export interface EndpointShape {
  /** It has an end on the host, which gets a name. */
  readonly hostEnd: boolean
  /** It may be a TAP on the host as well. */
  readonly tap: boolean
  /** It has a MAC of its own. Without, it has that of the network's device. */
  readonly ownMac: boolean
  /** Nobody else is on its link: every other address is behind the gateway, so its own has no room beside it (/32, /128). */
  readonly ownLink: boolean
  /** It is on the LAN itself: the gateway is the LAN's router, nothing is masqueraded, and no port of the host leads to it. */
  readonly lan: boolean
}

export interface Driver {
  /** Makes what the network hangs on, its addresses and its part of the ruleset. */
  createSteps(network: NetworkRecord): Step[]
  /** Takes all of that away; what is not there any more is fine. */
  removeSteps(network: NetworkRecord): Step[]
  /** Has it a part in the ruleset? */
  usesFirewall(network: NetworkRecord): boolean
  /** The part of `createSteps` that fills the ruleset, for one that is made anew. */
  firewallSteps(network: NetworkRecord): Step[]
  /** What a link adds to the ruleset, in place before the link is; each step's undo takes it out again. */
  linkFirewallSteps(sandbox: string, endpoint: EndpointRecord): Step[]
  shape(network: NetworkRecord): EndpointShape
  /** Makes an endpoint in a namespace that is open as `slot`. */
  attachSteps(attachment: Attachment): Step[]
  /** The link whose deletion takes an endpoint away, and in which namespace it is. `inMaking`: what it is called until it is complete. */
  linkOf(endpoint: EndpointRecord): { readonly at: 'host' | 'sandbox'; readonly link: LinkRef; readonly inMaking?: LinkRef }
}

/** The host's end of an endpoint that has one. */
export function hostEnd({ network, hostIfname }: EndpointRecord): LinkRef {
  if (hostIfname === undefined) throw new Error(`the endpoint on ${network} has no end on the host`)
  return { name: hostIfname }
}
