/** IPv4 and IPv6 addresses and blocks as numbers: parse, print, compare. Pure. */
import { isIPv4, isIPv6, SocketAddress } from 'node:net'
import ipaddr from 'ipaddr.js'
import { invalid } from '../errors.js'

export type Family = 4 | 6
export interface Ip {
  readonly family: Family
  readonly value: bigint
}
/** A block: `value` is its first address. From {@link parseInterface}, an address within it. */
export interface Cidr extends Ip {
  /** prefix bits */
  readonly prefix: number
}

/** 32 or 128. */
export function bitsOf(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128
}

/** Strict: no octal or short IPv4, no zone. Throws ERR_NETMODE_INVALID_ARGUMENT for `field`. */
export function parseIp(text: string, field = 'address'): Ip {
  const ip = readIp(text)
  if (!ip) throw invalid(field, 'an IP address', text)
  return ip
}

function readIp(text: string): Ip | undefined {
  if (isIPv4(text)) return { family: 4, value: fromBytes(text.split('.').map(Number)) }
  // A zone names an interface, which means nothing in another namespace.
  if (isIPv6(text) && !text.includes('%')) return { family: 6, value: fromBytes(ipaddr.IPv6.parse(hexadecimal(text)).toByteArray()) }
  return undefined
}

/** `::1.2.3.4` → `::102:304`: ipaddr.js would take it for `::ffff:1.2.3.4`, which is another address. */
function hexadecimal(text: string): string {
  return text.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...bytes: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = bytes.map(Number)
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
  })
}

function fromBytes(bytes: readonly number[]): bigint {
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n)
}

/** The one canonical text, as inet_ntop prints it (RFC 5952), so that it compares equal to what the kernel side answers. */
export function formatIp(ip: Ip): string {
  if (ip.family === 4) {
    const value = Number(ip.value)
    return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`
  }
  const groups = ip.value.toString(16).padStart(32, '0').match(/..../g) ?? []
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address
}

/** `10.0.0.0/24`; bits after the prefix must be zero. Throws ERR_NETMODE_INVALID_ARGUMENT for `field`. */
export function parseCidr(text: string, field = 'cidr'): Cidr {
  const cidr = parseInterface(text, field)
  const network = networkOf(cidr)
  if (network.value !== cidr.value) throw invalid(field, `the first address of the block (${formatCidr(network)})`, text)
  return cidr
}

/** An address with the prefix of its network, as `ip addr` takes it: `10.0.0.1/24`. Throws ERR_NETMODE_INVALID_ARGUMENT for `field`. */
export function parseInterface(text: string, field = 'cidr'): Cidr {
  const [, address = '', digits = ''] = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text) ?? []
  const ip = readIp(address)
  if (!ip) throw invalid(field, 'an address with a prefix length, such as 10.0.0.0/24,', text)
  const prefix = Number(digits)
  if (prefix > bitsOf(ip.family)) throw invalid(field, `a prefix length of 0 to ${bitsOf(ip.family)}`, text, { range: true })
  return { prefix, ...ip }
}

export function formatCidr(cidr: Cidr): string {
  return `${formatIp(cidr)}/${cidr.prefix}`
}

function hostBits(cidr: Cidr): bigint {
  return BigInt(bitsOf(cidr.family) - cidr.prefix)
}

/** The block that an interface address lies in: `10.0.0.7/24` → `10.0.0.0/24`. */
export function networkOf(cidr: Cidr): Cidr {
  const bits = hostBits(cidr)
  return { family: cidr.family, prefix: cidr.prefix, value: (cidr.value >> bits) << bits }
}

/** How many addresses a block has, network and broadcast included. */
export function sizeOf(cidr: Cidr): bigint {
  return 1n << hostBits(cidr)
}

/** The nth address of a block (0 is the first). Throws ERR_NETMODE_INVALID_ARGUMENT outside of it. */
export function nth(cidr: Cidr, n: bigint): Ip {
  if (n < 0n || n >= sizeOf(cidr)) throw invalid('n', `0 to ${sizeOf(cidr) - 1n}`, n, { range: true })
  return { family: cidr.family, value: networkOf(cidr).value + n }
}

/** The first address: IPv4's network address, IPv6's subnet-router anycast. */
export function firstOf(cidr: Cidr): Ip {
  return nth(cidr, 0n)
}

/** The last address: IPv4's broadcast address. */
export function lastOf(cidr: Cidr): Ip {
  return nth(cidr, sizeOf(cidr) - 1n)
}

/**
 * What may be given to hosts, both ends included: without network and broadcast address in IPv4, without the first in
 * IPv6; blocks of one or two addresses are used whole (RFC 3021, RFC 6164).
 */
export function usableOf(cidr: Cidr): { readonly first: Ip; readonly last: Ip } {
  if (hostBits(cidr) <= 1n) return { first: firstOf(cidr), last: lastOf(cidr) }
  return { first: nth(cidr, 1n), last: cidr.family === 4 ? nth(cidr, sizeOf(cidr) - 2n) : lastOf(cidr) }
}

/** Docker's default gateway: the first usable address. */
export function gatewayOf(cidr: Cidr): Ip {
  return usableOf(cidr).first
}

/** Is the address in the block? */
export function contains(cidr: Cidr, ip: Ip): boolean {
  return ip.family === cidr.family && ip.value >> hostBits(cidr) === cidr.value >> hostBits(cidr)
}

/** Is the whole of `inner` in `outer`? Equal counts. */
export function containsBlock(outer: Cidr, inner: Cidr): boolean {
  return inner.prefix >= outer.prefix && contains(outer, inner)
}

export function overlaps(a: Cidr, b: Cidr): boolean {
  return containsBlock(a, b) || containsBlock(b, a)
}

// Short forms for text that was checked before, such as a record's.

/** Family of `10.0.0.0/8` or `10.0.0.1`. */
export function familyOf(text: string): Family {
  return text.includes(':') ? 6 : 4
}

/** Prefix bits of `10.0.0.0/8`. */
export function prefixOf(text: string): number {
  return Number(text.slice(text.indexOf('/') + 1))
}

/** The broadcast address of an IPv4 block given as text; undefined where there is none (IPv6, /31, /32). */
export function broadcastOf(text: string): string | undefined {
  const block = networkOf(parseInterface(text))
  return block.family === 4 && block.prefix < 31 ? formatIp(lastOf(block)) : undefined
}
