import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hostnameFile, hostsFile, isSystemdStub, parseResolvConf, resolvConf } from '../../lib/sandbox/etc-files.js'

describe('/etc/hosts', () => {
  it('is localhost, the added hosts, then the own addresses', () => {
    const text = hostsFile({
      hostname: 'web.example.com',
      addresses: ['172.17.0.2', 'fd00::2'],
      addHosts: [
        { name: 'db', ip: '10.0.0.9' },
        { name: 'host.docker.internal', ip: 'host-gateway' },
      ],
      hostGateway: '172.17.0.1',
    })
    expect(text).toBe(
      [
        '127.0.0.1\tlocalhost',
        '::1\tlocalhost ip6-localhost ip6-loopback',
        'fe00::\tip6-localnet',
        'ff00::\tip6-mcastprefix',
        'ff02::1\tip6-allnodes',
        'ff02::2\tip6-allrouters',
        '10.0.0.9\tdb',
        '172.17.0.1\thost.docker.internal',
        '172.17.0.2\tweb.example.com web',
        'fd00::2\tweb.example.com web',
        '',
      ].join('\n'),
    )
  })

  it('ends after localhost for a sandbox without addresses', () => {
    expect(hostsFile({ hostname: 'web', addresses: [] }).split('\n')).toHaveLength(7)
    expect(hostsFile({ hostname: 'web', addresses: ['10.0.0.2'] })).toMatch(/\n10\.0\.0\.2\tweb\n$/)
  })

  it('does not invent a host-gateway', () => {
    expect(() => hostsFile({ hostname: 'web', addresses: [], addHosts: [{ name: 'host', ip: 'host-gateway' }] })).toThrow(
      expect.objectContaining({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'addHosts' }),
    )
  })
})

it('/etc/hostname is one line', () => {
  expect(hostnameFile('web')).toBe('web\n')
})

describe('/etc/resolv.conf', () => {
  const host =
    '# made by hand\nnameserver 127.0.0.53\nnameserver 10.0.0.53\nnameserver ::1\nnameserver fe80::1%eth0\nnameserver fd00::53\nsearch a.test b.test\noptions ndots:2\noptions rotate\n'

  it("keeps what a sandbox can use of the host's", () => {
    expect(resolvConf({ host })).toBe('nameserver 10.0.0.53\nnameserver fd00::53\nsearch a.test b.test\noptions ndots:2 rotate\n')
  })

  it('drops IPv6 servers for a sandbox without IPv6', () => {
    expect(resolvConf({ host, ipv6: false })).toContain('nameserver 10.0.0.53\nsearch')
  })

  it.each([
    [{ dns: ['1.1.1.1', '127.0.0.1'] }, 'nameserver 1.1.1.1\nnameserver 127.0.0.1\nsearch a.test b.test\noptions ndots:2 rotate\n'],
    [{ dnsSearch: ['c.test'] }, 'nameserver 10.0.0.53\nnameserver fd00::53\nsearch c.test\noptions ndots:2 rotate\n'],
    [{ dnsSearch: ['.'] }, 'nameserver 10.0.0.53\nnameserver fd00::53\noptions ndots:2 rotate\n'],
    [{ dnsOptions: ['timeout:1'] }, 'nameserver 10.0.0.53\nnameserver fd00::53\nsearch a.test b.test\noptions timeout:1\n'],
  ])('%j replaces its part only', (options, text) => {
    expect(resolvConf({ host, ...options })).toBe(text)
  })

  it('asks the name service first, and names without a dot as they are', () => {
    expect(resolvConf({ host, nameServer: '10.0.0.1', ipv6: false })).toBe(
      'nameserver 10.0.0.1\nnameserver 10.0.0.53\nsearch a.test b.test\noptions ndots:2 rotate\n',
    )
    expect(resolvConf({ host: 'nameserver 10.0.0.53\noptions edns0\n', nameServer: '10.0.0.1' })).toBe(
      'nameserver 10.0.0.1\nnameserver 10.0.0.53\noptions edns0 ndots:0\n',
    )
  })

  it('names no server that an internal network does not reach, but those that were asked for', () => {
    const inside = { nameServer: '10.0.0.1', outside: false }
    expect(resolvConf({ host: 'nameserver 10.0.0.53\n', ...inside })).toBe('nameserver 10.0.0.1\noptions ndots:0\n')
    expect(resolvConf({ host: '', dns: ['10.0.0.7'], ...inside })).toBe('nameserver 10.0.0.1\nnameserver 10.0.0.7\noptions ndots:0\n')
  })

  it('makes up no server when none is left', () => {
    expect(resolvConf({ host: 'nameserver 127.0.0.53\n' })).toBe('')
    expect(resolvConf({ host: '' })).toBe('')
  })

  it('reads as resolv.conf(5) says', () => {
    expect(
      parseResolvConf(
        'domain x.test\nsearch y.test  z.test\t\n;nameserver 1.1.1.1\n nameserver 1.1.1.2\nnameserver\t1.1.1.3 # why\nsortlist 1.2.3.4\n',
      ),
    ).toEqual({
      nameservers: ['1.1.1.3'],
      search: ['y.test', 'z.test'],
      options: [],
    })
  })

  it("knows systemd's stub", () => {
    expect(isSystemdStub('nameserver 127.0.0.53\noptions edns0\n')).toBe(true)
    expect(isSystemdStub('nameserver 127.0.0.53\nnameserver 1.1.1.1\n')).toBe(false)
    expect(isSystemdStub('')).toBe(false)
  })

  it('is a fixed point, whatever the host has', () => {
    const word = fc.stringMatching(/^[a-z0-9.:-]{1,12}$/)
    const line = fc
      .tuple(
        fc.constantFrom('nameserver', 'search', 'options', 'domain', '#'),
        fc.array(fc.oneof(word, fc.ipV4(), fc.ipV6()), { maxLength: 3 }),
      )
      .map(([keyword, words]) => [keyword, ...words].join(' '))
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(line).map(lines => lines.join('\n')),
          fc.string(),
        ),
        text => {
          const once = resolvConf({ host: text })
          expect(resolvConf({ host: once })).toBe(once)
          expect(once).not.toMatch(/^nameserver (127\.|::1$)/m)
        },
      ),
    )
  })
})
