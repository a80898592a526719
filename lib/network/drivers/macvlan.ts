/** The macvlan driver: sandboxes on the LAN of a device of the host, each with a MAC address of its own. */
import type { Driver } from './driver.js'
import { childDriver } from './on-parent.js'

/** In passthru mode the one sandbox has the device's own MAC address, and the device passes all to it. */
export const macvlan: Driver = childDriver({
  kind: 'macvlan',
  ownMac: ({ macvlanMode }) => macvlanMode !== 'passthru',
  mode: ({ macvlanMode }) => ({ ...(macvlanMode && { macvlanMode }) }),
})
