import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { NetmodeError } from '../../lib/errors.js'
import { containsBlock, overlaps, parseCidr } from '../../lib/network/cidr.js'
import { chooseSubnet, defaultPools, explainSkipped, ulaPool } from '../../lib/network/pools.js'

const v4 = (taken: string[]) =>
  chooseSubnet({ family: 4, pools: defaultPools, taken: taken.map(cidr => ({ cidr, why: `route to ${cidr}` })) })

describe('Docker pools', () => {
  it.each([
    [[], '172.17.0.0/16'],
    [['172.17.0.0/16'], '172.18.0.0/16'],
    [['172.16.0.0/14', '172.20.5.0/24'], '172.21.0.0/16'],
    [['172.16.0.0/12'], '192.168.0.0/20'],
    [['172.16.0.0/12', '192.168.1.0/24', '192.168.16.0/20'], '192.168.32.0/20'],
  ])('beside %j the next one is %s', (taken, subnet) => {
    expect(v4(taken).subnet).toBe(subnet)
  })

  it('tells which were passed over and why', () => {
    const { skipped } = v4(['172.17.0.0/24', '172.16.0.0/13'])
    expect(explainSkipped(skipped.slice(0, 2))).toBe(
      '  172.17.0.0/16 overlaps 172.17.0.0/24 (route to 172.17.0.0/24)\n  172.18.0.0/16 overlaps 172.16.0.0/13 (route to 172.16.0.0/13)',
    )
  })

  it('explains every pool when all are taken', () => {
    const choose = () => v4(['172.16.0.0/12', '192.168.0.0/16'])
    expect(choose).toThrow(NetmodeError)
    expect(choose).toThrow(expect.objectContaining({ code: 'ERR_NETMODE_EXHAUSTED' }))
    expect(choose).toThrow(/172\.28\.0\.0\/16 overlaps 172\.16\.0\.0\/12 \(route to 172\.16\.0\.0\/12\)\n {2}192\.168\.0\.0\/20 overlaps/)
  })

  it('has no IPv6 of its own', () => {
    expect(() => chooseSubnet({ family: 6, pools: defaultPools, taken: [] })).toThrow('No free IPv6 subnet in the address pools')
  })

  it('never gives what overlaps, whatever is taken', () => {
    const taken = fc.array(
      fc
        .tuple(fc.integer({ min: 8, max: 32 }), fc.constantFrom(0xac10, 0xc0a8), fc.nat(0xffff), fc.nat(0xfffff))
        .map(([prefix, high, mid, low]) => {
          const value = (BigInt(high) << 16n) + BigInt((mid << 4) ^ low)
          const base = (value >> BigInt(32 - prefix)) << BigInt(32 - prefix)
          return `${[24n, 16n, 8n, 0n].map(shift => (base >> shift) & 255n).join('.')}/${prefix}`
        }),
      { maxLength: 40 },
    )
    fc.assert(
      fc.property(taken, blocks => {
        const chosen = (() => {
          try {
            return parseCidr(v4(blocks).subnet)
          } catch (error) {
            expect(error).toMatchObject({ code: 'ERR_NETMODE_EXHAUSTED' })
            return undefined
          }
        })()
        if (chosen) expect(blocks.some(block => overlaps(parseCidr(block), chosen))).toBe(false)
      }),
    )
  })
})

describe('other pools', () => {
  it('does not walk a huge pool', () => {
    const pools = [{ base: '10.0.0.0/8', size: 30 }]
    expect(chooseSubnet({ family: 4, pools, taken: [{ cidr: '10.0.0.0/9', why: 'vpn' }] })).toEqual({
      subnet: '10.128.0.0/30',
      skipped: [{ subnet: '10.0.0.0/30', cidr: '10.0.0.0/9', why: 'vpn' }],
    })
    const all = [{ cidr: '0.0.0.0/0', why: 'everything' }]
    expect(() => chooseSubnet({ family: 4, pools: [{ base: '255.0.0.0/8', size: 24 }], taken: all })).toThrow('No free IPv4 subnet')
  })

  it('makes a stable ULA /48 from a host id', () => {
    const pool = ulaPool('host-a')
    expect(pool).toEqual(ulaPool('host-a'))
    expect(pool.base).not.toBe(ulaPool('host-b').base)
    expect(pool.size).toBe(64)
    expect(parseCidr(pool.base).prefix).toBe(48)
    const { subnet } = chooseSubnet({ family: 6, pools: [pool], taken: [] })
    expect(containsBlock(parseCidr('fd00::/8'), parseCidr(subnet))).toBe(true)
    const second = chooseSubnet({ family: 6, pools: [pool], taken: [{ cidr: subnet, why: 'first' }] })
    expect(second.subnet).not.toBe(subnet)
    expect(parseCidr(second.subnet).prefix).toBe(64)
  })

  it('makes a valid ULA from any id', () => {
    fc.assert(fc.property(fc.string(), id => void expect(containsBlock(parseCidr('fd00::/8'), parseCidr(ulaPool(id).base))).toBe(true)))
  })
})
