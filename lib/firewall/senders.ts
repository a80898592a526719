/**
 * Who may send what into a bridge: the table of the bridge family. A sandbox speaks with its own MAC and IP addresses only, in IP,
 * in ARP and in neighbour discovery, and is no router. Why it is made so: docs/firewall.md. Pure.
 */
import { linkLocalOf } from '../network/mac.js'
import { linkGroup } from '../plan/link-group.js'
import type { Datum, Step } from '../plan/op.js'
import { change, type Element, elementSteps } from './elements.js'
import type { Bytes } from './expression.js'
import { arpAddress, arpMac, etherSource, hex, isEtherType, isIcmp6, isNotEtherType, isNotOfGroup, ndTarget, raw } from './frame.js'
import { accept, bridgeRule, drop, iifname, inSet, ip6Source, ipSource, isNotValue, isValue, jump, leave, startsWith } from './rule.js'
import type { TableShape } from './ruleset.js'
import { bridgePlace } from './table.js'

/** Ports of which nothing is asked. */
export const trusted = 'trusted'

/** A port of a bridge, and what may come in by it. */
export interface Sender {
  /** The link on the host: the host's end of a veth pair, a TAP. */
  readonly port: string
  readonly mac: string
  /** IPv4 and IPv6. `0.0.0.0` among them admits DHCP clients and ARP probes. With an IPv6 address, link-local ones are admitted too. */
  readonly addresses: readonly string[]
  /** Whatever comes is taken (`spoofCheck: false`): for what has several MAC addresses behind one port. */
  readonly unchecked?: boolean
}

/** Lets a port of a sandbox send; each step's undo takes that back. */
export function senderSteps(sandbox: string, sender: Sender): Step[] {
  return senderElements(sandbox, [], [sender])
}

/** Lets in whatever comes by a bridge's uplink, if that is in our link group. */
export function uplinkElements(port: string): Step[] {
  return [change({ ...bridgePlace, set: trusted, key: [{ ifname: port }] })]
}

/** Changes what the ports of a sandbox may send from `before` to `after`. */
export function senderElements(sandbox: string, before: readonly Sender[], after: readonly Sender[]): Step[] {
  const elements = (senders: readonly Sender[]) => senders.flatMap(sender => elementsOf(sandbox, sender))
  return elementSteps(undefined, elements(before), elements(after))
}

/** Whose they are their port says, but for those of `trusted`, where ports of others are too. */
function elementsOf(sandbox: string, { port, mac, addresses, unchecked }: Sender): Element[] {
  const ifname = { ifname: port }
  if (unchecked) return [{ ...bridgePlace, set: trusted, key: [ifname], comment: sandbox }]
  const allowed = (set: string, ...address: Datum[]): Element => ({ set, key: [ifname, { mac }, ...address], ...bridgePlace })
  const ip6 = addresses.filter(address => address.includes(':'))
  const own6 = ip6.length > 0 ? [...ip6, linkLocalOf(mac)] : []
  return [
    ...addresses.filter(address => !address.includes(':')).map(address => allowed('sender4', { ip4: address })),
    ...own6.flatMap(address => [allowed('sender6', { ip6: address }), allowed('target6', { ndTarget: address })]),
    ...(ip6.length > 0 ? [allowed('linklocal6')] : []),
  ]
}

/** The bridge's own (see the bridge driver): everybody's router. */
const routerText = 'fe80::1'
const linkLocal: Bytes = [0xfe, 0x80, 0, 0, 0, 0, 0, 0]
const router: Bytes = [...linkLocal, 0, 0, 0, 0, 0, 0, 0, 1]
const unspecified: Bytes = router.map(() => 0)
/** What an address made from a MAC has in its middle (RFC 4291, appendix A). */
const eui64: Bytes = [0xff, 0xfe]
/** Where it has it: 11 bytes into the source and into the target. */
const middleOfSource = raw('network', 8 + 11, 2)
const middleOfTarget = raw('transport', 8 + 11, 2)

/** A link-local address that is not made from a MAC, so that nobody can tell whose it is, and not the router's. */
const ownLinkLocalSource = [
  startsWith(ip6Source, 'fe80::/64', linkLocal),
  isNotValue(ip6Source, routerText, router),
  isNotValue(middleOfSource, hex(eui64), eui64),
  inSet([iifname, etherSource], 'linklocal6'),
] as const
const ownLinkLocalTarget = [
  isValue(raw('transport', 8, 8), hex(linkLocal), linkLocal),
  isNotValue(ndTarget, hex(router), router),
  isNotValue(middleOfTarget, hex(eui64), eui64),
  inSet([iifname, etherSource], 'linklocal6'),
] as const

/** In front of the standard priority (dstnat -300) by 5, and of br_netfilter (0): what is dropped here is seen by nothing else. */
const priority = -305

export const senderTable: TableShape = {
  place: bridgePlace,
  sets: [
    { set: trusted, key: ['ifname'] },
    // Port . MAC . address: of IPv4 and ARP, of IPv6, and of what neighbour discovery says.
    { set: 'sender4', key: ['ifname', 'ether_addr', 'ipv4_addr'] },
    { set: 'sender6', key: ['ifname', 'ether_addr', 'ipv6_addr'] },
    { set: 'target6', key: ['ifname', 'ether_addr', 'nd_target'] },
    // Port . MAC of those with IPv6: for link-local addresses that can't be known beforehand.
    { set: 'linklocal6', key: ['ifname', 'ether_addr'] },
  ],
  chains: [
    {
      chain: 'target',
      rules: [
        bridgeRule(inSet([iifname, etherSource, ndTarget], 'target6'), leave),
        bridgeRule(...ownLinkLocalTarget, leave),
        bridgeRule(drop),
      ],
    },
    {
      chain: 'prerouting',
      base: { type: 'filter', hook: 'prerouting', priority },
      rules: [
        bridgeRule(isNotOfGroup(linkGroup), accept),
        bridgeRule(isEtherType('ip'), inSet([iifname, etherSource, ipSource], 'sender4'), accept),
        bridgeRule(inSet(iifname, trusted), accept),
        bridgeRule(
          isEtherType('arp'),
          inSet([iifname, etherSource, arpAddress], 'sender4'),
          inSet([iifname, arpMac, arpAddress], 'sender4'),
          accept,
        ),
        bridgeRule(isNotEtherType('ip6'), drop),
        bridgeRule(isIcmp6('nd-router-advert'), drop),
        bridgeRule(isIcmp6('nd-redirect'), drop),
        bridgeRule(isIcmp6('nd-neighbor-advert'), jump('target')),
        bridgeRule(inSet([iifname, etherSource, ip6Source], 'sender6'), accept),
        bridgeRule(...ownLinkLocalSource, accept),
        // Is an address free (RFC 4862)? Asked from no address, of one's own only.
        bridgeRule(isValue(ip6Source, '::', unspecified), isIcmp6('nd-neighbor-solicit'), jump('target')),
        bridgeRule(isValue(ip6Source, '::', unspecified), isIcmp6('nd-neighbor-solicit'), accept),
        bridgeRule(drop),
      ],
    },
  ],
}
