import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Addresses } from '../../lib/network/addresses.js'
import { contains, formatIp, parseCidr, parseIp, usableOf } from '../../lib/network/cidr.js'

const take = (from: Addresses, count: number) => Array.from({ length: count }, () => from.take())

describe('Addresses', () => {
  it('gives one after the other, without network, broadcast and gateway', () => {
    const addresses = new Addresses({ subnet: '10.0.0.0/29', reserved: { '10.0.0.1': 'gateway' } })
    expect(addresses.free).toBe(5n)
    expect(take(addresses, 5)).toEqual(['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6'])
    expect(() => addresses.take()).toThrow(expect.objectContaining({ code: 'ERR_NETMODE_EXHAUSTED' }))
    expect(() => addresses.take()).toThrow('No free address left in 10.0.0.1-10.0.0.6: 5 in use, 1 reserved')
  })

  it('goes on after the last one given before it reuses one', () => {
    const addresses = new Addresses({ subnet: '10.0.0.0/29' })
    expect(take(addresses, 3)).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3'])
    expect(addresses.release('10.0.0.2')).toBe(true)
    expect(take(addresses, 4)).toEqual(['10.0.0.4', '10.0.0.5', '10.0.0.6', '10.0.0.2'])
  })

  it('takes a preferred address once', () => {
    const addresses = new Addresses({ subnet: '10.0.0.0/24', reserved: { '10.0.0.9': 'printer' } })
    expect(addresses.take('10.0.0.77')).toBe('10.0.0.77')
    expect(() => addresses.take('10.0.0.77')).toThrow(expect.objectContaining({ code: 'ERR_NETMODE_ADDRESS_IN_USE', subject: '10.0.0.77' }))
    expect(() => addresses.take('10.0.0.9')).toThrow(expect.objectContaining({ code: 'ERR_NETMODE_ADDRESS_IN_USE', holder: 'printer' }))
    expect(addresses.take()).toBe('10.0.0.1')
  })

  it.each(['10.0.1.1', '10.0.0.0', '10.0.0.255', 'fd00::1'])('refuses %s, which no host can have here', address => {
    const addresses = new Addresses({ subnet: '10.0.0.0/24' })
    expect(() => addresses.take(address)).toThrow('Expected an address from 10.0.0.1 to 10.0.0.254 for address but received')
  })

  it('stays in the range unless asked otherwise', () => {
    const addresses = new Addresses({ subnet: '10.0.0.0/16', range: '10.0.5.0/30' })
    expect(addresses.free).toBe(4n)
    expect(take(addresses, 4)).toEqual(['10.0.5.0', '10.0.5.1', '10.0.5.2', '10.0.5.3'])
    expect(() => addresses.take()).toThrow('No free address left')
    expect(addresses.take('10.0.9.9')).toBe('10.0.9.9')
    expect([addresses.used, addresses.free]).toEqual([5, 0n])
  })

  it('cuts network and broadcast address off a range that has them', () => {
    expect(new Addresses({ subnet: '10.0.0.0/24', range: '10.0.0.0/30' }).free).toBe(3n)
    expect(new Addresses({ subnet: '10.0.0.0/24', range: '10.0.0.252/30' }).free).toBe(3n)
  })

  it('uses both addresses of a /31 and the one of a /32', () => {
    expect(take(new Addresses({ subnet: '10.0.0.0/31' }), 2)).toEqual(['10.0.0.0', '10.0.0.1'])
    expect(take(new Addresses({ subnet: '10.0.0.9/32' }), 1)).toEqual(['10.0.0.9'])
  })

  it('has a /64', () => {
    const addresses = new Addresses({ subnet: 'fd00::/64', reserved: { 'fd00::1': 'gateway' } })
    expect(addresses.free).toBe(2n ** 64n - 2n)
    expect(addresses.take()).toBe('fd00::2')
    expect(addresses.take('fd00::ffff:ffff:ffff:ffff')).toBe('fd00::ffff:ffff:ffff:ffff')
    expect(addresses.take()).toBe('fd00::3')
    expect([addresses.used, addresses.free]).toEqual([3, 2n ** 64n - 5n])
  })

  it('marks and releases by any spelling, and says whether it changed anything', () => {
    const addresses = new Addresses({ subnet: 'fd00::/64', reserved: { 'fd00::1': 'gateway' } })
    expect(addresses.mark('FD00:0::2')).toBe(true)
    expect(addresses.mark('fd00::2')).toBe(false)
    expect(addresses.has('fd00::2')).toBe(true)
    expect(addresses.release('fd00::2')).toBe(true)
    expect(addresses.release('fd00::2')).toBe(false)
    expect(addresses.release('fd00::1')).toBe(false)
    expect(addresses.has('fd00::1')).toBe(true)
  })

  it('fills a /16 and finds the one hole that is left', () => {
    const addresses = new Addresses({ subnet: '172.17.0.0/16' })
    expect(new Set(take(addresses, 65_534)).size).toBe(65_534)
    expect(addresses.free).toBe(0n)
    addresses.release('172.17.200.31')
    expect(addresses.take()).toBe('172.17.200.31')
  })

  it('behaves as a plain list of free addresses would', () => {
    const command = fc.oneof(
      fc.constant({ verb: 'take' as const }),
      fc.record({ verb: fc.constantFrom('mark' as const, 'release' as const), nth: fc.nat(61) }),
    )
    fc.assert(
      fc.property(fc.constantFrom('10.0.0.0/26', 'fd00::/122'), fc.array(command, { maxLength: 200 }), (subnet, commands) => {
        const { first } = usableOf(parseCidr(subnet))
        const addresses = new Addresses({ subnet })
        const held = new Set<string>()
        for (const one of commands) {
          if (one.verb === 'take') {
            if (addresses.free === 0n) continue
            const given = addresses.take()
            expect(contains(parseCidr(subnet), parseIp(given))).toBe(true)
            expect(held.has(given)).toBe(false)
            held.add(given)
          } else {
            const address = formatIp({ ...first, value: first.value + BigInt(one.nth) })
            const changed = one.verb === 'mark' ? !held.has(address) : held.has(address)
            expect(addresses[one.verb](address)).toBe(changed)
            if (one.verb === 'mark') held.add(address)
            else held.delete(address)
          }
          expect(addresses.used).toBe(held.size)
        }
      }),
    )
  })
})
