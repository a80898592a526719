/** What `networks.create` takes, checked and spelled out. */
import type { Labels, NetworkOptions, Subnet } from '../contract.js'
import { invalid } from '../errors.js'
import {
  type Cidr,
  contains,
  containsBlock,
  type Family,
  formatCidr,
  formatIp,
  gatewayOf,
  overlaps,
  parseCidr,
  parseIp,
  usableOf,
} from '../network/cidr.js'
import { type DriverOptions, driverOptions } from './driver-options.js'
import {
  array,
  bindIp,
  boolean,
  cidr,
  Fields,
  type Guard,
  hostIp,
  ifname,
  ifnamePrefix,
  integer,
  ip,
  labels,
  line,
  networkName,
  newIfname,
  object,
  oneOf,
  present,
} from './guards.js'

export type NetworkDriver = NonNullable<NetworkOptions['driver']>

/** A subnet with everything that can be known before the kernel is asked; all text canonical. */
export interface ValidSubnet {
  readonly family: Family
  readonly subnet: string
  readonly gateway: string
  /** It was asked for, and not only chosen. */
  readonly gatewayGiven?: true
  readonly range?: string
  readonly reserved: Readonly<Record<string, string>>
}

export interface ValidNetworkOptions {
  readonly name: string
  readonly driver: NetworkDriver
  /** Empty, or without IPv6 where `ipv6` is set: to be chosen from the pools. */
  readonly subnets: readonly ValidSubnet[]
  readonly bridge?: string
  readonly parent?: string
  readonly macvlanMode?: NonNullable<NetworkOptions['macvlanMode']>
  readonly ipvlanMode?: NonNullable<NetworkOptions['ipvlanMode']>
  readonly mtu?: number
  readonly icc: boolean
  readonly internal: boolean
  readonly masquerade: boolean
  readonly spoofCheck: boolean
  readonly ipv6: boolean
  /** At most one address of each family. */
  readonly snat: readonly string[]
  /** At most one address of each family; empty: the host's default. */
  readonly bindAddress: readonly string[]
  readonly ifnamePrefix?: string
  readonly labels: Labels
}

const keys = [
  'name',
  'driver',
  'subnets',
  'gateway',
  'bridge',
  'parent',
  'macvlanMode',
  'ipvlanMode',
  'mtu',
  'icc',
  'internal',
  'masquerade',
  'spoofCheck',
  'ipv6',
  'snat',
  'bindAddress',
  'ifnamePrefix',
  'options',
  'labels',
] as const satisfies readonly (keyof NetworkOptions)[]

type Key = (typeof keys)[number]

/** What networks of a driver are told where they aren't told themselves. */
export type NetworkDefaults = Readonly<Partial<Record<NetworkDriver, DriverOptions>>>

/** Docker's options for a network. Throws ERR_NETMODE_INVALID_ARGUMENT, or SUBNET_OVERLAP never: that needs the host. */
export function networkOptions(input: unknown, defaults: NetworkDefaults = {}): ValidNetworkOptions {
  const given = object(input, '', keys)
  const driver = given.optional('driver', oneOf(...networkDrivers)) ?? 'bridge'
  const fields = withDriverOptions(given, defaults[driver])
  refuseForDriver(fields, driver)
  const needsParent = driver === 'macvlan' || driver === 'ipvlan'
  const subnets = withGateway(fields.optional('subnets', subnetList) ?? [], fields)
  const hasV6 = subnets.some(({ family }) => family === 6)
  const ipv6 = fields.optional('ipv6', boolean) ?? hasV6
  if (hasV6 && !ipv6) throw invalid('ipv6', 'true (an IPv6 subnet is given)', false)
  const internal = fields.optional('internal', boolean) ?? false
  const masquerade = fields.optional('masquerade', boolean) ?? true
  const snat = fields.optional('snat', onePerFamily(hostIp)) ?? []
  if (snat.length > 0 && (internal || !masquerade))
    throw invalid('snat', `no value with ${internal ? 'internal: true' : 'masquerade: false'}`, fields.raw('snat'))
  return present({
    name: fields.required('name', networkName),
    driver,
    subnets,
    bridge: fields.optional('bridge', newIfname),
    parent: needsParent ? fields.required('parent', ifname) : fields.optional('parent', ifname),
    macvlanMode:
      driver === 'macvlan' ? (fields.optional('macvlanMode', oneOf('bridge', 'private', 'vepa', 'passthru')) ?? 'bridge') : undefined,
    ipvlanMode: driver === 'ipvlan' ? (fields.optional('ipvlanMode', oneOf('l2', 'l3', 'l3s')) ?? 'l2') : undefined,
    // RFC 791 and RFC 8200: the least that a link must carry.
    mtu: fields.optional('mtu', integer(ipv6 ? 1280 : 68, 65_535)),
    icc: fields.optional('icc', boolean) ?? true,
    internal,
    masquerade,
    spoofCheck: fields.optional('spoofCheck', boolean) ?? true,
    ipv6,
    snat,
    bindAddress: fields.optional('bindAddress', onePerFamily(bindIp)) ?? [],
    ifnamePrefix: fields.optional('ifnamePrefix', ifnamePrefix),
    labels: fields.optional('labels', labels) ?? {},
  })
}

export const networkDrivers = ['bridge', 'macvlan', 'ipvlan', 'ptp'] as const satisfies readonly NetworkDriver[]

/** Docker's words among the others, as if they had been ours; where neither says anything, the defaults. */
function withDriverOptions(given: Fields<Key>, defaults: DriverOptions = {}): Fields<Key> {
  const docker = given.optional('options', driverOptions) ?? {}
  const twice = keys.find(key => key in docker && given.has(key))
  if (twice !== undefined) throw invalid(twice, 'no value beside the same in options', given.raw(twice))
  const own = keys.filter(key => key !== 'options' && given.has(key)).map(key => [key, given.raw(key)] as const)
  return new Fields<Key>(new Map<string, unknown>([...Object.entries(defaults), ...Object.entries(docker), ...own]), '')
}

/** One address or several, of different families. */
function onePerFamily(guard: Guard<string>): Guard<readonly string[]> {
  return (value, field) => {
    const addresses = typeof value === 'string' ? [guard(value, field)] : array(guard)(value, field)
    const [first, second, third] = addresses
    if (third !== undefined || (second !== undefined && first?.includes(':') === second.includes(':')))
      throw invalid(field, 'at most one address of each family', value)
    return addresses
  }
}

/** Options that mean nothing to a driver would be promises that nobody keeps. */
const foreign: Readonly<Record<NetworkDriver, readonly Key[]>> = {
  bridge: ['macvlanMode', 'ipvlanMode'],
  ptp: ['parent', 'bridge', 'spoofCheck', 'macvlanMode', 'ipvlanMode'],
  macvlan: ['bridge', 'icc', 'masquerade', 'spoofCheck', 'snat', 'bindAddress', 'ipvlanMode'],
  ipvlan: ['bridge', 'icc', 'masquerade', 'spoofCheck', 'snat', 'bindAddress', 'macvlanMode'],
}

function refuseForDriver(fields: Fields<Key>, driver: NetworkDriver): void {
  for (const key of foreign[driver]) {
    if (fields.has(key)) throw invalid(key, `no value with the driver ${driver}`, fields.raw(key))
  }
  if (driver !== 'bridge' || !fields.has('parent')) return
  for (const key of ['internal', 'masquerade'] as const) {
    if (fields.has(key)) throw invalid(key, 'no value beside parent (the sandboxes are on its LAN)', fields.raw(key))
  }
}

// ---------------------------------------------------------------------------------------------------- subnets

const subnetKeys = ['subnet', 'gateway', 'range', 'reserved'] as const satisfies readonly (keyof Subnet)[]

const subnetList: Guard<readonly ParsedSubnet[]> = (value, field) => {
  const subnets = array(oneSubnet)(value, field)
  for (const [i, one] of subnets.entries()) {
    const other = subnets.slice(0, i).find(({ block }) => overlaps(block, one.block))
    if (other) throw invalid(`${field}[${i}]`, `a subnet that does not overlap ${other.subnet}`, one.subnet)
  }
  return subnets
}

interface ParsedSubnet extends ValidSubnet {
  readonly block: Cidr
}

const oneSubnet: Guard<ParsedSubnet> = (value, field) => {
  if (typeof value === 'string') return subnetOf(value, field, {})
  const fields = object(value, field, subnetKeys)
  const text = fields.required('subnet', cidr)
  const block = parseCidr(text)
  return subnetOf(text, fields.path('subnet'), {
    gateway: fields.optional('gateway', usableIn(block)),
    range: fields.optional('range', rangeIn(block)),
    reserved: fields.optional('reserved', reservedIn(block)),
  })
}

function subnetOf(
  text: string,
  field: string,
  given: { gateway?: string | undefined; range?: string | undefined; reserved?: Readonly<Record<string, string>> | undefined },
): ParsedSubnet {
  const block = parseCidr(cidr(text, field))
  const why = unfit[block.family].find(one => overlaps(parseCidr(one.block), block))?.what
  if (why) throw invalid(field, `a subnet for hosts (this one has ${why} addresses)`, text)
  return present({
    family: block.family,
    subnet: formatCidr(block),
    gateway: given.gateway ?? defaultGateway(block, given.reserved),
    range: given.range,
    reserved: given.reserved ?? {},
    block,
    gatewayGiven: given.gateway === undefined ? undefined : (true as const),
  })
}

const unfit: Readonly<Record<Family, readonly { readonly block: string; readonly what: string }[]>> = {
  4: [
    { block: '0.0.0.0/8', what: '"this network"' },
    { block: '127.0.0.0/8', what: 'loopback' },
    { block: '224.0.0.0/3', what: 'multicast or reserved' },
  ],
  6: [
    { block: '::/8', what: 'loopback or IPv4-mapped' },
    { block: 'fe80::/10', what: 'link-local' },
    { block: 'ff00::/8', what: 'multicast' },
  ],
}

/** The first usable address that isn't reserved for something else. */
function defaultGateway(block: Cidr, reserved: Readonly<Record<string, string>> = {}): string {
  const taken = new Set(Object.values(reserved))
  const first = gatewayOf(block)
  for (let value = first.value; value <= usableOf(block).last.value; value++) {
    const text = formatIp({ family: block.family, value })
    if (!taken.has(text)) return text
  }
  return formatIp(first)
}

/** An address that a host can have in the block: not its network or broadcast address. */
function usableIn(block: Cidr): Guard<string> {
  return (value, field) => {
    const text = ip(value, field)
    const { first, last } = usableOf(block)
    const address = parseIp(text)
    if (!contains(block, address) || address.value < first.value || address.value > last.value) {
      throw invalid(field, `an address from ${formatIp(first)} to ${formatIp(last)} (in ${formatCidr(block)})`, value, { range: true })
    }
    return text
  }
}

function rangeIn(block: Cidr): Guard<string> {
  return (value, field) => {
    const text = cidr(value, field)
    if (!containsBlock(block, parseCidr(text))) throw invalid(field, `a block inside ${formatCidr(block)}`, value, { range: true })
    return text
  }
}

function reservedIn(block: Cidr): Guard<Readonly<Record<string, string>>> {
  return (value, field) => {
    const pairs = Object.entries(labels(value, field)).map(([name, address]): [string, string] => {
      return [line(name, field), usableIn(block)(address, `${field}.${name}`)]
    })
    const twice = pairs.find(([, address], i) => pairs.findIndex(([, other]) => other === address) < i)
    if (twice) throw invalid(`${field}.${twice[0]}`, 'each address once', twice[1])
    return Object.fromEntries(pairs)
  }
}

/** The top-level `gateway` belongs to the one subnet that it lies in. */
function withGateway(parsed: readonly ParsedSubnet[], fields: Fields<Key>): readonly ValidSubnet[] {
  const gateway = fields.optional('gateway', ip)
  const home = gateway === undefined ? undefined : parsed.find(({ block }) => contains(block, parseIp(gateway)))
  if (gateway !== undefined) {
    if (!home) throw invalid('gateway', parsed.length > 0 ? 'an address inside one of the subnets' : 'subnets beside it', gateway)
    if (home.gatewayGiven) throw invalid('gateway', `one gateway for ${home.subnet} (${home.gateway} is given with it)`, gateway)
    usableIn(home.block)(gateway, 'gateway')
  }
  return parsed.map(({ block, ...subnet }) => {
    const own = gateway !== undefined && home?.block === block ? { ...subnet, gateway, gatewayGiven: true as const } : subnet
    const holder = Object.entries(own.reserved).find(([, address]) => address === own.gateway)?.[0]
    if (holder !== undefined) throw invalid('reserved', `an address other than the gateway for ${holder}`, own.gateway)
    return own
  })
}

/** A subnet from the pools, as if it had been given. */
export function validSubnet(subnet: string): ValidSubnet {
  const { block, ...valid } = subnetOf(subnet, 'subnet', {})
  return valid
}
