/** The lock that everybody takes. */
import type { Step } from '../plan/op.js'
import type { Layout } from './layout.js'

/** Who changes something takes the state folder's lock, shared; who changes what all stand on (table, networks) takes it alone. */
export function lockRoot(layout: Layout, mode: 'shared' | 'exclusive'): Step {
  return { apply: { op: 'lock', path: layout.root, mode, gate: layout.networks } }
}
