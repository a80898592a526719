/** How many addresses of a subnet are leased, and how many could still be. Pure. */
import type { SubnetRecord } from '../state/records.js'
import { Addresses } from './addresses.js'
import { contains, parseCidr, parseIp } from './cidr.js'

export interface LeaseUse {
  readonly used: number
  /** Leased, reserved, or no host's: network, broadcast, gateway. */
  readonly taken: number
  /** That are given without being asked for by name. Exact up to 2^53. */
  readonly free: number
}

/** `leases`: all of the network, of whatever subnet. */
export function leaseUse({ subnet, gateway, range, reserved = {} }: SubnetRecord, leases: readonly string[]): LeaseUse {
  const kept = Object.fromEntries([gateway, ...Object.values(reserved)].map(address => [address, 'reserved']))
  const addresses = new Addresses({ subnet, reserved: kept, ...(range !== undefined && { range }) })
  const cidr = parseCidr(subnet)
  for (const lease of leases) if (contains(cidr, parseIp(lease)) && !addresses.has(lease)) addresses.mark(lease)
  const whole = new Addresses({ subnet, reserved: kept })
  const idle = (1n << BigInt((cidr.family === 4 ? 32 : 128) - cidr.prefix)) - whole.free
  return { used: addresses.used, taken: addresses.used + Number(idle), free: Number(addresses.free) }
}
