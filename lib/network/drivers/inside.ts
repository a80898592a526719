/** What an endpoint has in the sandbox, whatever link it is made of. Every function only writes ops. */
import type { Setting, Slot, Step } from '../../plan/op.js'
import type { EndpointRecord } from '../../state/records.js'
import { broadcastOf } from '../cidr.js'
import { linkSettings } from './endpoint-settings.js'

/**
 * Settings and addresses of a link that is in the namespace of `slot`, which was made with `defaults`, and the link up. Addresses come before `up`, so that the kernel
 * itself announces them (arp_notify, ndisc_notify).
 */
export function insideSteps(endpoint: EndpointRecord, slot: Slot, defaults: readonly Setting[]): Step[] {
  const { ifname, ipv4, ipv6 } = endpoint
  const link = { name: ifname }
  return [
    ...linkSettings(endpoint, ifname, defaults).map((one): Step => ({ apply: { op: 'sysctl.set', ns: slot, ...one, missingOk: true } })),
    ...(ipv4
      ? [{ apply: { op: 'address.add', ns: slot, link, address: ipv4.address, prefix: ipv4.prefix, ...broadcast(ipv4) } } as const]
      : []),
    ...(ipv6 ? [{ apply: { op: 'address.add', ns: slot, link, address: ipv6.address, prefix: ipv6.prefix, noDad: true } } as const] : []),
    { apply: { op: 'link.set', ns: slot, link, up: true } },
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
