/** A virtual machine in a sandbox: a TAP in its namespace, and the way from there to the sandbox's networks and back. Pure. */
import type { Guest } from '../contract.js'
import { fail } from '../errors.js'
import { guestTable } from '../firewall/guest-table.js'
import { type Cidr, networkOf, overlaps, parseInterface } from '../network/cidr.js'
import type { Step } from '../plan/op.js'
import type { EndpointRecord, GuestRecord } from '../state/records.js'
import { slot } from './modes/mode.js'

/** The TAP and what belongs to it, in a namespace that is open as `slot`; all of it goes with the namespace. */
export function guestSteps(guest: GuestRecord | undefined): Step[] {
  if (guest === undefined) return []
  const { tap, mac, gatewayMac, mtu, owner, group, vnetHdr, multiQueue } = guest
  const link = { name: tap }
  const device = { ...(owner !== undefined && { owner }), ...(group !== undefined && { group }), vnetHdr, multiQueue }
  const blocks = blocksOf(guest)
  const set = (key: string, value: string): Step => ({ apply: { op: 'sysctl.set', ns: slot, key, value, missingOk: true } })
  return [
    { apply: { op: 'tap.add', ns: slot, name: tap, ...device } },
    { apply: { op: 'link.set', ns: slot, link, mac: gatewayMac, mtu } },
    { apply: { op: 'sysctl.set', ns: slot, key: 'net/ipv4/ip_forward', value: '1' } },
    ...(guest.ipv6 ? [set('net/ipv6/conf/all/forwarding', '1')] : []),
    set(`net/ipv6/conf/${tap}/disable_ipv6`, guest.ipv6 ? '0' : '1'),
    ...blocks.map(
      ({ address: _, gateway, ...rest }): Step => ({ apply: { op: 'address.add', ns: slot, link, address: gateway, ...rest } }),
    ),
    { apply: { op: 'link.set', ns: slot, link, up: true } },
    // A guest that was just restored answers before it could be asked who it is.
    ...blocks.map(({ address }): Step => ({ apply: { op: 'neighbor.add', ns: slot, link, address, mac, state: 'permanent' } })),
    ...guestTable(slot, guest),
  ]
}

/** What the guest and its gateway have, in each family. */
function blocksOf({ address, prefix, gateway, ipv6 }: GuestRecord) {
  return [{ address, prefix, gateway }, ...(ipv6 ? [{ ...ipv6, noDad: true }] : [])]
}

/** As users see it. */
export function publicGuest({ tap, address, prefix, gateway, ipv6, mac, gatewayMac, mtu }: GuestRecord): Guest {
  return { tap, address, prefix, gateway, ...(ipv6 && { ipv6 }), mac, gatewayMac, mtu }
}

/** @throws SUBNET_OVERLAP: the sandbox would not know which way an address is. `field`: absent, it is the guest's that is wrong. */
export function refuseOverlap(guest: GuestRecord | undefined, endpoints: readonly EndpointRecord[], field?: string): void {
  if (guest === undefined) return
  for (const { address, prefix } of blocksOf(guest)) {
    for (const { network, ipv4, ipv6 } of endpoints) {
      for (const other of [ipv4, ipv6].filter(one => one !== undefined)) {
        if (!overlaps(blockOf(address, prefix), blockOf(other.address, other.prefix))) continue
        throw fail(
          'SUBNET_OVERLAP',
          `The guest's ${address}/${prefix} overlaps the subnet of ${other.address}/${other.prefix} on network ${network}`,
          {
            field: field ?? (address.includes(':') ? 'guest.address6' : 'guest.address'),
            subject: `${address}/${prefix}`,
            holder: network,
          },
        )
      }
    }
  }
}

function blockOf(address: string, prefix: number): Cidr {
  return networkOf(parseInterface(`${address}/${prefix}`))
}
