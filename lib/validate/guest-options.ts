/** The guest of a sandbox: options, checked and spelled out. */
import type { Address, GuestOptions, TapOptions } from '../contract.js'
import { invalid } from '../errors.js'
import { bitsOf, type Cidr, contains, formatIp, networkOf, parseInterface, parseIp, usableOf } from '../network/cidr.js'
import { boolean, type Fields, type Guard, hostIpv4, hostIpv6, integer, mac, newIfname, object, present } from './guards.js'

/** A TAP, ready to be made. */
export interface ValidTap {
  readonly owner?: number
  readonly group?: number
  readonly vnetHdr: boolean
  readonly multiQueue: boolean
}

export interface ValidGuest extends ValidTap {
  readonly tap: string
  readonly address: string
  readonly prefix: number
  readonly gateway: string
  readonly ipv6?: Required<Address>
  readonly mac: string
  readonly gatewayMac: string
  readonly mtu: number
}

const tapKeys = ['owner', 'group', 'vnetHdr', 'multiQueue'] as const satisfies readonly (keyof TapOptions)[]
const guestKeys = [
  'address',
  'address6',
  'tap',
  'gateway',
  'gateway6',
  'mac',
  'gatewayMac',
  'mtu',
  ...tapKeys,
] as const satisfies readonly (keyof GuestOptions)[]

// 2^32 - 1 is no id: the kernel takes it for "nobody in particular".
const id = integer(0, 2 ** 32 - 2)

function readTap(fields: Fields<(typeof tapKeys)[number]>): ValidTap {
  return present({
    owner: fields.optional('owner', id),
    group: fields.optional('group', id),
    vnetHdr: fields.optional('vnetHdr', boolean) ?? false,
    multiQueue: fields.optional('multiQueue', boolean) ?? false,
  })
}

/** How a TAP is to be made. */
export const tapOptions: Guard<ValidTap> = (value, field) => readTap(object(value, field, tapKeys))

/** What a guest and its TAP are to be. */
export const guestOptions: Guard<ValidGuest> = (value, field) => {
  const fields = object(value, field, guestKeys)
  const { address, prefix, block } = fields.required('address', inOwnBlock(hostIpv4, '172.16.0.2/30'))
  const gateway = fields.optional('gateway', inBlock(hostIpv4, block, address)) ?? otherThan(address, block)
  const ipv6 = readIpv6(fields)
  return {
    tap: fields.optional('tap', newIfname) ?? 'tap0',
    address,
    prefix,
    gateway,
    ...(ipv6 && { ipv6 }),
    // What Firecracker's own guide gives to guests, so that their images can tell the address from it; and Docker's for the TAP.
    mac: fields.optional('mac', mac) ?? macFrom('06:00', address),
    gatewayMac: fields.optional('gatewayMac', mac) ?? macFrom('02:42', gateway),
    // 68, 1280: the least that IPv4 and IPv6 work with (RFC 791, RFC 8200); 65,521: the most that a TAP takes.
    mtu: fields.optional('mtu', integer(ipv6 ? 1280 : 68, 65_521)) ?? 1500,
    ...readTap(fields),
  }
}

function readIpv6(fields: Fields<(typeof guestKeys)[number]>): Required<Address> | undefined {
  const own = fields.optional('address6', inOwnBlock(wideIpv6, 'fd00::2/126'))
  if (own === undefined) {
    if (fields.has('gateway6')) throw invalid(fields.path('gateway6'), 'no value without address6', fields.raw('gateway6'))
    return undefined
  }
  const { address, prefix, block } = own
  return { address, prefix, gateway: fields.optional('gateway6', inBlock(wideIpv6, block, address)) ?? otherThan(address, block) }
}

/** Link-local ones the guest has anyway, and nothing is forwarded to them. */
const wideIpv6: Guard<string> = (value, field) => {
  const address = hostIpv6(value, field)
  if (/^fe[89ab]/.test(address)) throw invalid(field, 'an IPv6 address that is not link-local', value)
  return address
}

interface InBlock {
  readonly address: string
  readonly prefix: number
  readonly block: Cidr
}

/** An address with its prefix length, for a guest and its gateway at least. */
function inOwnBlock(host: Guard<string>, example: string): Guard<InBlock> {
  return (value, field) => {
    if (typeof value !== 'string') throw invalid(field, `the guest's address with a prefix length, such as ${example},`, value)
    const cidr = parseInterface(value, field)
    const address = host(formatIp(cidr), field)
    const longest = bitsOf(cidr.family) - 1
    if (cidr.prefix > longest)
      throw invalid(field, `a prefix length of at most ${longest} (the gateway needs an address too)`, value, { range: true })
    const block = networkOf(cidr)
    return { address: inBlock(host, block)(address, field), prefix: cidr.prefix, block }
  }
}

/** An address that a host in the block can have. */
function inBlock(host: Guard<string>, block: Cidr, other?: string): Guard<string> {
  return (value, field) => {
    const address = host(value, field)
    const { first, last } = usableOf(block)
    const { value: number } = parseIp(address)
    if (!contains(block, parseIp(address)) || number < first.value || number > last.value)
      throw invalid(field, `an address from ${formatIp(first)} to ${formatIp(last)}`, value, { range: true })
    if (address === other) throw invalid(field, "another address than the guest's", value)
    return address
  }
}

function otherThan(address: string, block: Cidr): string {
  const { first } = usableOf(block)
  return formatIp(formatIp(first) === address ? { ...first, value: first.value + 1n } : first)
}

function macFrom(prefix: string, address: string): string {
  const bytes = address.split('.').map(byte => Number(byte).toString(16).padStart(2, '0'))
  return [prefix, ...bytes].join(':')
}
