/** Where the name service of a network is met. Pure. */
import type { EndpointRecord, NetworkRecord, SandboxRecord } from '../state/records.js'
import { familyOf } from './cidr.js'
import { defaultNetwork } from './default-network.js'

/**
 * The port that the name service listens on. Sandboxes ask at port 53 of their gateway and are led here by the firewall, so that
 * neither another name server of the host nor a published port 53 is in the way.
 */
export const namePort = 28_269

/**
 * The host's addresses that sandboxes of a network ask for names: its gateways. None on the default network, as with Docker, nor
 * where the gateway isn't the host, nor where no rule leads to it.
 */
export function nameServersOf({ name, driver, parent, subnets, withoutRules = [] }: NetworkRecord): readonly string[] {
  if (name === defaultNetwork || (driver !== 'bridge' && driver !== 'ptp') || parent !== undefined) return []
  return subnets.map(({ gateway }) => gateway).filter(gateway => !withoutRules.includes(familyOf(gateway)))
}

/** A sandbox's endpoints on networks that have names. */
export function withNames({ endpoints }: Pick<SandboxRecord, 'endpoints'>): readonly EndpointRecord[] {
  return endpoints.filter(({ nameServers }) => nameServers !== undefined)
}
