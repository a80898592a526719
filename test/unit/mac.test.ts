import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatIp } from '../../lib/network/cidr.js'
import { macOfIpv4, randomMac } from '../../lib/network/mac.js'
import { mac } from '../../lib/validate.js'

describe('macOfIpv4', () => {
  it.each([
    ['172.17.0.2', '02:42:ac:11:00:02'],
    ['0.0.0.1', '02:42:00:00:00:01'],
    ['255.255.255.254', '02:42:ff:ff:ff:fe'],
  ])('%s', (address, expected) => {
    expect(macOfIpv4(address)).toBe(expected)
  })

  it('refuses what is not IPv4', () => {
    expect(() => macOfIpv4('fd00::1')).toThrow('Expected an IPv4 address for address but received "fd00::1"')
  })

  it('is a MAC that an endpoint may have, a different one for each address', () => {
    const address = fc.bigInt(0n, 2n ** 32n - 1n).map(value => formatIp({ family: 4, value }))
    fc.assert(
      fc.property(address, address, (a, b) => {
        expect(mac(macOfIpv4(a), 'mac')).toBe(macOfIpv4(a))
        expect(macOfIpv4(a) === macOfIpv4(b)).toBe(a === b)
      }),
    )
  })
})

describe('randomMac', () => {
  it('is unicast, local, and never the same', () => {
    const all = Array.from({ length: 500 }, randomMac)
    expect(new Set(all).size).toBe(500)
    for (const one of all) {
      expect(mac(one, 'mac')).toBe(one)
      expect(Number.parseInt(one.slice(0, 2), 16) & 3).toBe(2)
    }
  })
})
