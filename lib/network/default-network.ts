/** The default network: what daemon.json's keys say of it. */
import type { HostConfig } from '../config.js'
import type { NetworkOptions, Subnet } from '../contract.js'
import { formatCidr, networkOf, parseInterface } from './cidr.js'

/** The default network, which is made when it is first used. */
export const defaultNetwork = 'bridge'
const defaultDevice = 'netmode0'

/** `config.bridge: none`: there is no default network, as in Docker. */
export function hasDefaultNetwork(config: HostConfig): boolean {
  return config.bridge !== 'none'
}

/** The options that `networks.create` would have been given for it. */
export function defaultNetworkOptions(config: HostConfig): NetworkOptions {
  const subnets = [subnet4(config), subnet6(config)].filter(one => one !== undefined)
  return {
    name: defaultNetwork,
    bridge: config.bridge ?? defaultDevice,
    ...(subnets.length > 0 && { subnets }),
    ...(config.mtu !== undefined && { mtu: config.mtu }),
    icc: config.icc,
    masquerade: config.ipMasq,
    ipv6: config.ipv6,
  }
}

/** `bip` is the bridge's own address with its prefix; `fixed-cidr` alone is a subnet as well. */
function subnet4({ bip, fixedCidr, defaultGateway }: HostConfig): Subnet | undefined {
  if (bip === undefined)
    return fixedCidr === undefined ? undefined : { subnet: fixedCidr, ...(defaultGateway !== undefined && { gateway: defaultGateway }) }
  const bridge = parseInterface(bip)
  return {
    subnet: formatCidr(networkOf(bridge)),
    gateway: bip.slice(0, bip.indexOf('/')),
    ...(fixedCidr !== undefined && { range: fixedCidr }),
  }
}

function subnet6({ ipv6, fixedCidrV6 }: HostConfig): Subnet | undefined {
  return ipv6 && fixedCidrV6 !== undefined ? { subnet: fixedCidrV6 } : undefined
}
