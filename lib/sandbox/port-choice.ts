/** From what was asked to be published to the ports that will be. */
import { readdirSync } from 'node:fs'

import type { HostConfig } from '../config.js'
import { errnoName, fail, invalid } from '../errors.js'
import { familyOf } from '../network/cidr.js'
import { type Mechanism, PlanFailure } from '../plan/mechanism.js'
import type { Layout } from '../state/layout.js'
import { look } from '../state/look.js'
import type { EndpointRecord, PortRecord, SandboxRecord } from '../state/records.js'
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

const wildcards = { 4: '0.0.0.0', 6: '::' } as const

/**
 * Default address of a family in which the sandbox has a way out: what the network has, else the host's configuration, says. As in
 * Docker 0.0.0.0 stands for all addresses of both families, and any other default is the only one.
 */
function defaultOf(family: 4 | 6, { bindAddress }: EndpointRecord, { ip, ip6tables }: HostConfig): string | undefined {
  if (family === 6 && !ip6tables) return undefined
  const defaults = bindAddress ?? (ip === undefined ? [] : [ip])
  if (defaults.length === 0 || (defaults.length === 1 && defaults[0] === '0.0.0.0')) return wildcards[family]
  return defaults.find(address => familyOf(address) === family)
}

type PortRange = PortRequest & Required<Pick<PortRequest, 'hostPort' | 'hostPortEnd'>>

function isRange(request: PortRequest): request is PortRange {
  return request.hostPort !== undefined && request.hostPortEnd !== undefined
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
  readonly #layout: Layout

  constructor({ mechanism, config, layout }: { readonly mechanism: Mechanism; readonly config: HostConfig; readonly layout: Layout }) {
    this.#mechanism = mechanism
    this.#config = config
    this.#layout = layout
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
      const hostIps = hostIpsOf(request.hostIp, endpoints, this.#config, `${field}[${i}]`)
      const { containerPort, protocol, allow } = request
      const avoid = (port: number) => taken(protocol, port)
      const hostPort = isRange(request)
        ? await this.#firstIn(request, hostIps, avoid)
        : (request.hostPort ?? this.#random.take(protocol, avoid))
      if (allow && !hostIps.some(hostIp => allow.some(source => familyOf(source) === familyOf(hostIp))))
        throw invalid(`${field}[${i}].allow`, `a source that can reach ${hostIps.join(' or ')}`, allow.join(', '))
      for (const hostIp of hostIps) chosen.push({ hostIp, hostPort, containerPort, protocol, ...(allow && { allow: [...allow] }) })
    }
    return chosen
  }

  async #firstIn({ hostPort, hostPortEnd, protocol }: PortRange, hostIps: readonly string[], avoid: (port: number) => boolean) {
    for (let port = hostPort; port <= hostPortEnd; port++) {
      if (!avoid(port) && !(await this.#isClaimed(protocol, port, hostIps))) return port
    }
    throw fail('PORT_IN_USE', `All of the ports ${hostPort}-${hostPortEnd}/${protocol} are already allocated`, {
      subject: `${hostPort}-${hostPortEnd}/${protocol}`,
    })
  }

  /** A look before the leap. The claim decides, but a plan for each port of a range that is taken would be made and taken back. */
  async #isClaimed(protocol: string, port: number, hostIps: readonly string[]): Promise<boolean> {
    const claims = (await look(() => readdirSync(this.#layout.portClaims(`${protocol}-${port}`)))) ?? []
    return claims.some(claim => hostIps.some(hostIp => excludeEachOther(claim, hostIp)))
  }
}

/** Can one port not be published on both? (native/state/port.cc has the last word) */
function excludeEachOther(one: string, other: string): boolean {
  const family = familyOf(one)
  return family === familyOf(other) && (one === other || [one, other].includes(wildcards[family]))
}

function hostIpsOf(hostIp: string | undefined, endpoints: readonly EndpointRecord[], config: HostConfig, field: string): readonly string[] {
  const ways = ([4, 6] as const).flatMap(family => {
    const endpoint = publishedEndpoint(endpoints, family)
    return endpoint ? [{ family, fallback: defaultOf(family, endpoint, config) }] : []
  })
  const lan = endpoints.find(endpoint => endpoint.lan)
  if (ways.length === 0 && lan)
    throw invalid(
      field,
      `no value (by network ${lan.network} the sandbox is on the LAN itself, and reached there; no port of this host leads to it unless it is on a bridge network too)`,
      hostIp ?? '',
    )
  if (ways.length === 0) throw invalid(field, 'no value (the sandbox is on no network that can be reached from outside)', hostIp ?? '')
  if (hostIp === undefined) {
    const defaults = ways.flatMap(({ fallback }) => fallback ?? [])
    if (defaults.length === 0) throw invalid(`${field}.hostIp`, `an address (no default one is of the sandbox's family)`, hostIp)
    return defaults
  }
  const family = familyOf(hostIp)
  if (family === 6 && !config.ip6tables)
    throw fail('UNSUPPORTED', 'Publishing an IPv6 port needs rules, and config.ip6tables is false', { field: `${field}.hostIp` })
  if (!ways.some(one => one.family === family))
    throw invalid(`${field}.hostIp`, `an IPv${family === 4 ? 6 : 4} address (the sandbox has no IPv${family} address)`, hostIp)
  return [hostIp]
}

/**
 * The port that a claim found taken is not tried again; true if there may be another. `field`: where the requests came from.
 * @throws INVALID_ARGUMENT when the host has no such address
 */
export function avoidPort(
  error: unknown,
  requests: readonly PortRequest[],
  { endpoints }: Pick<SandboxRecord, 'endpoints'>,
  refused: Refused,
  field: string,
): boolean {
  if (!(error instanceof PlanFailure) || error.op.op !== 'port.claim') return false
  const { address } = error.op
  const asked = requests.findIndex(({ hostIp }) => hostIp === address)
  if (errnoName(error.errno) === 'EADDRNOTAVAIL')
    throw invalid(asked < 0 ? defaultField(address, endpoints) : `${field}[${asked}].hostIp`, 'an address of this host', address)
  if (errnoName(error.errno) !== 'EADDRINUSE') return false
  const { protocol, port } = error.op
  if (refused.has(protocol, port)) return false // it was asked for by itself too
  refused.add({ protocol, hostPort: port })
  return requests.some(request => request.protocol === protocol && isFlexible(request) && covers(request, port))
}

/** Where a default address came from. */
function defaultField(address: string, endpoints: readonly EndpointRecord[]): string {
  const { network } = endpoints.find(({ bindAddress }) => bindAddress?.includes(address)) ?? {}
  return network === undefined ? 'config.ip' : `bindAddress of network ${network}`
}

function covers({ hostPort, hostPortEnd }: PortRequest, port: number): boolean {
  return hostPort === undefined || (hostPort <= port && port <= (hostPortEnd ?? hostPort))
}
