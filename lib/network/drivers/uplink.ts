/**
 * A bridge with a device of the host as its uplink. The host goes on at its own addresses, by the bridge; what it had on the device is in the
 * network's record, and comes back when the network goes. Only writes ops.
 */
import type { AddressVerb, LinkRef, RouteVerb, Step } from '../../plan/op.js'
import type { NetworkRecord } from '../../state/records.js'
import { vlanAddSteps, vlanRemoveSteps } from './vlan.js'

type Uplink = NonNullable<NetworkRecord['uplink']>
const nothing: Uplink = { up: true, addresses: [], routes: [] }

/** For a bridge that is there, and goes with all it has if one of the steps fails. */
export function uplinkAddSteps(network: NetworkRecord): Step[] {
  if (network.parent === undefined) return []
  const bridge = { name: network.device }
  const device = { name: network.parent }
  const { up, addresses, routes } = network.uplink ?? nothing
  return [
    ...vlanAddSteps(network),
    // Routes first: with the last address of the device the kernel would take them, and nothing would bring them back.
    ...routes.map(
      (one): Step => ({ apply: { op: 'route.delete', ...route(one, device) }, undo: { op: 'route.add', ...route(one, device) } }),
    ),
    // The last ones first: the first of a subnet would take the others along.
    ...addresses
      .toReversed()
      .map(
        (one): Step => ({ apply: { op: 'address.delete', ...address(one, device) }, undo: { op: 'address.add', ...address(one, device) } }),
      ),
    {
      apply: { op: 'link.set', link: device, master: bridge, up: true },
      undo: { op: 'link.set', link: device, master: null, up },
    },
    { apply: { op: 'sysctl.set', key: `net/ipv6/conf/${bridge.name}/accept_ra`, value: '0', missingOk: true } },
    ...addresses.map(
      (one): Step => ({ apply: { op: 'address.add', ...address(one, bridge) }, undo: { op: 'address.delete', ...address(one, bridge) } }),
    ),
    { apply: { op: 'link.set', link: bridge, up: true } },
    ...routes.map(
      (one): Step => ({ apply: { op: 'route.add', ...route(one, bridge) }, undo: { op: 'route.delete', ...route(one, bridge) } }),
    ),
  ]
}

/** Once the bridge is gone: gives the device back as it was found, if it is still there. */
export function uplinkRemoveSteps(network: NetworkRecord): Step[] {
  if (network.parent === undefined) return []
  if (network.uplink === undefined) return vlanRemoveSteps(network)
  const device = { name: network.parent }
  const { up, addresses, routes } = network.uplink
  return [
    ...addresses.map((one): Step => ({ apply: { op: 'address.replace', ...address(one, device), missingOk: true } })),
    { apply: { op: 'link.set', link: device, up, missingOk: true } },
    ...routes.map((one): Step => ({ apply: { op: 'route.replace', ...route(one, device), missingOk: true } })),
  ]
}

function address(one: Uplink['addresses'][number], link: LinkRef): Omit<AddressVerb, 'op'> {
  return { ...one, link, ...(one.address.includes(':') && { noDad: true }) } as Omit<AddressVerb, 'op'>
}

function route(one: Uplink['routes'][number], link: LinkRef): Omit<RouteVerb, 'op'> {
  return { ...one, link } as Omit<RouteVerb, 'op'>
}
