/**
 * The ruleset: one table with a constant number of rules. Networks and published ports only add elements to its sets and maps.
 * Why it is made so: docs/firewall.md.
 */
import { linkGroup } from '../plan/link-group.js'
import type { DataType, NftChainAdd, NftFamily, NftSetAdd, Step } from '../plan/op.js'
import { isEtherType, isOfGroup } from './frame.js'
import {
  accept,
  bridgeRule,
  ctState,
  ctStatus,
  destinationPort,
  dnatByMap,
  drop,
  goTo,
  hasNoWayBack,
  iifkind,
  iifname,
  inSet,
  ip6Destination,
  ip6Source,
  ipDestination,
  ipSource,
  isDevice,
  isNotAddressType,
  isNotDevice,
  isVersion,
  jump,
  l4proto,
  leave,
  masquerade,
  notInSet,
  oifname,
  type Rule,
  rule,
  snatByMap,
  sourcePort,
  startsWith,
} from './rule.js'
import { senderTable, trusted } from './senders.js'
import { bridgePlace, place, behind as priorities } from './table.js'

export {
  type FirewallNetwork,
  forwardingSysctls,
  networkElements,
  networkRoutes,
  networkSysctls,
  type PublishedMapping,
  publishElements,
  type RedirectMapping,
  redirectElements,
} from './elements.js'
export { linkElements, linkRoutes, linkSysctls, routedNetworkElements } from './routed.js'
export { type Sender, senderElements, senderSteps, uplinkElements } from './senders.js'
export { tableName } from './table.js'

export interface TableOptions {
  /** Kept as the tables' comment: whose they are. */
  readonly stateFolder: string
  /**
   * Whether a published port is reachable through `::1`. Default true. Say false where bridged IPv6 frames pass ip6tables
   * (`net/bridge/bridge-nf-call-ip6tables` is 1): the way back fails there, and a refused connection is better than a hanging one.
   */
  readonly loopback6?: boolean
  /** Whether IPv6 packets are any of its business (daemon.json's `ip6tables`). Default true. */
  readonly ip6?: boolean
}

/**
 * Makes the tables with their sets, maps, chains and rules. All or nothing if run in one transaction: EEXIST on the first op when
 * the first table is there, and the undo of each table's first op takes all of it away. A second table that was left over alone
 * is replaced.
 */
export function tableSteps(options: TableOptions): Step[] {
  const { stateFolder } = options
  const [packets, frames] = shapes(options)
  const table: Step = {
    apply: { op: 'nft.table.add', ...place, comment: stateFolder, exclusive: true },
    undo: { op: 'nft.table.delete', ...place, missingOk: true },
  }
  const bridgeTable: Step[] = [
    // With its comment, though it goes at once: while a transaction that failed is taken back, it may be seen for a moment.
    {
      apply: { op: 'nft.table.add', ...bridgePlace, comment: stateFolder },
      undo: { op: 'nft.table.delete', ...bridgePlace, missingOk: true },
    },
    { apply: { op: 'nft.table.delete', ...bridgePlace } },
    { apply: { op: 'nft.table.add', ...bridgePlace, comment: stateFolder } },
  ]
  return [table, ...fill(packets), ...bridgeTable, ...fill(frames)]
}

/** How many rules each chain is given. */
export function ruleCounts(
  options: TableOptions,
): readonly { readonly family: NftFamily; readonly chain: string; readonly count: number }[] {
  return shapes(options).flatMap(({ place: { family }, chains }) =>
    chains.map(({ chain, rules }) => ({ family, chain, count: rules.length })),
  )
}

function shapes({ loopback6 = true, ip6 = true }: TableOptions): readonly [TableShape, TableShape] {
  const chains = ip6 ? chainsOf(loopback6) : chainsOf(loopback6).map(withoutIp6)
  const frames = ip6 ? senderTable : { ...senderTable, chains: senderTable.chains.map(withoutIp6Frames) }
  return [{ place, sets, chains }, frames]
}

/** What is in a table. */
export interface TableShape {
  readonly place: { readonly family: NftFamily; readonly table: string }
  readonly sets: readonly SetShape[]
  readonly chains: readonly ChainShape[]
}

function fill({ place, sets, chains }: TableShape): Step[] {
  return [
    ...sets.map((set): Step => ({ apply: { op: 'nft.set.add', ...place, ...set } })),
    ...chains.map(({ chain, base }): Step => ({ apply: { op: 'nft.chain.add', ...place, chain, ...(base && { base }) } })),
    ...chains.flatMap(({ chain, rules }) =>
      rules.map(({ text, expressions }): Step => ({ apply: { op: 'nft.rule.add', ...place, chain, text, expressions } })),
    ),
  ]
}

type SetShape = Pick<NftSetAdd, 'set' | 'key' | 'data' | 'interval' | 'counter'>

const socket4: readonly DataType[] = ['ipv4_addr', 'inet_service']
const socket6: readonly DataType[] = ['ipv6_addr', 'inet_service']

/** Hash sets for what comes with every port, intervals only for what comes with a network: those cost more the more there are. */
const sets: readonly SetShape[] = [
  // Published on one address of the host, and on all of them.
  ...published('publish'),
  // Where questions for names go that a sandbox asks at its network's gateway.
  { set: 'names4', key: ['ifname', 'inet_proto', ...socket4], data: socket4 },
  { set: 'names6', key: ['ifname', 'inet_proto', ...socket6], data: socket6 },
  // The same for those that only some may ask, and who that is. Intervals of concatenations are copied at each commit that
  // touches them: only such ports pay for it.
  ...published('limited'),
  { set: 'allowed4', key: ['inet_proto', ...socket4, 'ipv4_addr'], interval: true },
  { set: 'allowed4_any', key: ['inet_proto', 'inet_service', 'ipv4_addr'], interval: true },
  { set: 'allowed6', key: ['inet_proto', ...socket6, 'ipv6_addr'], interval: true },
  { set: 'allowed6_any', key: ['inet_proto', 'inet_service', 'ipv6_addr'], interval: true },
  // Sandbox sides of what is published beyond the host's own loopback.
  { set: 'exposed4', key: ['inet_proto', ...socket4], counter: true },
  { set: 'exposed6', key: ['inet_proto', ...socket6], counter: true },
  // Sandboxes' own connections that a proxy takes: to some ports, and to all.
  { set: 'redirect4', key: ['inet_proto', ...socket4], data: socket4, counter: true },
  { set: 'redirect4_all', key: ['inet_proto', 'ipv4_addr'], data: socket4, counter: true },
  { set: 'redirect6', key: ['inet_proto', ...socket6], data: socket6, counter: true },
  { set: 'redirect6_all', key: ['inet_proto', 'ipv6_addr'], data: socket6, counter: true },
  // Sandboxes with published ports that are on the LAN as well.
  { set: 'lan4', key: ['ipv4_addr'] },
  { set: 'lan6', key: ['ipv6_addr'] },
  { set: 'bridges', key: ['ifname'] },
  { set: 'internal', key: ['ifname'] },
  // Bridge . bridge where sandboxes of one network may talk to each other.
  { set: 'same', key: ['ifname', 'ifname'] },
  // Links of routed networks, and subnet . subnet where their sandboxes may talk to each other.
  { set: 'routed', key: ['ifname'] },
  { set: 'same4', key: ['ipv4_addr', 'ipv4_addr'], interval: true },
  { set: 'same6', key: ['ipv6_addr', 'ipv6_addr'], interval: true },
  // Subnets of sandboxes, and those among them that go out with the host's address.
  { set: 'inside4', key: ['ipv4_addr'], interval: true },
  { set: 'inside6', key: ['ipv6_addr'], interval: true },
  { set: 'masquerade4', key: ['ipv4_addr'], interval: true },
  { set: 'masquerade6', key: ['ipv6_addr'], interval: true },
  // Subnet → the address that it goes out with.
  { set: 'snat4', key: ['ipv4_addr'], data: ['ipv4_addr'], interval: true },
  { set: 'snat6', key: ['ipv6_addr'], data: ['ipv6_addr'], interval: true },
]

/** Sets whose elements belong to sandboxes, and carry their names. */
export const sandboxSets = [
  ...sets
    .filter(({ set }) => /^(?:publish|limited|allowed|exposed|redirect|bridges|routed|internal|names)/.test(set))
    .map(({ set }) => ({ ...place, set })),
  { ...bridgePlace, set: trusted },
]

/** Those whose elements begin with a sandbox's port of a bridge, and say no more of whose they are. */
export const portSets = senderTable.sets.filter(({ set }) => set !== trusted).map(({ set }) => ({ ...bridgePlace, set }))

function published(name: 'publish' | 'limited'): SetShape[] {
  return [
    { set: `${name}4`, key: ['inet_proto', ...socket4], data: socket4, counter: true },
    { set: `${name}4_any`, key: ['inet_proto', 'inet_service'], data: socket4, counter: true },
    { set: `${name}6`, key: ['inet_proto', ...socket6], data: socket6, counter: true },
    { set: `${name}6_any`, key: ['inet_proto', 'inet_service'], data: socket6, counter: true },
  ]
}

interface ChainShape {
  readonly chain: string
  readonly base?: NonNullable<NftChainAdd['base']>
  readonly rules: readonly Rule[]
}

const loopback4 = [127] as const
const loopback6Bytes = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1] as const

function chainsOf(loopback6: boolean): readonly ChainShape[] {
  return [
    { chain: 'guard', base: { type: 'filter', hook: 'prerouting', priority: priorities.raw }, rules: guard },
    { chain: 'guard6', rules: guard6 },
    { chain: 'proxy', rules: proxy },
    { chain: 'publish', rules: publish },
    { chain: 'prerouting', base: { type: 'nat', hook: 'prerouting', priority: priorities.dstnat }, rules: [rule(jump('publish'))] },
    {
      chain: 'output',
      base: { type: 'nat', hook: 'output', priority: priorities.dstnat },
      rules: [...(loopback6 ? [] : [rule(startsWith(ip6Destination, '::1', loopback6Bytes), leave)]), rule(jump('publish'))],
    },
    { chain: 'postrouting', base: { type: 'nat', hook: 'postrouting', priority: priorities.srcnat }, rules: postrouting },
    { chain: 'published', rules: exposed },
    { chain: 'forward', base: { type: 'filter', hook: 'forward', priority: priorities.filter }, rules: forward },
  ]
}

/** Lets IPv6 packets through before any rule sees them. */
function withoutIp6Frames(chain: ChainShape): ChainShape {
  return chain.base ? { ...chain, rules: [bridgeRule(isEtherType('ip6'), accept), ...chain.rules] } : chain
}

function withoutIp6(chain: ChainShape): ChainShape {
  return chain.base ? { ...chain, rules: [rule(isVersion('ip6'), accept), ...chain.rules] } : chain
}

/**
 * `route_localnet` on the bridges lets 127.0.0.0/8 in and out of them; nobody but the host itself may use that. The kernel drops ::1 from
 * the wire, but with bridge-nf-call-ip6tables a bridged frame is translated before that. What comes in by a routed link is from the
 * sandbox at its other end, and from no one else: what addresses decide about can then rely on them.
 * Every packet is asked: what a comparison can tell comes before what a look-up tells, and IPv6 has a chain of its own.
 */
const guard = [
  rule(isDevice(iifkind, 'veth'), isOfGroup(linkGroup), inSet(iifname, 'routed'), hasNoWayBack, drop),
  rule(isVersion('ip6'), goTo('guard6')),
  rule(startsWith(ipDestination, '127.0.0.0/8', loopback4), isNotDevice(iifname, 'lo'), drop),
  rule(startsWith(ipSource, '127.0.0.0/8', loopback4), inSet(iifname, 'bridges'), drop),
]

const guard6 = [
  rule(startsWith(ip6Destination, '::1', loopback6Bytes), isNotDevice(iifname, 'lo'), drop),
  rule(startsWith(ip6Source, '::1', loopback6Bytes), inSet(iifname, 'bridges'), drop),
]

/**
 * Only for the host's own addresses: a published port 53 must not catch what is forwarded to name servers elsewhere. Nor what a
 * sandbox asks the name service of its own network.
 */
const publish = [
  rule(isNotAddressType('daddr', 'local'), goTo('proxy')),
  rule(dnatByMap('ip', [iifname, l4proto, ipDestination, destinationPort], 'names4')),
  rule(dnatByMap('ip6', [iifname, l4proto, ip6Destination, destinationPort], 'names6')),
  rule(dnatByMap('ip', [l4proto, ipDestination, destinationPort], 'publish4')),
  rule(isVersion('ip'), dnatByMap('ip', [l4proto, destinationPort], 'publish4_any')),
  rule(dnatByMap('ip6', [l4proto, ip6Destination, destinationPort], 'publish6')),
  rule(isVersion('ip6'), dnatByMap('ip6', [l4proto, destinationPort], 'publish6_any')),
  // For those who may not, such a port is not published: they find what they would find without it.
  rule(
    inSet([l4proto, ipDestination, destinationPort, ipSource], 'allowed4'),
    dnatByMap('ip', [l4proto, ipDestination, destinationPort], 'limited4'),
  ),
  rule(inSet([l4proto, destinationPort, ipSource], 'allowed4_any'), dnatByMap('ip', [l4proto, destinationPort], 'limited4_any')),
  rule(
    inSet([l4proto, ip6Destination, destinationPort, ip6Source], 'allowed6'),
    dnatByMap('ip6', [l4proto, ip6Destination, destinationPort], 'limited6'),
  ),
  rule(inSet([l4proto, destinationPort, ip6Source], 'allowed6_any'), dnatByMap('ip6', [l4proto, destinationPort], 'limited6_any')),
]

/** What a sandbox sends to the outside; not to the host, not to other sandboxes, not to groups. */
const proxy = [
  rule(inSet(ipDestination, 'inside4'), leave),
  rule(inSet(ip6Destination, 'inside6'), leave),
  rule(isNotAddressType('daddr', 'unicast'), leave),
  rule(dnatByMap('ip', [l4proto, ipSource, destinationPort], 'redirect4')),
  rule(dnatByMap('ip', [l4proto, ipSource], 'redirect4_all')),
  rule(dnatByMap('ip6', [l4proto, ip6Source, destinationPort], 'redirect6')),
  rule(dnatByMap('ip6', [l4proto, ip6Source], 'redirect6_all')),
]

/**
 * Connections from the host's loopback, and from any sandbox to a published port, get the bridge's address, so that answers come
 * back through the host. Subnets tell where they come from, since the incoming interface is lost for frames that br_netfilter
 * took a short cut with. A sandbox that is on the LAN as well would answer its neighbours there by the shorter way.
 */
const postrouting = [
  rule(inSet(oifname, 'bridges'), startsWith(ipSource, '127.0.0.0/8', loopback4), masquerade),
  rule(inSet(oifname, 'bridges'), startsWith(ip6Source, '::1', loopback6Bytes), masquerade),
  rule(inSet(oifname, 'bridges'), ctStatus('dnat'), inSet(ipSource, 'inside4'), masquerade),
  rule(inSet(oifname, 'bridges'), ctStatus('dnat'), inSet(ip6Source, 'inside6'), masquerade),
  rule(inSet(oifname, 'bridges'), ctStatus('dnat'), inSet(ipDestination, 'lan4'), masquerade),
  rule(inSet(oifname, 'bridges'), ctStatus('dnat'), inSet(ip6Destination, 'lan6'), masquerade),
  rule(notInSet(oifname, 'bridges'), snatByMap('ip', ipSource, 'snat4')),
  rule(notInSet(oifname, 'bridges'), snatByMap('ip6', ip6Source, 'snat6')),
  rule(notInSet(oifname, 'bridges'), inSet(ipSource, 'masquerade4'), masquerade),
  rule(notInSet(oifname, 'bridges'), inSet(ip6Source, 'masquerade6'), masquerade),
]

const notInternal = [notInSet(iifname, 'internal'), notInSet(oifname, 'internal')] as const

/** Its elements count each packet, and those of the answers with it; answers go on to what is established. */
const exposed = [
  rule(...notInternal, inSet([l4proto, ipDestination, destinationPort], 'exposed4'), accept),
  rule(...notInternal, inSet([l4proto, ip6Destination, destinationPort], 'exposed6'), accept),
  rule(inSet([l4proto, ipSource, sourcePort], 'exposed4')),
  rule(inSet([l4proto, ip6Source, sourcePort], 'exposed6')),
]

/** Into a bridge goes what is published, what was asked for from inside, and what comes from the same network. */
const forward = [
  rule(ctStatus('dnat'), jump('published')),
  rule(ctState('established', 'related'), accept),
  rule(inSet([iifname, oifname], 'same'), accept),
  rule(inSet(iifname, 'routed'), inSet([ipSource, ipDestination], 'same4'), accept),
  rule(inSet(iifname, 'routed'), inSet([ip6Source, ip6Destination], 'same6'), accept),
  rule(inSet(iifname, 'internal'), drop),
  rule(inSet(oifname, 'internal'), drop),
  rule(inSet(oifname, 'bridges'), drop),
]
