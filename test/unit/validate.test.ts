import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isNetmodeError } from '../../lib/errors.js'
import {
  absolutePath,
  addHost,
  array,
  boolean,
  cidr,
  dnsOption,
  endpointOptions,
  filter,
  hostIpv4,
  hostIpv6,
  hostname,
  ifname,
  integer,
  ipv4,
  ipv6,
  labels,
  mac,
  namespaceRef,
  networkName,
  networkOptions,
  newIfname,
  object,
  oneOf,
  op,
  openOptions,
  plainData,
  sandboxName,
  sandboxOptions,
  searchDomain,
  signal,
  source,
  string,
  validSubnet,
} from '../../lib/validate.js'

const wrong = (field: string) => expect.objectContaining({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field })
const hostile = [
  '',
  ' ',
  'a\nb',
  'a\n',
  "a'b",
  'a"b',
  'a\0',
  '../x',
  '..',
  '.',
  '-x/',
  'a b',
  '$(x)',
  'a;b',
  'ü',
  'a%d',
  '\u202ea',
  'x'.repeat(300),
]
const notText = [undefined, null, 7, 7n, true, Symbol('x'), [], ['x'], {}, () => 'x', new String('x'), { toString: () => 'x' }]

describe('names', () => {
  const guards = {
    sandboxName,
    networkName,
    ifname,
    newIfname,
    hostname,
    dnsOption,
    searchDomain,
    ipv4,
    ipv6,
    cidr,
    source,
    mac,
    addHost,
    absolutePath,
  }

  for (const [name, guard] of Object.entries(guards)) {
    it(`${name} refuses what is not text, and hostile text`, () => {
      for (const value of [...notText, ...hostile]) {
        // `.` and `..` mean something to one of them only: no search domain.
        if (guard === searchDomain && value === '.') continue
        expect(() => guard(value, 'the.field'), String(value)).toThrow(wrong('the.field'))
      }
    })
  }

  it.each([
    [sandboxName, ['a', 'web-1', 'A.b_c', '0', 'host', 'x'.repeat(63)], ['_a', '.a', '-a', 'x'.repeat(64)]],
    [networkName, ['a', 'bridge', 'hosts', 'none1', 'x'.repeat(63)], ['host', 'none', 'container:web', 'x'.repeat(64)]],
    [ifname, ['eth0', 'a', 'lo', '-', '_', '...', 'x'.repeat(15)], ['x'.repeat(16), 'eth0:1', 'a/b', 'é']],
    [newIfname, ['eth0', 'br-123456789abc'], ['lo', 'all', 'default']],
    [hostname, ['web', 'a.b-c.D', 'my_host', `${'x'.repeat(63)}`], ['-a', 'a-', 'a..b', '.a', 'a.', 'x'.repeat(64), `a.${'b'.repeat(63)}`]],
    [searchDomain, ['.', 'x.test', 'x.test.', '_tcp.x'], ['..', 'x y', 'x..y']],
    [dnsOption, ['ndots:2', 'rotate', 'use-vc'], ['ndots:', 'ndots:x', 'a b', 'NDOTS:2', 'ndots:2\nnameserver 6.6.6.6']],
    [absolutePath, ['/', '/run/netns/x', '/a b'], ['a', './a', '/a\0b', `/${'x'.repeat(4095)}`]],
  ])('%o', (guard, good, bad) => {
    for (const value of good) expect(guard(value, 'f')).toBe(value)
    for (const value of bad) expect(() => guard(value, 'f'), value).toThrow(wrong('f'))
  })
})

describe('addresses', () => {
  it.each([
    [ipv4, '10.0.0.1', '10.0.0.1'],
    [ipv6, 'FD00:0::01', 'fd00::1'],
    [cidr, 'FD00:0::/64', 'fd00::/64'],
    [cidr, '10.0.0.0/8', '10.0.0.0/8'],
    [source, '10.0.0.7', '10.0.0.7/32'],
    [source, 'fd00::7', 'fd00::7/128'],
    [source, '0.0.0.0/0', '0.0.0.0/0'],
    [mac, '02-42-AC-11-00-02', '02:42:ac:11:00:02'],
    [hostIpv4, '172.17.0.2', '172.17.0.2'],
    [hostIpv6, 'fe80::1', 'fe80::1'],
  ])('%o puts %s as %s', (guard, value, canonical) => {
    expect(guard(value, 'f')).toBe(canonical)
  })

  it.each([
    [ipv4, '::1', 'an IPv4 address'],
    [ipv6, '10.0.0.1', 'an IPv6 address'],
    [ipv4, '010.0.0.1', 'an IPv4 address'],
    [cidr, '10.0.0.1/8', 'the first address of the block (10.0.0.0/8)'],
    [hostIpv4, '0.0.0.0', '"this network"'],
    [hostIpv4, '127.0.0.1', 'loopback'],
    [hostIpv4, '239.1.2.3', 'multicast'],
    [hostIpv4, '255.255.255.255', 'broadcast'],
    [hostIpv6, '::', 'unspecified'],
    [hostIpv6, '::1', 'loopback'],
    [hostIpv6, 'ff02::1', 'multicast'],
    [hostIpv6, '::ffff:10.0.0.1', 'IPv4'],
    [mac, '01:00:5e:00:00:01', 'multicast'],
    [mac, 'ff:ff:ff:ff:ff:ff', 'multicast'],
    [mac, '00:00:00:00:00:00', 'not all zero'],
    [mac, '02:42:ac:11:00', 'six bytes'],
    [mac, '02:42-ac:11:00:02', 'six bytes'],
    [mac, '02:42:ac:11:00:02:03:04', 'six bytes'],
  ])('%o refuses %s: %s', (guard, value, why) => {
    expect(() => guard(value, 'mac')).toThrow(wrong('mac'))
    expect(() => guard(value, 'mac')).toThrow(why)
  })

  it.each([
    ['db:10.0.0.9', { name: 'db', ip: '10.0.0.9' }],
    ['db:FD00::9', { name: 'db', ip: 'fd00::9' }],
    ['db:[fd00::9]', { name: 'db', ip: 'fd00::9' }],
    ['h:host-gateway', { name: 'h', ip: 'host-gateway' }],
  ])('addHost %s', (value, expected) => {
    expect(addHost(value, 'f')).toEqual(expected)
  })

  it.each(['db', 'db:', ':10.0.0.9', 'db:x', 'db:10.0.0.9 x', 'a b:10.0.0.9', 'db:10.0.0.9\n6.6.6.6 bank'])('addHost refuses %o', value => {
    expect(() => addHost(value, 'addHosts[0]')).toThrow(wrong('addHosts[0]'))
  })
})

describe('plain values', () => {
  it.each([
    [boolean, true, 1],
    [string, '', 1],
    [integer(1, 3), 3, '3'],
    [oneOf('a', 'b'), 'b', 'c'],
  ])('%o', (guard, good, bad) => {
    expect(guard(good, 'f')).toBe(good)
    expect(() => guard(bad, 'f')).toThrow(wrong('f'))
  })

  it.each([0, 4, 1.5, Number.NaN, Infinity, -0.5])('integer(1, 3) finds %d out of range', value => {
    expect(() => integer(1, 3)(value, 'f')).toThrow(RangeError)
  })

  it('signal and op', () => {
    const { signal: real } = new AbortController()
    expect(signal(real, 'signal')).toBe(real)
    expect(op({ signal: real })).toEqual({ signal: real })
    expect(op(undefined)).toEqual({})
    for (const value of [{}, { aborted: false }, null, new Proxy(real, {})]) {
      expect(() => op({ signal: value })).toThrow(wrong('op.signal'))
    }
    expect(() => op({ sginal: real })).toThrow('Expected a known key (signal) for op.sginal but received "sginal"')
    expect(() => op(5)).toThrow(wrong('op'))
  })

  it('namespaceRef', () => {
    for (const good of ['/run/netns/x', { pid: 1 }, { fd: 0 }]) expect(namespaceRef(good, 'netns')).toEqual(good)
    for (const bad of ['', 'x', '../x', {}, { pid: 1, fd: 3 }, null, 5, [], { path: '/x' }])
      expect(() => namespaceRef(bad, 'netns')).toThrow(/netns/)
    for (const bad of [{ pid: 0 }, { pid: -1 }, { pid: 1.5 }, { fd: -1 }, { fd: 2 ** 31 }, { pid: 2 ** 23 }])
      expect(() => namespaceRef(bad, 'netns')).toThrow(RangeError)
  })
})

describe('object', () => {
  const read = (value: unknown) => object(value, 'options', ['name', 'mtu'])

  it('reads known keys under their full name; undefined counts as absent', () => {
    const fields = read({ name: 'x', mtu: undefined })
    expect(fields.required('name', string)).toBe('x')
    expect(fields.has('mtu')).toBe(false)
    expect(fields.optional('mtu', integer(1, 2))).toBeUndefined()
    expect(() => fields.required('mtu', integer(1, 2))).toThrow(wrong('options.mtu'))
    expect(read(Object.assign(Object.create(null), { name: 'x' })).has('name')).toBe(true)
    expect(read(runInNewContext('({ name: "x" })')).has('name')).toBe(true)
  })

  it.each([
    [{ nmae: 'x' }, 'options.nmae'],
    [{ nmae: undefined }, 'options.nmae'],
    [JSON.parse('{"__proto__": {"name": "x"}}'), 'options.__proto__'],
    [{ constructor: 1 }, 'options.constructor'],
    [{ 'a\nb': 1 }, 'options["a\\nb"]'],
    [{ [Symbol('name')]: 1 }, 'options'],
    [[], 'options'],
    [null, 'options'],
    ['name', 'options'],
    [new Map([['name', 'x']]), 'options'],
    [
      new (class Options {
        name = 'x'
      })(),
      'options',
    ],
    [Object.create({ name: 'x' }), 'options'],
    [new Proxy({ name: 'x' }, {}), 'options'],
    [
      Object.create(
        new Proxy(
          {},
          {
            getPrototypeOf: () => {
              throw new Error('trap ran')
            },
          },
        ),
      ),
      'options',
    ],
  ])('refuses %o', (value, field) => {
    expect(() => read(value)).toThrow(wrong(field))
  })

  it('names the keys there are', () => {
    expect(() => read({ nmae: 'x' })).toThrow('Expected a known key (name, mtu) for options.nmae but received "nmae"')
  })

  it('runs no getter', () => {
    let ran = false
    const armed = {
      get name() {
        ran = true
        return 'x'
      },
    }
    expect(() => read(armed)).toThrow(wrong('options.name'))
    expect(ran).toBe(false)
  })

  it('arrays are copied, bounded and read without getters', () => {
    expect(array(string)(['a'], 'f')).toEqual(['a'])
    expect(() => array(string)(['a', 1], 'f')).toThrow(wrong('f[1]'))
    expect(() => array(string)(Object.assign(new Array(2), ['a']), 'f')).toThrow(wrong('f[1]'))
    expect(() => array(string)(new Array(4e9), 'f')).toThrow(RangeError)
    expect(() => array(string)({ length: 0 }, 'f')).toThrow(wrong('f'))
    expect(() => array(string)(new Proxy([], {}), 'f')).toThrow(wrong('f'))
    const armed = Object.defineProperty([], 0, { get: () => 'x' })
    expect(() => array(string)(armed, 'f')).toThrow(wrong('f[0]'))
  })

  it('plainData copies what JSON can say', () => {
    const value = { a: [1, 'x', null, { b: true }], c: undefined }
    expect(plainData(value, 'f')).toEqual({ a: [1, 'x', null, { b: true }] })
    const loop: unknown[] = []
    loop.push(loop)
    for (const bad of [loop, { a: 1n }, { a: () => 1 }, { a: new Date() }]) expect(() => plainData(bad, 'f')).toThrow(/ for f/)
  })

  it('labels', () => {
    expect(labels({ a: 'b', empty: '' }, 'labels')).toStrictEqual({ a: 'b', empty: '' })
    for (const bad of [{ a: 1 }, { a: 'x\ny' }, { '': 'x' }, { 'a\n': 'x' }, JSON.parse('{"__proto__":"x"}'), [], 'a=b']) {
      expect(() => labels(bad, 'labels')).toThrow(/ for labels/)
    }
  })
})

describe('sandboxOptions', () => {
  const defaults = {
    name: 'web',
    mode: 'bridge',
    attachments: [{ network: 'bridge', gatewayPriority: 0, aliases: [] }],
    publish: [],
    expose: [],
    publishAll: false,
    dns: [],
    dnsSearch: [],
    dnsOptions: [],
    addHosts: [],
    labels: {},
    ephemeral: false,
  }

  it('has defaults for everything but the name', () => {
    expect(sandboxOptions({ name: 'web', mac: undefined })).toStrictEqual(defaults)
    expect(() => sandboxOptions({})).toThrow(wrong('name'))
    expect(() => sandboxOptions(undefined)).toThrow(wrong('options'))
  })

  it('spells everything out', () => {
    const options = sandboxOptions({
      name: 'web',
      network: 'blue',
      ip: '10.0.0.9',
      ip6: 'FD00::9',
      mac: '02:00:00:00:00:0A',
      ifname: 'net0',
      gatewayPriority: 7,
      aliases: ['www', 'www'],
      netns: { pid: 7 },
      publish: ['8080:80'],
      expose: ['81/udp'],
      publishAll: true,
      hostname: 'web.test',
      dns: ['1.1.1.1'],
      dnsSearch: ['test'],
      dnsOptions: ['ndots:1'],
      addHosts: ['db:10.0.0.8'],
      labels: { tier: 'front' },
      ephemeral: true,
    })
    expect(options).toEqual({
      name: 'web',
      mode: 'bridge',
      attachments: [
        { network: 'blue', ip: '10.0.0.9', ip6: 'fd00::9', mac: '02:00:00:00:00:0a', ifname: 'net0', gatewayPriority: 7, aliases: ['www'] },
      ],
      netns: { pid: 7 },
      publish: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
      expose: [{ containerPort: 81, protocol: 'udp' }],
      publishAll: true,
      hostname: 'web.test',
      dns: ['1.1.1.1'],
      dnsSearch: ['test'],
      dnsOptions: ['ndots:1'],
      addHosts: [{ name: 'db', ip: '10.0.0.8' }],
      labels: { tier: 'front' },
      ephemeral: true,
    })
  })

  it.each([
    ['host', { mode: 'host', attachments: [] }],
    ['none', { mode: 'none', attachments: [] }],
    ['container:db', { mode: 'container', joins: 'db', attachments: [] }],
  ])('network %s', (network, target) => {
    expect(sandboxOptions({ name: 'web', network, publish: [], publishAll: false })).toMatchObject(target)
  })

  it('takes several networks', () => {
    const { mode, attachments } = sandboxOptions({
      name: 'web',
      networks: [
        { network: 'blue', ip: '10.0.0.9' },
        { network: 'red', ifname: 'eth7' },
      ],
    })
    expect(mode).toBe('bridge')
    expect(attachments).toEqual([
      { network: 'blue', ip: '10.0.0.9', gatewayPriority: 0, aliases: [] },
      { network: 'red', ifname: 'eth7', gatewayPriority: 0, aliases: [] },
    ])
  })

  it.each([
    [{ network: 'blue' }, 'network'],
    [{ ip: '10.0.0.9' }, 'ip'],
    [{ mac: '02:00:00:00:00:01' }, 'mac'],
    [{ aliases: [] }, 'aliases'],
  ])('refuses %j beside networks', (options, field) => {
    expect(() => sandboxOptions({ name: 'web', networks: [{ network: 'red' }], ...options })).toThrow(wrong(field))
  })

  it.each([
    [[], 'networks'],
    [{}, 'networks'],
    [[{}], 'networks[0].network'],
    [[{ network: 'host' }], 'networks[0].network'],
    [['red'], 'networks[0]'],
    [[{ network: 'red' }, { network: 'red' }], 'networks[1].network'],
    [
      [
        { network: 'red', ifname: 'eth1' },
        { network: 'blue', ifname: 'eth1' },
      ],
      'networks[1].ifname',
    ],
    [[{ network: 'red', ip: '10.0.0.256' }], 'networks[0].ip'],
    [[{ network: 'red', publish: [] }], 'networks[0].publish'],
  ])('refuses networks %j', (networks, field) => {
    expect(() => sandboxOptions({ name: 'web', networks })).toThrow(wrong(field))
  })

  it.each(
    (['host', 'container:db', 'none'] as const).flatMap(network =>
      Object.entries({
        publish: ['80'],
        expose: ['80'],
        publishAll: true,
        ip: '10.0.0.9',
        ip6: 'fd00::9',
        mac: '02:00:00:00:00:01',
        ifname: 'eth1',
        ...(network !== 'none' && { hostname: 'x', dns: ['1.1.1.1'], addHosts: ['a:1.1.1.1'], netns: '/run/netns/x' }),
      }).map(([key, value]) => [network, key, value] as const),
    ),
  )('network %s refuses %s with a reason', (network, key, value) => {
    const create = () => sandboxOptions({ name: 'web', network, [key]: value })
    expect(create).toThrow(wrong(key))
    expect(create).toThrow(`no value (network ${network.split(':')[0]}: `)
  })

  it.each([
    [{ network: '' }, 'network'],
    [{ network: 'container:' }, 'network'],
    [{ network: 'container:../x' }, 'network'],
    [{ network: 'container:web' }, 'network'],
    [{ network: 5 }, 'network'],
    [{ name: 'a/b' }, 'name'],
    [{ publish: '80' }, 'publish'],
    [{ publish: ['80', '99999:80'] }, 'publish[1].hostPort'],
    [{ expose: ['x'] }, 'expose[0]'],
    [{ publishAll: 'yes' }, 'publishAll'],
    [{ ifname: 'sixteen-bytes-xx' }, 'ifname'],
    [{ ifname: 'lo' }, 'ifname'],
    [{ ip: 'fd00::1' }, 'ip'],
    [{ ip6: '10.0.0.1' }, 'ip6'],
    [{ gatewayPriority: 2 ** 31 }, 'gatewayPriority'],
    [{ aliases: ['a b'] }, 'aliases[0]'],
    [{ netns: 'x' }, 'netns'],
    [{ tap: { queues: 2 } }, 'tap.queues'],
    [{ tap: true }, 'tap'],
    [{ tap: { owner: -1 } }, 'tap.owner'],
    [{ tap: {}, ifname: 'tap0' }, 'ifname'],
    [{ networks: [{ network: 'lan', tap: { vnetHdr: 'yes' } }] }, 'networks[0].tap.vnetHdr'],
    [{ guest: {} }, 'guest.address'],
    [{ guest: { address: '172.16.0.2' } }, 'guest.address'],
    [{ guest: { address: '172.16.0.0/30' } }, 'guest.address'], // the block's own
    [{ guest: { address: '172.16.0.2/32' } }, 'guest.address'], // no room for a gateway
    [{ guest: { address: 'fd00::2/64' } }, 'guest.address'],
    [{ guest: { address: '172.16.0.2/30', gateway: '172.16.0.2' } }, 'guest.gateway'],
    [{ guest: { address: '172.16.0.2/30', gateway: '172.16.0.5' } }, 'guest.gateway'],
    [{ guest: { address: '172.16.0.2/30', tap: 'lo' } }, 'guest.tap'],
    [{ guest: { address: '172.16.0.2/30', mac: '01:00:00:00:00:01' } }, 'guest.mac'],
    [{ guest: { address: '172.16.0.2/30', owner: 2 ** 32 - 1 } }, 'guest.owner'],
    [{ guest: { address: '172.16.0.2/30', vnetHdr: 1 } }, 'guest.vnetHdr'],
    [{ guest: { address: '172.16.0.2/30', queues: 2 } }, 'guest.queues'],
    [{ guest: { address: '172.16.0.2/30', address6: '172.16.0.3/30' } }, 'guest.address6'],
    [{ guest: { address: '172.16.0.2/30', address6: 'fd00::2' } }, 'guest.address6'],
    [{ guest: { address: '172.16.0.2/30', address6: 'fd00::2/128' } }, 'guest.address6'],
    [{ guest: { address: '172.16.0.2/30', address6: 'fd00::/126' } }, 'guest.address6'],
    [{ guest: { address: '172.16.0.2/30', address6: 'fe80::2/64' } }, 'guest.address6'],
    [{ guest: { address: '172.16.0.2/30', address6: 'fd00::2/126', gateway6: 'fd00::2' } }, 'guest.gateway6'],
    [{ guest: { address: '172.16.0.2/30', address6: 'fd00::2/126', gateway6: 'fd00::5' } }, 'guest.gateway6'],
    [{ guest: { address: '172.16.0.2/30', gateway6: 'fd00::1' } }, 'guest.gateway6'],
    [{ guest: { address: '172.16.0.2/30', address6: 'fd00::2/126', mtu: 1279 } }, 'guest.mtu'],
    [{ guest: { address: '172.16.0.2/30' }, netns: '/run/netns/x' }, 'guest'],
    [{ guest: { address: '172.16.0.2/30' }, network: 'host' }, 'guest'],
    [{ guest: { address: '172.16.0.2/30', tap: 'net0' }, ifname: 'net0' }, 'guest.tap'],
    [{ netns: { pid: 0 } }, 'netns.pid'],
    [{ hostname: 'a\nb' }, 'hostname'],
    [{ dns: ['dns.test'] }, 'dns[0]'],
    [{ dnsOptions: ['x y'] }, 'dnsOptions[0]'],
    [{ addHosts: ['x'] }, 'addHosts[0]'],
    [{ labels: { a: 1 } }, 'labels.a'],
    [{ ephemeral: 1 }, 'ephemeral'],
    [{ publsh: [] }, 'publsh'],
  ])('refuses %j', (options, field) => {
    expect(() => sandboxOptions({ name: 'web', ...options })).toThrow(wrong(field))
  })
})

describe('endpointOptions', () => {
  it('may be absent', () => {
    expect(endpointOptions(undefined)).toStrictEqual({ gatewayPriority: 0, aliases: [] })
    expect(() => endpointOptions({ network: 'x' }, 'options')).toThrow(wrong('options.network'))
  })
})

describe('networkOptions', () => {
  it('has defaults for everything but the name', () => {
    expect(networkOptions({ name: 'blue' })).toStrictEqual({
      name: 'blue',
      driver: 'bridge',
      subnets: [],
      icc: true,
      internal: false,
      masquerade: true,
      spoofCheck: true,
      ipv6: false,
      snat: [],
      bindAddress: [],
      labels: {},
    })
  })

  it("takes Docker's words for the same", () => {
    const options = {
      'com.docker.network.bridge.name': 'br7',
      'com.docker.network.bridge.enable_icc': 'False',
      'com.docker.network.bridge.enable_ip_masquerade': '1',
      'com.docker.network.bridge.host_binding_ipv4': '127.0.0.1',
      'com.docker.network.container_iface_prefix': 'net',
      'com.docker.network.driver.mtu': '1400',
      'com.docker.network.host_ipv4': '192.0.2.7',
      'com.docker.network.host_ipv6': '2001:DB8::7',
      'com.docker.network.enable_ipv6': 't',
    }
    const typed = { bridge: 'br7', icc: false, masquerade: true, bindAddress: '127.0.0.1', ifnamePrefix: 'net', mtu: 1400, ipv6: true }
    const { snat, ...rest } = networkOptions({ name: 'blue', options })
    expect(snat).toEqual(['192.0.2.7', '2001:db8::7'])
    expect(networkOptions({ name: 'blue', ...typed, snat })).toEqual({ ...rest, snat })
  })

  it.each([
    [{ options: { 'com.docker.network.bridge.colour': 'red' } }, 'options["com.docker.network.bridge.colour"]'],
    [{ options: { constructor: 'x' } }, 'options.constructor'],
    [{ options: { 'com.docker.network.bridge.enable_icc': 'yes' } }, 'options["com.docker.network.bridge.enable_icc"]'],
    [{ options: { 'com.docker.network.driver.mtu': '1e3' } }, 'options["com.docker.network.driver.mtu"]'],
    [{ options: { 'com.docker.network.host_ipv4': '2001:db8::7' } }, 'options["com.docker.network.host_ipv4"]'],
    [{ options: { 'com.docker.network.driver.mtu': 1400 } }, 'options["com.docker.network.driver.mtu"]'],
    [{ options: { 'com.docker.network.bridge.name': 'lo' } }, 'bridge'],
    [{ options: { 'com.docker.network.driver.mtu': '1400' }, mtu: 1400 }, 'mtu'],
    [{ snat: '127.0.0.1' }, 'snat'],
    [{ snat: ['192.0.2.7', '192.0.2.8'] }, 'snat'],
    [{ snat: '192.0.2.7', masquerade: false }, 'snat'],
    [{ snat: '192.0.2.7', internal: true }, 'snat'],
    [{ bindAddress: ['::1', 'fd00::1'] }, 'bindAddress'],
    [{ bindAddress: '224.0.0.1' }, 'bindAddress'],
    [{ ifnamePrefix: '0net' }, 'ifnamePrefix'],
    [{ ifnamePrefix: 'abcdefghijklm' }, 'ifnamePrefix'],
    [{ driver: 'macvlan', parent: 'eth0', snat: '192.0.2.7' }, 'snat'],
  ])('refuses %j', (wrongly, field) => {
    expect(() => networkOptions({ name: 'blue', ...wrongly })).toThrow(wrong(field))
  })

  it('takes what the host says of networks of the driver, unless told', () => {
    const defaults = { bridge: { mtu: 1300, icc: false }, macvlan: { mtu: 1200 } }
    expect(networkOptions({ name: 'blue', mtu: 1400 }, defaults)).toMatchObject({ mtu: 1400, icc: false })
    expect(networkOptions({ name: 'blue', options: { 'com.docker.network.bridge.enable_icc': 'true' } }, defaults)).toMatchObject({
      mtu: 1300,
      icc: true,
    })
  })

  it('spells subnets out', () => {
    const { subnets, ipv6: v6 } = networkOptions({
      name: 'blue',
      subnets: ['10.0.0.0/24', { subnet: 'FD00::/64', gateway: 'FD00::F', range: 'fd00::/80', reserved: { printer: 'FD00::9' } }],
    })
    expect(v6).toBe(true)
    expect(subnets).toEqual([
      { family: 4, subnet: '10.0.0.0/24', gateway: '10.0.0.1', reserved: {} },
      { family: 6, subnet: 'fd00::/64', gateway: 'fd00::f', gatewayGiven: true, range: 'fd00::/80', reserved: { printer: 'fd00::9' } },
    ])
    expect(validSubnet('172.17.0.0/16')).toEqual({ family: 4, subnet: '172.17.0.0/16', gateway: '172.17.0.1', reserved: {} })
  })

  it('gives the gateway to the subnet that it lies in', () => {
    const { subnets } = networkOptions({ name: 'blue', subnets: ['fd00::/64', '10.0.0.0/24'], gateway: '10.0.0.254' })
    expect(subnets.map(one => one.gateway)).toEqual(['fd00::1', '10.0.0.254'])
  })

  it('takes the next address for the gateway where the first is reserved', () => {
    expect(
      networkOptions({ name: 'blue', subnets: [{ subnet: '10.0.0.0/24', reserved: { router: '10.0.0.1' } }] }).subnets[0]?.gateway,
    ).toBe('10.0.0.2')
  })

  it.each([
    [{ name: 'host' }, 'name'],
    [{ driver: 'overlay' }, 'driver'],
    [{ subnets: '10.0.0.0/24' }, 'subnets'],
    [{ subnets: ['10.0.0.1/24'] }, 'subnets[0]'],
    [{ subnets: [{}] }, 'subnets[0].subnet'],
    [{ subnets: ['10.0.0.0/8', '10.1.0.0/16'] }, 'subnets[1]'],
    [{ subnets: ['127.0.0.0/24'] }, 'subnets[0]'],
    [{ subnets: ['0.0.0.0/0'] }, 'subnets[0]'],
    [{ subnets: ['239.0.0.0/24'] }, 'subnets[0]'],
    [{ subnets: [{ subnet: 'ff00::/64' }] }, 'subnets[0].subnet'],
    [{ subnets: [{ subnet: '10.0.0.0/24', gateway: '10.0.1.1' }] }, 'subnets[0].gateway'],
    [{ subnets: [{ subnet: '10.0.0.0/24', gateway: '10.0.0.0' }] }, 'subnets[0].gateway'],
    [{ subnets: [{ subnet: '10.0.0.0/24', gateway: '10.0.0.255' }] }, 'subnets[0].gateway'],
    [{ subnets: [{ subnet: '10.0.0.0/24', gateway: 'fd00::1' }] }, 'subnets[0].gateway'],
    [{ subnets: [{ subnet: '10.0.0.0/24', range: '10.0.1.0/25' }] }, 'subnets[0].range'],
    [{ subnets: [{ subnet: '10.0.0.0/24', range: '10.0.0.0/16' }] }, 'subnets[0].range'],
    [{ subnets: [{ subnet: '10.0.0.0/24', reserved: { a: '10.0.1.1' } }] }, 'subnets[0].reserved.a'],
    [{ subnets: [{ subnet: '10.0.0.0/24', reserved: { a: '10.0.0.2', b: '10.0.0.2' } }] }, 'subnets[0].reserved.b'],
    [{ subnets: [{ subnet: '10.0.0.0/24', reserved: ['10.0.0.2'] }] }, 'subnets[0].reserved'],
    [{ subnets: [{ subnet: '10.0.0.0/24', ipRange: '10.0.0.0/25' }] }, 'subnets[0].ipRange'],
    [{ gateway: '10.0.0.1' }, 'gateway'],
    [{ subnets: ['10.0.0.0/24'], gateway: '10.1.0.1' }, 'gateway'],
    [{ subnets: ['10.0.0.0/24'], gateway: '10.0.0.255' }, 'gateway'],
    [{ subnets: [{ subnet: '10.0.0.0/24', gateway: '10.0.0.1' }], gateway: '10.0.0.2' }, 'gateway'],
    [{ bridge: 'a%d' }, 'bridge'],
    [{ bridge: 'lo' }, 'bridge'],
    [{ mtu: 67 }, 'mtu'],
    [{ mtu: 65_536 }, 'mtu'],
    [{ mtu: 1279, ipv6: true }, 'mtu'],
    [{ icc: 0 }, 'icc'],
    [{ ipv6: false, subnets: ['fd00::/64'] }, 'ipv6'],
    [{ parent: 'eth0', internal: true }, 'internal'],
    [{ parent: 'eth0', masquerade: true }, 'masquerade'],
    [{ driver: 'ptp', parent: 'eth0' }, 'parent'],
    [{ macvlanMode: 'vepa' }, 'macvlanMode'],
    [{ driver: 'macvlan', parent: 'eth0', macvlanMode: 'l2' }, 'macvlanMode'],
    [{ driver: 'ipvlan', parent: 'eth0', macvlanMode: 'bridge' }, 'macvlanMode'],
    [{ driver: 'macvlan' }, 'parent'],
    [{ driver: 'macvlan', parent: 'eth0', icc: false }, 'icc'],
    [{ driver: 'ptp', bridge: 'br0' }, 'bridge'],
    [{ subnet: '10.0.0.0/24' }, 'subnet'],
  ])('refuses %j', (options, field) => {
    expect(() => networkOptions({ name: 'blue', ...options })).toThrow(wrong(field))
  })
})

describe('filter and openOptions', () => {
  it('reads labels with and without value', () => {
    expect(filter(undefined)).toEqual({ labels: [] })
    expect(filter({ label: 'a=b=c', name: 'web', mode: 'host', network: 'blue' })).toEqual({
      labels: [{ key: 'a', value: 'b=c' }],
      name: 'web',
      mode: 'host',
      network: 'blue',
    })
    expect(filter({ label: ['a', 'b='] }).labels).toEqual([{ key: 'a' }, { key: 'b', value: '' }])
  })

  it.each([
    [{ label: 5 }, 'label'],
    [{ label: ['a', '=x'] }, 'label[1]'],
    [{ label: 'a\nb' }, 'label'],
    [{ mode: 'overlay' }, 'mode'],
    [{ lable: 'a' }, 'lable'],
    [[], 'options'],
  ])('filter refuses %j', (input, field) => {
    expect(() => filter(input)).toThrow(wrong(field))
  })

  it('reads what openHost takes', () => {
    expect(openOptions(undefined)).toEqual({ repair: true, nameService: true })
    expect(openOptions({ config: '/etc/x.json' })).toMatchObject({ repair: true, config: '/etc/x.json' })
    expect(openOptions({ stateDir: '/x', netns: { fd: 3 }, config: { mtu: 1400 }, repair: false })).toMatchObject({
      stateDir: '/x',
      netns: { fd: 3 },
      config: { mtu: 1400 },
      repair: false,
    })
  })

  it.each([
    [{ stateDir: 'x' }, 'stateDir'],
    [{ config: { mtu: () => 1 } }, 'config.mtu'],
    [{ config: 5 }, 'config'],
    [{ config: null }, 'config'],
    [{ repair: 1 }, 'repair'],
    [{ signal: {} }, 'signal'],
    [null, 'options'],
  ])('openHost refuses %j', (input, field) => {
    expect(() => openOptions(input)).toThrow(wrong(field))
  })
})

describe('any input', () => {
  const keys = [
    'name',
    'network',
    'networks',
    'ip',
    'ip6',
    'mac',
    'ifname',
    'publish',
    'expose',
    'netns',
    'labels',
    'subnets',
    'gateway',
    'driver',
    'label',
    'mode',
    'signal',
    '__proto__',
    'constructor',
  ]
  const value = fc.oneof(
    fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withTypedArray: true,
      withNullPrototype: true,
      withSparseArray: true,
    }),
    fc.string({ unit: 'binary' }),
    fc.constantFrom('web', 'host', 'container:x', '10.0.0.0/24', '10.0.0.1', 'fd00::1', '8080:80'),
  )
  const input = fc.oneof(value, fc.dictionary(fc.constantFrom(...keys), fc.oneof(value, fc.array(value, { maxLength: 3 }))))

  it('throws nothing but typed errors with a field', () => {
    fc.assert(
      fc.property(input, given => {
        for (const read of [sandboxOptions, networkOptions, endpointOptions, filter, openOptions, op]) {
          try {
            read(given)
          } catch (error) {
            if (!isNetmodeError(error)) throw error
            expect(error.field).toBeTruthy()
            expect(error.message).toMatch(/^Expected .+ for .+ but received .+$/)
          }
        }
      }),
      { numRuns: 1000 },
    )
  })

  it('has one canonical form: what comes out goes in and comes out the same', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.stringMatching(/^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$/), fc.string()), text => {
        for (const guard of [ipv4, ipv6, mac, source, hostname]) {
          try {
            const once = guard(text, 'f')
            expect(guard(once, 'f')).toBe(once)
          } catch (error) {
            if (!isNetmodeError(error)) throw error
          }
        }
      }),
    )
  })
})
