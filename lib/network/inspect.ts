/** A network in the shape of `docker network inspect`. */
import type { NetworkInfo } from '../contract.js'
import type { EndpointRecord, NetworkRecord, SandboxRecord } from '../state/records.js'
import { defaultNetwork } from './default-network.js'
import { type LeaseUse, leaseUse } from './lease-use.js'

/** `leases`: all addresses that are held on it. */
export function networkInfo(network: NetworkRecord, sandboxes: readonly SandboxRecord[], leases: readonly string[]): NetworkInfo {
  return {
    Name: network.name,
    Id: network.id,
    Created: network.created,
    Scope: 'local',
    Driver: network.driver,
    EnableIPv6: network.subnets.some(({ subnet }) => subnet.includes(':')),
    IPAM: {
      Driver: 'default',
      Options: network.name === defaultNetwork ? null : {},
      Config: network.subnets.map(({ subnet, gateway, range, reserved }) => ({
        Subnet: subnet,
        ...(range !== undefined && { IPRange: range }),
        Gateway: gateway,
        ...(reserved && { AuxiliaryAddresses: reserved }),
      })),
    },
    Internal: network.internal,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: Object.fromEntries(
      sandboxes
        .filter(({ phase }) => phase !== 'pooled')
        .flatMap(sandbox =>
          sandbox.endpoints.filter(({ networkId }) => networkId === network.id).map(endpoint => [sandbox.id, container(sandbox, endpoint)]),
        ),
    ),
    Options: options(network),
    Labels: network.labels,
    // As Docker has it from API 1.52 on.
    Status: {
      IPAM: { Subnets: Object.fromEntries(network.subnets.map(subnet => [subnet.subnet, subnetStatus(leaseUse(subnet, leases))])) },
    },
  }
}

/** In Docker's words. */
function options({ driver, device, parent, icc, masquerade, mtu, macvlanMode, ipvlanMode }: NetworkRecord): Record<string, string> {
  return {
    ...((driver === 'bridge' || driver === 'ptp') && {
      'com.docker.network.bridge.enable_icc': String(icc),
      'com.docker.network.bridge.enable_ip_masquerade': String(masquerade),
    }),
    ...(driver === 'bridge' && { 'com.docker.network.bridge.name': device }),
    'com.docker.network.driver.mtu': String(mtu),
    ...(parent !== undefined && { parent }),
    ...(macvlanMode && { macvlan_mode: macvlanMode }),
    ...(ipvlanMode && { ipvlan_mode: ipvlanMode }),
  }
}

function subnetStatus({ taken, free }: LeaseUse) {
  return { IPsInUse: taken, DynamicIPsAvailable: free }
}

function container(sandbox: SandboxRecord, { mac, ipv4, ipv6 }: EndpointRecord) {
  return { Name: sandbox.name, EndpointID: endpointId(sandbox, mac), MacAddress: mac, IPv4Address: cidr(ipv4), IPv6Address: cidr(ipv6) }
}

/** 64 hex digits, the same for as long as the endpoint lives. */
export function endpointId(sandbox: SandboxRecord, mac: string): string {
  const digits = mac.replaceAll(':', '')
  return `${digits}${sandbox.id.slice(digits.length)}`
}

function cidr(address: EndpointRecord['ipv4']): string {
  return address ? `${address.address}/${address.prefix}` : ''
}
