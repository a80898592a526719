/** What a mode has to say: where the namespace comes from and where it goes. The rest is the same for all. */

import type { Step } from '../../plan/op.js'
import type { Layout } from '../../state/layout.js'
import type { SandboxRecord } from '../../state/records.js'

/** The slot of a sandbox's namespace in every plan. */
export const slot = 'sandbox'

export interface ModeSteps {
  /** Makes or opens the namespace as `slot`, ready for endpoints. */
  enter(record: SandboxRecord, layout: Layout): Step[]
  /** Gives the namespace up. Absent things are fine. */
  leave(record: SandboxRecord, layout: Layout): Step[]
}

/** A namespace of its own: made by us and visible to `ip netns`, or adopted and left as it is. */
export const ownNamespace: ModeSteps = {
  enter: ({ name, netns }) => [
    netns.owned
      ? { apply: { op: 'netns.create', name, slot }, undo: { op: 'netns.delete', name, missingOk: true } }
      : { apply: { op: 'netns.open', path: netns.path, slot, ...(netns.inode !== undefined && { inode: BigInt(netns.inode) }) } },
    { apply: { op: 'link.set', ns: slot, link: { name: 'lo', index: 1 }, up: true } },
  ],
  leave: ({ name, netns }) => (netns.owned ? [{ apply: { op: 'netns.delete', name, missingOk: true } }] : []),
}
