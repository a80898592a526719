import { describe, expect, it } from 'vitest'
import {
  address,
  byLink,
  linkAdd,
  linkDelete,
  linkFilter,
  linkMove,
  linkSet,
  neighbor,
  neighborFilter,
  route,
  routeFilter,
  sysctlKey,
  sysctlValue,
} from '../../lib/validate/namespace-verbs.js'

const wrong = (field: string) => expect.objectContaining({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field })

describe('links', () => {
  it('are told by name, by LinkRef or by what list() answered', () => {
    expect(linkDelete({ link: 'eth0' })).toEqual({ link: { name: 'eth0' } })
    expect(linkDelete({ link: { name: 'eth0', index: 7 } })).toEqual({ link: { name: 'eth0', index: 7 } })
    expect(linkDelete({ link: { name: 'eth0', index: 7, mtu: 1500, up: true, altnames: [] } })).toEqual({
      link: { name: 'eth0', index: 7 },
    })
    expect(() => linkDelete({})).toThrow(wrong('link'))
    expect(() => linkDelete({ link: 7 })).toThrow(wrong('link'))
    expect(() => linkDelete({ link: { index: 7 } })).toThrow(wrong('link.name'))
    expect(() => linkDelete({ link: { name: 'eth0', index: 0 } })).toThrow(RangeError)
    expect(() => linkDelete({ link: { name: 'eth0', flags: 1 } })).toThrow(wrong('link.flags'))
  })

  it.each(['', 'a b', 'a/b', 'a%d', '.', '..', 'x'.repeat(16), 'a\n', 'a"b', 'ü'])('refuse the name %j', name => {
    expect(() => linkAdd({ name, kind: 'bridge' })).toThrow(wrong('name'))
    expect(() => linkSet({ link: name })).toThrow(wrong('link'))
    expect(() => linkSet({ link: 'a', rename: name })).toThrow(wrong('rename'))
    expect(() => linkMove({ link: 'a', to: '/run/netns/x', rename: name })).toThrow(wrong('rename'))
    expect(() => linkFilter({ master: name })).toThrow(wrong('master'))
  })

  it('refuse names that every namespace has for new links alone', () => {
    expect(() => linkAdd({ name: 'lo', kind: 'bridge' })).toThrow(wrong('name'))
    expect(() => linkAdd({ name: 'a', kind: 'veth', peer: { name: 'all' } })).toThrow(wrong('peer.name'))
    expect(linkSet({ link: 'lo', up: true })).toEqual({ link: { name: 'lo' }, up: true })
  })

  it('are made with everything that their kind can have', () => {
    expect(
      linkAdd({
        name: 'a',
        kind: 'veth',
        mac: '02-42-AC-11-00-02',
        mtu: 1400,
        master: { name: 'br0' },
        up: true,
        queues: 1,
        alias: 'one line',
        port: { isolated: true, learning: undefined },
        peer: { name: 'b', mtu: 1400 },
      }),
    ).toEqual({
      name: 'a',
      kind: 'veth',
      mac: '02:42:ac:11:00:02',
      mtu: 1400,
      master: { name: 'br0' },
      up: true,
      queues: 1,
      alias: 'one line',
      port: { isolated: true },
      peer: { name: 'b', mtu: 1400 },
    })
    expect(linkAdd({ name: 'v', kind: 'vlan', parent: { name: 'eth0' }, vlanId: 7 })).toMatchObject({ parent: { name: 'eth0' }, vlanId: 7 })
    expect(linkAdd({ name: 'br0', kind: 'bridge', bridge: { stp: false, ageing: 300 } })).toMatchObject({
      bridge: { stp: false, ageing: 300 },
    })
  })

  it.each([
    ['kind', { name: 'a', kind: 'wormhole' }],
    ['peer', { name: 'a', kind: 'bridge', peer: { name: 'b' } }],
    ['bridge', { name: 'a', kind: 'veth', bridge: { stp: true } }],
    ['bridge.ageing', { name: 'a', kind: 'bridge', bridge: { ageing: -1 } }],
    ['bridge.colour', { name: 'a', kind: 'bridge', bridge: { colour: 1 } }],
    ['parent', { name: 'a', kind: 'macvlan' }],
    ['parent', { name: 'a', kind: 'dummy', parent: 'eth0' }],
    ['vlanId', { name: 'a', kind: 'vlan', parent: 'eth0' }],
    ['vlanId', { name: 'a', kind: 'vlan', parent: 'eth0', vlanId: 4095 }],
    ['ipvlanMode', { name: 'a', kind: 'macvlan', parent: 'eth0', ipvlanMode: 'l2' }],
    ['port', { name: 'a', kind: 'veth', port: { isolated: true } }],
    ['port.isolated', { name: 'a', kind: 'veth', master: 'br0', port: { isolated: 1 } }],
    ['mac', { name: 'a', kind: 'veth', mac: '01:00:5e:00:00:01' }],
    ['mtu', { name: 'a', kind: 'veth', mtu: 67 }],
    ['queues', { name: 'a', kind: 'veth', queues: 0 }],
    ['alias', { name: 'a', kind: 'veth', alias: 'a\nb' }],
    ['alias', { name: 'a', kind: 'veth', alias: 'ü'.repeat(200) }],
    ['bornIn', { name: 'a', kind: 'veth', bornIn: 'x' }],
    ['options', undefined],
    ['options', []],
  ])('are not made with a wrong %s', (field, options) => {
    expect(() => linkAdd(options)).toThrow(wrong(field))
  })

  it('are changed, released and renamed', () => {
    expect(linkSet({ link: 'a', master: null, alias: '', rename: 'b' })).toEqual({
      link: { name: 'a' },
      master: null,
      alias: '',
      rename: 'b',
    })
    expect(linkSet({ link: 'a', master: 'br0' })).toEqual({ link: { name: 'a' }, master: { name: 'br0' } })
    expect(() => linkSet({ link: 'a', name: 'b' })).toThrow(wrong('name'))
    expect(() => linkSet({ link: 'a', group: -1 })).toThrow(wrong('group'))
  })

  it('move to a path, a process or a descriptor', () => {
    expect(linkMove({ link: 'a', to: { pid: 7 } })).toEqual({ link: { name: 'a' }, to: { pid: 7 } })
    expect(() => linkMove({ link: 'a' })).toThrow(wrong('to'))
    expect(() => linkMove({ link: 'a', to: 'relative' })).toThrow(wrong('to'))
  })

  it('are listed all, or by name and master', () => {
    expect(linkFilter()).toEqual({})
    expect(linkFilter({ name: undefined, master: 'br0' })).toEqual({ master: 'br0' })
    expect(() => linkFilter({ kind: 'veth' })).toThrow(wrong('kind'))
    expect(byLink()).toEqual({})
    expect(byLink({ link: 'lo' })).toEqual({ link: { name: 'lo' } })
  })
})

describe('addresses', () => {
  it('are canonical', () => {
    expect(address({ link: 'a', address: '2001:DB8::0:1', prefix: 64, noDad: true })).toEqual({
      link: { name: 'a' },
      address: '2001:db8::1',
      prefix: 64,
      noDad: true,
    })
    expect(address({ link: 'lo', address: '127.0.0.1', prefix: 8, scope: 'host' })).toMatchObject({ scope: 'host' })
  })

  it.each([
    ['address', { link: 'a', address: '10.0.0.1/24', prefix: 24 }],
    ['prefix', { link: 'a', address: '10.0.0.1' }],
    ['prefix', { link: 'a', address: '10.0.0.1', prefix: 33 }],
    ['prefix', { link: 'a', address: '10.0.0.1', prefix: '24' }],
    ['broadcast', { link: 'a', address: '::1', prefix: 128, broadcast: '10.0.0.255' }],
    ['scope', { link: 'a', address: '10.0.0.1', prefix: 24, scope: 'world' }],
    ['label', { link: 'a', address: '10.0.0.1', prefix: 24, label: 'a:1' }],
    ['link', { address: '10.0.0.1', prefix: 24 }],
  ])('have no wrong %s', (field, options) => {
    expect(() => address(options)).toThrow(wrong(field))
  })
})

describe('routes', () => {
  it('know their family', () => {
    expect(route({ to: 'default', via: '10.0.0.1' })).toEqual({ to: 'default', via: '10.0.0.1', family: 4 })
    expect(route({ to: 'default', link: 'eth0', family: 6 })).toEqual({ to: 'default', link: { name: 'eth0' }, family: 6 })
    expect(route({ to: '10.1.2.3', link: 'eth0' })).toMatchObject({ to: '10.1.2.3/32', family: 4 })
    expect(route({ to: '10.1.0.0/16', via: 'fe80::1', link: 'eth0' })).toMatchObject({ via: 'fe80::1', family: 4 })
    expect(route({ to: 'default', via: 'fe80::1', family: 4, link: 'eth0' })).toMatchObject({ family: 4 })
    expect(route({ to: '2001:db8::/32', type: 'blackhole', table: 100 })).toMatchObject({ type: 'blackhole', table: 100, family: 6 })
  })

  it.each([
    ['to', { to: '10.0.0.1/24', link: 'a' }],
    ['to', { via: '10.0.0.1' }],
    ['family', { to: 'default', link: 'a' }],
    ['family', { to: '10.0.0.0/8', link: 'a', family: 6 }],
    ['via', { to: '2001:db8::/32', via: '10.0.0.1' }],
    ['source', { to: '10.0.0.0/8', link: 'a', source: '::1' }],
    ['via', { to: '10.0.0.0/8', type: 'blackhole', via: '10.0.0.1' }],
    ['type', { to: '10.0.0.0/8', type: 'throw' }],
    ['metric', { to: '10.0.0.0/8', link: 'a', metric: -1 }],
    ['table', { to: '10.0.0.0/8', link: 'a', table: 0 }],
    ['gateway', { to: '10.0.0.0/8', gateway: '10.0.0.1' }],
  ])('have no wrong %s', (field, options) => {
    expect(() => route(options)).toThrow(wrong(field))
  })

  it('are listed by family and table', () => {
    expect(routeFilter()).toEqual({})
    expect(routeFilter({ family: 6, table: 0 })).toEqual({ family: 6, table: 0 })
    expect(() => routeFilter({ family: 5 })).toThrow(wrong('family'))
  })
})

describe('neighbours', () => {
  it('are entries with a MAC, or proxies', () => {
    expect(neighbor({ link: 'a', address: '10.0.0.2', mac: '02:00:00:00:00:01', state: 'permanent' })).toEqual({
      link: { name: 'a' },
      address: '10.0.0.2',
      mac: '02:00:00:00:00:01',
      state: 'permanent',
    })
    expect(neighbor({ link: 'a', address: '10.0.0.2', proxy: true })).toMatchObject({ proxy: true })
    expect(() => neighbor({ link: 'a', address: '10.0.0.2', proxy: true, mac: '02:00:00:00:00:01' })).toThrow(wrong('mac'))
    expect(() => neighbor({ link: 'a', address: '10.0.0.2', state: 'failed' })).toThrow(wrong('state'))
    expect(neighborFilter({ proxy: true })).toEqual({ proxy: true })
    expect(() => neighborFilter({ state: 'stale' })).toThrow(wrong('state'))
  })
})

describe('sysctls', () => {
  it.each([
    ['net.ipv4.ip_forward', 'net/ipv4/ip_forward'],
    ['net/ipv4/ip_forward', 'net/ipv4/ip_forward'],
    ['net/ipv4/conf/eth0.7/forwarding', 'net/ipv4/conf/eth0.7/forwarding'],
    ['net.ipv4.conf.eth0/7.forwarding', 'net/ipv4/conf/eth0.7/forwarding'],
  ])('%s is %s', (key, path) => {
    expect(sysctlKey(key)).toBe(path)
  })

  it.each([
    '',
    'net',
    'net.',
    'kernel.hostname',
    'net/../kernel/hostname',
    'net//ipv4',
    '/net/ipv4',
    'net/ipv4/',
    'net.ipv4.a b',
    'net.a\0',
    7,
  ])('refuse the key %j', key => {
    expect(() => sysctlKey(key)).toThrow(wrong('key'))
  })

  it('take one line, and write an empty one so that it counts', () => {
    expect(sysctlValue('32768\t60999')).toBe('32768\t60999')
    expect(sysctlValue('')).toBe('\n')
    for (const value of [1, undefined, 'a\nb', 'a\0', 'x'.repeat(5000)]) expect(() => sysctlValue(value)).toThrow(wrong('value'))
  })
})
