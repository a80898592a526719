/**
 * All guards. A guard takes a value and the name of the field it came from, and answers the value in its one
 * canonical form or throws ERR_NETMODE_INVALID_ARGUMENT naming that field. Nothing here trusts the value: no getter,
 * proxy trap, toString or inherited property of it is ever run.
 */
import { types } from 'node:util'
import type { Labels, NamespaceRef, Op } from '../contract.js'
import { invalid, show } from '../errors.js'
import { bitsOf, type Cidr, contains, type Family, formatCidr, formatIp, type Ip, parseCidr, parseIp } from '../network/cidr.js'

export type Guard<T> = (value: unknown, field: string) => T

/** An object without the keys whose value is undefined: those become optional. */
export type Present<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>
}

/** Drops the keys that are undefined, as exactOptionalPropertyTypes wants them. */
export function present<T extends object>(object: T): Present<T> {
  const kept: Record<string, unknown> = {}
  for (const key in object) if (object[key] !== undefined) kept[key] = object[key]
  return kept as Present<T>
}

/** The value of an own data property of whatever it is; undefined where there is none. For guesses: nothing has been checked. */
export function peek(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || types.isProxy(value)) return undefined
  return Object.getOwnPropertyDescriptor(value, key)?.value
}

// ---------------------------------------------------------------------------------------------------- JavaScript's own

export function string(value: unknown, field: string): string {
  if (typeof value !== 'string') throw invalid(field, 'a string', value)
  return value
}

export function boolean(value: unknown, field: string): boolean {
  if (typeof value !== 'boolean') throw invalid(field, 'true or false', value)
  return value
}

/** A whole number, both ends included; outside of them a RangeError. */
export function integer(min: number, max: number): Guard<number> {
  const expected = `a whole number from ${min} to ${max}`
  return (value, field) => {
    if (typeof value !== 'number') throw invalid(field, expected, value)
    if (!Number.isInteger(value) || value < min || value > max) throw invalid(field, expected, value, { range: true })
    return value
  }
}

export function oneOf<const T extends string>(...allowed: readonly T[]): Guard<T> {
  return (value, field) => {
    const found = allowed.find(one => one === value)
    if (found === undefined) throw invalid(field, `one of ${allowed.join(', ')}`, value)
    return found
  }
}

const longestArray = 65_536 // as many as there are ports; keeps a sparse array of length 4e9 from being walked

/** A copy, each element through `guard` as `field[i]`. */
export function array<T>(guard: Guard<T>): Guard<readonly T[]> {
  return (value, field) => {
    if (!Array.isArray(value) || types.isProxy(value)) throw invalid(field, 'an array', value)
    if (value.length > longestArray) throw invalid(field, `an array of at most ${longestArray} elements`, value.length, { range: true })
    const elements: T[] = []
    for (let i = 0; i < value.length; i++) {
      const path = `${field}[${i}]`
      elements.push(
        guard(
          plain(value, i, () => path),
          path,
        ),
      )
    }
    return elements
  }
}

/** The value of an own data property; a getter could answer something else each time, so it is refused. */
function plain(owner: object, key: string | number, path: () => string): unknown {
  const property = Object.getOwnPropertyDescriptor(owner, key)
  if (property?.get || property?.set) throw invalid(path(), 'a plain value', property.get ?? property.set)
  return property?.value
}

/** The fields of an object that passed {@link object}: each is read through a guard, under its full name. */
export class Fields<K extends string> {
  readonly #values: ReadonlyMap<string, unknown>
  readonly #field: string

  /** @internal */
  constructor(values: ReadonlyMap<string, unknown>, field: string) {
    this.#values = values
    this.#field = field
  }

  /** The full name of a key: `networks[0].ip`. */
  path(key: K): string {
    return this.#field === '' ? key : join(this.#field, key)
  }

  has(key: K): boolean {
    return this.#values.has(key)
  }

  /** The value as it came; undefined if absent. */
  raw(key: K): unknown {
    return this.#values.get(key)
  }

  required<T>(key: K, guard: Guard<T>): T {
    return guard(this.#values.get(key), this.path(key))
  }

  optional<T>(key: K, guard: Guard<T>): T | undefined {
    return this.has(key) ? this.required(key, guard) : undefined
  }
}

/** The full name of a key of an object: `dns[1]`, `options["a.b"]`. */
export function join(field: string, key: string): string {
  const step = /^[A-Za-z_$][\w$-]*$/.test(key) && key.length <= 80 ? key : `[${show(key)}]`
  return field === '' || step.startsWith('[') ? `${field}${step}` : `${field}.${step}`
}

/**
 * A plain object with no other keys than these; `field` is '' for the options of a call. A key whose value is
 * undefined counts as absent. Arrays, class instances, proxies, getters and symbol keys are refused.
 */
export function object<const K extends string>(value: unknown, field: string, allowed: readonly K[]): Fields<K> {
  const known: readonly string[] = allowed
  const values = new Map<string, unknown>()
  for (const [key, entry] of entries(value, field)) {
    if (!known.includes(key)) throw invalid(join(field, key), `a known key (${allowed.join(', ')})`, key)
    if (entry !== undefined) values.set(key, entry)
  }
  return new Fields<K>(values, field)
}

function entries(value: unknown, field: string): [string, unknown][] {
  const name = field === '' ? 'options' : field
  if (typeof value !== 'object' || value === null || !isPlain(value)) throw invalid(name, 'a plain object', value)
  return Reflect.ownKeys(value).map(key => {
    if (typeof key === 'symbol') throw invalid(name, 'an object without symbol keys', key)
    return [key, plain(value, key, () => join(field, key))]
  })
}

function isPlain(value: object): boolean {
  if (types.isProxy(value) || Array.isArray(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === null || prototype === Object.prototype) return true
  // Object.prototype of another realm is fine too.
  return !types.isProxy(prototype) && Object.getPrototypeOf(prototype) === null
}

/** What JSON can say, as a deep copy without the keys that are undefined: safe to hand to code that would run getters. */
export function plainData(value: unknown, field: string, depth = 8): unknown {
  if (typeof value === 'object' && value !== null) {
    if (depth === 0) throw invalid(field, 'data that is not nested so deeply', value)
    if (Array.isArray(value)) return array((one, at) => plainData(one, at, depth - 1))(value, field)
    const copy = entries(value, field).filter(([, one]) => one !== undefined)
    return Object.fromEntries(copy.map(([key, one]) => [key, plainData(one, join(field, key), depth - 1)]))
  }
  if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return value
  throw invalid(field, 'data that JSON can say', value)
}

// ---------------------------------------------------------------------------------------------------- names

function matching(pattern: RegExp, expected: string): Guard<string> {
  return (value, field) => {
    if (typeof value !== 'string' || !pattern.test(value)) throw invalid(field, expected, value)
    return value
  }
}

const name = '1 to 63 of A-Z a-z 0-9 _ . - that start with a letter or digit'

/** A path segment and a namespace's name for `ip netns`, so nothing that a shell or a path would read otherwise. */
export const sandboxName = matching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/, `a name (${name})`)

/** As {@link sandboxName}, but none of the modes that Docker's `--network` takes. */
export const networkName = matching(
  /^(?!(?:host|none)$)[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/,
  `a network's name (${name}, not host, none or container:…)`,
)

/** The kernel would also take quotes and expand `%d`: neither is wanted. */
export const ifname = matching(/^(?!\.{1,2}$)[A-Za-z0-9_.-]{1,15}$/, "an interface's name (1 to 15 of A-Z a-z 0-9 _ . -)")

/** A name for an interface to be made: not one that every namespace has, nor one that the kernel's sysctl folders keep for themselves. */
export const newIfname: Guard<string> = (value, field) => {
  const valid = ifname(value, field)
  if (['lo', 'all', 'default'].includes(valid)) throw invalid(field, "an interface's name other than lo, all and default", value)
  return valid
}

/** What a number is put behind to name an interface: `eth` for `eth0`. Room for 999 of them is left. */
export const ifnamePrefix = matching(
  /^[A-Za-z_][A-Za-z0-9_.-]{0,11}$/,
  'the beginning of interface names (1 to 12 of A-Z a-z 0-9 _ . -, not a digit first)',
)

const domain = /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$/

/** At most 64 characters: what the kernel's UTS namespace holds. */
export const hostname: Guard<string> = (value, field) => {
  if (typeof value !== 'string' || value.length > 64 || !domain.test(value)) {
    throw invalid(field, 'a host name (up to 64 of A-Z a-z 0-9 _ - in labels separated by dots)', value)
  }
  return value
}

/** A search domain; `.` stands for none, as `docker --dns-search .` */
export const searchDomain: Guard<string> = (value, field) => {
  if (typeof value !== 'string' || (value !== '.' && !domain.test(value.replace(/\.$/, '')))) throw invalid(field, 'a domain name', value)
  return value
}

/** An option of resolv.conf: `ndots:2`. */
export const dnsOption = matching(/^[a-z][a-z0-9-]{0,31}(:\d{1,5})?$/, 'an option of resolv.conf, such as ndots:2,')

/** Text of one line, 1 to 255 characters, without control characters. */
export const line = matching(/^[^\p{Cc}\p{Zl}\p{Zp}]{1,255}$/u, 'one line of 1 to 255 characters')

/** Name → text. */
export const labels: Guard<Labels> = (value, field) => {
  const pairs = entries(value, field).map(([key, text]): [string, string] => {
    const path = join(field, key)
    if (key === '__proto__') throw invalid(path, 'a key other than __proto__', key)
    line(key, path)
    return [key, text === '' ? '' : line(text, path)]
  })
  return Object.freeze(Object.fromEntries(pairs))
}

// ---------------------------------------------------------------------------------------------------- addresses

function addressOf(family: Family | undefined, expected: string): (value: unknown, field: string) => Ip {
  return (value, field) => {
    if (typeof value !== 'string') throw invalid(field, expected, value)
    try {
      const ip = parseIp(value, field)
      if (family === undefined || ip.family === family) return ip
    } catch {
      // said below, in the words of the family
    }
    throw invalid(field, expected, value)
  }
}

const anyIp = addressOf(undefined, 'an IPv4 or IPv6 address')
const ip4 = addressOf(4, 'an IPv4 address')
const ip6 = addressOf(6, 'an IPv6 address (without zone)')

const canonical =
  (guard: Guard<Ip>): Guard<string> =>
  (value, field) =>
    formatIp(guard(value, field))
export const ipv4 = canonical(ip4)
export const ipv6 = canonical(ip6)
/** Either family, canonical text. */
export const ip = canonical(anyIp)

const special: Readonly<Record<Family, readonly { readonly cidr: string; readonly what: string }[]>> = {
  4: [
    { cidr: '0.0.0.0/8', what: 'of "this network"' },
    { cidr: '127.0.0.0/8', what: 'a loopback address' },
    { cidr: '224.0.0.0/4', what: 'multicast' },
    { cidr: '255.255.255.255/32', what: 'the broadcast address' },
  ],
  6: [
    { cidr: '::/128', what: 'the unspecified address' },
    { cidr: '::1/128', what: 'the loopback address' },
    { cidr: '::ffff:0:0/96', what: 'an IPv4 address in IPv6 clothes' },
    { cidr: 'ff00::/8', what: 'multicast' },
  ],
}

/** Parsed when they are first asked for: Node's first look at an IPv6 address takes milliseconds, which an import should not. */
const specialBlocks: Partial<Record<Family, readonly { readonly block: Cidr; readonly what: string }[]>> = {}

/** Why an address can't be a host's own, or undefined if it can. */
function unusable(address: Ip): string | undefined {
  const { family } = address
  specialBlocks[family] ??= special[family].map(({ cidr, what }) => ({ what, block: parseCidr(cidr) }))
  return specialBlocks[family].find(({ block }) => contains(block, address))?.what
}

function host(guard: Guard<Ip>, expected: string): Guard<string> {
  return (value, field) => {
    const address = guard(value, field)
    const why = unusable(address)
    if (why) throw invalid(field, `${expected} that an interface can have (this one is ${why})`, value)
    return formatIp(address)
  }
}

/** An IPv4 address that an interface can have: not loopback, multicast or broadcast. */
export const hostIpv4 = host(ip4, 'an IPv4 address')
/** An IPv6 address that an interface can have. */
export const hostIpv6 = host(ip6, 'an IPv6 address')

/** An address of either family that an interface can have. */
export const hostIp = host(anyIp, 'an address')

/** An address to bind: a wildcard, a loopback or a host's own. */
export const bindIp: Guard<string> = (value, field) => {
  const text = ip(value, field)
  return text === '0.0.0.0' || text === '::' || text === '::1' || text.startsWith('127.') ? text : hostIp(text, field)
}

/** A block, canonical text; `10.0.0.0/24`, its host bits zero. */
export const cidr: Guard<string> = (value, field) => {
  if (typeof value !== 'string') throw invalid(field, 'a block of addresses in CIDR notation', value)
  return formatCidr(parseCidr(value, field))
}

/** A block or a single address, answered as a block: `10.0.0.7` → `10.0.0.7/32`. */
export const source: Guard<string> = (value, field) => {
  if (typeof value !== 'string' || value.includes('/')) return cidr(value, field)
  const address = anyIp(value, field)
  return formatCidr({ ...address, prefix: bitsOf(address.family) })
}

/** A unicast MAC address in lower case with colons; dashes are taken too. */
export const mac: Guard<string> = (value, field) => {
  const expected = 'a MAC address of six bytes, such as 02:42:ac:11:00:02,'
  if (typeof value !== 'string' || !/^[\da-f]{2}(:[\da-f]{2}){5}$|^[\da-f]{2}(-[\da-f]{2}){5}$/i.test(value))
    throw invalid(field, expected, value)
  const text = value.toLowerCase().replaceAll('-', ':')
  if (text === '00:00:00:00:00:00') throw invalid(field, 'a MAC address that is not all zero', value)
  // The lowest bit of the first byte is the group bit (IEEE 802).
  if (Number.parseInt(text.slice(0, 2), 16) & 1) throw invalid(field, 'a unicast MAC address (this one is multicast)', value)
  return text
}

/** An extra line for /etc/hosts. */
export interface AddHost {
  readonly name: string
  /** Canonical address, or `host-gateway`: the host as the sandbox sees it. */
  readonly ip: string
}

/** `name:ip`, as `docker --add-host`; IPv6 with or without brackets. */
export const addHost: Guard<AddHost> = (value, field) => {
  const [, host = '', address = ''] = /^([^:]*):(.*)$/.exec(string(value, field)) ?? []
  if (host === '' || address === '') throw invalid(field, 'name:ip', value)
  const bare = address.replace(/^\[(.*)\]$/, '$1')
  return { name: hostname(host, field), ip: bare === 'host-gateway' ? bare : ip(bare, field) }
}

// ---------------------------------------------------------------------------------------------------- the process's own

const pid = integer(1, 2 ** 22) // the kernel's PID_MAX_LIMIT
const fd = integer(0, 2 ** 31 - 1)

/** An absolute path without NUL, shorter than PATH_MAX. */
export const absolutePath: Guard<string> = (value, field) => {
  if (typeof value !== 'string' || !value.startsWith('/') || value.includes('\0') || Buffer.byteLength(value) > 4095) {
    throw invalid(field, 'an absolute path', value)
  }
  return value
}

export const namespaceRef: Guard<NamespaceRef> = (value, field) => {
  if (typeof value === 'string') return absolutePath(value, field)
  if (typeof value !== 'object' || value === null) throw invalid(field, 'an absolute path, { pid } or { fd }', value)
  const fields = object(value, field, ['pid', 'fd'])
  if (fields.has('pid') === fields.has('fd')) throw invalid(field, 'an absolute path, { pid } or { fd }', value)
  return fields.has('pid') ? { pid: fields.required('pid', pid) } : { fd: fields.required('fd', fd) }
}

export const signal: Guard<AbortSignal> = (value, field) => {
  if (types.isProxy(value) || !(value instanceof AbortSignal)) throw invalid(field, 'an AbortSignal', value)
  return value
}

/** The last parameter of a call that can wait; absent is fine. */
export function op(value: unknown, field = 'op'): Op {
  if (value === undefined) return {}
  return present({ signal: object(value, field, ['signal']).optional('signal', signal) })
}
