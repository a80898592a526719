/** The default network: what daemon.json's keys say of it. */
import type { HostConfig } from '../config.js'
import type { NetworkOptions, Subnet } from '../contract.js'
import type { Wishes } from './adoption.js'
import { contains, formatCidr, networkOf, parseCidr, parseInterface, parseIp } from './cidr.js'

/** The default network, which is made when it is first used. */
export const defaultNetwork = 'bridge'
const defaultDevice = 'netmode0'

/** `config.bridge: none`: there is no default network, as in Docker. */
export function hasDefaultNetwork(config: HostConfig): boolean {
  return config.bridge !== 'none'
}

/** The options that `networks.create` would have been given for it. */
export function defaultNetworkOptions(config: HostConfig): NetworkOptions {
  const { bip, bip6, ipv6, fixedCidr, fixedCidrV6, defaultGateway, defaultGatewayV6 } = config
  const subnets = [
    subnetOf(bip, fixedCidr, defaultGateway, 'DefaultGatewayIPv4'),
    ipv6 ? subnetOf(bip6, fixedCidrV6, defaultGatewayV6, 'DefaultGatewayIPv6') : undefined,
  ].filter(one => one !== undefined)
  return {
    name: defaultNetwork,
    bridge: config.bridge ?? defaultDevice,
    ...(subnets.length > 0 && { subnets }),
    ...(config.mtu !== undefined && { mtu: config.mtu }),
    icc: config.icc,
    masquerade: config.ipMasq,
    ipv6,
  }
}

/** What an existing bridge is asked for. */
export function wishesOf({ fixedCidr, fixedCidrV6, defaultGateway, defaultGatewayV6 }: HostConfig): Wishes {
  return { ranges: { 4: fixedCidr, 6: fixedCidrV6 }, gateways: { 4: defaultGateway, 6: defaultGatewayV6 } }
}

/** `bip` is the bridge's own address with its prefix; `fixed-cidr` alone is a subnet as well. */
function subnetOf(bip: string | undefined, range: string | undefined, gateway: string | undefined, reservedAs: string): Subnet | undefined {
  const reserved = gateway === undefined ? {} : { reserved: { [reservedAs]: gateway } }
  if (bip === undefined) {
    if (range === undefined) return undefined
    return { subnet: range, ...(gateway !== undefined && contains(parseCidr(range), parseIp(gateway)) && { gateway }) }
  }
  const own = bip.slice(0, bip.indexOf('/'))
  return {
    subnet: formatCidr(networkOf(parseInterface(bip))),
    gateway: own,
    ...(range !== undefined && { range }),
    ...(gateway !== own && reserved),
  }
}
