import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isNetmodeError } from '../../lib/errors.js'
import {
  broadcastOf,
  contains,
  containsBlock,
  firstOf,
  formatCidr,
  formatIp,
  gatewayOf,
  lastOf,
  networkOf,
  nth,
  overlaps,
  parseCidr,
  parseInterface,
  parseIp,
  prefixOf,
  sizeOf,
  usableOf,
} from '../../lib/network/cidr.js'

const anyIp = fc.oneof(
  fc.bigInt(0n, 2n ** 32n - 1n).map(value => ({ family: 4 as const, value })),
  fc.bigInt(0n, 2n ** 128n - 1n).map(value => ({ family: 6 as const, value })),
)
const anyCidr = fc.tuple(anyIp, fc.nat(128)).map(([ip, n]) => networkOf({ ...ip, prefix: n % (ip.family === 4 ? 33 : 129) }))

describe('addresses', () => {
  it.each([
    ['10.0.0.1', 4, 0x0a000001n, '10.0.0.1'],
    ['0.0.0.0', 4, 0n, '0.0.0.0'],
    ['::', 6, 0n, '::'],
    ['FD00:0:0::0001', 6, (0xfd00n << 112n) | 1n, 'fd00::1'],
    // RFC 5952: of two equally long runs of zeros the first is cut, a single zero never.
    ['1:0:0:2:0:0:3:4', 6, undefined, '1::2:0:0:3:4'],
    ['0:0:1:0:0:1:1:1', 6, undefined, '::1:0:0:1:1:1'],
    ['1:0:2:3:4:5:6:7', 6, undefined, '1:0:2:3:4:5:6:7'],
    ['::ffff:1.2.3.4', 6, 0xffff01020304n, '::ffff:1.2.3.4'],
    ['::1.2.3.4', 6, 0x01020304n, '::1.2.3.4'],
    ['64:ff9b::1.2.3.4', 6, (0x64ff9bn << 96n) | 0x01020304n, '64:ff9b::102:304'],
  ])('%s', (text, family, value, canonical) => {
    const ip = parseIp(text)
    expect(ip.family).toBe(family)
    if (value !== undefined) expect(ip.value).toBe(value)
    expect(formatIp(ip)).toBe(canonical)
  })

  it.each([
    '',
    '1.2.3',
    '01.2.3.4',
    '0x7f.0.0.1',
    '1.2.3.4.5',
    '256.0.0.1',
    'fe80::1%eth0',
    '::g',
    ' 1.2.3.4',
    '1.2.3.4\n',
    '[::1]',
    '1.2.3.4/8',
  ])('refuses %o', text => {
    expect(() => parseIp(text, 'ip6')).toThrow(expect.objectContaining({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'ip6' }))
  })

  it('come back from their text, and their text is canonical', () => {
    fc.assert(fc.property(anyIp, ip => void expect(parseIp(formatIp(ip))).toEqual(ip)))
  })
})

describe('blocks', () => {
  it('has network, broadcast, gateway and size', () => {
    const block = parseCidr('172.17.0.0/16')
    expect(formatIp(firstOf(block))).toBe('172.17.0.0')
    expect(formatIp(lastOf(block))).toBe('172.17.255.255')
    expect(formatIp(gatewayOf(block))).toBe('172.17.0.1')
    expect(sizeOf(block)).toBe(65536n)
    expect(formatIp(nth(block, 258n))).toBe('172.17.1.2')
  })

  it.each([
    ['10.0.0.0/24', '10.0.0.1', '10.0.0.254', '10.0.0.255'],
    ['10.0.0.0/30', '10.0.0.1', '10.0.0.2', '10.0.0.3'],
    ['10.0.0.0/31', '10.0.0.0', '10.0.0.1', undefined],
    ['10.0.0.7/32', '10.0.0.7', '10.0.0.7', undefined],
    ['fd00::/64', 'fd00::1', 'fd00::ffff:ffff:ffff:ffff', undefined],
    ['fd00::/127', 'fd00::', 'fd00::1', undefined],
  ])('%s may give %s to %s', (text, first, last, broadcast) => {
    const usable = usableOf(parseCidr(text))
    expect([formatIp(usable.first), formatIp(usable.last)]).toEqual([first, last])
    expect(broadcastOf(text)).toBe(broadcast)
  })

  it('names the block that was meant when host bits are set', () => {
    expect(() => parseCidr('10.0.0.5/24', 'subnet')).toThrow(
      'Expected the first address of the block (10.0.0.0/24) for subnet but received "10.0.0.5/24"',
    )
    expect(formatCidr(parseInterface('10.0.0.5/24'))).toBe('10.0.0.5/24')
    expect(prefixOf('10.0.0.5/24')).toBe(24)
  })

  it.each(['10.0.0.0', '10.0.0.0/', '10.0.0.0/024', '10.0.0.0/24/1', '10.0.0.0/-1', '/24', '10.0.0.0/1e1', 'x/8'])('refuses %o', text => {
    expect(() => parseCidr(text)).toThrow(TypeError)
  })

  it.each(['10.0.0.0/33', '::/129', '10.0.0.0/999'])('%s is out of range', text => {
    expect(() => parseCidr(text)).toThrow(RangeError)
  })

  it.each([
    ['10.0.0.0/8', '10.1.0.0/16', true],
    ['10.1.0.0/16', '10.0.0.0/8', true],
    ['10.0.0.0/9', '10.128.0.0/9', false],
    ['0.0.0.0/0', '::/0', false],
    ['fd00::/8', 'fd12::/64', true],
  ])('%s and %s overlap: %s', (a, b, expected) => {
    expect(overlaps(parseCidr(a), parseCidr(b))).toBe(expected)
  })

  it('come back from their text', () => {
    fc.assert(fc.property(anyCidr, block => void expect(parseCidr(formatCidr(block))).toEqual(block)))
  })

  it('contain their ends and not their neighbours', () => {
    fc.assert(
      fc.property(anyCidr, block => {
        const [first, last] = [firstOf(block), lastOf(block)]
        expect(contains(block, first) && contains(block, last)).toBe(true)
        expect(contains(block, { ...first, value: first.value - 1n })).toBe(false)
        expect(contains(block, { ...last, value: last.value + 1n })).toBe(false)
      }),
    )
  })

  it('overlap exactly when one contains the other, which is when their ends cross', () => {
    fc.assert(
      fc.property(anyCidr, anyCidr, (a, b) => {
        const cross = a.family === b.family && firstOf(a).value <= lastOf(b).value && firstOf(b).value <= lastOf(a).value
        expect(overlaps(a, b)).toBe(cross)
        expect(overlaps(a, b)).toBe(containsBlock(a, b) || containsBlock(b, a))
      }),
    )
  })

  it('throw nothing but typed errors', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.ipV4(), fc.ipV6(), fc.stringMatching(/^[0-9a-f:./%]{0,40}$/)), text => {
        for (const parse of [parseIp, parseCidr, parseInterface]) {
          try {
            parse(text)
          } catch (error) {
            expect(isNetmodeError(error)).toBe(true)
          }
        }
      }),
    )
  })
})
