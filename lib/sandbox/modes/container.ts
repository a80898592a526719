/** container:NAME: the namespace of another sandbox, which can't go while it is shared. */
import type { ModeSteps } from './mode.js'

export const container: ModeSteps = {
  enter: ({ name, shares = '' }, layout) => {
    // Under the other's lock its folder can't go away while the claim is made; a removal that comes later finds the claim.
    const path = `${layout.sandboxSharers(shares)}/${name}`
    return [
      { apply: { op: 'folder.create', path: layout.sandboxSharers(shares), ensure: true } },
      { apply: { op: 'claim', path, holder: name }, undo: { op: 'release', path, holder: name } },
    ]
  },
  leave: ({ name, shares = '' }, layout) => [{ apply: { op: 'release', path: `${layout.sandboxSharers(shares)}/${name}`, holder: name } }],
}
