/** What the command shows of a host, held against what brctl, iproute2 and nft show. */
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { short } from '../../lib/cli/rules.js'
import { size } from '../../lib/cli/stats.js'
import type { Host, HostStats, Sandbox } from '../../lib/index.js'
import { open } from '../setup/between.js'
import { Command } from '../setup/command.js'
import { freshHost, type PrivateHost, run } from '../setup/namespace.js'
import { ask, greet, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'

const { describe, test } = requires('root', 'program:nft', 'program:brctl')

let command: Command
let machine: PrivateHost
let host: Host

beforeAll(async () => {
  command = await Command.bundle()
})
afterAll(() => command[Symbol.asyncDispose]())
beforeEach(async () => {
  machine = await freshHost()
  host = await open(machine)
})
afterEach(async () => {
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await machine.remove()
})

/** Two networks with two and one sandboxes; `web` publishes a port. */
async function furnish(): Promise<Sandbox> {
  await host.networks.create({ name: 'back', subnets: ['10.9.0.0/24', 'fd09::/64'], bridge: 'br-back' })
  await host.networks.create({ name: 'inner', subnets: ['10.8.0.0/29'], bridge: 'br-in', internal: true })
  const web = await host.sandboxes.create({ name: 'web', network: 'back', publish: ['127.0.0.1:8443:443', '198.51.100.1:8080:80'] })
  await host.sandboxes.create({ name: 'db', networks: [{ network: 'inner' }, { network: 'back' }] })
  await host.sandboxes.create({ name: 'side', network: 'container:web' })
  await host.sandboxes.create({ name: 'job', network: 'none' })
  return web
}

describe('bridge show', () => {
  test('is what brctl shows, bridges of others included', async () => {
    const show = (...args: string[]) => command.ok(machine, 'bridge', 'show', ...args)
    // With /sys of that namespace, where brctl looks.
    const brctl = (...args: string[]) => run('ip', ['netns', 'exec', machine.name, 'brctl', 'show', ...args])
    expect(await show()).toBe(await brctl())
    await furnish()
    await machine.ip('link', 'add', 'foreign0', 'type', 'bridge', 'stp_state', '1', 'priority', '4096')
    const shown = await show()
    expect(shown).toBe(await brctl())
    expect(shown.match(/veth/g)).toHaveLength(3)
    expect(await show('br-in')).toBe(await brctl('br-in'))
    const [foreign] = ((await command.json(machine, 'bridge', 'show')) as { name: string }[]).filter(({ name }) => name === 'foreign0')
    expect(foreign).toEqual({ name: 'foreign0', id: expect.stringMatching(/^1000\./), stp: true, interfaces: [] })
  })
})

interface NftRule {
  readonly family: string
  readonly table: string
  readonly chain: string
  readonly handle: number
  readonly expr: readonly { counter?: { packets: number; bytes: number } }[]
}

const countOf = (rule: NftRule | undefined) => rule?.expr.find(({ counter }) => counter !== undefined)?.counter

/** The rules of netmode's tables, as nft lists them. */
async function nftRules(): Promise<readonly NftRule[]> {
  const { nftables } = JSON.parse(await machine.nft('-j', 'list', 'ruleset')) as { nftables: readonly { rule?: NftRule }[] }
  return nftables.flatMap(({ rule }) => (rule?.table === 'netmode' ? [rule] : []))
}

describe('rules', () => {
  test('counts what nft counts, in the order of nft', async () => {
    const web = await furnish()
    await using outside = new Peer(machine.outside.netns)
    await greet(web, '10.9.0.2', 80)
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2')
    // Counters only grow, and some traffic comes by itself: what nft says before and after are the bounds.
    const before = await nftRules()
    const ours = (await host.stats()).chains.flatMap(({ family, chain, rules }) => rules.map(rule => ({ family, chain, ...rule })))
    const after = await nftRules()
    const id = ({ family, chain, handle }: { family: string; chain: string; handle: number }) => `${family} ${chain} ${handle}`
    expect(ours.map(id).sort()).toEqual(before.map(id).sort())
    for (const chain of new Set(before.map(rule => `${rule.family} ${rule.chain} `))) {
      const inOrder = (rules: readonly string[]) => rules.filter(rule => rule.startsWith(chain))
      expect(inOrder(ours.map(id))).toEqual(inOrder(before.map(id)))
    }
    for (const one of ours) {
      const [least, most] = [before, after].map(rules => countOf(rules.find(rule => id(rule) === id(one))))
      expect(one.packets === undefined).toBe(least === undefined)
      if (least === undefined || most === undefined) continue
      expect(one.packets).toBeGreaterThanOrEqual(least.packets)
      expect(one.packets).toBeLessThanOrEqual(most.packets)
      expect(one.bytes).toBeGreaterThanOrEqual(least.bytes)
      expect(one.bytes).toBeLessThanOrEqual(most.bytes)
    }
    const published = ours.find(({ rule }) => rule.includes('@exposed4'))
    expect(published?.packets).toBeGreaterThan(0)

    const text = await command.ok(machine, 'rules')
    expect(text).toMatch(/^Chain forward \(hook forward, priority 5, policy ACCEPT\)\n pkts bytes target {5}match\n/m)
    expect(text).toMatch(/^ +\d+ +\d+ ACCEPT {5}iifname != @internal [^\n]*meta l4proto \. ip daddr \. th dport @exposed4$/m)
    expect(text).toMatch(/^ +\S+ +\S+ DNAT {7}tcp {2}198\.51\.100\.1 +dpt:8080 to:10\.9\.0\.2:80 \/\* web \*\/$/m)
    expect(text).toMatch(/^back +br-back +10\.9\.0\.0\/24, fd09::\/64$/m)
    expect(await command.ok(machine, 'rules', '--chain', 'guard')).toMatch(
      /^Chain guard [^\n]*\n pkts bytes target {5}match\n.* DROP .*\n.* guard6 {5}meta nfproto ipv6\n(.* DROP .*\n){2}\n$/,
    )
  })

  test('a chain that somebody has changed shows its rules without words for them', async () => {
    await furnish()
    await machine.nft('insert', 'rule', 'inet', 'netmode', 'forward', 'counter', 'drop')
    const forward = (await host.stats()).chains.find(({ chain }) => chain === 'forward')
    expect(forward?.rules[0]).toMatchObject({ rule: 'drop (changed by others)', packets: expect.any(Number) })
  })

  test('without a table there is nothing to show', async () => {
    expect(await host.stats()).toEqual({ endpoints: [], subnets: [], ports: [], chains: [] })
    expect(await command.ok(machine, 'rules')).toContain('Published ports\n')
  })

  test.each([
    [0, '0'],
    [99_999, '99999'],
    [100_000, '100K'],
    [9_999_499, '9999K'],
    [10_000_000, '10M'],
    [123_456_789_000, '123G'],
  ])('%i is written %s, as iptables does', (count, text) => {
    expect(short(count)).toBe(text)
  })
})

interface Counts {
  readonly bytes: number
  readonly packets: number
}

describe('stats', () => {
  test('bytes and packets are those of the interface inside', async () => {
    const web = await furnish()
    await using outside = new Peer(machine.outside.netns)
    await greet(web, '10.9.0.2', 80)
    await ask(outside, '198.51.100.1', 8080)
    const inside = async () =>
      (JSON.parse(await run('ip', ['-n', 'web', '-s', '-j', 'link', 'show', 'eth0'])) as [{ stats64: Record<'rx' | 'tx', Counts> }])[0]
        .stats64
    // They only grow, and some traffic comes by itself: what ip says before and after are the bounds.
    const before = await inside()
    const { endpoints } = await host.stats()
    const after = await inside()
    const own = endpoints.find(({ sandbox }) => sandbox === 'web')
    for (const [side, counts] of [['rx', own?.received] as const, ['tx', own?.sent] as const]) {
      for (const what of ['bytes', 'packets'] as const) {
        expect(counts?.[what]).toBeGreaterThanOrEqual(before[side][what])
        expect(counts?.[what]).toBeLessThanOrEqual(after[side][what])
      }
    }
    expect(own?.received.packets).toBeGreaterThanOrEqual(3)
    expect(endpoints.map(({ sandbox, network, ifname }) => `${sandbox} ${network} ${ifname}`)).toEqual([
      'db inner eth0',
      'db back eth1',
      'web back eth0',
    ])
  })

  test('leases used and free, per subnet', async () => {
    await furnish()
    const { subnets } = await host.stats()
    expect(subnets).toEqual([
      { network: 'back', subnet: '10.9.0.0/24', used: 2, free: 251 }, // 256 without network, broadcast, gateway and two
      { network: 'back', subnet: 'fd09::/64', used: 2, free: Number((1n << 64n) - 4n) },
      { network: 'inner', subnet: '10.8.0.0/29', used: 1, free: 4 },
    ])
    const taken: Sandbox[] = []
    for (let i = 0; i < 4; i++) taken.push(await host.sandboxes.create({ name: `fill${i}`, network: 'inner' }))
    expect((await host.stats()).subnets.at(-1)).toMatchObject({ used: 5, free: 0 })
    await expect(host.sandboxes.create({ name: 'more', network: 'inner' })).rejects.toMatchObject({ code: 'ERR_NETMODE_EXHAUSTED' })
  })

  test('the command prints both tables, for those asked for', async () => {
    await furnish()
    const text = await command.ok(machine, 'stats', 'web')
    expect(text).toMatch(
      /^NAME +NETWORK +INTERFACE +NET I\/O +PACKETS I\/O +LOST I\/O\nweb +back +eth0 +\S+ \/ \S+ +\d+ \/ \d+ +\d+ \/ \d+\n\n/,
    )
    expect(text).toContain('NETWORK   SUBNET        LEASES   FREE\nback      10.9.0.0/24   2        251\n')
    const json = (await command.json(machine, 'stats')) as Pick<HostStats, 'endpoints' | 'subnets'>
    expect(json.endpoints).toHaveLength(3)
  })

  test.each([
    [0, '0B'],
    [999, '999B'],
    [1234, '1.23kB'],
    [12_345_678, '12.3MB'],
  ])('%i bytes are %s, as docker stats has it', (bytes, text) => {
    expect(size(bytes)).toBe(text)
  })
})

describe('graph', () => {
  test('draws networks, who is on them, ports, and who is alone', async () => {
    await furnish()
    const text = (await command.ok(machine, 'graph')).replaceAll(/veth[0-9a-f]+/g, 'vethX')
    expect(text).toBe(`host
├─ back: bridge br-back 10.9.0.1/24 fd09::1/64
│  ├─ vethX ── db eth1 10.9.0.3 fd09::3
│  └─ vethX ── web eth0 10.9.0.2 fd09::2
│     ├─ 127.0.0.1:8443 → 443/tcp
│     ├─ 198.51.100.1:8080 → 80/tcp
│     └─ side (same namespace)
├─ inner: bridge br-in 10.8.0.1/29 (internal)
│  └─ vethX ── db eth0 10.8.0.2
└─ job (no network)
`)
  })
})
