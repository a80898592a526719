/** MAC addresses for endpoints. */
import { isIPv4 } from 'node:net'
import { invalid } from '../errors.js'
import { randomHex } from '../random.js'
import { formatIp } from './cidr.js'

/**
 * Docker's default: `02:42:` and the IPv4 address, `172.17.0.2` → `02:42:ac:11:00:02`. An address that comes back
 * has the same MAC, so neighbours' ARP entries stay right.
 */
export function macOfIpv4(address: string): string {
  if (!isIPv4(address)) throw invalid('address', 'an IPv4 address', address)
  let mac = '02:42'
  for (const byte of address.split('.')) mac += `:${Number(byte).toString(16).padStart(2, '0')}`
  return mac
}

/** A random unicast MAC, marked as locally administered (IEEE 802: bit 1 of the first byte set, bit 0 clear). */
export function randomMac(): string {
  const digits = randomHex(6)
  const first = (Number.parseInt(digits.slice(0, 2), 16) & 0xfc) | 0x02
  return colons(first.toString(16).padStart(2, '0') + digits.slice(2))
}

/** The link-local address that the kernel makes from a MAC (RFC 4291, appendix A). */
export function linkLocalOf(mac: string): string {
  const own = BigInt(`0x${mac.replaceAll(':', '')}`)
  const identifier = ((own >> 24n) << 40n) | (0xfffen << 24n) | (own & 0xffffffn)
  return formatIp({ family: 6, value: (0xfe80n << 112n) | (identifier ^ (2n << 56n)) })
}

function colons(hex: string): string {
  return (hex.match(/../g) ?? []).join(':')
}
