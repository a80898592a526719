/** Drafting a network: from options that were checked to the record of what is to be made. */

import type { HostConfig } from '../config.js'
import { fail, invalid } from '../errors.js'
import { randomHex } from '../random.js'
import type { NetworkRecord, SubnetRecord } from '../state/records.js'
import { type ValidNetworkOptions, type ValidSubnet, validSubnet } from '../validate/network-options.js'
import { adoptedRecord, adoptedSubnets, findBridge } from './adoption.js'
import { familyOf, formatCidr, overlaps, parseCidr } from './cidr.js'
import { defaultNetwork, wishesOf } from './default-network.js'
import type { HostFacts } from './host-facts.js'
import { randomMac } from './mac.js'
import { findParent } from './parent.js'
import { chooseSubnet, defaultPools, type Pool, type Taken, ulaPool } from './pools.js'

/** What a draft is made of besides the options. */
export interface Circumstances {
  readonly facts: HostFacts
  readonly config: HostConfig
  /** Every network that there is. */
  readonly networks: readonly NetworkRecord[]
  readonly hostId: string
}

/**
 * What a network would be. One on a LAN has the LAN's own subnet, to which the host has a route.
 * @throws SUBNET_OVERLAP, EXHAUSTED, EXISTS, UNSUPPORTED, INVALID_ARGUMENT, and NOT_FOUND or BUSY for its parent
 */
export function draftNetwork(asked: ValidNetworkOptions, { facts, config, networks, hostId }: Circumstances): NetworkRecord {
  if (asked.snat.length > 0) refuseWithoutRules(asked, config)
  const parent = asked.parent === undefined ? undefined : findParent(asked.parent, facts.links, networks)
  const found = parent ? undefined : findBridge(asked, facts, networks)
  const wishes = asked.name === defaultNetwork ? wishesOf(config) : undefined
  const options = found ? { ...asked, subnets: adoptedSubnets(asked, found, wishes) } : asked
  const clear = found ? facts.taken.filter(({ device }) => device !== found.link.name) : facts.taken
  const taken = parent ? facts.networks : clear
  for (const { subnet } of options.subnets) refuseOverlap(subnet, options.name, taken)
  const mtu = options.mtu ?? (found?.link ?? parent)?.mtu ?? config.mtu ?? facts.mtu
  if (parent && mtu > parent.mtu) throw invalid('mtu', `at most ${parent.mtu}, as ${options.parent} has`, mtu, { range: true })
  if (options.ipv6 && mtu < 1280) throw invalid('mtu', 'at least 1280 for IPv6', mtu, { range: true })
  const id = randomHex(32)
  const subnets = subnetsOf(options, taken, config, hostId).map(record)
  return {
    version: 1,
    id,
    name: options.name,
    phase: 'creating',
    driver: options.driver,
    device: deviceOf(options, id),
    mac: (found?.link ?? parent)?.mac ?? randomMac(),
    ...(options.parent !== undefined && { parent: options.parent }),
    ...(parent?.vlan && { vlan: parent.vlan }),
    ...(found && { adopted: adoptedRecord(found, subnets, networks) }),
    ...(options.macvlanMode && { macvlanMode: options.macvlanMode }),
    ...(options.ipvlanMode && { ipvlanMode: options.ipvlanMode }),
    mtu,
    subnets,
    icc: options.icc,
    internal: options.internal,
    masquerade: options.masquerade && !parent,
    ...(!options.spoofCheck && { spoofCheck: false }),
    ...(options.snat.length > 0 && { snat: [...options.snat] }),
    ...(options.bindAddress.length > 0 && { bindAddress: [...options.bindAddress] }),
    ...(options.ifnamePrefix !== undefined && { ifnamePrefix: options.ifnamePrefix }),
    ...(!(config.iptables && config.ip6tables) && { withoutRules: config.iptables ? [6] : [4, 6] }),
    labels: { ...options.labels },
    created: new Date().toISOString(),
  }
}

function deviceOf({ driver, bridge, parent }: ValidNetworkOptions, id: string): string {
  switch (driver) {
    case 'bridge':
      return bridge ?? `br-${id.slice(0, 12)}`
    case 'ptp':
      return ''
    default:
      return parent as string // required of them
  }
}

/** A promise that only a rule could keep. */
function refuseWithoutRules({ name, snat }: ValidNetworkOptions, { iptables, ip6tables }: HostConfig): void {
  const key = iptables ? 'ip6tables' : 'iptables'
  if (iptables && (ip6tables || !snat.some(address => familyOf(address) === 6))) return
  throw fail('UNSUPPORTED', `Network ${name} needs rules for its fixed outbound address, and config.${key} is false`, { field: 'snat' })
}

function refuseOverlap(subnet: string, name: string, taken: readonly Taken[]): void {
  const block = parseCidr(subnet)
  const other = taken.find(({ cidr }) => overlaps(parseCidr(cidr), block))
  if (other)
    throw fail('SUBNET_OVERLAP', `Subnet ${subnet} of network ${name} overlaps ${other.cidr} (${other.why})`, {
      field: 'subnets',
      subject: subnet,
      holder: other.why,
    })
}

/** Those given, and one of each family that is missing: IPv4 if none is given at all, IPv6 if asked for. */
function subnetsOf(options: ValidNetworkOptions, taken: readonly Taken[], config: HostConfig, hostId: string): ValidSubnet[] {
  const has6 = options.subnets.some(({ family }) => family === 6)
  const chosen = (family: 4 | 6) => validSubnet(chooseSubnet({ family, pools: poolsOf(family, config, hostId), taken }).subnet)
  return [...options.subnets, ...(options.subnets.length === 0 ? [chosen(4)] : []), ...(options.ipv6 && !has6 ? [chosen(6)] : [])]
}

/** A family that the configuration has no pools for keeps its own. */
function poolsOf(family: 4 | 6, { defaultAddressPools }: HostConfig, hostId: string): readonly Pool[] {
  const configured = defaultAddressPools.filter(({ base }) => familyOf(base) === family)
  if (configured.length > 0) return configured
  return family === 4 ? defaultPools : [ulaPool(hostId)]
}

function record({ subnet, gateway, range, reserved }: ValidSubnet): SubnetRecord {
  return {
    subnet: formatCidr(parseCidr(subnet)),
    gateway,
    ...(range !== undefined && { range }),
    ...(Object.keys(reserved).length > 0 && { reserved: { ...reserved } }),
  }
}

/** Keys of `options` that an existing network does not agree with. */
export function differences(options: ValidNetworkOptions, existing: NetworkRecord): string[] {
  const differ: string[] = []
  const note = (key: string, same: boolean) => {
    if (!same) differ.push(key)
  }
  note('driver', options.driver === existing.driver)
  for (const wanted of options.subnets) {
    const found = existing.subnets.find(({ subnet }) => subnet === wanted.subnet)
    note(
      'subnets',
      found !== undefined &&
        found.gateway === wanted.gateway &&
        found.range === wanted.range &&
        sameEntries(found.reserved ?? {}, wanted.reserved),
    )
  }
  if (options.subnets.length > 0)
    note(
      'subnets',
      options.subnets.length === existing.subnets.length || (options.ipv6 && existing.subnets.length === options.subnets.length + 1),
    )
  note('bridge', options.bridge === undefined || options.bridge === existing.device)
  note('parent', options.parent === existing.parent)
  note('macvlanMode', options.macvlanMode === existing.macvlanMode)
  note('ipvlanMode', options.ipvlanMode === existing.ipvlanMode)
  note('mtu', options.mtu === undefined || options.mtu === existing.mtu)
  note('icc', options.icc === existing.icc)
  note('internal', options.internal === existing.internal)
  note('masquerade', existing.parent !== undefined || options.masquerade === existing.masquerade)
  note('spoofCheck', options.spoofCheck === (existing.spoofCheck ?? true))
  note('ipv6', options.ipv6 === existing.subnets.some(({ subnet }) => subnet.includes(':')))
  note('snat', sameAddresses(options.snat, existing.snat))
  note('bindAddress', sameAddresses(options.bindAddress, existing.bindAddress))
  note('ifnamePrefix', options.ifnamePrefix === existing.ifnamePrefix)
  note('labels', sameEntries(options.labels, existing.labels))
  return [...new Set(differ)]
}

function sameAddresses(a: readonly string[], b: readonly string[] = []): boolean {
  return a.length === b.length && a.every(address => b.includes(address))
}

function sameEntries(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every(key => a[key] === b[key])
}
