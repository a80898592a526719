import { describe, expect, it } from 'vitest'
import { type NftVerb, nftText } from '../../lib/firewall/nft-text.js'
import {
  accept,
  ctStatus,
  destinationPort,
  dnatByMap,
  inSet,
  ip6Destination,
  ipSource,
  isVersion,
  l4proto,
  rule,
} from '../../lib/firewall/rule.js'
import {
  type FirewallNetwork,
  networkElements,
  networkRoutes,
  networkSysctls,
  type PublishedMapping,
  publishElements,
  tableSteps,
} from '../../lib/firewall/ruleset.js'
import type { Step } from '../../lib/plan/op.js'

const textOf = (steps: readonly Step[]): string[] => steps.map(({ apply }) => nftText(apply as NftVerb))
const undoOf = (steps: readonly Step[]): string[] => steps.map(({ undo }) => nftText(undo as NftVerb))

const network: FirewallNetwork = {
  device: 'nm0',
  subnets4: ['172.17.0.0/16'],
  subnets6: ['fd00:17::/64'],
  internal: false,
  icc: true,
  masquerade: true,
}
const web: PublishedMapping = { protocol: 'tcp', hostIp: '0.0.0.0', hostPort: 8080, address: '172.17.0.2', containerPort: 80 }

describe('the table', () => {
  it('is made of these commands', () => {
    expect(textOf(tableSteps({ stateFolder: '/run/netmode/1' }))).toEqual([
      'create table inet netmode { comment "/run/netmode/1"; }',
      'add map inet netmode publish4 { type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; counter; }',
      'add map inet netmode publish4_any { type inet_proto . inet_service : ipv4_addr . inet_service; counter; }',
      'add map inet netmode publish6 { type inet_proto . ipv6_addr . inet_service : ipv6_addr . inet_service; counter; }',
      'add map inet netmode publish6_any { type inet_proto . inet_service : ipv6_addr . inet_service; counter; }',
      'add map inet netmode names4 { type ifname . inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; }',
      'add map inet netmode names6 { type ifname . inet_proto . ipv6_addr . inet_service : ipv6_addr . inet_service; }',
      'add map inet netmode limited4 { type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; counter; }',
      'add map inet netmode limited4_any { type inet_proto . inet_service : ipv4_addr . inet_service; counter; }',
      'add map inet netmode limited6 { type inet_proto . ipv6_addr . inet_service : ipv6_addr . inet_service; counter; }',
      'add map inet netmode limited6_any { type inet_proto . inet_service : ipv6_addr . inet_service; counter; }',
      'add set inet netmode allowed4 { type inet_proto . ipv4_addr . inet_service . ipv4_addr; flags interval; }',
      'add set inet netmode allowed4_any { type inet_proto . inet_service . ipv4_addr; flags interval; }',
      'add set inet netmode allowed6 { type inet_proto . ipv6_addr . inet_service . ipv6_addr; flags interval; }',
      'add set inet netmode allowed6_any { type inet_proto . inet_service . ipv6_addr; flags interval; }',
      'add set inet netmode exposed4 { type inet_proto . ipv4_addr . inet_service; counter; }',
      'add set inet netmode exposed6 { type inet_proto . ipv6_addr . inet_service; counter; }',
      'add map inet netmode redirect4 { type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; counter; }',
      'add map inet netmode redirect4_all { type inet_proto . ipv4_addr : ipv4_addr . inet_service; counter; }',
      'add map inet netmode redirect6 { type inet_proto . ipv6_addr . inet_service : ipv6_addr . inet_service; counter; }',
      'add map inet netmode redirect6_all { type inet_proto . ipv6_addr : ipv6_addr . inet_service; counter; }',
      'add set inet netmode lan4 { type ipv4_addr; }',
      'add set inet netmode lan6 { type ipv6_addr; }',
      'add set inet netmode bridges { type ifname; }',
      'add set inet netmode internal { type ifname; }',
      'add set inet netmode same { type ifname . ifname; }',
      'add set inet netmode routed { type ifname; }',
      'add set inet netmode same4 { type ipv4_addr . ipv4_addr; flags interval; }',
      'add set inet netmode same6 { type ipv6_addr . ipv6_addr; flags interval; }',
      'add set inet netmode inside4 { type ipv4_addr; flags interval; }',
      'add set inet netmode inside6 { type ipv6_addr; flags interval; }',
      'add set inet netmode masquerade4 { type ipv4_addr; flags interval; }',
      'add set inet netmode masquerade6 { type ipv6_addr; flags interval; }',
      'add map inet netmode snat4 { type ipv4_addr : ipv4_addr; flags interval; }',
      'add map inet netmode snat6 { type ipv6_addr : ipv6_addr; flags interval; }',
      'add chain inet netmode guard { type filter hook prerouting priority -295; policy accept; }',
      'add chain inet netmode guard6',
      'add chain inet netmode proxy',
      'add chain inet netmode publish',
      'add chain inet netmode prerouting { type nat hook prerouting priority -95; policy accept; }',
      'add chain inet netmode output { type nat hook output priority -95; policy accept; }',
      'add chain inet netmode postrouting { type nat hook postrouting priority 105; policy accept; }',
      'add chain inet netmode published',
      'add chain inet netmode forward { type filter hook forward priority 5; policy accept; }',
      'add rule inet netmode guard meta iifkind "veth" iifgroup 28269 iifname @routed fib saddr . iif oif 0 counter drop',
      'add rule inet netmode guard meta nfproto ipv6 goto guard6',
      'add rule inet netmode guard ip daddr 127.0.0.0/8 iifname != "lo" counter drop',
      'add rule inet netmode guard ip saddr 127.0.0.0/8 iifname @bridges counter drop',
      'add rule inet netmode guard6 ip6 daddr ::1 iifname != "lo" counter drop',
      'add rule inet netmode guard6 ip6 saddr ::1 iifname @bridges counter drop',
      'add rule inet netmode proxy ip daddr @inside4 counter return',
      'add rule inet netmode proxy ip6 daddr @inside6 counter return',
      'add rule inet netmode proxy fib daddr type != unicast counter return',
      'add rule inet netmode proxy dnat ip to meta l4proto . ip saddr . th dport map @redirect4',
      'add rule inet netmode proxy dnat ip to meta l4proto . ip saddr map @redirect4_all',
      'add rule inet netmode proxy dnat ip6 to meta l4proto . ip6 saddr . th dport map @redirect6',
      'add rule inet netmode proxy dnat ip6 to meta l4proto . ip6 saddr map @redirect6_all',
      'add rule inet netmode publish fib daddr type != local goto proxy',
      'add rule inet netmode publish dnat ip to iifname . meta l4proto . ip daddr . th dport map @names4',
      'add rule inet netmode publish dnat ip6 to iifname . meta l4proto . ip6 daddr . th dport map @names6',
      'add rule inet netmode publish dnat ip to meta l4proto . ip daddr . th dport map @publish4',
      'add rule inet netmode publish meta nfproto ipv4 dnat ip to meta l4proto . th dport map @publish4_any',
      'add rule inet netmode publish dnat ip6 to meta l4proto . ip6 daddr . th dport map @publish6',
      'add rule inet netmode publish meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @publish6_any',
      'add rule inet netmode publish meta l4proto . ip daddr . th dport . ip saddr @allowed4 dnat ip to meta l4proto . ip daddr . th dport map @limited4',
      'add rule inet netmode publish meta l4proto . th dport . ip saddr @allowed4_any dnat ip to meta l4proto . th dport map @limited4_any',
      'add rule inet netmode publish meta l4proto . ip6 daddr . th dport . ip6 saddr @allowed6 dnat ip6 to meta l4proto . ip6 daddr . th dport map @limited6',
      'add rule inet netmode publish meta l4proto . th dport . ip6 saddr @allowed6_any dnat ip6 to meta l4proto . th dport map @limited6_any',
      'add rule inet netmode prerouting jump publish',
      'add rule inet netmode output jump publish',
      'add rule inet netmode postrouting oifname @bridges ip saddr 127.0.0.0/8 counter masquerade',
      'add rule inet netmode postrouting oifname @bridges ip6 saddr ::1 counter masquerade',
      'add rule inet netmode postrouting oifname @bridges ct status dnat ip saddr @inside4 counter masquerade',
      'add rule inet netmode postrouting oifname @bridges ct status dnat ip6 saddr @inside6 counter masquerade',
      'add rule inet netmode postrouting oifname @bridges ct status dnat ip daddr @lan4 counter masquerade',
      'add rule inet netmode postrouting oifname @bridges ct status dnat ip6 daddr @lan6 counter masquerade',
      'add rule inet netmode postrouting oifname != @bridges snat ip to ip saddr map @snat4',
      'add rule inet netmode postrouting oifname != @bridges snat ip6 to ip6 saddr map @snat6',
      'add rule inet netmode postrouting oifname != @bridges ip saddr @masquerade4 counter masquerade',
      'add rule inet netmode postrouting oifname != @bridges ip6 saddr @masquerade6 counter masquerade',
      'add rule inet netmode published iifname != @internal oifname != @internal meta l4proto . ip daddr . th dport @exposed4 counter accept',
      'add rule inet netmode published iifname != @internal oifname != @internal meta l4proto . ip6 daddr . th dport @exposed6 counter accept',
      'add rule inet netmode published meta l4proto . ip saddr . th sport @exposed4',
      'add rule inet netmode published meta l4proto . ip6 saddr . th sport @exposed6',
      'add rule inet netmode forward ct status dnat jump published',
      'add rule inet netmode forward ct state established,related counter accept',
      'add rule inet netmode forward iifname . oifname @same counter accept',
      'add rule inet netmode forward iifname @routed ip saddr . ip daddr @same4 counter accept',
      'add rule inet netmode forward iifname @routed ip6 saddr . ip6 daddr @same6 counter accept',
      'add rule inet netmode forward iifname @internal counter drop',
      'add rule inet netmode forward oifname @internal counter drop',
      'add rule inet netmode forward oifname @bridges counter drop',
      'add table bridge netmode { comment "/run/netmode/1"; }',
      'delete table bridge netmode',
      'add table bridge netmode { comment "/run/netmode/1"; }',
      'add set bridge netmode trusted { type ifname; }',
      'add set bridge netmode sender4 { type ifname . ether_addr . ipv4_addr; }',
      'add set bridge netmode sender6 { type ifname . ether_addr . ipv6_addr; }',
      'add set bridge netmode target6 { typeof iifname . ether saddr . @th,64,128; }',
      'add set bridge netmode linklocal6 { type ifname . ether_addr; }',
      'add chain bridge netmode target',
      'add chain bridge netmode prerouting { type filter hook prerouting priority -305; policy accept; }',
      'add rule bridge netmode target iifname . ether saddr . @th,64,128 @target6 counter return',
      'add rule bridge netmode target @th,64,64 0xfe80000000000000 @th,64,128 != 0xfe800000000000000000000000000001 @th,152,16 != 0xfffe iifname . ether saddr @linklocal6 counter return',
      'add rule bridge netmode target counter drop',
      'add rule bridge netmode prerouting iifgroup != 28269 counter accept',
      'add rule bridge netmode prerouting ether type ip iifname . ether saddr . ip saddr @sender4 counter accept',
      'add rule bridge netmode prerouting iifname @trusted counter accept',
      'add rule bridge netmode prerouting ether type arp iifname . ether saddr . arp saddr ip @sender4 iifname . arp saddr ether . arp saddr ip @sender4 counter accept',
      'add rule bridge netmode prerouting ether type != ip6 counter drop',
      'add rule bridge netmode prerouting icmpv6 type nd-router-advert counter drop',
      'add rule bridge netmode prerouting icmpv6 type nd-redirect counter drop',
      'add rule bridge netmode prerouting icmpv6 type nd-neighbor-advert jump target',
      'add rule bridge netmode prerouting iifname . ether saddr . ip6 saddr @sender6 counter accept',
      'add rule bridge netmode prerouting ip6 saddr fe80::/64 ip6 saddr != fe80::1 @nh,152,16 != 0xfffe iifname . ether saddr @linklocal6 counter accept',
      'add rule bridge netmode prerouting ip6 saddr :: icmpv6 type nd-neighbor-solicit jump target',
      'add rule bridge netmode prerouting ip6 saddr :: icmpv6 type nd-neighbor-solicit counter accept',
      'add rule bridge netmode prerouting counter drop',
    ])
  })

  it('never sets a policy of drop', () => {
    expect(textOf(tableSteps({ stateFolder: '/x' })).filter(line => line.includes('policy drop'))).toEqual([])
  })

  it('goes away by the undo of the first step of each table alone', () => {
    const steps = tableSteps({ stateFolder: '/x' })
    expect(steps.flatMap(({ undo }) => undo ?? [])).toEqual([
      { op: 'nft.table.delete', family: 'inet', table: 'netmode', missingOk: true },
      { op: 'nft.table.delete', family: 'bridge', table: 'netmode', missingOk: true },
    ])
  })

  it('leaves IPv6 alone where it is told so', () => {
    const without = textOf(tableSteps({ stateFolder: '/x' }))
    const lines = textOf(tableSteps({ stateFolder: '/x', ip6: false }))
    const first = ['guard', 'prerouting', 'output', 'postrouting', 'forward'].map(chain => {
      return lines.find(line => line.startsWith(`add rule inet netmode ${chain} `))
    })
    expect(first).toEqual(
      ['guard', 'prerouting', 'output', 'postrouting', 'forward'].map(
        chain => `add rule inet netmode ${chain} meta nfproto ipv6 counter accept`,
      ),
    )
    const frames = 'add rule bridge netmode prerouting ether type ip6 counter accept'
    expect(lines.find(line => line.startsWith('add rule bridge netmode prerouting '))).toBe(frames)
    expect(lines.filter(line => !first.includes(line) && line !== frames)).toEqual(without)
  })

  it('leaves connections to ::1 alone where their answers would get lost', () => {
    const without = textOf(tableSteps({ stateFolder: '/x' }))
    const added = textOf(tableSteps({ stateFolder: '/x', loopback6: false })).filter(line => !without.includes(line))
    expect(added).toEqual(['add rule inet netmode output ip6 daddr ::1 counter return'])
  })
})

describe('a network', () => {
  it('goes out with a fixed address of a family, and masqueraded in the other', () => {
    const lines = textOf(networkElements({ ...network, snat: ['192.0.2.7'] }))
    expect(lines.filter(line => /snat|masquerade/.test(line))).toEqual([
      'add element inet netmode snat4 { 172.17.0.0/16 : 192.0.2.7 }',
      'add element inet netmode masquerade6 { fd00:17::/64 }',
    ])
  })

  it('adds its bridge, and its subnets as intervals', () => {
    expect(textOf(networkElements(network))).toEqual([
      'add element inet netmode bridges { "nm0" }',
      'add element inet netmode same { "nm0" . "nm0" }',
      'add element inet netmode inside4 { 172.17.0.0/16 }',
      'add element inet netmode inside6 { fd00:17::/64 }',
      'add element inet netmode masquerade4 { 172.17.0.0/16 }',
      'add element inet netmode masquerade6 { fd00:17::/64 }',
    ])
    expect(undoOf(networkElements(network))).toEqual(textOf(networkElements(network)).map(line => line.replace('add', 'delete')))
  })

  it('with a name service leads port 53 of its gateways there', () => {
    const nameServers = [
      { address: '172.17.0.1', port: 5300 },
      { address: 'fd00:17::1', port: 5300 },
    ]
    expect(textOf(networkElements({ ...network, nameServers })).filter(line => line.includes('names'))).toEqual([
      'add element inet netmode names4 { "nm0" . udp . 172.17.0.1 . 53 : 172.17.0.1 . 5300 }',
      'add element inet netmode names4 { "nm0" . tcp . 172.17.0.1 . 53 : 172.17.0.1 . 5300 }',
      'add element inet netmode names6 { "nm0" . udp . fd00:17::1 . 53 : fd00:17::1 . 5300 }',
      'add element inet netmode names6 { "nm0" . tcp . fd00:17::1 . 53 : fd00:17::1 . 5300 }',
    ])
  })

  it('without masquerade keeps its addresses going out', () => {
    expect(textOf(networkElements({ ...network, masquerade: false })).filter(line => line.includes('masquerade'))).toEqual([])
  })

  it('without icc has no pair in `same`', () => {
    expect(textOf(networkElements({ ...network, icc: false })).filter(line => line.includes(' same '))).toEqual([])
  })

  it('that is internal is marked so, and masks nothing', () => {
    const lines = textOf(networkElements({ ...network, internal: true }))
    expect(lines).toContain('add element inet netmode internal { "nm0" }')
    expect(lines.filter(line => line.includes('masquerade'))).toEqual([])
  })

  it('needs forwarding for the families it has, and none when internal', () => {
    const keys = (one: FirewallNetwork): string[] => networkSysctls(one).map(({ key, value }) => `${key}=${value}`)
    const own = 'net/ipv6/conf/nm0/accept_ra=0'
    const strict = 'net/ipv4/conf/nm0/rp_filter=1'
    expect(keys(network)).toEqual([
      own,
      'net/ipv4/ip_forward=1',
      'net/ipv6/conf/all/forwarding=1',
      strict,
      'net/ipv4/conf/nm0/route_localnet=1',
    ])
    expect(keys({ ...network, subnets6: [] })).toEqual([own, 'net/ipv4/ip_forward=1', strict, 'net/ipv4/conf/nm0/route_localnet=1'])
    expect(keys({ ...network, internal: true })).toEqual([own, strict])
  })

  it('with IPv6 has ::1 as a local address on its bridge, under a metric of its own', () => {
    const route = {
      op: 'route.add',
      to: '::1/128',
      family: 6,
      link: { name: 'nm0' },
      type: 'local',
      table: 255,
      metric: expect.any(Number),
    }
    expect(networkRoutes(network)).toEqual([route])
    expect(networkRoutes({ ...network, device: 'nm1' })[0]?.metric).not.toBe(networkRoutes(network)[0]?.metric)
    expect(networkRoutes({ ...network, subnets6: [] })).toEqual([])
    expect(networkRoutes({ ...network, internal: true })).toEqual([])
  })
})

describe('published ports', () => {
  it('on all addresses go in the map without an address', () => {
    expect(textOf(publishElements('web', [], [web]))).toEqual([
      'add element inet netmode publish4_any { tcp . 8080 comment "web" : 172.17.0.2 . 80 }',
      'add element inet netmode exposed4 { tcp . 172.17.0.2 . 80 comment "web" }',
    ])
  })

  it('on one address of IPv6 go in the map with it', () => {
    expect(textOf(publishElements('web', [], [{ ...web, hostIp: '2001:db8::1', address: 'fd00:17::2' }]))).toEqual([
      'add element inet netmode publish6 { tcp . 2001:db8::1 . 8080 comment "web" : fd00:17::2 . 80 }',
      'add element inet netmode exposed6 { tcp . fd00:17::2 . 80 comment "web" }',
    ])
  })

  it.each(['127.0.0.1', '127.9.9.9', '::1'])('on %s are exposed to nobody', hostIp => {
    const address = hostIp === '::1' ? 'fd00:17::2' : '172.17.0.2'
    const lines = textOf(publishElements('web', [], [{ ...web, hostIp, address }]))
    expect(lines).toHaveLength(1)
    expect(lines[0]).toContain(` . ${hostIp} . 8080 `)
  })

  it('that lead to one port share its exposure until the last is gone', () => {
    const both = [web, { ...web, hostPort: 8081 }]
    expect(textOf(publishElements('web', [], both)).filter(line => line.includes('exposed'))).toHaveLength(1)
    expect(textOf(publishElements('web', both, [web]))).toEqual(['delete element inet netmode publish4_any { tcp . 8081 }'])
    expect(textOf(publishElements('web', [web], []))).toEqual([
      'delete element inet netmode publish4_any { tcp . 8080 }',
      'delete element inet netmode exposed4 { tcp . 172.17.0.2 . 80 }',
    ])
  })

  it('that stay the same change nothing', () => {
    expect(publishElements('web', [web], [{ ...web }])).toEqual([])
  })

  it('that move leave before they come, and an undo puts them back', () => {
    const steps = publishElements('web', [web], [{ ...web, address: '172.17.0.9' }])
    expect(textOf(steps).map(line => line.split(' ')[0])).toEqual(['delete', 'delete', 'add', 'add'])
    expect(undoOf(steps.slice(0, 1))).toEqual(['add element inet netmode publish4_any { tcp . 8080 comment "web" : 172.17.0.2 . 80 }'])
  })
})

describe('nft text', () => {
  const element = (over: object): string =>
    nftText({ op: 'nft.element.add', family: 'inet', table: 't', set: 's', key: [{ ip4: '10.0.0.0' }], ...over } as NftVerb)

  it('prints a range as a block only where it is one', () => {
    expect(element({ end: [{ ip4: '10.0.0.255' }] })).toBe('add element inet t s { 10.0.0.0/24 }')
    expect(element({ end: [{ ip4: '10.0.0.254' }] })).toBe('add element inet t s { 10.0.0.0-10.0.0.254 }')
    expect(element({ end: [{ ip4: '10.0.0.0' }] })).toBe('add element inet t s { 10.0.0.0 }')
    expect(element({ key: [{ ip6: '::' }], end: [{ ip6: 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff' }] })).toBe(
      'add element inet t s { ::/0 }',
    )
  })

  it('prints each kind of value', () => {
    expect(element({ key: [{ mac: '02:00:00:00:00:01' }, { mark: 16 }, { protocol: 'icmpv6' }], exclusive: true })).toBe(
      'create element inet t s { 02:00:00:00:00:01 . 0x00000010 . ipv6-icmp }',
    )
  })

  it('lets no comment end its string', () => {
    expect(element({ comment: 'a" ; flush ruleset' })).toBe(`add element inet t s { 10.0.0.0 comment "a' ; flush ruleset" }`)
  })

  it('prints sets, chains and tables with all they may have', () => {
    expect(
      nftText({
        op: 'nft.set.add',
        family: 'bridge',
        table: 't',
        set: 's',
        key: ['ether_addr'],
        data: ['mark'],
        interval: true,
        counter: true,
        comment: 'c',
      }),
    ).toBe('add map bridge t s { type ether_addr : mark; flags interval; counter; comment "c"; }')
    expect(
      nftText({
        op: 'nft.chain.add',
        family: 'netdev',
        table: 't',
        chain: 'c',
        base: { type: 'filter', hook: 'ingress', priority: 0, device: 'eth0' },
      }),
    ).toBe('add chain netdev t c { type filter hook ingress device "eth0" priority 0; policy accept; }')
    expect(nftText({ op: 'nft.table.delete', family: 'inet', table: 't' })).toBe('delete table inet t')
  })
})

describe('rules', () => {
  it('check the IP version once, before an address is read', () => {
    const versions = (expressions: readonly { expr: string }[]): number =>
      expressions.filter(one => 'key' in one && one.key === 'nfproto').length
    expect(versions(rule(inSet(ipSource, 'a'), inSet(ipSource, 'b'), accept).expressions)).toBe(1)
    expect(versions(rule(isVersion('ip6'), inSet(ip6Destination, 'a'), accept).expressions)).toBe(1)
    expect(versions(rule(ctStatus('dnat'), accept).expressions)).toBe(0)
  })

  it('lay the fields of a key in the registers that follow each other', () => {
    const { expressions } = rule(dnatByMap('ip6', [l4proto, ip6Destination, destinationPort], 'm'))
    expect(expressions.slice(2)).toEqual([
      { expr: 'meta', key: 'l4proto', dreg: 1 },
      { expr: 'payload', base: 'network', offset: 24, length: 16, dreg: 9 },
      { expr: 'payload', base: 'transport', offset: 2, length: 2, dreg: 13 },
      { expr: 'lookup', set: 'm', sreg: 1, dreg: 1 },
      { expr: 'nat', type: 'dnat', family: 'ip6', address: 1, port: 2 },
    ])
  })
})
