/**
 * What the verbs of a namespace take, as ops without their `op` and `ns`. What only the kernel can know (does the link exist, does
 * its kind have such a setting) is left to the kernel.
 */
import type { NamespaceRef } from '../contract.js'
import { invalid } from '../errors.js'
import { bitsOf, type Family, parseCidr, parseIp } from '../network/cidr.js'
import type { Link } from '../plan/kernel-objects.js'
import type { AddressVerb, BridgeOptions, LinkAdd, LinkRef, LinkSet, NeighborVerb, PortOptions, RouteVerb } from '../plan/op.js'
import {
  boolean,
  type Fields,
  type Guard,
  ifname,
  integer,
  ip,
  ipv4,
  line,
  mac,
  namespaceRef,
  newIfname,
  object,
  oneOf,
  present,
  source,
  string,
} from './guards.js'

/** An op's own fields: neither where it runs nor what it does about something that is missing. */
type Verb<T extends { readonly op: string }> = Omit<T, 'op' | 'ns' | 'missingOk'>

const unsigned32 = integer(0, 2 ** 32 - 1)
/** Bytes. The least is IPv4's (RFC 791); what a kind of link can carry at most is the kernel's to say. */
const mtu = integer(68, 2 ** 31 - 1)
const family: Guard<Family> = (value, field) => {
  if (value !== 4 && value !== 6) throw invalid(field, '4 or 6', value)
  return value
}

// ---------------------------------------------------------------------------------------------------- links

// What `links.list` answers is a good LinkRef too.
const linkKeys = [
  ...(['index', 'name', 'kind', 'mac', 'mtu', 'up', 'running', 'lowerUp', 'loopback', 'operstate', 'master', 'alias', 'group'] as const),
  ...(['parent', 'linkNetnsid', 'altnames', 'numTxQueues', 'numRxQueues', 'bridge', 'port'] as const),
  ...(['macvlanMode', 'ipvlanMode', 'vlanId', 'stats'] as const),
] satisfies readonly (keyof Link)[]

/** A link as a name, a LinkRef or a listed Link. */
const link: Guard<LinkRef> = (value, field) => {
  if (typeof value === 'string') return { name: ifname(value, field) }
  if (typeof value !== 'object' || value === null) throw invalid(field, "an interface's name or { name, index }", value)
  const fields = object(value, field, linkKeys)
  return present({ name: fields.required('name', ifname), index: fields.optional('index', integer(1, 2 ** 31 - 1)) })
}

/** IFLA_IFALIAS holds 255 bytes, whatever the number of characters. */
const alias: Guard<string> = (value, field) => {
  const text = line(value, field)
  if (Buffer.byteLength(text) > 255) throw invalid(field, 'text of at most 255 bytes', value, { range: true })
  return text
}

const portKeys = [
  'hairpin',
  'isolated',
  'learning',
  'flood',
  'multicastFlood',
  'neighSuppress',
] as const satisfies readonly (keyof PortOptions)[]

const port: Guard<PortOptions> = (value, field) => {
  const fields = object(value, field, portKeys)
  return Object.fromEntries(portKeys.filter(key => fields.has(key)).map(key => [key, fields.required(key, boolean)]))
}

const bridge: Guard<BridgeOptions> = (value, field) => {
  const fields = object(value, field, ['stp', 'vlanFiltering', 'multicastSnooping', 'ageing', 'forwardDelay'])
  return present({
    stp: fields.optional('stp', boolean),
    vlanFiltering: fields.optional('vlanFiltering', boolean),
    multicastSnooping: fields.optional('multicastSnooping', boolean),
    // The kernel counts hundredths of a second in 32 bits.
    ageing: fields.optional('ageing', integer(0, 42_949_672)),
    forwardDelay: fields.optional('forwardDelay', integer(0, 42_949_672)),
  })
}

const peer: Guard<{ name: string; mac?: string; mtu?: number }> = (value, field) => {
  const fields = object(value, field, ['name', 'mac', 'mtu'])
  return present({ name: fields.required('name', newIfname), mac: fields.optional('mac', mac), mtu: fields.optional('mtu', mtu) })
}

/** Which links to list; `master` is a name. */
export function linkFilter(input: unknown = {}): { name?: string; master?: string } {
  const fields = object(input, '', ['name', 'master'])
  return present({ name: fields.optional('name', ifname), master: fields.optional('master', ifname) })
}

const addKeys = [
  ...(['name', 'kind', 'mac', 'mtu', 'master', 'up', 'queues', 'alias', 'port'] as const),
  ...(['peer', 'bridge', 'parent', 'macvlanMode', 'ipvlanMode', 'vlanId'] as const),
]
type AddKey = (typeof addKeys)[number]

/** Which kinds an option means something to. */
const kindsOf: Partial<Record<AddKey, readonly LinkAdd['kind'][]>> = {
  peer: ['veth'],
  bridge: ['bridge'],
  parent: ['macvlan', 'ipvlan', 'vlan'],
  macvlanMode: ['macvlan'],
  ipvlanMode: ['ipvlan'],
  vlanId: ['vlan'],
}

/** `ip link add` */
export function linkAdd(
  input: unknown,
): Omit<Verb<LinkAdd>, 'peer' | 'bornIn' | 'group'> & { peer?: { name: string; mac?: string; mtu?: number } } {
  const fields = object(input, '', addKeys)
  const kind = fields.required('kind', oneOf('veth', 'bridge', 'macvlan', 'ipvlan', 'vlan', 'dummy'))
  for (const key of addKeys) {
    if (fields.has(key) && kindsOf[key]?.includes(kind) === false) throw invalid(key, `no value with the kind ${kind}`, fields.raw(key))
  }
  if (fields.has('port') && !fields.has('master')) throw invalid('port', 'no value without a master', fields.raw('port'))
  return present({
    name: fields.required('name', newIfname),
    kind,
    mac: fields.optional('mac', mac),
    mtu: fields.optional('mtu', mtu),
    master: fields.optional('master', link),
    up: fields.optional('up', boolean),
    queues: fields.optional('queues', integer(1, 4096)),
    alias: fields.optional('alias', alias),
    port: fields.optional('port', port),
    peer: fields.optional('peer', peer),
    bridge: fields.optional('bridge', bridge),
    parent: kindsOf.parent?.includes(kind) ? fields.required('parent', link) : undefined,
    macvlanMode: fields.optional('macvlanMode', oneOf('private', 'vepa', 'bridge', 'passthru')),
    ipvlanMode: fields.optional('ipvlanMode', oneOf('l2', 'l3', 'l3s')),
    vlanId: kind === 'vlan' ? fields.required('vlanId', integer(1, 4094)) : undefined,
  })
}

/** `ip link set`; `master: null` releases the port, an empty alias takes it away. */
export function linkSet(input: unknown): Omit<Verb<LinkSet>, 'moveTo' | 'name'> & { rename?: string } {
  const fields = object(input, '', ['link', 'rename', 'mac', 'mtu', 'master', 'up', 'group', 'alias', 'port'])
  return present({
    link: fields.required('link', link),
    rename: fields.optional('rename', newIfname),
    mac: fields.optional('mac', mac),
    mtu: fields.optional('mtu', mtu),
    master: fields.raw('master') === null ? null : fields.optional('master', link),
    up: fields.optional('up', boolean),
    group: fields.optional('group', unsigned32),
    alias: fields.raw('alias') === '' ? '' : fields.optional('alias', alias),
    port: fields.optional('port', port),
  })
}

/** `ip link set … netns …` */
export function linkMove(input: unknown): { link: LinkRef; to: NamespaceRef; rename?: string } {
  const fields = object(input, '', ['link', 'to', 'rename'])
  return present({
    link: fields.required('link', link),
    to: fields.required('to', namespaceRef),
    rename: fields.optional('rename', newIfname),
  })
}

/** `ip link delete` */
export function linkDelete(input: unknown): { link: LinkRef } {
  return { link: object(input, '', ['link']).required('link', link) }
}

/** Only what belongs to one link; absent: all. */
export function byLink(input: unknown = {}): { link?: LinkRef } {
  return present({ link: object(input, '', ['link']).optional('link', link) })
}

// ---------------------------------------------------------------------------------------------------- addresses

const scope = oneOf('global', 'link', 'host')

/** `ip address add|replace|delete` */
export function address(input: unknown): Verb<AddressVerb> {
  const fields = object(input, '', ['link', 'address', 'prefix', 'broadcast', 'noDad', 'noPrefixRoute', 'scope'])
  const text = fields.required('address', ip)
  const { family } = parseIp(text)
  if (family === 6 && fields.has('broadcast')) throw invalid('broadcast', 'no value with an IPv6 address', fields.raw('broadcast'))
  return present({
    link: fields.required('link', link),
    address: text,
    prefix: fields.required('prefix', integer(0, bitsOf(family))),
    broadcast: fields.optional('broadcast', ipv4),
    noDad: fields.optional('noDad', boolean),
    noPrefixRoute: fields.optional('noPrefixRoute', boolean),
    scope: fields.optional('scope', scope),
  })
}

// ---------------------------------------------------------------------------------------------------- routes

/** Which routes to list: a family, and a table (default main; 0: all). */
export function routeFilter(input: unknown = {}): { family?: Family; table?: number } {
  const fields = object(input, '', ['family', 'table'])
  return present({ family: fields.optional('family', family), table: fields.optional('table', unsigned32) })
}

const routeKeys = ['to', 'family', 'via', 'link', 'source', 'metric', 'table', 'scope', 'type', 'onlink', 'mtu'] as const
type RouteFields = Fields<(typeof routeKeys)[number]>

/** `ip route add|replace|delete`; `to` is `default`, a block, or an address (a route to a host). */
export function route(input: unknown): Verb<RouteVerb> {
  const fields: RouteFields = object(input, '', routeKeys)
  const to = fields.raw('to') === 'default' ? 'default' : fields.required('to', source)
  const type = fields.optional('type', oneOf('unicast', 'local', 'blackhole', 'unreachable', 'prohibit'))
  if (type === 'blackhole' || type === 'unreachable' || type === 'prohibit') refuseWay(fields, type)
  const verb = present({
    to,
    via: fields.optional('via', ip),
    link: fields.optional('link', link),
    source: fields.optional('source', ip),
    metric: fields.optional('metric', unsigned32),
    table: fields.optional('table', integer(1, 2 ** 32 - 1)),
    scope: fields.optional('scope', scope),
    type,
    onlink: fields.optional('onlink', boolean),
    mtu: fields.optional('mtu', mtu),
  })
  return { ...verb, family: routeFamily(fields, verb) }
}

/** Nothing leaves by such a route, so that it has no way to go. */
function refuseWay(fields: RouteFields, type: string): void {
  for (const key of ['via', 'link', 'onlink'] as const) {
    if (fields.has(key)) throw invalid(key, `no value with the type ${type}`, fields.raw(key))
  }
}

function routeFamily(fields: RouteFields, { to, via, source: from }: Pick<RouteVerb, 'to' | 'via' | 'source'>): Family {
  const given = fields.optional('family', family)
  const hint = to === 'default' ? (given ?? (via === undefined ? undefined : parseIp(via).family)) : parseCidr(to).family
  const known = hint ?? (from === undefined ? undefined : parseIp(from).family)
  if (known === undefined) throw invalid('family', '4 or 6 (a default route without a gateway could be either)', given)
  if (given !== undefined && given !== known) throw invalid('family', `${known}, the family of ${to},`, given)
  // An IPv4 route may go by an IPv6 gateway (RFC 5549), not the other way round.
  if (known === 6 && via !== undefined && parseIp(via).family === 4) throw invalid('via', 'an IPv6 address for an IPv6 route', via)
  if (from !== undefined && parseIp(from).family !== known) throw invalid('source', `an IPv${known} address`, from)
  return known
}

// ---------------------------------------------------------------------------------------------------- neighbours

/** Which neighbours to list: of a link, and proxy entries or the others. */
export function neighborFilter(input: unknown = {}): { link?: LinkRef; proxy?: boolean } {
  const fields = object(input, '', ['link', 'proxy'])
  return present({ link: fields.optional('link', link), proxy: fields.optional('proxy', boolean) })
}

/** `ip neighbour add|replace|delete` */
export function neighbor(input: unknown): Verb<NeighborVerb> {
  const fields = object(input, '', ['link', 'address', 'mac', 'state', 'proxy'])
  const verb = present({
    link: fields.required('link', link),
    address: fields.required('address', ip),
    mac: fields.optional('mac', mac),
    state: fields.optional('state', oneOf('permanent', 'reachable', 'stale', 'noarp')),
    proxy: fields.optional('proxy', boolean),
  })
  if (verb.proxy && verb.mac !== undefined) throw invalid('mac', "no value with proxy (the link's own address answers)", verb.mac)
  return verb
}

// ---------------------------------------------------------------------------------------------------- sysctls

/**
 * A key under `net`, answered with slashes. As sysctl(8): the first separator decides. With dots first, a slash stands for a dot
 * inside of a name (`net.ipv4.conf.eth0/7.forwarding`); with slashes first, dots are the name's own (`net/ipv4/conf/eth0.7/forwarding`).
 */
export function sysctlKey(input: unknown): string {
  const text = string(input, 'key')
  const dotsFirst = text.search(/[./]/) === text.indexOf('.')
  const key = dotsFirst ? text.replace(/[./]/g, separator => (separator === '.' ? '/' : '.')) : text
  const [top, ...parts] = key.split('/')
  if (top !== 'net' || parts.length === 0 || !parts.every(part => /^(?!\.{1,2}$)[A-Za-z0-9_.-]{1,64}$/.test(part))) {
    throw invalid('key', 'a sysctl under net, such as net.ipv4.ip_forward,', input)
  }
  return key
}

/** One line of at most 4,095 bytes; tabs are fine, as the kernel prints them itself. */
export function sysctlValue(input: unknown): string {
  if (typeof input !== 'string' || /[^\P{Cc}\t]/u.test(input) || Buffer.byteLength(input) > 4095) {
    throw invalid('value', 'one line of text', input)
  }
  // Writing nothing at all would change nothing.
  return input.trim() === '' ? '\n' : input
}
