/** Docker's words for what a network can be told (`docker network create -o`), as the keys of `networks.create`. */
import type { NetworkOptions } from '../contract.js'
import { invalid } from '../errors.js'
import { bindIp, type Guard, hostIpv4, hostIpv6, join, labels } from './guards.js'

export type DriverOptions = Partial<NetworkOptions>

/** As Go's strconv.ParseBool, which is what Docker asks. */
const truth = (value: string, field: string): boolean => {
  if (/^(1|t|T|true|TRUE|True)$/.test(value)) return true
  if (/^(0|f|F|false|FALSE|False)$/.test(value)) return false
  throw invalid(field, 'true or false', value)
}

const wholeNumber = (value: string, field: string): number => {
  if (!/^\d{1,9}$/.test(value)) throw invalid(field, 'a whole number', value)
  return Number(value)
}

/** What only has to be a text here is asked about under the key that it stands for. */
const readers: Readonly<Record<string, (value: string, field: string, before: DriverOptions) => DriverOptions>> = {
  'com.docker.network.bridge.name': bridge => ({ bridge }),
  'com.docker.network.bridge.enable_icc': (value, field) => ({ icc: truth(value, field) }),
  'com.docker.network.bridge.enable_ip_masquerade': (value, field) => ({ masquerade: truth(value, field) }),
  'com.docker.network.bridge.host_binding_ipv4': (value, field) => ({ bindAddress: bindIp(value, field) }),
  'com.docker.network.container_iface_prefix': ifnamePrefix => ({ ifnamePrefix }),
  'com.docker.network.driver.mtu': (value, field) => ({ mtu: wholeNumber(value, field) }),
  'com.docker.network.enable_ipv6': (value, field) => ({ ipv6: truth(value, field) }),
  'com.docker.network.host_ipv4': (value, field, { snat = [] }) => ({ snat: [snat, hostIpv4(value, field)].flat() }),
  'com.docker.network.host_ipv6': (value, field, { snat = [] }) => ({ snat: [snat, hostIpv6(value, field)].flat() }),
  'com.docker.network.internal': (value, field) => ({ internal: truth(value, field) }),
  parent: parent => ({ parent }),
  macvlan_mode: mode => ({ macvlanMode: mode as NonNullable<NetworkOptions['macvlanMode']> }), // asked about there, as the next one
  ipvlan_mode: mode => ({ ipvlanMode: mode as NonNullable<NetworkOptions['ipvlanMode']> }),
}

/** Throws ERR_NETMODE_INVALID_ARGUMENT naming the option, unknown ones included. */
export const driverOptions: Guard<DriverOptions> = (value, field) => {
  let read: DriverOptions = {}
  for (const [key, text] of Object.entries(labels(value, field))) {
    const reader = Object.hasOwn(readers, key) ? readers[key] : undefined
    if (!reader) throw invalid(join(field, key), `one of Docker's options (${Object.keys(readers).join(', ')})`, key)
    read = { ...read, ...reader(text, join(field, key), read) }
  }
  return read
}
