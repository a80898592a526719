/** A sandbox in the shape of `docker inspect`, as far as networking goes: Docker's keys, in its order. */
import type { PortCounter, Redirect, SandboxInfo } from '../contract.js'
import { endpointId } from '../network/inspect.js'
import type { EndpointRecord, GuestRecord, PortRecord, RedirectRecord, SandboxRecord } from '../state/records.js'
import type { EtcPaths } from './files.js'
import { formatContainerPort, formatHostAddress } from './port-grammar.js'

/** What of a sandbox is not in its record. */
export interface Surroundings {
  /** Where the namespace is. */
  readonly netnsPath: string
  /** Where its own /etc files are, if it has any. */
  readonly files: EtcPaths | undefined
}

/** As far as its record tells: nothing has been counted. */
export function sandboxInfo(sandbox: SandboxRecord, { netnsPath, files: etc }: Surroundings): SandboxInfo {
  const { id, name, mode, ports, files } = sandbox
  const exposed = exposedPorts(sandbox)
  return {
    Id: id,
    Created: sandbox.created,
    ResolvConfPath: etc?.['resolv.conf'] ?? '',
    HostnamePath: etc?.hostname ?? '',
    HostsPath: etc?.hosts ?? '',
    Name: name,
    HostConfig: {
      NetworkMode: networkMode(sandbox),
      PortBindings: sorted(bindings(ports.map(asAsked))),
      Dns: files.dns,
      DnsOptions: files.dnsOptions,
      DnsSearch: files.dnsSearch,
      ExtraHosts: files.addHosts.length > 0 ? files.addHosts : null,
    },
    Config: {
      Hostname: sandbox.hostname,
      ...(exposed.length > 0 && { ExposedPorts: Object.fromEntries(exposed.map(port => [port, {}])) }),
      Labels: sandbox.labels,
    },
    NetworkSettings: {
      Bridge: '',
      // Who shares a namespace has none of its own, and no networks: they are the other's.
      SandboxID: mode === 'container' ? '' : id,
      HairpinMode: false,
      LinkLocalIPv6Address: '',
      LinkLocalIPv6PrefixLen: 0,
      Ports: sorted({ ...Object.fromEntries(exposed.map(port => [port, null])), ...bindings(ports) }),
      SandboxKey: netnsPath,
      SecondaryIPAddresses: null,
      SecondaryIPv6Addresses: null,
      ...legacyAddresses(sandbox),
      Networks: Object.fromEntries(networksOf(sandbox)),
    },
    // What Docker has no word for.
    ...(sandbox.guest && { Guest: guestInfo(sandbox.guest) }),
    PortCounters: [],
    Redirects: (sandbox.redirects ?? [])
      .map(publicRedirect)
      .map(({ protocol, port, to }) => ({ Port: `${port}/${protocol}`, To: String(to) })),
  }
}

/** The same with what its ports have counted. */
export function withCounters(info: SandboxInfo, counters: readonly PortCounter[]): SandboxInfo {
  return {
    ...info,
    PortCounters: counters.map(({ hostIp, hostPort, protocol, containerPort, connections, packets, bytes, allow }) => ({
      HostIp: hostIp,
      HostPort: String(hostPort),
      Port: formatContainerPort({ protocol, containerPort }),
      ...(allow && { Allow: allow }),
      Connections: connections,
      Packets: packets,
      Bytes: bytes,
    })),
  }
}

/** In the words of Docker's endpoints. */
function guestInfo({ tap, address, prefix, gateway, ipv6, mac, gatewayMac, mtu, owner, group, vnetHdr, multiQueue }: GuestRecord) {
  return {
    Tap: { Name: tap, Owner: owner ?? null, Group: group ?? null, VnetHdr: vnetHdr, MultiQueue: multiQueue },
    IPAddress: address,
    IPPrefixLen: prefix,
    Gateway: gateway,
    GlobalIPv6Address: ipv6?.address ?? '',
    GlobalIPv6PrefixLen: ipv6?.prefix ?? 0,
    IPv6Gateway: ipv6?.gateway ?? '',
    MacAddress: mac,
    GatewayMacAddress: gatewayMac,
    MTU: mtu,
  }
}

export function publicRedirect({ protocol, port, toPort, toAddress }: RedirectRecord): Redirect {
  const to = toAddress === undefined ? toPort : formatHostAddress({ hostIp: toAddress, hostPort: toPort })
  return { protocol, port: port === 0 ? 'all' : port, to }
}

function networkMode({ mode, shares, endpoints }: SandboxRecord): string {
  if (mode === 'container') return `container:${shares}`
  return mode === 'bridge' ? (endpoints[0]?.network ?? 'none') : mode
}

/** Published ones are exposed as well. */
function exposedPorts({ expose, ports }: SandboxRecord): readonly string[] {
  return [...new Set([...expose, ...ports.map(formatContainerPort)])].sort()
}

type Binding = { readonly HostIp: string; readonly HostPort: string }

function bindings(ports: readonly Pick<PortRecord, 'hostIp' | 'hostPort' | 'containerPort' | 'protocol'>[]): Record<string, Binding[]> {
  const bound: Record<string, Binding[]> = {}
  for (const port of ports) {
    const key = formatContainerPort(port)
    const binding = { HostIp: port.hostIp, HostPort: String(port.hostPort) }
    const others = bound[key] ?? []
    if (!others.some(({ HostIp, HostPort }) => HostIp === binding.HostIp && HostPort === binding.HostPort))
      bound[key] = [...others, binding]
  }
  return bound
}

/** All addresses of both families are one wish, and written as none. */
function asAsked(port: PortRecord): PortRecord {
  return port.hostIp === '0.0.0.0' || port.hostIp === '::' ? { ...port, hostIp: '' } : port
}

function sorted<T>(object: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Docker fills these in for its default network only, from the days when there was no other. */
function legacyAddresses(sandbox: SandboxRecord) {
  return addresses(
    sandbox,
    sandbox.endpoints.find(({ network }) => network === 'bridge'),
    ['EndpointID', 'Gateway', 'GlobalIPv6Address', 'GlobalIPv6PrefixLen', 'IPAddress', 'IPPrefixLen', 'IPv6Gateway', 'MacAddress'],
  )
}

const endpointKeys = [
  'NetworkID',
  'EndpointID',
  'Gateway',
  'IPAddress',
  'IPPrefixLen',
  'IPv6Gateway',
  'GlobalIPv6Address',
  'GlobalIPv6PrefixLen',
  'MacAddress',
] as const

/** By name. Modes without a network of ours have one of Docker's in name only. */
function networksOf(sandbox: SandboxRecord): readonly (readonly [name: string, network: object])[] {
  const { mode, endpoints } = sandbox
  const network = (endpoint: EndpointRecord | undefined) => ({
    IPAMConfig: null,
    Links: null,
    Aliases: endpoint && endpoint.aliases.length > 0 ? endpoint.aliases : null,
    ...addresses(sandbox, endpoint, endpointKeys),
    DriverOpts: endpoint?.tap ? tapOptions(endpoint, endpoint.tap) : null,
  })
  if (endpoints.length === 0) return mode === 'container' ? [] : [[mode === 'host' ? 'host' : 'none', network(undefined)]]
  return endpoints.map(endpoint => [endpoint.network, network(endpoint)] as const).sort(([a], [b]) => (a < b ? -1 : 1))
}

/** Of its driver's options Docker keeps texts only. */
function tapOptions({ ifname }: EndpointRecord, { owner, group, vnetHdr, multiQueue }: NonNullable<EndpointRecord['tap']>) {
  return {
    'netmode.tap': ifname,
    ...(owner !== undefined && { 'netmode.tap.owner': `${owner}` }),
    ...(group !== undefined && { 'netmode.tap.group': `${group}` }),
    'netmode.tap.vnet_hdr': `${vnetHdr}`,
    'netmode.tap.multi_queue': `${multiQueue}`,
  }
}

/** These keys of an endpoint, in this order; empty without one. */
function addresses(sandbox: SandboxRecord, endpoint: EndpointRecord | undefined, keys: readonly (typeof endpointKeys)[number][]) {
  const { ipv4, ipv6 } = endpoint ?? {}
  const all = {
    NetworkID: endpoint?.networkId ?? '',
    EndpointID: endpoint ? endpointId(sandbox, endpoint.mac) : '',
    Gateway: ipv4?.gateway ?? '',
    IPAddress: ipv4?.address ?? '',
    IPPrefixLen: ipv4?.prefix ?? 0,
    IPv6Gateway: ipv6?.gateway ?? '',
    GlobalIPv6Address: ipv6?.address ?? '',
    GlobalIPv6PrefixLen: ipv6?.prefix ?? 0,
    MacAddress: endpoint?.mac ?? '',
  }
  return Object.fromEntries(keys.map(key => [key, all[key]]))
}
