/** Ports as Docker writes them: what `-p`, `--expose` and `docker port` mean, as data. Pure. */
import type { PortMapping, Protocol, PublishedPort } from '../contract.js'
import { invalid } from '../errors.js'
import { containsBlock, parseCidr } from '../network/cidr.js'
import { array, bindIp, type Guard, integer, object, oneOf, present, source } from '../validate/guards.js'

/** One port to publish, fully spelled out. */
export interface PortRequest {
  /** Canonical; absent: the host's default binding address. */
  readonly hostIp?: string
  /** Absent: a random free one. */
  readonly hostPort?: number
  /** With `hostPort`: the first free one from `hostPort` to this, both included. */
  readonly hostPortEnd?: number
  readonly containerPort: number
  readonly protocol: Protocol
  /** Source blocks that may connect, canonical CIDR; absent: everyone. */
  readonly allow?: readonly string[]
}

/** The host side of a published port, to find it again; what is absent matches anything. */
export interface PortSelector {
  readonly hostIp?: string
  readonly hostPort: number
  readonly containerPort?: number
  readonly protocol: Protocol
}

/** A port of a sandbox: `80/tcp`. */
export interface ContainerPort {
  readonly containerPort: number
  readonly protocol: Protocol
}

interface Range {
  readonly first: number
  readonly last: number
}

/** 1 to 65535; 0 and 65536 are a RangeError. */
export const port = integer(1, 65_535)
const protocolOf = oneOf('tcp', 'udp', 'sctp')

/** `8000` or `8000-8010`; digits without sign or leading zero. */
function range(text: string, field: string): Range {
  const [, from, to] = /^(\d{1,10})(?:-(\d{1,10}))?$/.exec(text) ?? []
  if (from === undefined || hasLeadingZero(from) || hasLeadingZero(to)) throw invalid(field, 'a port or a range of ports', text)
  const first = port(Number(from), field)
  const last = to === undefined ? first : port(Number(to), field)
  if (last < first) throw invalid(field, 'a range of ports that does not run backwards', text, { range: true })
  return { first, last }
}

function hasLeadingZero(digits = ''): boolean {
  return digits.length > 1 && digits.startsWith('0')
}

/** The ports of `8000` or `8000-8010`. */
export function portsOfRange(text: string, field: string): readonly number[] {
  return portsOf(range(text, field))
}

const lengthOf = ({ first, last }: Range): number => last - first + 1

function portsOf({ first, last }: Range): number[] {
  const ports: number[] = []
  for (let port = first; port <= last; port++) ports.push(port)
  return ports
}

/** `…/udp` → the rest and the protocol; tcp when absent. As Docker, in any case. */
function splitProtocol(text: string, field: string): { readonly rest: string; readonly protocol: Protocol } {
  const slash = text.indexOf('/')
  if (slash < 0) return { rest: text, protocol: 'tcp' }
  return { rest: text.slice(0, slash), protocol: protocolOf(text.slice(slash + 1).toLowerCase(), `${field}.protocol`) }
}

/** `1.2.3.4:…` or `[::1]:…` → the address and what follows; a bare IPv6 address can't be told from ports. */
export function splitAddress(text: string, field: string): { readonly hostIp?: string; readonly rest: string } {
  if (!text.includes('.') && !text.startsWith('[')) return { rest: text }
  const bracketed = /^\[([^\]]*)\]:(.*)$/.exec(text)
  const [, address, rest] = bracketed ?? /^([^:]*\.[^:]*):(.*)$/.exec(text) ?? []
  if (address === undefined || rest === undefined) return { rest: text }
  const hostIp = bindIp(address, `${field}.hostIp`)
  if (hostIp.includes(':') !== Boolean(bracketed)) throw invalid(`${field}.hostIp`, 'IPv6 in brackets, IPv4 without,', text)
  return { hostIp, rest }
}

/**
 * Docker's `-p`: `[ip:][hostPort[-range]:]containerPort[-range][/tcp|udp|sctp]`. Ranges of equal length give one
 * request a port; a host range with a single container port gives one request for the first free of them.
 * Throws ERR_NETMODE_INVALID_ARGUMENT for `field.hostPort` and the like.
 */
export function parsePublish(text: string, field = 'publish'): readonly PortRequest[] {
  const { rest, protocol } = splitProtocol(text, field)
  const { hostIp, rest: ports } = splitAddress(rest, field)
  const parts = ports.split(':')
  if (parts.length > 2) throw invalid(field, '[ip:][hostPort:]containerPort[/protocol] with IPv6 in brackets', text)
  if (hostIp !== undefined && parts.length < 2)
    throw invalid(field, 'ip:hostPort:containerPort, or ip::containerPort for a random port,', text)
  const container = range(parts.at(-1) ?? '', `${field}.containerPort`)
  const hostText = parts.length === 2 ? parts[0] : ''
  const request = (containerPort: number, hostPort?: number, hostPortEnd?: number): PortRequest =>
    present({ hostIp, hostPort, hostPortEnd, containerPort, protocol })
  if (!hostText) return portsOf(container).map(containerPort => request(containerPort))
  const host = range(hostText, `${field}.hostPort`)
  if (lengthOf(container) === 1 && lengthOf(host) > 1) return [request(container.first, host.first, host.last)]
  if (lengthOf(container) !== lengthOf(host))
    throw invalid(`${field}.hostPort`, `a range of ${lengthOf(container)} ports`, hostText, { range: true })
  return portsOf(container).map((containerPort, i) => request(containerPort, host.first + i))
}

const mappingKeys = ['containerPort', 'hostPort', 'hostIp', 'protocol', 'allow'] as const satisfies readonly (keyof PortMapping)[]

const allowList: Guard<readonly string[]> = (value, field) => {
  const sources = array(source)(value, field)
  // An empty list read as "everyone" would be the opposite of what it says.
  if (sources.length === 0) throw invalid(field, 'at least one source (leave it out to allow everyone)', value)
  // One block inside another says nothing more, and the kernel takes no two that overlap.
  const blocks = [...new Set(sources)].map(text => ({ text, block: parseCidr(text) }))
  return blocks.filter(one => !blocks.some(other => other !== one && containsBlock(other.block, one.block))).map(({ text }) => text)
}

function parseMapping(value: unknown, field: string): PortRequest {
  const fields = object(value, field, mappingKeys)
  return present({
    hostIp: fields.optional('hostIp', bindIp),
    hostPort: fields.optional('hostPort', port),
    containerPort: fields.required('containerPort', port),
    protocol: fields.optional('protocol', protocolOf) ?? 'tcp',
    allow: fields.optional('allow', allowList),
  })
}

/** What `publish` takes: one PortInput or several. The same host port twice is refused. */
export function publishInputs(input: unknown, field = 'publish'): readonly PortRequest[] {
  const one: Guard<readonly PortRequest[]> = (value, at) =>
    typeof value === 'string' ? parsePublish(value, at) : [parseMapping(value, at)]
  if (!Array.isArray(input)) return one(input, field)
  const seen = new Map<string, Set<string>>()
  const requests = array<readonly PortRequest[]>((value, at) => {
    const parsed = one(value, at)
    for (const request of parsed) refuseDuplicate(request, seen, at)
    return parsed
  })(input, field)
  return requests.flat()
}

const wildcards: Readonly<Record<string, (other: string) => boolean>> = {
  '0.0.0.0': other => !other.includes(':'),
  '::': other => other.includes(':'),
  // No address: the host's default, which is all of them unless configured otherwise.
  '': other => other === '' || other === '0.0.0.0' || other === '::',
}

function refuseDuplicate(request: PortRequest, seen: Map<string, Set<string>>, field: string): void {
  const { hostPort, hostPortEnd, protocol, hostIp = '' } = request
  if (hostPort === undefined || hostPortEnd !== undefined) return // chosen by what is free
  const key = `${hostPort}/${protocol}`
  const addresses = seen.get(key) ?? new Set()
  for (const other of addresses) {
    if (other === hostIp || wildcards[hostIp]?.(other) || wildcards[other]?.(hostIp)) {
      throw invalid(`${field}.hostPort`, 'each host port once', formatPortSelector(present({ hostIp: request.hostIp, hostPort, protocol })))
    }
  }
  seen.set(key, addresses.add(hostIp))
}

/** `[ip:]hostPort[-range][:containerPort[-range]][/protocol]`: the host side, as given to `unpublish`. */
export function parsePortRef(text: string, field = 'ports'): readonly PortSelector[] {
  const { rest, protocol } = splitProtocol(text, field)
  const { hostIp, rest: ports } = splitAddress(rest, field)
  const [hostText = '', containerText, ...more] = ports.split(':')
  if (hostText === '' || more.length > 0)
    throw invalid(`${field}.hostPort`, 'the host side of a port, [ip:]hostPort[:containerPort][/protocol],', text)
  const hosts = portsOf(range(hostText, `${field}.hostPort`))
  if (containerText === undefined) return hosts.map(hostPort => present({ hostIp, hostPort, protocol }))
  const container = range(containerText, `${field}.containerPort`)
  const containers = portsOf(container)
  // One container port with a range of host ports: published on whichever was free.
  if (containers.length !== 1 && containers.length !== hosts.length) {
    throw invalid(`${field}.containerPort`, `a range of ${hosts.length} ports`, containerText, { range: true })
  }
  return hosts.map((hostPort, i) => present({ hostIp, hostPort, protocol, containerPort: containers[i] ?? container.first }))
}

/** What `unpublish` takes: one PortRef or several; the same one twice counts once. */
export function portRefs(input: unknown, field = 'ports'): readonly PortSelector[] {
  const one: Guard<readonly PortSelector[]> = (value, at) => {
    if (typeof value === 'string') return parsePortRef(value, at)
    // As `publish` answers it; who may connect is no part of its name.
    const fields = object(value, at, ['hostIp', 'hostPort', 'containerPort', 'protocol', 'allow'])
    return [
      {
        hostIp: fields.required('hostIp', bindIp),
        hostPort: fields.required('hostPort', port),
        containerPort: fields.required('containerPort', port),
        protocol: fields.required('protocol', protocolOf),
      },
    ]
  }
  const refs = Array.isArray(input) ? array(one)(input, field).flat() : one(input, field)
  return [...new Map(refs.map(ref => [formatPortSelector(ref), ref])).values()]
}

/** Does a published port answer to the selector? */
export function selects(selector: PortSelector, published: PublishedPort): boolean {
  return (
    selector.hostPort === published.hostPort &&
    selector.protocol === published.protocol &&
    (selector.hostIp ?? published.hostIp) === published.hostIp &&
    (selector.containerPort ?? published.containerPort) === published.containerPort
  )
}

/** One of Docker's `--expose`: `80`, `80/udp`, `8000-8010/tcp`. */
export function parseExpose(text: string, field = 'expose'): readonly ContainerPort[] {
  const { rest, protocol } = splitProtocol(text, field)
  return portsOf(range(rest, field)).map(containerPort => ({ containerPort, protocol }))
}

/** A list of them, each port once. */
export function exposeInputs(input: unknown, field = 'expose'): readonly ContainerPort[] {
  const one: Guard<readonly ContainerPort[]> = (value, at) => {
    if (typeof value !== 'string') throw invalid(at, 'a port such as 80/tcp', value)
    return parseExpose(value, at)
  }
  const ports = array(one)(input, field).flat()
  return [...new Map(ports.map(one => [formatContainerPort(one), one])).values()]
}

/** `80/tcp` */
export function formatContainerPort({ containerPort, protocol }: ContainerPort): string {
  return `${containerPort}/${protocol}`
}

/** `0.0.0.0:8080`, `[::]:8080` */
export function formatHostAddress({ hostIp, hostPort }: { readonly hostIp: string; readonly hostPort: number }): string {
  return `${bracket(hostIp)}:${hostPort}`
}

/** One line of `docker port`: `80/tcp -> 0.0.0.0:8080`. */
export function formatPublished(published: PublishedPort): string {
  return `${formatContainerPort(published)} -> ${formatHostAddress(published)}`
}

/** Docker's `-p` text of a request (without `allow`, which it can't say). Parses back to the same. */
export function formatPortRequest(request: PortRequest): string {
  const { hostIp, hostPort, hostPortEnd, containerPort, protocol } = request
  const host = `${hostPort ?? ''}${hostPortEnd === undefined ? '' : `-${hostPortEnd}`}`
  const address = hostIp === undefined ? '' : `${bracket(hostIp)}:`
  return `${address}${address || host ? `${host}:` : ''}${containerPort}/${protocol}`
}

/** Text of a selector. Parses back to the same. */
export function formatPortSelector(selector: PortSelector): string {
  const container = selector.containerPort === undefined ? '' : `:${selector.containerPort}`
  const host = `${selector.hostIp === undefined ? '' : `${bracket(selector.hostIp)}:`}${selector.hostPort}`
  return `${host}${container}/${selector.protocol}`
}

function bracket(hostIp: string): string {
  return hostIp.includes(':') ? `[${hostIp}]` : hostIp
}
