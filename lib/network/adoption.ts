/** A bridge that is there already and becomes a network's: what it is to be given, and how it was found. Pure. */
import { fail, invalid } from '../errors.js'
import type { Address, Link } from '../plan/kernel-objects.js'
import { linkGroup } from '../plan/link-group.js'
import type { AdoptedRecord, NetworkRecord, SubnetRecord } from '../state/records.js'
import type { ValidNetworkOptions, ValidSubnet } from '../validate/network-options.js'
import {
  type Cidr,
  contains,
  containsBlock,
  type Family,
  familyOf,
  formatCidr,
  networkOf,
  parseCidr,
  parseInterface,
  parseIp,
  prefixOf,
} from './cidr.js'
import type { HostFacts } from './host-facts.js'

/** A bridge to adopt. */
export interface FoundBridge {
  readonly link: Link
  /** Of global scope. */
  readonly addresses: readonly Address[]
  readonly hasPorts: boolean
  readonly hasLinkLocal: boolean
}

/**
 * The device that a network names, if it is there and not netmode's; ours fails later, when it is to be made.
 * @throws EXISTS when it is no bridge, or another network has adopted it
 */
export function findBridge(
  { name, bridge }: ValidNetworkOptions,
  facts: HostFacts,
  networks: readonly NetworkRecord[],
): FoundBridge | undefined {
  const link = facts.links.find(one => one.name === bridge)
  if (link === undefined || link.group === linkGroup) return undefined
  if (link.kind !== 'bridge')
    throw fail('EXISTS', `A link called ${link.name} exists, and it is no bridge`, { field: 'bridge', subject: link.name })
  const other = networks.find(network => network.name !== name && network.device === bridge)
  if (other) {
    const holder = `network ${other.name}`
    throw fail('EXISTS', `The bridge ${link.name} is that of ${holder}`, { field: 'bridge', subject: link.name, holder })
  }
  const addresses = facts.addresses.filter(address => address.link === link.index)
  return {
    link,
    addresses: addresses.filter(({ scope }) => scope === 'global'),
    hasPorts: facts.links.some(({ master }) => master === link.index),
    hasLinkLocal: addresses.some(({ family, scope, tentative }) => family === 6 && scope === 'link' && !tentative),
  }
}

/** What the host's configuration says of the default network's addresses. */
export interface Wishes {
  /** Leases come from here, inside of one of the bridge's own blocks. */
  readonly ranges: Readonly<Record<Family, string | undefined>>
  /** Where sandboxes send what goes outside, if not to the bridge. */
  readonly gateways: Readonly<Record<Family, string | undefined>>
}

/**
 * The subnets of a network on that bridge: those asked for, else the bridge's own. Where the bridge has an address already, that is the
 * host's, and another gateway is another machine's; Docker's name for that is kept. `wishes`: of the default network only.
 * @throws INVALID_ARGUMENT for a wish that no block of the bridge can grant
 */
export function adoptedSubnets(options: ValidNetworkOptions, found: FoundBridge, wishes: Wishes | undefined): readonly ValidSubnet[] {
  const own = ownSubnets(found)
  const wanted = own.filter(({ family }) => family === 4 || options.ipv6)
  if (wishes === undefined) return options.subnets.length > 0 ? options.subnets.map(subnet => met(subnet, own)) : wanted
  const elsewhere = options.subnets.filter(({ family }) => !wanted.some(one => one.family === family))
  return [...wanted.map(subnet => granted(subnet, wanted, wishes)), ...elsewhere]
}

function granted(subnet: ValidSubnet, all: readonly ValidSubnet[], { ranges, gateways }: Wishes): ValidSubnet {
  const ofFamily = all.filter(({ family }) => family === subnet.family)
  const mine = (field: string, text: string, isIn: (block: Cidr) => boolean): string | undefined => {
    if (!ofFamily.some(one => isIn(parseCidr(one.subnet))))
      throw invalid(field, `a value inside of the bridge's ${ofFamily.map(one => one.subnet).join(', ')}`, text, { range: true })
    return isIn(parseCidr(subnet.subnet)) ? text : undefined
  }
  const [range, gateway] = [ranges[subnet.family], gateways[subnet.family]]
  const suffix = subnet.family === 4 ? '' : '-v6'
  const kept = range && mine(`config.fixed-cidr${suffix}`, range, block => containsBlock(block, parseCidr(range)))
  const way = gateway && mine(`config.default-gateway${suffix}`, gateway, block => contains(block, parseIp(gateway)))
  return outwards({ ...subnet, ...(kept && { range: kept }) }, way)
}

/** A block for each address of the bridge; further addresses of a block are not for sandboxes. */
function ownSubnets({ link, addresses }: FoundBridge): ValidSubnet[] {
  const subnets = new Map<string, ValidSubnet>()
  for (const { family, address, prefix } of addresses) {
    if (prefix > (family === 4 ? 30 : 126)) continue // no room for anybody else
    const subnet = formatCidr(networkOf(parseInterface(`${address}/${prefix}`)))
    const first = subnets.get(subnet)
    const reserved = { ...first?.reserved, ...(first && { [`${link.name}-${Object.keys(first.reserved).length + 1}`]: address }) }
    subnets.set(subnet, { family, subnet, gateway: first?.gateway ?? address, reserved })
  }
  return [...subnets.values()]
}

function met(subnet: ValidSubnet, own: readonly ValidSubnet[]): ValidSubnet {
  const there = own.find(one => one.subnet === subnet.subnet)
  if (there === undefined) return subnet
  const addresses = [there.gateway, ...Object.values(there.reserved)]
  if (addresses.includes(subnet.gateway)) return subnet
  const away = subnet.gatewayGiven ? subnet.gateway : undefined
  return outwards({ ...subnet, gateway: there.gateway, reserved: { ...there.reserved, ...subnet.reserved } }, away)
}

function outwards(subnet: ValidSubnet, gateway: string | undefined): ValidSubnet {
  if (gateway === undefined || gateway === subnet.gateway) return subnet
  return { ...subnet, reserved: { ...subnet.reserved, [`DefaultGatewayIPv${subnet.family}`]: gateway } }
}

/** How the bridge was found, and what it lacks. */
export function adoptedRecord(found: FoundBridge, subnets: readonly SubnetRecord[], networks: readonly NetworkRecord[]): AdoptedRecord {
  const { link, addresses, hasPorts, hasLinkLocal } = found
  const missing = subnets
    .filter(({ gateway }) => !addresses.some(({ address }) => address === gateway))
    .map(({ subnet, gateway }) => ({ address: gateway, prefix: prefixOf(subnet) }))
  const hasFamily = (family: Family) => subnets.some(({ subnet }) => familyOf(subnet) === family)
  return {
    beside: networks.map(({ name }) => `${name}.json`),
    up: link.up,
    lonely: !hasPorts,
    addresses: [...missing, ...(hasFamily(6) && !hasLinkLocal ? [{ address: 'fe80::1', prefix: 64 }] : [])],
    sysctls: {},
  }
}
