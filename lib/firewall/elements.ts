/** What networks, published ports and redirects put into the ruleset's sets and maps, and what they need beside it. Pure. */
import { createHash } from 'node:crypto'

import { formatIp, lastOf, parseCidr } from '../network/cidr.js'
import type { Datum, NftElementVerb, Op, RouteVerb, Step, SysctlSet } from '../plan/op.js'
import { place } from './table.js'

/** What is the same of all networks. */
export interface FirewallSubnets {
  readonly subnets4: readonly string[]
  readonly subnets6: readonly string[]
  /** No way out, and nothing published. */
  readonly internal: boolean
  /** Sandboxes of the network reach each other. */
  readonly icc: boolean
  /** Outgoing connections get the host's address. */
  readonly masquerade: boolean
  /** Or this one, which need not be the outgoing link's, nor any of the host's; at most one of each family. */
  readonly snat?: readonly string[]
}

export interface FirewallNetwork extends FirewallSubnets {
  /** The bridge. */
  readonly device: string
  /** The host's addresses that sandboxes of the network ask for names, and the port that answers there. */
  readonly nameServers?: readonly NameServerAt[]
}

/** An address of the host that sandboxes ask for names, and the port that answers there. */
export interface NameServerAt {
  readonly address: string
  readonly port: number
}

/** A published port together with the sandbox's address that it leads to; both addresses are of one family. */
export interface PublishedMapping {
  readonly protocol: 'tcp' | 'udp' | 'sctp'
  /** Canonical text; `0.0.0.0` or `::` for all addresses of the host. */
  readonly hostIp: string
  readonly hostPort: number
  readonly address: string
  readonly containerPort: number
  /** The sandbox is on the clients' LAN as well, by another link: it would answer them by that one. */
  readonly onLan?: boolean
  /** Blocks that clients may come from, none inside another; absent: everyone. Those of the other family mean nothing here. */
  readonly allow?: readonly string[]
}

/** A sandbox's connections to a port anywhere outside, brought to a proxy on the host; both addresses are of one family. */
export interface RedirectMapping {
  readonly protocol: 'tcp' | 'udp'
  /** The sandbox's. */
  readonly source: string
  /** 0: all ports. */
  readonly port: number
  readonly address: string
  readonly toPort: number
}

/** Where resolvers ask. */
const domainPort = 53

type ElementAdd = NftElementVerb & { readonly op: 'nft.element.add' }
/** `family` and `table`: default those of the ruleset. */
export type Element = Pick<NftElementVerb, 'set' | 'key' | 'end' | 'data' | 'comment'> & Partial<Pick<NftElementVerb, 'family' | 'table'>>

/** Brings a network into the ruleset; each step's undo takes its part out again, and an absent part is fine. */
export function networkElements(network: FirewallNetwork): Step[] {
  const { device, internal, icc, nameServers = [] } = network
  const key = [{ ifname: device }]
  return [
    { set: 'bridges', key },
    ...(internal ? [{ set: 'internal', key }] : []),
    ...(icc ? [{ set: 'same', key: [...key, ...key] }] : []),
    ...subnetElements(network),
    ...nameServers.flatMap(server => nameElements(device, server)),
  ].map(change)
}

/** Leads questions that come in by a device to the port that answers. */
export function nameElements(device: string, { address, port }: NameServerAt): Element[] {
  return (['udp', 'tcp'] as const).map(protocol => ({
    set: `names${versionOf(address)}`,
    key: [{ ifname: device }, { protocol }, ip(address), { port: domainPort }],
    data: [ip(address), { port }],
  }))
}

/** Where sandboxes are, and which of them go out with the host's address. */
export function subnetElements(network: FirewallSubnets): Element[] {
  const { subnets4, subnets6 } = network
  return [
    ...subnets4.map(subnet => block('inside4', subnet)),
    ...subnets6.map(subnet => block('inside6', subnet)),
    ...subnets4.flatMap(subnet => outgoing(network, 4, subnet)),
    ...subnets6.flatMap(subnet => outgoing(network, 6, subnet)),
  ]
}

/** Puts an element in; the undo takes it out, and an absent one is fine. */
export function change(element: Element): Step {
  return { apply: add(element), undo: remove(add(element)) }
}

/** What becomes of the source of connections that leave the network. */
function outgoing({ internal, masquerade, snat = [] }: FirewallSubnets, version: 4 | 6, subnet: string): Element[] {
  if (internal || !masquerade) return []
  const fixed = snat.find(address => versionOf(address) === version)
  return [fixed === undefined ? block(`masquerade${version}`, subnet) : { ...block(`snat${version}`, subnet), data: [ip(fixed)] }]
}

/**
 * Changes what a sandbox publishes from `before` to `after`, which list all of its ports. Elements carry the sandbox's name as
 * their comment. Removed ones come first, so that a port can move to another address in one transaction.
 */
export function publishElements(sandbox: string, before: readonly PublishedMapping[], after: readonly PublishedMapping[]): Step[] {
  return elementSteps(sandbox, before.flatMap(publishing), after.flatMap(publishing))
}

/** The same for redirects. */
export function redirectElements(sandbox: string, before: readonly RedirectMapping[], after: readonly RedirectMapping[]): Step[] {
  return elementSteps(sandbox, before.map(redirecting), after.map(redirecting))
}

/**
 * Changes a sandbox's elements from `before` to `after`, whose comment is `comment` unless they have one. Each counts once: two host ports
 * that lead to one port share one of `exposed`.
 */
export function elementSteps(comment: string | undefined, before: readonly Element[], after: readonly Element[]): Step[] {
  const commented = (element: Element) => add(comment === undefined ? element : { comment, ...element })
  const old = new Map(before.map(element => [idOf(element), element]))
  const wanted = new Map(after.map(element => [idOf(element), element]))
  const steps: Step[] = []
  for (const [id, element] of old) {
    if (wanted.has(id)) continue
    const undo = commented(element)
    steps.push({ apply: remove(undo), undo })
  }
  for (const [id, element] of wanted) {
    if (old.has(id)) continue
    const apply = commented(element)
    steps.push({ apply, undo: remove(apply) })
  }
  return steps
}

/** The same for the same element: of a set all keys are of one kind, and so are all values. */
function idOf({ family, set, key, end = [], data = [] }: Element): string {
  return `${family ?? ''} ${set}${textOf(key)} -${textOf(end)} :${textOf(data)}`
}

function textOf(data: readonly Datum[]): string {
  let text = ''
  for (const datum of data) for (const value of Object.values(datum)) text += ` ${value}`
  return text
}

/** Those for a few have maps of their own, which are asked behind the others: ports for everyone pay nothing for them. */
function publishing({ protocol, hostIp, hostPort, address, containerPort, allow, onLan }: PublishedMapping): Element[] {
  const version = versionOf(address)
  const isAny = hostIp === '0.0.0.0' || hostIp === '::'
  const key = [{ protocol }, ...(isAny ? [] : [ip(hostIp)]), { port: hostPort }]
  const target = [ip(address), { port: containerPort }]
  const suffix = `${version}${isAny ? '_any' : ''}`
  return [
    { set: `${allow ? 'limited' : 'publish'}${suffix}`, key, data: target },
    ...(allow ?? [])
      .filter(source => versionOf(source) === version)
      .map(source => {
        const [first, last] = endsOf(source)
        return { set: `allowed${suffix}`, key: [...key, first], end: [...key, last] }
      }),
    ...(isLoopback(hostIp) ? [] : [{ set: `exposed${version}`, key: [{ protocol }, ...target] }]),
    ...(onLan ? [{ set: `lan${version}`, key: [ip(address)] }] : []),
  ]
}

function redirecting({ protocol, source, port, address, toPort }: RedirectMapping): Element {
  return {
    set: `redirect${versionOf(address)}${port === 0 ? '_all' : ''}`,
    key: [{ protocol }, ip(source), ...(port === 0 ? [] : [{ port }])],
    data: [ip(address), { port: toPort }],
  }
}

/** What a port published there is reachable from: the host's own loopback and nothing else. */
function isLoopback(hostIp: string): boolean {
  return hostIp === '::1' || hostIp.startsWith('127.')
}

/**
 * Settings that a network needs, to be written when its bridge exists. `ip_forward` and IPv6's `forwarding` are the host's: with
 * the latter on, the kernel takes no more router advertisements on links whose `accept_ra` is 1 (2 would keep them).
 */
export function networkSysctls(network: FirewallNetwork): SysctlSet[] {
  const { device, subnets4, internal } = network
  return [
    // A sandbox must not be able to give routes to the host.
    { ...setting(`net/ipv6/conf/${device}/accept_ra`, '0'), missingOk: true },
    ...forwardingSysctls(network),
    // What comes from a sandbox has to be from where answers would go: the strict check of RFC 3704.
    ...(subnets4.length === 0 ? [] : [setting(`net/ipv4/conf/${device}/rp_filter`, '1')]),
    ...(internal || subnets4.length === 0 ? [] : [setting(`net/ipv4/conf/${device}/route_localnet`, '1')]),
  ]
}

/** Those of the host. */
export function forwardingSysctls({ subnets4, subnets6, internal }: Omit<FirewallSubnets, 'icc' | 'masquerade'>): SysctlSet[] {
  return [
    ...(internal || subnets4.length === 0 ? [] : [setting('net/ipv4/ip_forward', '1')]),
    ...(internal || subnets6.length === 0 ? [] : [setting('net/ipv6/conf/all/forwarding', '1')]),
  ]
}

export function setting(key: string, value: string): SysctlSet {
  return { op: 'sysctl.set', key, value }
}

/**
 * Routes that a network needs on the host, to be added when its bridge is up; they go with it. IPv6 has no route_localnet: answers
 * to a connection from `::1` are delivered only if `::1` is local on the bridge too. The metric keeps the loopback device's own
 * route first, and what comes over the wire to or from `::1` is dropped by the kernel as before.
 */
export function networkRoutes({ device, subnets6, internal }: FirewallNetwork): RouteVerb[] {
  return internal || subnets6.length === 0 ? [] : [loopbackRoute(device)]
}

export function loopbackRoute(device: string): RouteVerb {
  return { op: 'route.add', to: '::1/128', family: 6, link: { name: device }, type: 'local', table: 255, metric: metricOf(device) }
}

/** The kernel takes a second route to one place only under another metric, so each device has its own. */
function metricOf(device: string): number {
  return 1024 + (createHash('sha256').update(device).digest().readUInt32BE() >>> 1)
}

function add(element: Element): ElementAdd {
  return { op: 'nft.element.add', ...place, ...element }
}

function remove({ family, table, set, key, end }: ElementAdd): Op {
  return { op: 'nft.element.delete', family, table, set, key, ...(end && { end }), missingOk: true }
}

/** All addresses of a subnet; of several, every combination. */
export function block(set: string, ...subnets: readonly string[]): Element {
  const cidrs = subnets.map(subnet => parseCidr(subnet, 'subnet'))
  return { set, key: cidrs.map(cidr => ip(formatIp(cidr))), end: cidrs.map(cidr => ip(formatIp(lastOf(cidr)))) }
}

function endsOf(subnet: string): [first: Datum, last: Datum] {
  const cidr = parseCidr(subnet, 'subnet')
  return [ip(formatIp(cidr)), ip(formatIp(lastOf(cidr)))]
}

function ip(address: string): Datum {
  return versionOf(address) === 4 ? { ip4: address } : { ip6: address }
}

function versionOf(address: string): 4 | 6 {
  return address.includes(':') ? 6 : 4
}
