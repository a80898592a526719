/** A sandbox in the shape of `docker inspect`, as far as networking goes. */
import type { PortCounter, Redirect, SandboxInfo } from '../contract.js'
import { endpointId } from '../network/inspect.js'
import type { EndpointRecord, PortRecord, RedirectRecord, SandboxRecord } from '../state/records.js'
import type { EtcPaths } from './files.js'
import { gatewayEndpoint } from './gateway.js'
import { formatContainerPort, formatHostAddress } from './port-grammar.js'

/** What of a sandbox is not in its record. */
export interface Surroundings {
  /** Where the namespace is. */
  readonly netnsPath: string
  /** Where its own /etc files are, if it has any. */
  readonly files: EtcPaths | undefined
  /** Of its ports. */
  readonly counters: readonly PortCounter[]
}

export function sandboxInfo(sandbox: SandboxRecord, { netnsPath, files, counters }: Surroundings): SandboxInfo {
  const { endpoints, ports } = sandbox
  const first = gatewayEndpoint(endpoints, 4) ?? gatewayEndpoint(endpoints, 6) ?? endpoints[0]
  return {
    Id: sandbox.id,
    Created: sandbox.created,
    Name: sandbox.name,
    ResolvConfPath: files?.['resolv.conf'] ?? '',
    HostnamePath: files?.hostname ?? '',
    HostsPath: files?.hosts ?? '',
    Config: {
      Hostname: sandbox.hostname,
      Labels: sandbox.labels,
      ExposedPorts: Object.fromEntries(sandbox.expose.map(port => [port, {}])),
    },
    HostConfig: { NetworkMode: networkMode(sandbox), PortBindings: bindings(ports) },
    NetworkSettings: {
      SandboxID: sandbox.id,
      SandboxKey: netnsPath,
      Ports: bindings(ports),
      ...(first ? addresses(sandbox, first) : {}),
      Networks: Object.fromEntries(
        endpoints.map(endpoint => [
          endpoint.network,
          { NetworkID: endpoint.networkId, Aliases: endpoint.aliases, ...addresses(sandbox, endpoint) },
        ]),
      ),
    },
    // What Docker has no word for.
    PortCounters: counters.map(({ hostIp, hostPort, connections, packets, bytes, allow, ...port }) => ({
      HostIp: hostIp,
      HostPort: String(hostPort),
      Port: formatContainerPort(port),
      ...(allow && { Allow: allow }),
      Connections: connections,
      Packets: packets,
      Bytes: bytes,
    })),
    Redirects: (sandbox.redirects ?? [])
      .map(publicRedirect)
      .map(({ protocol, port, to }) => ({ Port: `${port}/${protocol}`, To: String(to) })),
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

function addresses(sandbox: SandboxRecord, { mac, ipv4, ipv6 }: EndpointRecord) {
  return {
    EndpointID: endpointId(sandbox, mac),
    Gateway: ipv4?.gateway ?? '',
    IPAddress: ipv4?.address ?? '',
    IPPrefixLen: ipv4?.prefix ?? 0,
    IPv6Gateway: ipv6?.gateway ?? '',
    GlobalIPv6Address: ipv6?.address ?? '',
    GlobalIPv6PrefixLen: ipv6?.prefix ?? 0,
    MacAddress: mac,
  }
}

function bindings(ports: readonly PortRecord[]): Record<string, { HostIp: string; HostPort: string }[]> {
  const bound: Record<string, { HostIp: string; HostPort: string }[]> = {}
  for (const port of ports) {
    const key = formatContainerPort(port)
    bound[key] = [...(bound[key] ?? []), { HostIp: port.hostIp, HostPort: String(port.hostPort) }]
  }
  return bound
}
