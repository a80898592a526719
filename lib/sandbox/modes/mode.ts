/** What a mode has to say: where the namespace comes from and where it goes. The rest is the same for all. */

import type { NamespaceRef } from '../../contract.js'
import type { Setting, Step } from '../../plan/op.js'
import type { Layout } from '../../state/layout.js'
import type { SandboxRecord } from '../../state/records.js'

/** The slot of a sandbox's namespace in every plan. */
export const slot = 'sandbox'

export interface ModeSteps {
  /**
   * Makes or opens the namespace as `slot`, ready for endpoints. `defaults`: settings that one which is made has from the start;
   * `adopted`: where to find one that is there if not by the record's path yet.
   */
  enter(
    record: SandboxRecord,
    layout: Layout,
    how: { readonly defaults: readonly Setting[]; readonly adopted?: NamespaceRef | undefined },
  ): Step[]
  /** From the steps that make the endpoints to those that make all of the inside. Default: as they are. */
  furnish?(record: SandboxRecord, endpoints: readonly Step[]): readonly Step[]
  /** Gives the namespace up. Absent things are fine. */
  leave(record: SandboxRecord, layout: Layout): Step[]
}

/** lo of the namespace that is `slot`. */
const loopbackUp: Step = { apply: { op: 'link.set', ns: slot, link: { name: 'lo', index: 1 }, up: true } }

/** What is done for the endpoints, with lo brought up beside the first that is done in the sandbox itself: they share a message. */
export function withLoopback(steps: readonly Step[]): Step[] {
  const first = steps.findIndex(({ apply }) => 'ns' in apply && apply.ns === slot)
  return steps.toSpliced(first < 0 ? steps.length : first, 0, loopbackUp)
}

/** A namespace of its own: made by us and visible to `ip netns`, or adopted and left as it is. */
export const ownNamespace: ModeSteps = {
  enter: ({ name, netns }, _layout, { defaults, adopted }) => {
    const undo = { op: 'netns.delete', name, missingOk: true } as const
    if (netns.owned) return [{ apply: { op: 'netns.create', name, slot, settings: defaults }, undo, when: 'ahead' }]
    return [openNamespace(netns, adopted), ...(netns.named ? [{ apply: { op: 'netns.attach', name, slot }, undo } as const] : [])]
  },
  // In one that was adopted it comes last: nothing would take it back.
  furnish: ({ netns }, endpoints) => (netns.owned ? withLoopback(endpoints) : [...endpoints, loopbackUp]),
  leave: ({ name, netns }) =>
    netns.owned || netns.named ? [{ apply: { op: 'netns.delete', name, missingOk: true, ...inodeOf(netns) } }] : [],
}

/** Opens the namespace of a record as `slot`; fails where something else is at its place by now. */
export function openNamespace(netns: SandboxRecord['netns'], ref: NamespaceRef = netns.path): Step {
  return { apply: { op: 'netns.open', slot, ...(typeof ref === 'string' ? { path: ref } : ref), ...inodeOf(netns) } }
}

function inodeOf({ inode }: SandboxRecord['netns']): { inode?: string } {
  return inode === undefined ? {} : { inode }
}
