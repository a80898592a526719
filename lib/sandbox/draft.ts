/** Drafting a sandbox: from options that were checked to the record of what is to be made. */
import type { HostConfig } from '../config.js'
import { fail, invalid } from '../errors.js'
import { bitsOf, familyOf, prefixOf } from '../network/cidr.js'
import { driverOf } from '../network/drivers/drivers.js'
import type { KnownNetwork } from '../network/known-network.js'
import { macOfIpv4, randomMac } from '../network/mac.js'
import { nameServersOf } from '../network/name-servers.js'
import { randomHex } from '../random.js'
import type { EndpointRecord, SandboxRecord, SubnetRecord } from '../state/records.js'
import type { Attachment, ValidSandboxOptions } from '../validate/sandbox-options.js'
import { formatContainerPort } from './port-grammar.js'

/** An endpoint with its addresses chosen. `field` is where the options came from. */
export function draftEndpoint(network: KnownNetwork, options: Attachment, ifname: string, field: string): EndpointRecord {
  const { record } = network
  const shape = driverOf(record).shape(record)
  if (!shape.ownMac && options.mac !== undefined)
    throw invalid(`${field}mac`, `no value (in network ${record.name} it is that of ${record.device})`, options.mac)
  if (options.tap && !shape.tap)
    throw invalid(`${field}tap`, `no value (a TAP is a port of a bridge, and network ${record.name} has none)`, options.tap)
  if (shape.lan) refuseAliases(record.name, options.aliases, field)
  const ipv4 = network.take(4, options.ip, `${field}ip`)
  let ipv6: ReturnType<KnownNetwork['take']>
  try {
    ipv6 = network.take(6, options.ip6, `${field}ip6`)
  } catch (error) {
    if (ipv4 && options.ip === undefined) network.release(ipv4.address)
    throw error
  }
  const nameServers = nameServersOf(record).filter(server => (familyOf(server) === 4 ? ipv4 : ipv6) !== undefined)
  const address = (choice: typeof ipv4) =>
    choice && {
      address: choice.address,
      prefix: shape.ownLink ? bitsOf(familyOf(choice.subnet.subnet)) : prefixOf(choice.subnet.subnet),
      ...(!record.internal && { gateway: gatewayOf(choice.subnet) }),
    }
  return {
    network: record.name,
    driver: record.driver,
    networkId: record.id,
    ifname,
    ...(shape.hostEnd && { hostIfname: options.tap ? ifname : drawIfname('veth') }),
    mac: shape.ownMac ? (options.mac ?? (ipv4 ? macOfIpv4(ipv4.address) : randomMac())) : record.mac,
    mtu: record.mtu,
    ...(ipv4 && { ipv4: address(ipv4) }),
    ...(ipv6 && { ipv6: address(ipv6) }),
    ...(shape.lan && { lan: true }),
    gatewayPriority: options.gatewayPriority,
    aliases: [...options.aliases],
    ...(nameServers.length > 0 && { nameServers }),
    ...(record.bindAddress && { bindAddress: record.bindAddress }),
    ...(!(options.spoofCheck ?? record.spoofCheck ?? true) && { spoofCheck: false }),
    ...(options.tap && { tap: options.tap }),
  }
}

/** On a LAN. @throws UNSUPPORTED */
export function refuseAliases(network: string, aliases: readonly string[], field = ''): void {
  if (aliases.length === 0) return
  throw fail('UNSUPPORTED', `Nobody serves names on network ${network}: its gateway is the LAN's router`, { field: `${field}aliases` })
}

/** Docker's names for a gateway that is not the bridge itself. */
function gatewayOf({ gateway, reserved }: SubnetRecord): string {
  return reserved?.DefaultGatewayIPv4 ?? reserved?.DefaultGatewayIPv6 ?? gateway
}

/** The name of a new endpoint's link: as asked for, or the lowest of the network's prefix (`ethN`) that is free; a TAP's is drawn by lot. */
export function ifnameOf(
  { ifname, tap }: Attachment,
  taken: readonly string[],
  { record: { ifnamePrefix = 'eth' } }: KnownNetwork,
): string {
  if (ifname !== undefined) return ifname
  if (tap) return drawIfname('tap')
  for (let n = 0; ; n++) if (!taken.includes(`${ifnamePrefix}${n}`)) return `${ifnamePrefix}${n}`
}

function drawIfname(prefix: string): string {
  return `${prefix}${randomHex(4).slice(0, 7)}`
}

/** The record of a sandbox without endpoints and ports yet. */
export function draftRecord(
  options: ValidSandboxOptions,
  netns: SandboxRecord['netns'],
  process: SandboxRecord['ephemeral'],
  config: HostConfig,
): SandboxRecord {
  const orHosts = (own: readonly string[], host: readonly string[]) => [...(own.length > 0 ? own : host)]
  return {
    version: 1,
    id: randomHex(32),
    name: options.name,
    phase: 'creating',
    mode: options.mode,
    ...(options.joins !== undefined && { shares: options.joins }),
    netns,
    ...(options.guest && { guest: options.guest }),
    endpoints: [],
    ports: [],
    hostname: options.hostname ?? options.name,
    files: {
      dns: orHosts(options.dns, config.dns),
      dnsSearch: orHosts(options.dnsSearch, config.dnsSearch),
      dnsOptions: orHosts(options.dnsOptions, config.dnsOpts),
      addHosts: options.addHosts.map(({ name, ip }) => `${name}:${ip}`),
    },
    expose: options.expose.map(formatContainerPort),
    labels: { ...options.labels },
    ...(options.ephemeral && process && { ephemeral: process }),
    created: new Date().toISOString(),
  }
}
