/** An endpoint as users see it. Pure. */
import type { Endpoint } from '../contract.js'
import type { EndpointRecord } from '../state/records.js'

export function publicEndpoint({ network, ifname, hostIfname, mac, mtu, ipv4, ipv6, tap }: EndpointRecord): Endpoint {
  return {
    network,
    ifname,
    ...(hostIfname !== undefined && { hostIfname }),
    mac,
    mtu,
    ...(ipv4 && { ipv4: present(ipv4) }),
    ...(ipv6 && { ipv6: present(ipv6) }),
    ...(tap && { tap: publicTap(tap) }),
  }
}

function publicTap({ owner, group, ...flags }: NonNullable<EndpointRecord['tap']>): NonNullable<Endpoint['tap']> {
  return { ...(owner !== undefined && { owner }), ...(group !== undefined && { group }), ...flags }
}

function present({ address, prefix, gateway }: NonNullable<EndpointRecord['ipv4']>): NonNullable<Endpoint['ipv4']> {
  return { address, prefix, ...(gateway !== undefined && { gateway }) }
}
