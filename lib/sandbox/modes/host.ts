/** host: no namespace of its own. What runs in the sandbox runs in the host's namespace. */
import type { ModeSteps } from './mode.js'

export const host: ModeSteps = { enter: () => [], leave: () => [] }
