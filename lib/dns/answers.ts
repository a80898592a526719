/** What a question is answered, by who asks. */

import { contains, formatIp, networkOf, parseInterface, parseIp } from '../network/cidr.js'
import { withNames } from '../network/name-servers.js'
import type { EndpointRecord, SandboxRecord } from '../state/records.js'
import type { Directory, Member } from './directory.js'
import { type Answer, type Query, rcodes, reply, types } from './message.js'

/**
 * seconds. Docker says 600; but sandboxes come, go and take each other's addresses within seconds, and asking again costs next to
 * nothing.
 */
const timeToLive = 5

/** An answer of our own; `forward`: somebody outside may know. */
export type Verdict = { readonly answer: Buffer } | { readonly forward: true }

/** Names and addresses of those who share a network with the asker; all else is for others to answer, if there is a way to them. */
export function verdict(query: Query, asker: SandboxRecord, directory: Directory): Verdict {
  const own = query.type === types.ptr ? reverse(query, asker, directory) : forward(query, asker, directory)
  if (own !== undefined) return { answer: own }
  // On internal networks only: nothing leaves, not even a name.
  return leadsOutside(asker) ? { forward: true } : { answer: reply(query, rcodes.serverFailure) }
}

function leadsOutside({ endpoints }: SandboxRecord): boolean {
  return endpoints.some(({ ipv4, ipv6 }) => ipv4?.gateway !== undefined || ipv6?.gateway !== undefined)
}

/** `db`, or with its network `db.lan`. undefined: nobody is called so. */
function forward(query: Query, asker: SandboxRecord, directory: Directory): Buffer | undefined {
  const members = withNames(asker).flatMap(({ network, networkId }) => {
    const suffix = `.${network.toLowerCase()}`
    const within = query.name.endsWith(suffix) ? directory.members(networkId, query.name.slice(0, -suffix.length)) : []
    return [...directory.members(networkId, query.name), ...within]
  })
  return members.length === 0 ? undefined : reply(query, rcodes.noError, shuffled(addresses(query, members)))
}

/** None for a type that nobody has: the name is there all the same, which is not NXDOMAIN. */
function addresses(query: Query, members: readonly Member[]): Answer[] {
  const wants = (type: number) => query.type === type || query.type === types.any
  const all = members.flatMap(({ endpoint: { ipv4, ipv6 } }) => [
    ...(ipv4 && wants(types.a) ? [{ type: 'A', data: ipv4.address } as const] : []),
    ...(ipv6 && wants(types.aaaa) ? [{ type: 'AAAA', data: ipv6.address } as const] : []),
  ])
  const unique = new Map(all.map(one => [one.data, one]))
  return [...unique.values()].map(one => ({ name: query.name, ttl: timeToLive, ...one }))
}

/** Several of one alias share the work. */
function shuffled<T>(items: T[]): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1))
    ;[items[i], items[j]] = [items[j] as T, items[i] as T]
  }
  return items
}

/** `db.lan` for the address of db on lan. undefined: not an address of the asker's networks. */
function reverse(query: Query, asker: SandboxRecord, directory: Directory): Buffer | undefined {
  const address = reversed(query.name)
  if (address === undefined) return undefined
  for (const { networkId, network } of withNames(asker)) {
    const holder = directory.holder(networkId, address)
    if (holder === undefined) continue
    const data = `${holder.name}.${network}`
    return reply(query, rcodes.noError, [{ type: 'PTR', name: query.name, ttl: timeToLive, data }])
  }
  // Nobody outside knows better who has an address here.
  return withNames(asker).some(endpoint => isInside(endpoint, address)) ? reply(query, rcodes.noName) : undefined
}

function isInside({ ipv4, ipv6 }: EndpointRecord, address: string): boolean {
  const ip = parseIp(address)
  const own = ip.family === 4 ? ipv4 : ipv6
  return own !== undefined && contains(networkOf(parseInterface(`${own.address}/${own.prefix}`)), ip)
}

/** The address of a name below in-addr.arpa or ip6.arpa (RFC 1035, 3.5; RFC 3596, 2.5). */
function reversed(name: string): string | undefined {
  const four = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(name)
  const six = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name)?.[1]
  try {
    if (four) return formatIp(parseIp(four.slice(1).reverse().join('.')))
    if (six) return formatIp(parseIp((six.split('.').reverse().join('').match(/.{4}/g) ?? []).join(':')))
  } catch {
    // 999.0.0.10.in-addr.arpa
  }
  return undefined
}
