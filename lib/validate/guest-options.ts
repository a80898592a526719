/** The guest of a sandbox: options, checked and spelled out. */
import type { GuestOptions, TapOptions } from '../contract.js'
import { invalid } from '../errors.js'
import { contains, formatIp, networkOf, parseInterface, parseIp, usableOf } from '../network/cidr.js'
import { boolean, type Fields, type Guard, hostIpv4, integer, mac, newIfname, object, present } from './guards.js'

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
  readonly mac: string
  readonly gatewayMac: string
  readonly mtu: number
}

const tapKeys = ['owner', 'group', 'vnetHdr', 'multiQueue'] as const satisfies readonly (keyof TapOptions)[]
const guestKeys = ['address', 'tap', 'gateway', 'mac', 'gatewayMac', 'mtu', ...tapKeys] as const satisfies readonly (keyof GuestOptions)[]

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
  const { address, prefix, block } = fields.required('address', addressInBlock)
  const gateway = fields.optional('gateway', inBlock(block, address)) ?? otherThan(address, block)
  return {
    tap: fields.optional('tap', newIfname) ?? 'tap0',
    address,
    prefix,
    gateway,
    // What Firecracker's own guide gives to guests, so that their images can tell the address from it; and Docker's for the TAP.
    mac: fields.optional('mac', mac) ?? macFrom('06:00', address),
    gatewayMac: fields.optional('gatewayMac', mac) ?? macFrom('02:42', gateway),
    // 68: the least that IPv4 works with (RFC 791); 65,521: the most that a TAP takes.
    mtu: fields.optional('mtu', integer(68, 65_521)) ?? 1500,
    ...readTap(fields),
  }
}

const addressInBlock: Guard<{ address: string; prefix: number; block: ReturnType<typeof networkOf> }> = (value, field) => {
  if (typeof value !== 'string') throw invalid(field, "the guest's IPv4 address with a prefix length, such as 172.16.0.2/30,", value)
  const cidr = parseInterface(value, field)
  const address = hostIpv4(formatIp(cidr), field)
  if (cidr.prefix > 31) throw invalid(field, 'a prefix length of at most 31 (the gateway needs an address too)', value, { range: true })
  const block = networkOf(cidr)
  return { address: inBlock(block)(address, field), prefix: cidr.prefix, block }
}

/** An address that a host in the block can have. */
function inBlock(block: ReturnType<typeof networkOf>, other?: string): Guard<string> {
  return (value, field) => {
    const address = hostIpv4(value, field)
    const { first, last } = usableOf(block)
    const { value: number } = parseIp(address)
    if (!contains(block, parseIp(address)) || number < first.value || number > last.value)
      throw invalid(field, `an address from ${formatIp(first)} to ${formatIp(last)}`, value, { range: true })
    if (address === other) throw invalid(field, "another address than the guest's", value)
    return address
  }
}

function otherThan(address: string, block: ReturnType<typeof networkOf>): string {
  const { first, last } = usableOf(block)
  return formatIp(first) === address ? formatIp(block.prefix === 31 ? last : { ...first, value: first.value + 1n }) : formatIp(first)
}

function macFrom(prefix: string, address: string): string {
  const bytes = address.split('.').map(byte => Number(byte).toString(16).padStart(2, '0'))
  return [prefix, ...bytes].join(':')
}
