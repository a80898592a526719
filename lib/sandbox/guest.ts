/** A virtual machine in a sandbox: a TAP in its namespace, and the way from there to the sandbox's networks and back. Pure. */
import { fail } from '../errors.js'
import { guestTable } from '../firewall/guest-table.js'
import { networkOf, overlaps, parseInterface } from '../network/cidr.js'
import type { Step } from '../plan/op.js'
import type { EndpointRecord, GuestRecord } from '../state/records.js'
import { slot } from './modes/mode.js'

/** The TAP and what belongs to it, in a namespace that is open as `slot`; all of it goes with the namespace. */
export function guestSteps(guest: GuestRecord | undefined): Step[] {
  if (guest === undefined) return []
  const { tap, address, prefix, gateway, mac, gatewayMac, mtu, owner, group, vnetHdr, multiQueue } = guest
  const link = { name: tap }
  const device = { ...(owner !== undefined && { owner }), ...(group !== undefined && { group }), vnetHdr, multiQueue }
  return [
    { apply: { op: 'tap.add', ns: slot, name: tap, ...device } },
    { apply: { op: 'link.set', ns: slot, link, mac: gatewayMac, mtu } },
    { apply: { op: 'sysctl.set', ns: slot, key: 'net/ipv4/ip_forward', value: '1' } },
    { apply: { op: 'sysctl.set', ns: slot, key: `net/ipv6/conf/${tap}/disable_ipv6`, value: '1', missingOk: true } },
    { apply: { op: 'address.add', ns: slot, link, address: gateway, prefix } },
    { apply: { op: 'link.set', ns: slot, link, up: true } },
    // A guest that was just restored answers before it could be asked who it is.
    { apply: { op: 'neighbor.add', ns: slot, link, address, mac, state: 'permanent' } },
    ...guestTable(slot, tap, address),
  ]
}

/** @throws SUBNET_OVERLAP: the sandbox would not know which way an address is. */
export function refuseOverlap(guest: GuestRecord | undefined, endpoints: readonly EndpointRecord[], field: string): void {
  if (guest === undefined) return
  const block = networkOf(parseInterface(`${guest.gateway}/${guest.prefix}`))
  for (const { network, ipv4 } of endpoints) {
    if (ipv4 === undefined || !overlaps(block, networkOf(parseInterface(`${ipv4.address}/${ipv4.prefix}`)))) continue
    throw fail(
      'SUBNET_OVERLAP',
      `The guest's ${guest.address}/${guest.prefix} overlaps the subnet of ${ipv4.address}/${ipv4.prefix} on network ${network}`,
      {
        field,
        subject: `${guest.address}/${guest.prefix}`,
        holder: network,
      },
    )
  }
}
