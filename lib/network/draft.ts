/** Drafting a network: from options that were checked to the record of what is to be made. */
import { randomBytes } from 'node:crypto'

import type { HostConfig } from '../config.js'
import { fail, invalid } from '../errors.js'
import { randomMac } from '../sandbox/mac.js'
import type { NetworkRecord, SubnetRecord } from '../state/records.js'
import { type ValidNetworkOptions, type ValidSubnet, validSubnet } from '../validate/network-options.js'
import { formatCidr, overlaps, parseCidr } from './cidr.js'
import type { HostFacts } from './host-facts.js'
import { findParent } from './parent.js'
import { chooseSubnet, defaultPools, type Taken, ulaPool } from './pools.js'

/**
 * What a network would be. One on a LAN has the LAN's own subnet, to which the host has a route.
 * @throws SUBNET_OVERLAP, EXHAUSTED, INVALID_ARGUMENT, and NOT_FOUND or BUSY for its parent
 */
export function draftNetwork(
  options: ValidNetworkOptions,
  facts: HostFacts,
  others: readonly NetworkRecord[],
  config: HostConfig,
  hostId: string,
): NetworkRecord {
  const id = randomBytes(32).toString('hex')
  const parent = options.parent === undefined ? undefined : findParent(options.parent, facts.links, others)
  const taken = parent ? facts.networks : facts.taken
  for (const { subnet } of options.subnets) refuseOverlap(subnet, options.name, taken)
  const mtu = options.mtu ?? parent?.mtu ?? config.mtu ?? facts.mtu
  if (parent && mtu > parent.mtu) throw invalid('mtu', `at most ${parent.mtu}, as ${options.parent} has`, mtu, { range: true })
  if (options.ipv6 && mtu < 1280) throw invalid('mtu', 'at least 1280 for IPv6', mtu, { range: true })
  return {
    version: 1,
    id,
    name: options.name,
    phase: 'creating',
    driver: options.driver,
    device: deviceOf(options, id),
    mac: parent?.mac ?? randomMac(),
    ...(options.parent !== undefined && { parent: options.parent }),
    ...(parent?.vlan && { vlan: parent.vlan }),
    ...(options.macvlanMode && { macvlanMode: options.macvlanMode }),
    ...(options.ipvlanMode && { ipvlanMode: options.ipvlanMode }),
    mtu,
    subnets: subnetsOf(options, taken, config, hostId).map(record),
    icc: options.icc,
    internal: options.internal,
    masquerade: options.masquerade && !parent,
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

/** Those given, and one of each family that is missing: IPv4 always, IPv6 if asked for. */
function subnetsOf(options: ValidNetworkOptions, taken: readonly Taken[], config: HostConfig, hostId: string): ValidSubnet[] {
  const has = (family: 4 | 6) => options.subnets.some(subnet => subnet.family === family)
  const subnets = [...options.subnets]
  if (subnets.length === 0)
    subnets.push(validSubnet(chooseSubnet({ family: 4, pools: config.defaultAddressPools ?? defaultPools, taken }).subnet))
  if (options.ipv6 && !has(6)) subnets.push(validSubnet(chooseSubnet({ family: 6, pools: [ulaPool(hostId)], taken }).subnet))
  return subnets
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
  note('ipv6', options.ipv6 === existing.subnets.some(({ subnet }) => subnet.includes(':')))
  note('labels', sameEntries(options.labels, existing.labels))
  return [...new Set(differ)]
}

function sameEntries(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every(key => a[key] === b[key])
}
