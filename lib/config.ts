/** The network keys of Docker's daemon.json, as they are when they have been checked (config-schema.ts). Pure. */
import { defaultPools, type Pool } from './network/pools.js'
import type { NetworkDefaults } from './validate/network-options.js'

/** daemon.json's keys in camelCase. What is absent is the library's to choose. */
export interface HostConfig {
  /** Address and prefix of the default network's bridge: `172.17.0.1/16`. */
  readonly bip?: string
  /** Bridge of the default network: an existing one is adopted; `none`: there is no default network. */
  readonly bridge?: string
  /** The same in IPv6. */
  readonly bip6?: string
  /** Block that the default network's leases come from. */
  readonly fixedCidr?: string
  /** Where the default network's sandboxes send what goes outside, if not to the bridge. */
  readonly defaultGateway?: string
  readonly defaultGatewayV6?: string
  /** bytes; absent: that of the default route's device */
  readonly mtu?: number
  /** Default address that ports are published on (daemon.json's `ip`); absent: all. */
  readonly ip?: string
  readonly icc: boolean
  readonly ipForward: boolean
  readonly ipMasq: boolean
  readonly iptables: boolean
  readonly ip6tables: boolean
  readonly ipv6: boolean
  readonly fixedCidrV6?: string
  readonly defaultAddressPools: readonly Pool[]
  /** What networks other than the default one are told where they aren't told themselves. */
  readonly defaultNetworkOpts: NetworkDefaults
  readonly dns: readonly string[]
  readonly dnsSearch: readonly string[]
  readonly dnsOpts: readonly string[]
}

/** Where nothing is configured: what the check makes of no keys at all. */
export const defaultConfig: HostConfig = {
  icc: true,
  ipForward: true,
  ipMasq: true,
  iptables: true,
  ip6tables: true,
  ipv6: false,
  defaultAddressPools: defaultPools,
  defaultNetworkOpts: {},
  dns: [],
  dnsSearch: [],
  dnsOpts: [],
}
