/**
 * Rules, written once and read twice: each part knows how nft writes it and which expressions the kernel runs for it. What nft
 * puts in by itself (the check of the IP version before an address is read) is put in here too, so that both come out equal.
 */
import { endianness } from 'node:os'
import { bitsOf, parseIp } from '../network/cidr.js'
import type { Bytes, FibFlag, NftExpression, Register } from './expression.js'

export type IpVersion = 'ip' | 'ip6'

/** What is known of the packet at this place of the rule. */
export interface Known {
  version?: IpVersion
  /** A rule of the bridge family, where a packet's version is in its frame. */
  readonly bridge?: boolean
}

/** One part of a rule. */
export interface Part {
  /** As nft prints it. */
  readonly text: string
  readonly compile: (known: Known) => NftExpression[]
  /** It ends the rule and is no map's look-up: before it is where packets are counted. */
  readonly ends?: boolean
}

/** A property of a packet, to be compared or looked up. */
export interface Field {
  readonly text: string
  /** bytes */
  readonly size: number
  /** Only packets of this IP version have it. */
  readonly version?: IpVersion
  readonly load: (dreg: Register) => NftExpression
}

/** A rule's text and expressions, for `nft.rule.add`. */
export interface Rule {
  readonly text: string
  readonly expressions: readonly NftExpression[]
}

/**
 * Puts parts together. What decides about a packet is counted (for nanoseconds: each processor counts for itself); a translation by a map isn't,
 * because a counter can only stand before the look-up and would count what isn't found as well.
 */
export function rule(...parts: readonly Part[]): Rule {
  return new CompiledRule({}, parts)
}

/** The same for the bridge family. */
export function bridgeRule(...parts: readonly Part[]): Rule {
  return new CompiledRule({ bridge: true }, parts)
}

/** Compiled when it is first asked for: most processes find the table there and write none. */
class CompiledRule implements Rule {
  readonly #known: Known
  readonly #parts: readonly Part[]
  #expressions: readonly NftExpression[] | undefined

  constructor(known: Known, parts: readonly Part[]) {
    this.#known = known
    this.#parts = parts
  }

  get text(): string {
    return this.#counted.map(part => part.text).join(' ')
  }

  get expressions(): readonly NftExpression[] {
    this.#expressions ??= this.#counted.flatMap(part => part.compile(this.#known))
    return this.#expressions
  }

  get #counted(): readonly Part[] {
    return this.#parts.flatMap(part => (part.ends ? [counter, part] : [part]))
  }
}

const counter: Part = { text: 'counter', compile: () => [{ expr: 'counter' }] }

// ---------------------------------------------------------------------------------------------------- fields

const header = (text: string, version: IpVersion, offset: number, size: number): Field => ({
  text,
  size,
  version,
  load: dreg => ({ expr: 'payload', base: 'network', offset, length: size, dreg }),
})

export const iifname: Field = { text: 'iifname', size: 16, load: dreg => ({ expr: 'meta', key: 'iifname', dreg }) }
export const oifname: Field = { text: 'oifname', size: 16, load: dreg => ({ expr: 'meta', key: 'oifname', dreg }) }
/** What the link is: `veth`, `bridge`; nothing for one of hardware. */
export const iifkind: Field = { text: 'meta iifkind', size: 16, load: dreg => ({ expr: 'meta', key: 'iifkind', dreg }) }
export const l4proto: Field = { text: 'meta l4proto', size: 1, load: dreg => ({ expr: 'meta', key: 'l4proto', dreg }) }
export const ipSource = header('ip saddr', 'ip', 12, 4)
export const ipDestination = header('ip daddr', 'ip', 16, 4)
export const ip6Source = header('ip6 saddr', 'ip6', 8, 16)
export const ip6Destination = header('ip6 daddr', 'ip6', 24, 16)
/** The destination port of TCP, UDP and SCTP, which all have it at the same place. */
export const destinationPort = port('th dport', 2)
export const sourcePort = port('th sport', 0)

function port(text: string, offset: number): Field {
  return { text, size: 2, load: dreg => ({ expr: 'payload', base: 'transport', offset, length: 2, dreg }) }
}

// ---------------------------------------------------------------------------------------------------- matches

/** `iifname @bridges`, or of several fields `iifname . oifname @same`. */
export function inSet(fields: Field | readonly Field[], set: string): Part {
  return lookup([fields].flat(), set, false)
}

/** `oifname != @bridges`. */
export function notInSet(field: Field, set: string): Part {
  return lookup([field], set, true)
}

function lookup(fields: readonly Field[], set: string, invert: boolean): Part {
  return {
    text: `${join(fields)} ${invert ? '!= ' : ''}@${set}`,
    compile: known => [...loadAll(fields, known), { expr: 'lookup', set, sreg: 1, ...(invert && { invert }) }],
  }
}

/** `iifname "tap0"`. */
export function isDevice(field: Field, name: string): Part {
  return isValue(field, `"${name}"`, padded(name, field.size))
}

/** `FIELD TEXT`: the field's bytes are these. */
export function isValue(field: Field, text: string, data: Bytes): Part {
  return compare(field, 'eq', text, data)
}

/** `FIELD != TEXT`. */
export function isNotValue(field: Field, text: string, data: Bytes): Part {
  return compare(field, 'neq', text, data)
}

function compare(field: Field, op: 'eq' | 'neq', text: string, data: Bytes): Part {
  return {
    text: `${field.text} ${op === 'neq' ? '!= ' : ''}${text}`,
    compile: known => [...loadAll([field], known), { expr: 'cmp', op, sreg: 1, data }],
  }
}

/** `iifname != "lo"`. */
export function isNotDevice(field: Field, name: string): Part {
  return isNotValue(field, `"${name}"`, padded(name, field.size))
}

/** `ip saddr 192.0.2.1`, or any other but that. */
export function isAddress(field: Field, address: string, op: 'eq' | 'neq' = 'eq'): Part {
  return {
    text: `${field.text} ${op === 'neq' ? '!= ' : ''}${address}`,
    compile: known => [...loadAll([field], known), { expr: 'cmp', op, sreg: 1, data: bytesOf(address) }],
  }
}

/** `ip daddr 127.0.0.0/8`: an address by its first bytes; fewer than all make a prefix. */
export function startsWith(field: Field, text: string, bytes: Bytes): Part {
  return {
    text: `${field.text} ${text}`,
    compile: known => {
      const loads = loadAll([field], known).map(one => (one.expr === 'payload' ? { ...one, length: bytes.length } : one))
      return [...loads, { expr: 'cmp', op: 'eq', sreg: 1, data: bytes }]
    },
  }
}

/** `meta nfproto ipv4`. */
export function isVersion(version: IpVersion): Part {
  return {
    text: `meta nfproto ${version === 'ip' ? 'ipv4' : 'ipv6'}`,
    compile: known => {
      known.version = version
      return checkVersion(version, known)
    },
  }
}

// ip_conntrack_info and enum ip_conntrack_status of the kernel.
const states = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 } as const
const statuses = { 'seen-reply': 2, assured: 4, confirmed: 8, snat: 16, dnat: 32 } as const

/** `ct state established,related`: one of them. */
export function ctState(...names: readonly (keyof typeof states)[]): Part {
  const bits = names.reduce((sum, name) => sum | states[name], 0)
  return { text: `ct state ${names.join(',')}`, compile: () => anyBit({ expr: 'ct', key: 'state', dreg: 1 }, bits) }
}

/** `ct status dnat`. */
export function ctStatus(name: keyof typeof statuses): Part {
  return { text: `ct status ${name}`, compile: () => anyBit({ expr: 'ct', key: 'status', dreg: 1 }, statuses[name]) }
}

function anyBit(load: NftExpression, bits: number): NftExpression[] {
  return [
    load,
    { expr: 'bitwise', sreg: 1, dreg: 1, mask: hostInteger(bits), xor: hostInteger(0) },
    { expr: 'cmp', op: 'neq', sreg: 1, data: hostInteger(0) },
  ]
}

// enum rtn_type
const addressTypes = { unicast: 1, local: 2, broadcast: 3, multicast: 5 } as const

/** `fib daddr type local`. */
export function isAddressType(flag: FibFlag, type: keyof typeof addressTypes): Part {
  return addressType(flag, 'eq', type)
}

/** `fib daddr type != local`. */
export function isNotAddressType(flag: FibFlag, type: keyof typeof addressTypes): Part {
  return addressType(flag, 'neq', type)
}

function addressType(flag: FibFlag, op: 'eq' | 'neq', type: keyof typeof addressTypes): Part {
  return {
    text: `fib ${flag} type ${op === 'neq' ? '!= ' : ''}${type}`,
    compile: () => [
      { expr: 'fib', flags: [flag], result: 'type', dreg: 1 },
      { expr: 'cmp', op, sreg: 1, data: hostInteger(addressTypes[type]) },
    ],
  }
}

/** `fib saddr . iif oif 0`: no route leads to the source through the link that the packet came in by. */
export const hasNoWayBack: Part = {
  text: 'fib saddr . iif oif 0',
  compile: () => [
    { expr: 'fib', flags: ['saddr', 'iif'], result: 'oif', dreg: 1 },
    { expr: 'cmp', op: 'eq', sreg: 1, data: hostInteger(0) },
  ],
}

// ---------------------------------------------------------------------------------------------------- statements

export const accept = verdict('accept')
export const drop = verdict('drop')
/** `return`: back to the chain that jumped here. */
export const leave = verdict('return')
export const masquerade: Part = { text: 'masquerade', compile: () => [{ expr: 'masquerade' }], ends: true }

export function jump(chain: string): Part {
  return { text: `jump ${chain}`, compile: () => [{ expr: 'verdict', verdict: 'jump', chain }] }
}

/** `goto CHAIN`: at its end it goes on where this chain was jumped to from. */
export function goTo(chain: string): Part {
  return { text: `goto ${chain}`, compile: () => [{ expr: 'verdict', verdict: 'goto', chain }] }
}

function verdict(name: 'accept' | 'drop' | 'return'): Part {
  return { text: name, compile: () => [{ expr: 'verdict', verdict: name }], ends: true }
}

/** `dnat ip to 192.0.2.1`: to the same port there. */
export function dnatTo(version: IpVersion, address: string): Part {
  return {
    text: `dnat ${version} to ${address}`,
    compile: () => [
      { expr: 'immediate', dreg: 1, data: bytesOf(address) },
      { expr: 'nat', type: 'dnat', family: version, address: 1 },
    ],
  }
}

/** `dnat ip to FIELDS map @MAP`: the map's data are an address and a port. */
export function dnatByMap(version: IpVersion, fields: readonly Field[], map: string): Part {
  const address = version === 'ip' ? 4 : 16
  return {
    text: `dnat ${version} to ${join(fields)} map @${map}`,
    compile: known => [
      ...loadAll(fields, known),
      { expr: 'lookup', set: map, sreg: 1, dreg: 1 },
      { expr: 'nat', type: 'dnat', family: version, address: registerAt(0), port: registerAt(address) },
    ],
  }
}

/** `snat ip to ip saddr map @MAP`: the map's data are addresses. */
export function snatByMap(version: IpVersion, field: Field, map: string): Part {
  return {
    text: `snat ${version} to ${field.text} map @${map}`,
    compile: known => [
      ...loadAll([field], known),
      { expr: 'lookup', set: map, sreg: 1, dreg: 1 },
      { expr: 'nat', type: 'snat', family: version, address: registerAt(0) },
    ],
  }
}

// ---------------------------------------------------------------------------------------------------- registers

const join = (fields: readonly Field[]): string => fields.map(field => field.text).join(' . ')

/** The register that starts at this byte of the 64. The kernel names the multiples of 16 by their old numbers 1 to 4. */
function registerAt(byte: number): Register {
  return byte % 16 === 0 ? byte / 16 + 1 : byte / 4 + 8
}

/** Loads fields one behind the other, each at a multiple of 4 bytes, behind the check that they are there. */
function loadAll(fields: readonly Field[], known: Known): NftExpression[] {
  const version = fields.find(field => field.version)?.version
  const check = version && known.version !== version ? checkVersion(version, known) : []
  if (version) known.version = version
  let byte = 0
  const loads = fields.map(field => {
    const load = field.load(registerAt(byte))
    byte += Math.ceil(field.size / 4) * 4
    return load
  })
  return [...check, ...loads]
}

function checkVersion(version: IpVersion, { bridge = false }: Known): NftExpression[] {
  if (bridge) {
    return [
      { expr: 'meta', key: 'protocol', dreg: 1 },
      { expr: 'cmp', op: 'eq', sreg: 1, data: etherTypes[version] },
    ]
  }
  return [
    { expr: 'meta', key: 'nfproto', dreg: 1 },
    { expr: 'cmp', op: 'eq', sreg: 1, data: [version === 'ip' ? 2 : 10] },
  ]
}

/** What a frame says is in it, in network order. */
export const etherTypes = { ip: [0x08, 0x00], arp: [0x08, 0x06], ip6: [0x86, 0xdd] } as const satisfies Record<string, Bytes>

/** A 32-bit number as the kernel keeps its own. */
export function hostInteger(value: number): Bytes {
  const bytes = [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255]
  return endianness() === 'LE' ? bytes : bytes.reverse()
}

/** An address in network order. */
function bytesOf(address: string): Bytes {
  const { family, value } = parseIp(address)
  const size = bitsOf(family) / 8
  return Array.from({ length: size }, (_, i) => Number((value >> BigInt(8 * (size - 1 - i))) & 255n))
}

function padded(text: string, size: number): Bytes {
  return Array.from({ length: size }, (_, i) => text.charCodeAt(i) || 0)
}
