/** The bridge driver: a bridge per network, a veth pair or a TAP per endpoint. Every function only writes ops. */
import type { FirewallNetwork } from '../../firewall/ruleset.js'
import { networkElements, networkRoutes, networkSysctls, type Sender, senderSteps, uplinkElements } from '../../firewall/ruleset.js'
import { linkGroup } from '../../plan/link-group.js'
import type { BridgeOptions, LinkRef, LinkSet, Step } from '../../plan/op.js'
import type { AdoptedRecord, EndpointRecord, NetworkRecord } from '../../state/records.js'
import { broadcastOf, familyOf, prefixOf } from '../cidr.js'
import { macOfIpv4 } from '../mac.js'
import { namePort, nameServersOf } from '../name-servers.js'
import { type Attachment, type Driver, hostEnd } from './driver.js'
import { defaultRoutes, insideSteps } from './inside.js'
import { uplinkAddSteps, uplinkRemoveSteps } from './uplink.js'

/** bytes; a link with less has no IPv6 (RFC 8200). */
const leastMtu6 = 1280

/** What the firewall wants to know of a network. */
function firewallNetwork(network: NetworkRecord): FirewallNetwork {
  const of = (family: 4 | 6) => network.subnets.map(({ subnet }) => subnet).filter(subnet => familyOf(subnet) === family)
  const { device, internal, icc, masquerade, snat } = network
  const nameServers = nameServersOf(network).map(address => ({ address, port: namePort }))
  return { device, subnets4: of(4), subnets6: of(6), internal, icc, masquerade, nameServers, ...(snat && { snat }) }
}

/**
 * With an uplink the bridge is the host's way out, and none of what this table is about. A VLAN that was made for it carries our group,
 * as the ports of sandboxes do, and has to be told from them.
 */
function firewallSteps(network: NetworkRecord): Step[] {
  if (network.parent === undefined) return networkElements(firewallNetwork(network))
  return network.vlan ? uplinkElements(network.parent) : []
}

/** Settings of the bridge, and of the host. */
function sysctlSteps(network: NetworkRecord): Step[] {
  return networkSysctls(firewallNetwork(network)).map((apply): Step => ({ apply, undo: { op: 'sysctl.restore', key: apply.key } }))
}

/** Those settings that go with a bridge of our own, and have to be put back on one that was adopted. */
export function ownSysctls(network: NetworkRecord): string[] {
  return networkSysctls(firewallNetwork(network)).flatMap(({ key }) => (key.includes(`/${network.device}/`) ? [key] : []))
}

/**
 * Takes a bridge that is there and leaves it as it was found; nothing marks it as ours. One without ports shows a MAC that is not
 * its own: it would change with the first port, and be zero after the last.
 */
function adoptSteps(network: NetworkRecord, adopted: AdoptedRecord): Step[] {
  const { device, mac } = network
  const link = { name: device }
  return [
    ...(adopted.lonely ? [{ apply: { op: 'link.set', link, mac } } as const] : []),
    ...sysctlSteps(network),
    ...adopted.addresses.map(({ address, prefix }): Step => {
      const own = addressVerb(device, address, prefix)
      return { apply: { op: 'address.add', ...own }, undo: { op: 'address.delete', ...own, missingOk: true } }
    }),
    ...(adopted.up
      ? []
      : [{ apply: { op: 'link.set', link, up: true }, undo: { op: 'link.set', link, up: false, missingOk: true } } as const]),
    ...networkRoutes(firewallNetwork(network)).map((apply): Step => ({ apply, undo: { ...apply, op: 'route.delete', missingOk: true } })),
    ...firewallSteps(network),
  ]
}

/** The way back; what is not there any more is fine. */
function releaseSteps(network: NetworkRecord, { addresses, sysctls, up }: AdoptedRecord): Step[] {
  const { device } = network
  return [
    ...networkRoutes(firewallNetwork(network)).map((route): Step => ({ apply: { ...route, op: 'route.delete', missingOk: true } })),
    ...addresses.map(
      ({ address, prefix }): Step => ({
        apply: { op: 'address.delete', link: { name: device }, address, prefix, missingOk: true },
      }),
    ),
    ...Object.entries(sysctls).map(([key, value]): Step => ({ apply: { op: 'sysctl.set', key, value, missingOk: true } })),
    ...(up ? [] : [{ apply: { op: 'link.set', link: { name: device }, up: false, missingOk: true } } as const]),
  ]
}

function addressVerb(device: string, address: string, prefix: number) {
  const subnet = `${address}/${prefix}`
  return { link: { name: device }, address, prefix, ...(familyOf(address) === 4 ? broadcast(subnet) : { noDad: true }) }
}

/**
 * Without a querier, and by itself a bridge is none, multicast goes to every port either way. But to be ready for one, the kernel sets the
 * timers of all ports anew for each that comes or goes. On a LAN there may be a querier.
 */
const noSnooping: BridgeOptions = { multicastSnooping: false }

function createSteps(network: NetworkRecord): Step[] {
  const { device, mac, mtu, name, parent, adopted } = network
  if (adopted) return adoptSteps(network, adopted)
  const link = { name: device }
  return [
    {
      apply: {
        op: 'link.add',
        kind: 'bridge',
        name: device,
        mac,
        mtu,
        group: linkGroup,
        ...(parent === undefined && { bridge: noSnooping }),
      },
      undo: { op: 'link.delete', links: [link] },
    },
    { apply: { op: 'link.set', link, alias: `netmode:/${name}` } },
    ...(parent === undefined ? hostSteps(network) : [...firewallSteps(network), ...uplinkAddSteps(network)]),
  ]
}

/** The host as the gateway of the network. */
function hostSteps(network: NetworkRecord): Step[] {
  const { device } = network
  const link = { name: device }
  return [
    ...sysctlSteps(network),
    ...network.subnets.map(
      ({ subnet, gateway }): Step => ({ apply: { op: 'address.add', ...addressVerb(device, gateway, prefixOf(subnet)) } }),
    ),
    // The host asks for the neighbours of what it forwards from a link-local address, and the kernel's own one is checked for
    // duplicates for a second or two: without this the first packets from outside would wait for it.
    ...(network.subnets.some(({ subnet }) => familyOf(subnet) === 6)
      ? [{ apply: { op: 'address.add', ...addressVerb(device, 'fe80::1', 64) } } as const]
      : []),
    { apply: { op: 'link.set', link, up: true } },
    ...networkRoutes(firewallNetwork(network)).map((apply): Step => ({ apply })),
    ...firewallSteps(network),
  ]
}

function removeSteps(network: NetworkRecord): Step[] {
  return [
    ...firewallSteps(network).map(({ undo }): Step => ({ apply: undo as NonNullable<Step['undo']> })),
    ...(network.adopted
      ? releaseSteps(network, network.adopted)
      : [{ apply: { op: 'link.delete', links: [{ name: network.device }], missingOk: true } } as const]),
    ...uplinkRemoveSteps(network),
  ]
}

/** One veth pair: the peer is born in the sandbox with its final name, the host's end on the bridge and up. */
function attachSteps(attachment: Attachment): Step[] {
  const { network, endpoint, slot, gateways, defaults } = attachment
  if (endpoint.tap) return tapSteps(attachment, endpoint.tap)
  const { ifname, mac, mtu } = endpoint
  const inside = { name: ifname }
  const host = hostEnd(endpoint)
  const master = masterOf(attachment)
  return [
    {
      apply: {
        op: 'link.add',
        kind: 'veth',
        name: host.name,
        ...(network.adopted && { mac: humbleMac(mac) }),
        mtu,
        master,
        up: true,
        group: linkGroup,
        queues: 1,
        peer: { ns: slot, name: ifname, mac, mtu },
      },
      undo: { op: 'link.delete', links: [host], missingOk: true },
      when: 'ahead',
    },
    // Before anything can come from it.
    { apply: { op: 'link.set', link: host, ...portSettings(attachment) }, when: 'ahead' },
    ...insideSteps(endpoint, slot, defaults, 'later'),
    ...defaultRoutes(endpoint, gateways, slot),
    // The kernel lets the host's end send on a work queue that may be late, and until then drops what goes to the sandbox: hence
    // `link.settle`. Only then do announcements get through, and setting the MAC address, even to what it is, makes the kernel announce.
    { apply: { op: 'link.settle', link: host } },
    isKnown(network, endpoint)
      ? { apply: { op: 'fdb.replace', link: host, mac }, when: 'behind' }
      : { apply: { op: 'link.set', ns: slot, link: inside, mac } },
  ]
}

/**
 * What makes a link the port of this sandbox. Left to itself it would take an IPv6 address, with three routes that the kernel goes through
 * for each link that comes or goes; frames pass it by.
 */
function portSettings({ sandbox, network, endpoint, hairpin, ipv6 }: Attachment): Pick<LinkSet, 'alias' | 'port' | 'addrGenMode'> {
  const isolated = !network.icc
  return {
    alias: `netmode:${sandbox}/${network.name}`,
    ...((hairpin || isolated) && { port: { ...(hairpin && { hairpin }), ...(isolated && { isolated }) } }),
    ...(ipv6 && endpoint.mtu >= leastMtu6 && { addrGenMode: 'none' }),
  }
}

/**
 * Whether nobody can hold another MAC for an endpoint's address, for the address tells it. An announcement, which goes to every port, would
 * only teach the bridge where it is, and that can be told to the bridge alone. Behind an uplink are those who heard it from somebody else.
 */
function isKnown({ parent, adopted }: NetworkRecord, { mac, ipv4, ipv6 }: EndpointRecord): boolean {
  return parent === undefined && adopted === undefined && ipv6 === undefined && ipv4 !== undefined && mac === macOfIpv4(ipv4.address)
}

/**
 * A TAP, which is a port as the host's end of a veth pair is. Its own MAC is never the guest's: the kernel would keep for itself what is
 * meant for that. It carries nothing until a VMM has opened it, so there is nothing to announce yet.
 */
function tapSteps(attachment: Attachment, { owner, group, vnetHdr, multiQueue }: NonNullable<EndpointRecord['tap']>): Step[] {
  const { mac, mtu } = attachment.endpoint
  const link = hostEnd(attachment.endpoint)
  return [
    {
      apply: {
        op: 'tap.add',
        name: link.name,
        ...(owner !== undefined && { owner }),
        ...(group !== undefined && { group }),
        vnetHdr,
        multiQueue,
        linkGroup,
      },
      undo: { op: 'link.delete', links: [link], missingOk: true },
    },
    {
      apply: {
        op: 'link.set',
        link,
        mac: humbleMac(mac),
        mtu,
        master: masterOf(attachment),
        up: true,
        ...portSettings(attachment),
      },
    },
  ]
}

/** The bridge; by its index, where that is known. */
function masterOf({ network, deviceIndex }: Attachment): LinkRef {
  return { name: network.device, ...(deviceIndex !== undefined && { index: deviceIndex }) }
}

/** A MAC that a bridge without one of its own, which takes the lowest of its ports, doesn't take from us. */
function humbleMac(mac: string): string {
  return `${mac.startsWith('fe') ? 'fa' : 'fe'}${mac.slice(2)}`
}

function broadcast(subnet: string): { broadcast?: string } {
  const address = broadcastOf(subnet)
  return address === undefined ? {} : { broadcast: address }
}

/** An endpoint as a port that is held to its own addresses. */
function senderOf(endpoint: EndpointRecord): Sender {
  const { mac, ipv4, ipv6, spoofCheck = true } = endpoint
  return {
    port: hostEnd(endpoint).name,
    mac,
    addresses: [ipv4, ipv6].flatMap(one => one?.address ?? []),
    ...(!spoofCheck && { unchecked: true }),
  }
}

/** A bridge per network, a veth pair or a TAP per endpoint. */
export const bridge: Driver = {
  createSteps,
  removeSteps,
  usesFirewall: () => true,
  firewallSteps,
  linkFirewallSteps: (sandbox, endpoint) => senderSteps(sandbox, senderOf(endpoint)),
  attachSteps,
  linkOf: endpoint => ({ at: 'host', link: hostEnd(endpoint) }),
  shape: ({ parent }) => ({ hostEnd: true, tap: true, ownMac: true, ownLink: false, lan: parent !== undefined }),
}
