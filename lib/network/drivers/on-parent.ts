/** What macvlan and ipvlan have in common: an endpoint is a child of a device of the host, born in the sandbox. Only writes ops. */

import { linkGroup } from '../../plan/link-group.js'
import type { LinkAdd, Step } from '../../plan/op.js'
import type { EndpointRecord, NetworkRecord } from '../../state/records.js'
import type { Attachment, Driver } from './driver.js'
import { defaultRoutes, insideSteps } from './inside.js'
import { vlanAddSteps, vlanRemoveSteps } from './vlan.js'

export interface ChildKind {
  readonly kind: 'macvlan' | 'ipvlan'
  ownMac(network: NetworkRecord): boolean
  mode(network: NetworkRecord): Partial<LinkAdd>
}

export function childDriver({ kind, ownMac, mode }: ChildKind): Driver {
  return {
    createSteps: network => [...vlanAddSteps(network), ...trialSteps(network, { kind, ...mode(network) })],
    removeSteps: vlanRemoveSteps,
    usesFirewall: () => false,
    firewallSteps: () => [],
    linkFirewallSteps: () => [],
    shape: network => ({ hostEnd: false, tap: false, ownMac: ownMac(network), ownLink: false, lan: true }),
    attachSteps: ({ network, endpoint, deviceIndex, slot, gateways, defaults, sandbox }: Attachment) => {
      return [
        {
          apply: {
            op: 'link.add',
            kind,
            name: birthName(endpoint),
            bornIn: slot,
            parent: { name: network.device, ...(deviceIndex !== undefined && { index: deviceIndex }) },
            ...(ownMac(network) && { mac: endpoint.mac }),
            mtu: endpoint.mtu,
            group: linkGroup,
            ...mode(network),
          },
          undo: {
            op: 'link.delete',
            ns: slot,
            links: [{ name: endpoint.ifname }, { name: birthName(endpoint) }],
            onlyInGroup: linkGroup,
            missingOk: true,
          },
        },
        {
          apply: {
            op: 'link.set',
            ns: slot,
            link: { name: birthName(endpoint) },
            name: endpoint.ifname,
            alias: `netmode:${sandbox}/${network.name}`,
          },
        },
        ...insideSteps(endpoint, slot, defaults),
        ...defaultRoutes(endpoint, gateways, slot),
      ]
    },
    linkOf: endpoint => ({ at: 'sandbox', link: { name: endpoint.ifname }, inMaking: { name: birthName(endpoint) } }),
  }
}

/**
 * Kernels before 6.14 look for a name that is taken on the host, where the parent is, and not where the link is to be born: an `eth0` is
 * there too. So it gets its final name when it is in the sandbox.
 */
function birthName({ mac }: EndpointRecord): string {
  return `nm${mac.replaceAll(':', '')}`
}

/**
 * A child that is gone the next moment: a kernel without the driver, and a device that bears no children or has other ones already, say so
 * when the network is made and not only with its first sandbox.
 */
function trialSteps({ id, device }: NetworkRecord, child: Pick<LinkAdd, 'kind'> & Partial<LinkAdd>): Step[] {
  const link = { name: `try-${id.slice(0, 11)}` }
  return [
    {
      apply: { op: 'link.add', name: link.name, parent: { name: device }, group: linkGroup, ...child },
      undo: { op: 'link.delete', links: [link], missingOk: true },
    },
    { apply: { op: 'link.delete', links: [link] } },
  ]
}
