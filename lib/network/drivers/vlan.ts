/** A VLAN on a device of the host, made for a network whose parent it is. Only writes ops. */

import { linkGroup } from '../../plan/link-group.js'
import type { Step } from '../../plan/op.js'
import type { NetworkRecord } from '../../state/records.js'

/** Makes it, if it is the network's to make. */
export function vlanAddSteps({ name, parent, vlan, mtu }: NetworkRecord): Step[] {
  if (parent === undefined || vlan === undefined) return []
  const link = { name: parent }
  return [
    {
      apply: { op: 'link.add', kind: 'vlan', name: parent, parent: { name: vlan.link }, vlanId: vlan.id, mtu, group: linkGroup },
      undo: { op: 'link.delete', links: [link], missingOk: true },
    },
    { apply: { op: 'link.set', link, alias: `netmode:/${name}`, up: true } },
  ]
}

/** Takes away what `vlanAddSteps` has made. */
export function vlanRemoveSteps({ parent, vlan }: NetworkRecord): Step[] {
  if (parent === undefined || vlan === undefined) return []
  return [{ apply: { op: 'link.delete', links: [{ name: parent }], missingOk: true } }]
}
