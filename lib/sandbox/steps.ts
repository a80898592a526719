/** Pieces of plans about a sandbox: locks, leases, ports, endpoints. Pure. */
import type { Firewall } from '../firewall/firewall.js'
import { type PublishedMapping, publishElements, type RedirectMapping, redirectElements } from '../firewall/ruleset.js'
import { familyOf } from '../network/cidr.js'
import { driverOf } from '../network/drivers/drivers.js'
import type { KnownNetwork } from '../network/known-network.js'
import { linkGroup } from '../plan/link-group.js'
import type { NetnsOpen, Setting, Slot, Step } from '../plan/op.js'
import type { Layout } from '../state/layout.js'
import type { EndpointRecord, PortRecord, SandboxRecord } from '../state/records.js'
import { addressOf, publishedEndpoint } from './gateway.js'
import { openNamespace, slot } from './modes/mode.js'
import type { Ground } from './plans.js'

/**
 * The veth pair (or what else the network's driver makes) of an endpoint. `gateways`: families that it gives the default route of;
 * `defaults`: what the namespace was made with.
 */
export function attachSteps(
  { hairpin, ipv6 }: Ground,
  sandbox: string,
  endpoint: EndpointRecord,
  network: Pick<KnownNetwork, 'record' | 'deviceIndex'>,
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
    ipv6,
  })
}

/** What the links of endpoints add to the ruleset, before they are up: a sandbox's announcements would be dropped otherwise. */
export function linkFirewallSteps(firewall: Firewall, sandbox: string, endpoints: readonly EndpointRecord[]): Step[] {
  return firewall.enabled ? firewall.allowed(endpoints.flatMap(endpoint => driverOf(endpoint).linkFirewallSteps(sandbox, endpoint))) : []
}

/** Takes it out again, once the links are gone. */
export function forgetLinks(firewall: Firewall, sandbox: string, endpoints: readonly EndpointRecord[]): Step[] {
  return linkFirewallSteps(firewall, sandbox, endpoints).flatMap(({ undo }) => (undo ? [{ apply: undo }] : []))
}

/** Deletes the links of endpoints that are on the host, all in one wait. */
export function deleteLinks(endpoints: readonly EndpointRecord[]): Step[] {
  return deletion(endpoints, 'host')
}

/** Deletes those that are in the sandbox, whose namespace is open as `ns`. `unfinished`: their making may have broken off. */
export function deleteLinksIn(ns: Slot, endpoints: readonly EndpointRecord[], unfinished: boolean): Step[] {
  return deletion(endpoints, 'sandbox', ns, unfinished)
}

/** The same, where the namespace may be gone by now. Left to it they would stay on the LAN for as long as anything holds it. */
export function deleteLinksInside({ name, netns, endpoints, phase }: SandboxRecord): Step[] {
  const ns = `${slot} ${name}`
  const steps = deleteLinksIn(ns, endpoints, phase !== 'ready')
  if (steps.length === 0) return []
  const { apply } = openNamespace(netns)
  return [{ apply: { ...apply, slot: ns, missingOk: true } as NetnsOpen }, ...steps]
}

function deletion(endpoints: readonly EndpointRecord[], where: 'host' | 'sandbox', ns?: Slot, unfinished = false): Step[] {
  const links = endpoints
    .map(endpoint => driverOf(endpoint).linkOf(endpoint))
    .filter(({ at }) => at === where)
    .flatMap(({ link, inMaking }) => [link, ...(unfinished && inMaking ? [inMaking] : [])])
  if (links.length === 0) return []
  // In a namespace that was adopted another link may have the name by now, or may have had it all along.
  const inside = ns === undefined ? {} : { ns, onlyInGroup: linkGroup }
  return [{ apply: { op: 'link.delete', ...inside, links, missingOk: true } }]
}

/** Claims the addresses of an endpoint. */
export function leaseSteps(layout: Layout, holder: string, endpoint: EndpointRecord): Step[] {
  return leasesOf(layout, holder, endpoint).map(lease => ({ apply: { op: 'claim', ...lease }, undo: { op: 'release', ...lease } }))
}

/** Gives the addresses of an endpoint back. */
export function releaseLeases(layout: Layout, holder: string, endpoint: EndpointRecord): Step[] {
  return leasesOf(layout, holder, endpoint).map(lease => ({ apply: { op: 'release', ...lease } }))
}

/** Where an endpoint's addresses are claimed. */
export function leasesOf(layout: Layout, holder: string, { networkId, ipv4, ipv6 }: EndpointRecord) {
  return [ipv4, ipv6].filter(one => one !== undefined).map(({ address }) => ({ path: layout.lease(networkId, address), holder }))
}

/** Claims a host port; a socket of this host that listens there is in the way as well. */
export function claimPort(layout: Layout, holder: string, port: PortRecord): Step {
  const claim = claimOf(layout, holder, port)
  return { apply: { op: 'port.claim', probe: true, ...claim }, undo: { op: 'port.release', ...claim } }
}

/** Gives a host port back. */
export function releasePort(layout: Layout, holder: string, port: PortRecord): Step {
  return { apply: { op: 'port.release', ...claimOf(layout, holder, port) } }
}

function claimOf(layout: Layout, holder: string, { protocol, hostIp, hostPort }: PortRecord) {
  return { folder: layout.ports, protocol, address: hostIp, port: hostPort, holder }
}

/** What of a sandbox decides where its published ports and its redirects lead. */
export type Published = Pick<SandboxRecord, 'endpoints' | 'ports' | 'redirects'>
const nothing: Published = { endpoints: [], ports: [] }

/** Brings the ruleset from the ports published and redirected before to those after. */
export function publishSteps(name: string, before: Published = nothing, after: Published = nothing): Step[] {
  return [...publishElements(name, mappings(before), mappings(after)), ...redirectElements(name, redirections(before), redirections(after))]
}

/**
 * Takes them out of the ruleset wherever they may lead: in the middle of a change it is any of the endpoints but those on a LAN, which ports
 * never lead to.
 */
export function unpublishSteps(name: string, published: Published): Step[] {
  const { endpoints } = published
  const onLan = endpoints.filter(({ lan }) => lan)
  const led = endpoints.filter(({ lan }) => !lan).flatMap(one => mappings({ ...published, endpoints: [one, ...onLan] }))
  const steps = [...publishElements(name, led, []), ...redirectElements(name, redirections(published), [])]
  // A port is one element of a map, wherever it leads.
  return [...new Map(steps.map(({ apply }) => [JSON.stringify(apply), { apply }])).values()]
}

/** Ports with the addresses that they lead to. */
export function mappings({ endpoints, ports }: Published): PublishedMapping[] {
  return ports.flatMap(port => {
    const family = familyOf(port.hostIp)
    const endpoint = publishedEndpoint(endpoints, family)
    const target = endpoint && addressOf(endpoint, family)
    const onLan = endpoints.some(({ lan }) => lan)
    return target ? [{ address: target.address, ...port, ...(onLan && { onLan }) }] : []
  })
}

/** Redirects for each of the addresses that connections may come from. */
function redirections({ endpoints, redirects = [] }: Published): RedirectMapping[] {
  if (redirects.length === 0) return []
  const addresses = endpoints.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6]).filter(one => one !== undefined)
  return redirects.flatMap(({ protocol, port, toPort, toAddress }) =>
    addresses.flatMap(({ address: source, gateway }) => {
      const address = toAddress ?? gateway
      if (address === undefined || familyOf(address) !== familyOf(source)) return []
      return [{ protocol, source, port, address, toPort }]
    }),
  )
}

/** A port of the host, whoever may use it. */
type HostPort = Pick<PortRecord, 'protocol' | 'hostIp' | 'hostPort'>

/** Makes flows forgotten to the ports that lead elsewhere after a change, or nowhere any more. */
export function forgetMoved(before: Published, after: Published): Step[] {
  return forgetFlows(moved(onlyUdp(before), onlyUdp(after)))
}

function onlyUdp(published: Published): Published {
  return { ...published, ports: published.ports.filter(isUdp) }
}

function moved(before: Published, after: Published): readonly HostPort[] {
  if (before.ports.length + after.ports.length === 0) return []
  const [from, to] = [mappings(before), mappings(after)]
  const [old, wanted] = [new Set(from.map(show)), new Set(to.map(show))]
  const changed = [...from.filter(one => !wanted.has(show(one))), ...to.filter(one => !old.has(show(one)))]
  return [...new Map(changed.map(one => [JSON.stringify([one.protocol, one.hostIp, one.hostPort]), one])).values()]
}

const show = (mapping: PublishedMapping) => JSON.stringify(mapping)

/** UDP flows outlive the rule that they met first: without this a client that goes on sending would miss a port's new or former owner. */
export function forgetFlows(ports: readonly HostPort[]): Step[] {
  return ports.filter(isUdp).map(({ protocol, hostIp, hostPort }) => ({
    apply: {
      op: 'conntrack.flush',
      protocol,
      family: familyOf(hostIp),
      port: hostPort,
      ...(isWildcard(hostIp) ? {} : { address: hostIp }),
    },
  }))
}

function isUdp({ protocol }: HostPort): boolean {
  return protocol === 'udp'
}

function isWildcard(hostIp: string): boolean {
  return hostIp === '0.0.0.0' || hostIp === '::'
}
