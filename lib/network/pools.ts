/** Which subnet a network gets when none was asked for. Pure. */
import { createHash } from 'node:crypto'
import { fail } from '../errors.js'
import { bitsOf, type Cidr, containsBlock, type Family, formatCidr, overlaps, parseCidr, sizeOf } from './cidr.js'

/** One of daemon.json's `default-address-pools`: `base` is cut into subnets of `size` prefix bits. */
export interface Pool {
  readonly base: string
  readonly size: number
}

/** Docker's own. */
export const defaultPools: readonly Pool[] = [
  { base: '172.17.0.0/16', size: 16 },
  { base: '172.18.0.0/16', size: 16 },
  { base: '172.19.0.0/16', size: 16 },
  { base: '172.20.0.0/14', size: 16 },
  { base: '172.24.0.0/14', size: 16 },
  { base: '172.28.0.0/14', size: 16 },
  { base: '192.168.0.0/16', size: 20 },
]

/** The IPv6 pool of a host: a ULA /48 (RFC 4193: fd00::/8 and 40 bits, here hashed from the host's id) in /64s. */
export function ulaPool(hostId: string): Pool {
  const bits = createHash('sha256').update('netmode ula ').update(hostId).digest('hex').slice(0, 10)
  return { base: formatCidr(parseCidr(`fd${bits.slice(0, 2)}:${bits.slice(2, 6)}:${bits.slice(6, 10)}::/48`)), size: 64 }
}

/** A block that is in use, and what by: `{ cidr: '10.8.0.0/16', why: 'a route through tun0' }`. */
export interface Taken {
  readonly cidr: string
  readonly why: string
  /** The link that a route leads through. */
  readonly device?: string
}

/** A subnet that was passed over. */
export interface Skipped extends Taken {
  /** The first candidate that it ruled out. */
  readonly subnet: string
}

export interface SubnetChoice {
  readonly subnet: string
  readonly skipped: readonly Skipped[]
}

/**
 * The first subnet of the pools that overlaps nothing taken. Only pools of `family` count. The work grows with what is
 * taken, not with the size of the pools. Throws ERR_NETMODE_EXHAUSTED that tells why each candidate was passed over.
 */
export function chooseSubnet(options: {
  readonly family: Family
  readonly pools: readonly Pool[]
  readonly taken: readonly Taken[]
}): SubnetChoice {
  const taken = options.taken.map(one => ({ ...one, block: parseCidr(one.cidr) }))
  const skipped: Skipped[] = []
  for (const pool of options.pools) {
    const base = parseCidr(pool.base)
    if (base.family !== options.family) continue
    let candidate: Cidr = { ...base, prefix: pool.size }
    while (containsBlock(base, candidate)) {
      const subnet = formatCidr(candidate)
      const obstacle = taken.find(one => overlaps(one.block, candidate))
      if (!obstacle) return { subnet, skipped }
      skipped.push({ subnet, cidr: obstacle.cidr, why: obstacle.why })
      // The next candidate is the first one past the obstacle.
      const wider = obstacle.block.prefix < candidate.prefix ? obstacle.block : candidate
      candidate = { ...candidate, value: wider.value + sizeOf(wider) }
      if (candidate.value >> BigInt(bitsOf(base.family)) !== 0n) break
    }
  }
  const message = `No free IPv${options.family} subnet in the address pools${skipped.length > 0 ? `:\n${explainSkipped(skipped)}` : ''}`
  throw fail('EXHAUSTED', message, { subject: options.pools.map(pool => pool.base).join(', ') })
}

const linesShown = 40

/** A line for each subnet passed over: `172.17.0.0/16 overlaps 172.17.0.0/16 (a route through docker0)`. */
export function explainSkipped(skipped: readonly Skipped[]): string {
  const lines = skipped.slice(0, linesShown).map(({ subnet, cidr, why }) => `  ${subnet} overlaps ${cidr} (${why})`)
  if (skipped.length > linesShown) lines.push(`  and ${skipped.length - linesShown} more`)
  return lines.join('\n')
}
