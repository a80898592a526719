/** Pieces of plans about a sandbox: locks, leases, ports, endpoints. Pure. */
import { type PublishedMapping, publishElements } from '../firewall/ruleset.js'
import { familyOf } from '../network/cidr.js'
import { driverOf } from '../network/drivers/driver.js'
import type { KnownNetwork } from '../network/known-network.js'
import type { Setting, Step } from '../plan/op.js'
import type { Layout } from '../state/layout.js'
import type { EndpointRecord, PortRecord, SandboxRecord } from '../state/records.js'
import { addressOf, gatewayEndpoint } from './gateway.js'
import { slot } from './modes/mode.js'
import type { Ground } from './plans.js'

/**
 * The veth pair (or what else the network's driver makes) of an endpoint. `gateways`: families that it gives the default route of;
 * `defaults`: what the namespace was made with.
 */
export function attachSteps(
  { hairpin }: Ground,
  sandbox: string,
  endpoint: EndpointRecord,
  network: KnownNetwork,
  gateways: readonly (4 | 6)[],
  defaults: readonly Setting[] = [],
): Step[] {
  return driverOf(network.record).attachSteps({
    sandbox,
    network: network.record,
    endpoint,
    deviceIndex: network.deviceIndex,
    slot,
    gateways,
    defaults,
    hairpin,
  })
}

/** Claims the addresses of an endpoint. */
export function leaseSteps(layout: Layout, holder: string, endpoint: EndpointRecord): Step[] {
  return leasesOf(layout, holder, endpoint).map(lease => ({ apply: { ...lease, op: 'claim' }, undo: { ...lease, op: 'release' } }))
}

/** Gives the addresses of an endpoint back. */
export function releaseLeases(layout: Layout, holder: string, endpoint: EndpointRecord): Step[] {
  return leasesOf(layout, holder, endpoint).map(lease => ({ apply: { ...lease, op: 'release' } }))
}

/** Where an endpoint's addresses are claimed. */
export function leasesOf(layout: Layout, holder: string, { networkId, ipv4, ipv6 }: EndpointRecord) {
  return [ipv4, ipv6].filter(one => one !== undefined).map(({ address }) => ({ path: layout.lease(networkId, address), holder }))
}

/** Claims a host port; a socket of this host that listens there is in the way as well. */
export function claimPort(layout: Layout, holder: string, port: PortRecord): Step {
  const claim = claimOf(layout, holder, port)
  return { apply: { ...claim, op: 'port.claim', probe: true }, undo: { ...claim, op: 'port.release' } }
}

/** Gives a host port back. */
export function releasePort(layout: Layout, holder: string, port: PortRecord): Step {
  return { apply: { ...claimOf(layout, holder, port), op: 'port.release' } }
}

function claimOf(layout: Layout, holder: string, { protocol, hostIp, hostPort }: PortRecord) {
  return { folder: layout.ports, protocol, address: hostIp, port: hostPort, holder }
}

/** What of a sandbox decides where its published ports lead. */
export type Published = Pick<SandboxRecord, 'endpoints' | 'ports'>
const nothing: Published = { endpoints: [], ports: [] }

/** Brings the ruleset from the ports published before to those after. */
export function publishSteps(name: string, before: Published = nothing, after: Published = nothing): Step[] {
  return publishElements(name, mappings(before), mappings(after))
}

/** Ports with the addresses that they lead to. */
export function mappings({ endpoints, ports }: Published): PublishedMapping[] {
  return ports.flatMap(port => {
    const family = familyOf(port.hostIp)
    const endpoint = gatewayEndpoint(endpoints, family)
    const target = endpoint && addressOf(endpoint, family)
    return target ? [{ ...port, address: target.address }] : []
  })
}

/** The ports that lead elsewhere after a change, or nowhere any more. */
export function movedPorts(before: Published, after: Published): readonly PortRecord[] {
  const [old, wanted] = [new Set(mappings(before).map(show)), new Set(mappings(after).map(show))]
  const moved = [...mappings(before).filter(one => !wanted.has(show(one))), ...mappings(after).filter(one => !old.has(show(one)))]
  return [...new Map(moved.map(one => [JSON.stringify([one.protocol, one.hostIp, one.hostPort]), one])).values()]
}

const show = (mapping: PublishedMapping) => JSON.stringify(mapping)

/** UDP flows outlive the rule that they met first: without this a client that goes on sending would miss a port's new or former owner. */
export function forgetFlows(ports: readonly PortRecord[]): Step[] {
  return ports
    .filter(({ protocol }) => protocol === 'udp')
    .map(({ protocol, hostIp, hostPort }) => ({
      apply: {
        op: 'conntrack.flush',
        protocol,
        family: familyOf(hostIp),
        port: hostPort,
        ...(isWildcard(hostIp) ? {} : { address: hostIp }),
      },
    }))
}

function isWildcard(hostIp: string): boolean {
  return hostIp === '0.0.0.0' || hostIp === '::'
}
