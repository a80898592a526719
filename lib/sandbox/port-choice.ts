/** From what was asked to be published to the ports that will be. */
import type { HostConfig } from '../config.js'
import { errnoName, fail, invalid } from '../errors.js'
import { familyOf } from '../network/cidr.js'
import { type Mechanism, PlanFailure } from '../plan/mechanism.js'
import type { EndpointRecord, PortRecord } from '../state/records.js'
import { publishedEndpoint } from './gateway.js'
import type { PortRequest } from './port-grammar.js'
import { RandomPorts } from './random-ports.js'

/** Ports that a claim found taken, over the attempts of one call. */
export class Refused {
  readonly #ports = new Set<string>()

  add({ protocol, hostPort }: Pick<PortRecord, 'protocol' | 'hostPort'>): void {
    this.#ports.add(`${protocol}/${hostPort}`)
  }
  has(protocol: string, port: number): boolean {
    return this.#ports.has(`${protocol}/${port}`)
  }
}

/** Host addresses that a request without one is published on: all of those families in which the sandbox has a way out. */
function wildcards(endpoints: readonly EndpointRecord[]): string[] {
  return [...(publishedEndpoint(endpoints, 4) ? ['0.0.0.0'] : []), ...(publishedEndpoint(endpoints, 6) ? ['::'] : [])]
}

/** May another port be tried when the one chosen is taken? */
function isFlexible(request: PortRequest): boolean {
  return request.hostPort === undefined || (request.hostPortEnd !== undefined && request.hostPortEnd > request.hostPort)
}

/** Chooses what is published, as the host's configuration has it. */
export class PortChooser {
  readonly #random = new RandomPorts()
  readonly #mechanism: Mechanism
  readonly #config: HostConfig

  constructor(mechanism: Mechanism, config: HostConfig) {
    this.#mechanism = mechanism
    this.#config = config
  }

  /**
   * Chooses host addresses and ports for a sandbox with these endpoints; `field` is where the requests came from.
   * @throws INVALID_ARGUMENT when nothing can reach the sandbox that way, EXHAUSTED when no port of a range is left,
   *   UNSUPPORTED when no rules are to be written
   */
  async choose(
    requests: readonly PortRequest[],
    endpoints: readonly EndpointRecord[],
    refused: Refused,
    { field, signal }: { readonly field: string; readonly signal: AbortSignal | undefined },
  ): Promise<PortRecord[]> {
    if (requests.length > 0 && !this.#config.iptables) {
      throw fail('UNSUPPORTED', 'Publishing a port needs rules, and config.iptables is false', { field: `${field}[0]` })
    }
    if (requests.some(({ hostPort }) => hostPort === undefined)) await this.#random.prepare(this.#mechanism, signal)
    const chosen: PortRecord[] = []
    const taken = (protocol: string, port: number) =>
      refused.has(protocol, port) || chosen.some(one => one.protocol === protocol && one.hostPort === port)
    for (const [i, request] of requests.entries()) {
      // Taken and passed over, it would open to everyone what was meant for a few.
      if (request.allow) throw fail('UNSUPPORTED', 'Source ranges per published port are not there yet', { field: `${field}[${i}].allow` })
      const hostIps = hostIpsOf(request.hostIp ?? this.#config.ip, endpoints, `${field}[${i}]`)
      const hostPort = hostPortOf(request, this.#random, port => taken(request.protocol, port))
      for (const hostIp of hostIps) chosen.push({ hostIp, hostPort, containerPort: request.containerPort, protocol: request.protocol })
    }
    return chosen
  }
}

function hostIpsOf(hostIp: string | undefined, endpoints: readonly EndpointRecord[], field: string): readonly string[] {
  const all = wildcards(endpoints)
  const lan = endpoints.find(endpoint => endpoint.lan)
  if (all.length === 0 && lan)
    throw invalid(
      field,
      `no value (by network ${lan.network} the sandbox is on the LAN itself, and reached there; no port of this host leads to it unless it is on a bridge network too)`,
      hostIp ?? '',
    )
  if (all.length === 0) throw invalid(field, 'no value (the sandbox is on no network that can be reached from outside)', hostIp ?? '')
  if (hostIp === undefined) return all
  const family = familyOf(hostIp)
  if (!all.some(one => familyOf(one) === family))
    throw invalid(`${field}.hostIp`, `an IPv${family === 4 ? 6 : 4} address (the sandbox has no IPv${family} address)`, hostIp)
  return [hostIp]
}

function hostPortOf(request: PortRequest, random: RandomPorts, taken: (port: number) => boolean): number {
  const { hostPort, hostPortEnd, protocol } = request
  if (hostPort === undefined) return random.take(protocol, taken)
  if (hostPortEnd === undefined) return hostPort
  for (let port = hostPort; port <= hostPortEnd; port++) if (!taken(port)) return port
  throw fail('PORT_IN_USE', `All of the ports ${hostPort}-${hostPortEnd}/${protocol} are already allocated`, {
    subject: `${hostPort}-${hostPortEnd}/${protocol}`,
  })
}

/**
 * The port that a claim found taken is not tried again; true if there may be another. `field`: where the requests came from.
 * @throws INVALID_ARGUMENT when the host has no such address
 */
export function avoidPort(error: unknown, requests: readonly PortRequest[], refused: Refused, field: string): boolean {
  if (!(error instanceof PlanFailure) || error.op.op !== 'port.claim') return false
  const { address } = error.op
  const asked = requests.findIndex(({ hostIp }) => hostIp === address)
  if (errnoName(error.errno) === 'EADDRNOTAVAIL')
    throw invalid(asked < 0 ? 'config.ip' : `${field}[${asked}].hostIp`, 'an address of this host', address)
  if (errnoName(error.errno) !== 'EADDRINUSE') return false
  const { protocol, port } = error.op
  if (refused.has(protocol, port)) return false // it was asked for by itself too
  refused.add({ protocol, hostPort: port })
  return requests.some(request => request.protocol === protocol && isFlexible(request) && covers(request, port))
}

function covers({ hostPort, hostPortEnd }: PortRequest, port: number): boolean {
  return hostPort === undefined || (hostPort <= port && port <= (hostPortEnd ?? hostPort))
}
