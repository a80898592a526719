/**
 * The ptp driver: every sandbox has a link of its own to the host, which routes between them. There is no bridge, so no limit of 1,023
 * ports. Every function only writes ops.
 */
import { forwardingSysctls, linkElements, linkRoutes, linkSysctls, routedNetworkElements } from '../../firewall/ruleset.js'
import { linkGroup } from '../../plan/link-group.js'
import type { Step } from '../../plan/op.js'
import type { EndpointRecord, NetworkRecord } from '../../state/records.js'
import { bitsOf, contains, type Family, familyOf, parseCidr, parseIp } from '../cidr.js'
import { namePort } from '../name-servers.js'
import { type Attachment, type Driver, hostEnd } from './driver.js'
import { defaultRoutes, insideSteps } from './inside.js'

/** What the firewall wants to know of a network. */
function firewallNetwork({ subnets, internal, icc, masquerade, snat }: NetworkRecord) {
  const of = (family: Family) => subnets.map(({ subnet }) => subnet).filter(subnet => familyOf(subnet) === family)
  return { subnets4: of(4), subnets6: of(6), internal, icc, masquerade, ...(snat && { snat }) }
}

function firewallSteps(network: NetworkRecord): Step[] {
  return routedNetworkElements(firewallNetwork(network))
}

/** What no sandbox has is nowhere: without the routes it would be looked for outside. */
function createSteps(network: NetworkRecord): Step[] {
  return [
    ...forwardingSysctls(firewallNetwork(network)).map((apply): Step => ({ apply, undo: { op: 'sysctl.restore', key: apply.key } })),
    ...network.subnets.map(
      ({ subnet }): Step => ({
        apply: { op: 'route.add', to: subnet, type: 'unreachable' },
        undo: { op: 'route.delete', to: subnet, type: 'unreachable', missingOk: true },
      }),
    ),
    ...firewallSteps(network),
  ]
}

function removeSteps(network: NetworkRecord): Step[] {
  return [
    ...firewallSteps(network).map(({ undo }): Step => ({ apply: undo as NonNullable<Step['undo']> })),
    ...network.subnets.map(({ subnet }): Step => ({ apply: { op: 'route.delete', to: subnet, type: 'unreachable', missingOk: true } })),
  ]
}

/** An endpoint's addresses with the gateways of their subnets, which the host has on each of the links. */
function pairs({ subnets }: NetworkRecord, { ipv4, ipv6 }: EndpointRecord) {
  return [ipv4, ipv6]
    .filter(one => one !== undefined)
    .map(({ address }) => {
      const home = subnets.find(({ subnet }) => contains(parseCidr(subnet), parseIp(address)))
      return { address, gateway: home?.gateway ?? '', family: familyOf(address) }
    })
}

function attachSteps({ sandbox, network, endpoint, slot, gateways, defaults }: Attachment): Step[] {
  const { ifname, mac, mtu } = endpoint
  const host = hostEnd(endpoint)
  const inside = { name: ifname }
  const addresses = pairs(network, endpoint)
  const families = addresses.map(({ family }) => family)
  return [
    {
      apply: {
        op: 'link.add',
        kind: 'veth',
        name: host.name,
        mtu,
        group: linkGroup,
        queues: 1,
        peer: { ns: slot, name: ifname, mac, mtu },
      },
      undo: { op: 'link.delete', links: [host], missingOk: true },
    },
    ...linkSysctls(host.name, families, network.internal).map((apply): Step => ({ apply })),
    ...addresses.map(
      ({ gateway, family }): Step => ({
        apply: { op: 'address.add', link: host, address: gateway, prefix: bitsOf(family), ...(family === 6 && { noDad: true }) },
      }),
    ),
    // As on a bridge: the kernel's own link-local address would let the first packets wait.
    ...(families.includes(6) ? [{ apply: { op: 'address.add', link: host, address: 'fe80::1', prefix: 64, noDad: true } } as const] : []),
    { apply: { op: 'link.set', link: host, up: true } },
    ...addresses.map(({ address, family }): Step => ({ apply: { op: 'route.add', to: `${address}/${bitsOf(family)}`, link: host } })),
    ...linkRoutes(host.name, families, network.internal).map((apply): Step => ({ apply })),
    ...insideSteps(endpoint, slot, defaults),
    ...addresses.flatMap(({ gateway, family }): Step[] => [
      {
        apply: {
          op: 'route.add',
          ns: slot,
          to: `${gateway}/${bitsOf(family)}`,
          link: inside,
          ...(family === 4 && { scope: 'link' }),
        },
      },
      ...network.subnets
        .filter(({ subnet }) => familyOf(subnet) === family)
        .map(({ subnet }): Step => ({ apply: { op: 'route.add', ns: slot, to: subnet, via: gateway, link: inside } })),
    ]),
    ...defaultRoutes(endpoint, gateways, slot),
    { apply: { op: 'link.set', link: host, alias: `netmode:${sandbox}/${network.name}` } },
    { apply: { op: 'link.settle', link: host } }, // see bridge.ts
  ]
}

/** A link per endpoint, routes instead of a bridge. */
export const ptp: Driver = {
  createSteps,
  removeSteps,
  usesFirewall: () => true,
  firewallSteps,
  linkFirewallSteps: (sandbox, endpoint) => {
    const internal = (endpoint.ipv4 ?? endpoint.ipv6)?.gateway === undefined
    const nameServers = (endpoint.nameServers ?? []).map(address => ({ address, port: namePort }))
    return linkElements(sandbox, hostEnd(endpoint).name, internal, nameServers)
  },
  shape: () => ({ hostEnd: true, tap: false, ownMac: true, ownLink: true, lan: false }),
  attachSteps,
  linkOf: endpoint => ({ at: 'host', link: hostEnd(endpoint) }),
}
