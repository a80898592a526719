/** Findings drawn from facts that say so: limits that only the whole machine has, and the edges of the others (test/kernel/doctor.test.ts). */
import { describe, expect, test } from 'vitest'
import { findingsOf } from '../../lib/doctor/doctor.js'
import type { Facts } from '../../lib/doctor/facts.js'
import { lan } from '../setup/records.js'

const well: Facts = {
  networks: [lan],
  sandboxes: [],
  links: [{ index: 3, name: 'br-lan' } as Facts['links'][number]],
  addresses: [],
  routes: [],
  ruleset: { chains: [{ family: 'inet', table: 'netmode', chain: 'forward' }], rules: [] },
  namespaces: [],
  adopted: {},
  sysctls: {},
  capabilities: ~0n,
  legacyTables: [],
  missing: {},
  managers: [],
  configuration: {},
  neighborTables: [],
  damaged: [],
}
const found = (facts: Partial<Facts>) => findingsOf({ ...well, ...facts }).map(({ id, severity }) => `${severity} ${id}`)

test('nothing is found where all is well', () => {
  expect(found({})).toEqual([])
})

describe('tables of the kernel', () => {
  const conntrack = (count: number) =>
    found({ sysctls: { 'net/netfilter/nf_conntrack_count': `${count}`, 'net/netfilter/nf_conntrack_max': '1000' } })
  test('connection tracking, full and nearly', () => {
    expect(conntrack(899)).toEqual([])
    expect(conntrack(900)).toEqual(['warning conntrack-near-full'])
    expect(conntrack(989)).toEqual(['warning conntrack-near-full'])
    expect(conntrack(990)).toEqual(['error conntrack-full'])
    expect(conntrack(1000)).toEqual(['error conntrack-full'])
  })

  test('neighbours', () => {
    const tables = (v4: number, v6: number) =>
      [
        { family: 4, entries: v4, limit: 1024 },
        { family: 6, entries: v6, limit: 1024 },
      ] as const
    expect(found({ neighborTables: tables(900, 900) })).toEqual([])
    expect(found({ neighborTables: tables(1024, 950) })).toEqual(['error neighbor-table-full-ipv4', 'warning neighbor-table-full-ipv6'])
  })

  test('neighbours, where the limit has been raised before, in and out of the first namespace', () => {
    const remedy = (sysctls: Facts['sysctls']) =>
      findingsOf({ ...well, sysctls, neighborTables: [{ family: 6, entries: 100_000, limit: 100_000 }] })[0]?.remedy
    const raise = [25_000, 100_000, 400_000].map((value, n) => `net.ipv6.neigh.default.gc_thresh${n + 1}=${value}`).join(' ')
    expect(remedy({ 'net/ipv4/neigh/default/gc_thresh3': '1024' })).toBe(`sysctl -w ${raise}`)
    expect(remedy({})).toBe(`nsenter --target 1 --net sysctl -w ${raise}`)
  })
})

describe('privilege and kernel', () => {
  test.each([
    [12n, 'missing-cap-net-admin'],
    [21n, 'missing-cap-sys-admin'],
  ])('capability %i', (bit, id) => {
    expect(found({ capabilities: ~(1n << bit) & ((1n << 41n) - 1n) })).toEqual([`error ${id}`])
  })

  test('features, with the module that brings them', () => {
    const [finding] = findingsOf({ ...well, missing: { 'bridge links': 'EOPNOTSUPP' } })
    expect(finding).toMatchObject({
      id: 'missing-kernel-feature',
      message: "bridge links can't be made here (EOPNOTSUPP)",
      remedy: expect.stringContaining('modprobe -a bridge'),
    })
  })

  test('legacy iptables, which can not be read', () => {
    expect(found({ legacyTables: ['nat'] })).toEqual([])
    expect(found({ legacyTables: ['filter'] })).toEqual(['warning legacy-iptables'])
  })
})

describe('programs that claim links', () => {
  test.each<[program: string, file: string, text: string, claims: boolean]>([
    ['systemd-network', '/etc/systemd/network/all.network', '[Match]\nName=*\n', true],
    ['systemd-network', '/etc/systemd/network/eth.network', '[Match]\nName=eth0\n', false],
    ['systemd-network', '/etc/systemd/network/00-netmode.network', '[Match]\nName=veth* br-* netmode*\n\n[Link]\nUnmanaged=yes\n', false],
    ['NetworkManager', '/etc/NetworkManager/NetworkManager.conf', '[main]\nplugins=keyfile\n', true],
    [
      'NetworkManager',
      '/etc/NetworkManager/conf.d/netmode.conf',
      '[keyfile]\nunmanaged-devices=interface-name:veth*;interface-name:br-*\n',
      false,
    ],
    ['firewalld', '/etc/firewalld/zones/public.xml', '<zone><interface name="eth0"/></zone>', true],
    ['firewalld', '/etc/firewalld/zones/trusted.xml', '<zone><interface name="br-lan"/></zone>', false],
  ])('%s with %s', (program, path, text, claims) => {
    expect(found({ managers: [program], configuration: { [path]: text } })).toHaveLength(claims ? 1 : 0)
    expect(found({ managers: [], configuration: { [path]: text } })).toEqual([])
  })

  test('a bridge with a name of its own is in the remedy, and is claimed where only the usual names are left alone', () => {
    const networks = [{ ...lan, device: 'lan0' }]
    const usual = { '/etc/NetworkManager/conf.d/x.conf': '[keyfile]\nunmanaged-devices=interface-name:veth*;interface-name:br-*\n' }
    const [claim] = findingsOf({
      ...well,
      networks,
      links: [{ ...well.links[0], name: 'lan0' }] as never,
      managers: ['NetworkManager'],
      configuration: usual,
    })
    expect(claim?.remedy).toContain('interface-name:netmode*;interface-name:lan0\\n')
    const all = { '/etc/NetworkManager/conf.d/x.conf': '[keyfile]\nunmanaged-devices=*\n' }
    expect(found({ managers: ['NetworkManager'], configuration: all })).toEqual([])
  })
})
