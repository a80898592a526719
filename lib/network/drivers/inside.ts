/** What an endpoint has in the sandbox, whatever link it is made of. Every function only writes ops. */
import type { Setting, Slot, Step } from '../../plan/op.js'
import type { EndpointRecord } from '../../state/records.js'
import { broadcastOf } from '../cidr.js'
import { linkSettings } from './endpoint-settings.js'

/**
 * Settings and addresses of a link that is in the namespace of `slot`, which was made with `defaults`, and the link up. The kernel
 * itself announces the addresses (arp_notify, ndisc_notify): when the link comes up, or `later`, when its MAC address is set. The one
 * that comes too early would be for nothing, and every announcement goes to every port of a bridge.
 */
export function insideSteps(endpoint: EndpointRecord, slot: Slot, defaults: readonly Setting[], announced: 'up' | 'later' = 'up'): Step[] {
  const { ifname, ipv4, ipv6 } = endpoint
  const link = { name: ifname }
  const arpNotify = ipv4 && { arpNotify: true }
  const addresses: Step[] = [
    ...(ipv4
      ? [{ apply: { op: 'address.add', ns: slot, link, address: ipv4.address, prefix: ipv4.prefix, ...broadcast(ipv4) } } as const]
      : []),
    ...(ipv6 ? [{ apply: { op: 'address.add', ns: slot, link, address: ipv6.address, prefix: ipv6.prefix, noDad: true } } as const] : []),
  ]
  return [
    ...linkSettings(endpoint, ifname, defaults).map((one): Step => ({ apply: { op: 'sysctl.set', ns: slot, ...one, missingOk: true } })),
    ...(announced === 'later'
      ? [{ apply: { op: 'link.set', ns: slot, link, up: true, ...arpNotify } } as const, ...addresses]
      : [
          ...(arpNotify ? [{ apply: { op: 'link.set', ns: slot, link, ...arpNotify } } as const] : []),
          ...addresses,
          { apply: { op: 'link.set', ns: slot, link, up: true } } as const,
        ]),
  ]
}

function broadcast({ address, prefix }: NonNullable<EndpointRecord['ipv4']>): { broadcast?: string } {
  const broadcast = broadcastOf(`${address}/${prefix}`)
  return broadcast === undefined ? {} : { broadcast }
}

/** The default routes through an endpoint's gateways. */
export function defaultRoutes(endpoint: EndpointRecord, families: readonly (4 | 6)[], slot: Slot): Step[] {
  return families
    .map(family => (family === 4 ? endpoint.ipv4 : endpoint.ipv6)?.gateway)
    .filter(via => via !== undefined)
    .map(via => ({ apply: { op: 'route.add', ns: slot, to: 'default', via, link: { name: endpoint.ifname } } }))
}
