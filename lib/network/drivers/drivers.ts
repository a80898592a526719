/** The drivers by their names. */
import type { NetworkRecord } from '../../state/records.js'
import { bridge } from './bridge.js'
import type { Driver } from './driver.js'
import { ipvlan } from './ipvlan.js'
import { macvlan } from './macvlan.js'
import { ptp } from './ptp.js'

const drivers: Readonly<Record<NetworkRecord['driver'], Driver>> = { bridge, macvlan, ipvlan, ptp }

/** The driver of a network or an endpoint. */
export function driverOf({ driver }: Pick<NetworkRecord, 'driver'>): Driver {
  return drivers[driver]
}
