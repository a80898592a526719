/** The ipvlan driver: sandboxes on the LAN of a device of the host, all with the MAC address of the device. */
import type { Driver } from './driver.js'
import { childDriver } from './on-parent.js'

export const ipvlan: Driver = childDriver({
  kind: 'ipvlan',
  ownMac: () => false,
  mode: ({ ipvlanMode }) => ({ ...(ipvlanMode && { ipvlanMode }) }),
})
