import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { defaultConfig } from '../../lib/config.js'
import { hostConfig } from '../../lib/config-schema.js'
import { isNetmodeError } from '../../lib/errors.js'
import { defaultPools } from '../../lib/network/pools.js'

describe('hostConfig', () => {
  it('has the same defaults as where nobody asks it', () => {
    expect(hostConfig({})).toEqual(defaultConfig)
  })

  it("has Docker's defaults", () => {
    expect(hostConfig({})).toEqual({
      icc: true,
      ipForward: true,
      ipMasq: true,
      iptables: true,
      ip6tables: true,
      ipv6: false,
      defaultAddressPools: defaultPools,
      defaultNetworkOpts: {},
      dns: [],
      dnsSearch: [],
      dnsOpts: [],
    })
  })

  it("reads daemon.json's keys", () => {
    const config = hostConfig({
      bip: '192.168.1.1/24',
      bip6: 'FD00::1/64',
      'fixed-cidr': '192.168.1.0/25',
      'default-gateway': '192.168.1.254',
      'default-gateway-v6': 'fd00::ff',
      mtu: 1400,
      ip: '127.0.0.1',
      icc: false,
      'ip-forward': false,
      'ip-masq': false,
      iptables: false,
      ipv6: true,
      'fixed-cidr-v6': 'FD00::/64',
      'default-address-pools': [{ base: '10.10.0.0/16', size: 24 }],
      'default-network-opts': { bridge: { 'com.docker.network.driver.mtu': '1300', 'com.docker.network.host_ipv4': '192.0.2.7' } },
      dns: ['1.1.1.1', 'FD00::1'],
      'dns-search': ['x.test', '.'],
      'dns-opts': ['ndots:2'],
    })
    expect(config).toEqual({
      bip: '192.168.1.1/24',
      bip6: 'fd00::1/64',
      fixedCidr: '192.168.1.0/25',
      defaultGateway: '192.168.1.254',
      defaultGatewayV6: 'fd00::ff',
      mtu: 1400,
      ip: '127.0.0.1',
      icc: false,
      ipForward: false,
      ipMasq: false,
      iptables: false,
      ip6tables: false,
      ipv6: true,
      fixedCidrV6: 'fd00::/64',
      defaultAddressPools: [{ base: '10.10.0.0/16', size: 24 }],
      defaultNetworkOpts: { bridge: { mtu: 1300, snat: ['192.0.2.7'] } },
      dns: ['1.1.1.1', 'fd00::1'],
      dnsSearch: ['x.test', '.'],
      dnsOpts: ['ndots:2'],
    })
  })

  it("takes Docker's sample values for not set", () => {
    expect(hostConfig({ bip: '', bridge: '', 'fixed-cidr': '', 'default-gateway': '', mtu: 0, dns: [], icc: undefined })).toEqual(
      hostConfig({}),
    )
  })

  it.each([
    [{ mtu: '1500' }, 'Expected a whole number from 68 to 65535 for config.mtu but received "1500"'],
    [{ mtu: 67 }, 'Expected a whole number from 68 to 65535 for config.mtu but received 67'],
    [{ icc: 'yes' }, 'Expected true or false for config.icc but received "yes"'],
    [{ dns: '1.1.1.1' }, 'Expected an array for config.dns but received "1.1.1.1"'],
    [{ dns: ['1.1.1.1', 7] }, 'Expected an IPv4 or IPv6 address for config.dns[1] but received 7'],
    [
      { 'default-address-pools': [{ base: '10.0.0.0/8' }] },
      'Expected a whole number from 8 to 30 for config.default-address-pools[0].size but received undefined',
    ],
    [
      { 'default-address-pools': [{ base: '10.0.0.0/8', size: 7 }] },
      'Expected a whole number from 8 to 30 for config.default-address-pools[0].size but received 7',
    ],
    [
      { 'default-address-pools': [{ base: '10.0.0.1/8', size: 24 }] },
      'Expected the first address of the block (10.0.0.0/8) for config.default-address-pools[0].base but received "10.0.0.1/8"',
    ],
    [
      { 'default-address-pools': [{ base: '10.0.0.0/8', size: 24, x: 1 }] },
      'Expected a known key (base, size) for config.default-address-pools[0].x but received "x"',
    ],
    [
      { bip: '192.168.1.0/24' },
      'Expected a host\'s IPv4 address with its prefix length, such as 172.17.0.1/16, for config.bip but received "192.168.1.0/24"',
    ],
    [{ 'fixed-cidr': 'fd00::/64' }, 'Expected an IPv4 block for config.fixed-cidr but received "fd00::/64"'],
    [
      { bip: '10.0.0.1/24', 'fixed-cidr': '10.1.0.0/25' },
      'Expected a block inside bip\'s 10.0.0.0/24 for config.fixed-cidr but received "10.1.0.0/25"',
    ],
    [
      { bip: '10.0.0.1/24', 'default-gateway': '10.1.0.1' },
      'Expected an address inside bip\'s 10.0.0.0/24 for config.default-gateway but received "10.1.0.1"',
    ],
    [
      { bip: '10.0.0.1/24', bridge: 'br0' },
      'Expected no value beside bridge (which has addresses of its own) for config.bip but received "10.0.0.1/24"',
    ],
    [
      { bip6: 'fd00::1/64', 'fixed-cidr-v6': 'fd01::/80' },
      'Expected a block inside bip6\'s fd00::/64 for config.fixed-cidr-v6 but received "fd01::/80"',
    ],
    [
      { bip6: 'fd00::1/64', 'default-gateway-v6': 'fd01::1' },
      'Expected an address inside bip6\'s fd00::/64 for config.default-gateway-v6 but received "fd01::1"',
    ],
    [{ iptables: false, ip6tables: true }, 'Expected false beside iptables: false for config.ip6tables but received true'],
    [
      { 'default-network-opts': { overlay: {} } },
      'Expected a known key (bridge, macvlan, ipvlan, ptp) for config.default-network-opts.overlay but received "overlay"',
    ],
    [
      { 'default-network-opts': { bridge: { 'com.docker.network.driver.mtu': 'big' } } },
      'Expected a whole number for config.default-network-opts.bridge["com.docker.network.driver.mtu"] but received "big"',
    ],
    [{ bridge: 'a/b' }, 'Expected an interface\'s name (1 to 15 of A-Z a-z 0-9 _ . -) for config.bridge but received "a/b"'],
    [[], 'Expected a plain object for config but received []'],
    ['{}', 'Expected a plain object for config but received "{}"'],
    [null, 'Expected a plain object for config but received null'],
  ])('%j', (input, message) => {
    expect(() => hostConfig(input)).toThrow(expect.objectContaining({ message, code: 'ERR_NETMODE_INVALID_ARGUMENT' }))
  })

  it('names an unknown key and the known ones', () => {
    expect(() => hostConfig({ 'live-restore': true })).toThrow(
      /^Expected a known key \(bip, bip6, bridge, fixed-cidr, .*dns-opts\) for config\.live-restore but received "live-restore"$/,
    )
  })

  it('runs no getter', () => {
    const armed = {
      get mtu(): never {
        throw new Error('ran')
      },
    }
    expect(() => hostConfig(armed)).toThrow('Expected a plain value for config.mtu')
  })

  it('throws nothing but typed errors', () => {
    const key = fc.constantFrom(
      'bip',
      'bridge',
      'fixed-cidr',
      'default-gateway',
      'mtu',
      'ip',
      'icc',
      'ipv6',
      'fixed-cidr-v6',
      'default-address-pools',
      'dns',
      'dns-search',
      'dns-opts',
      '__proto__',
    )
    const value = fc.oneof(
      fc.anything({ withBigInt: true, withDate: true, withNullPrototype: true }),
      fc.ipV4(),
      fc.constantFrom('10.0.0.1/24', 'fd00::/64'),
    )
    fc.assert(
      fc.property(fc.oneof(fc.dictionary(key, value), value), input => {
        try {
          hostConfig(input)
        } catch (error) {
          if (!isNetmodeError(error)) throw error
        }
      }),
      { numRuns: 500 },
    )
  })
})
