/** A crowd of links, addresses, routes, rules, tables and namespaces of others, drawn by lot, is the same after whatever is done beside it. */
import fc from 'fast-check'
import { afterEach, beforeEach, expect } from 'vitest'
import type { Host } from '../../lib/index.js'
import { open } from '../setup/between.js'
import { freshHost, type PrivateHost, run } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { isLong, score } from './scorecard.js'

const { test } = requires('root', 'program:nft')

let machine: PrivateHost
let host: Host
beforeEach(async () => {
  machine = await freshHost()
  host = await open(machine)
  // What a network leaves on.
  await machine.run('sysctl', '-qw', 'net/ipv4/ip_forward=1', 'net/ipv6/conf/all/forwarding=1')
})
afterEach(async () => {
  await host.close()
  await machine.remove()
})

/** Something of somebody else's. `n` makes its names its own; some look much like ours. */
interface Foreign {
  readonly ip?: readonly string[]
  readonly nft?: readonly string[]
  readonly namespace?: string
}
const kinds: readonly ((n: number) => Foreign)[] = [
  n => ({ ip: [`link add br-${`${n}`.padStart(12, '0')} up type bridge`] }),
  n => ({ ip: [`link add veth${`${n}`.padStart(7, '0')} up type veth peer name vp${n}`, `link set vp${n} up`] }),
  n => ({ ip: [`link add netmode${n + 1} type bridge`, `link set netmode${n + 1} alias netmode:web/lan`] }),
  n => ({ ip: [`link add grp${n} group ${n + 1} type veth peer name gp${n}`, `link set grp${n} alias netmode:/lan`] }),
  n => ({
    ip: [
      `link add adr${n} up type bridge`,
      `address add 192.0.2.${n + 1}/32 dev adr${n}`,
      `address add 2001:db8:${n + 1}::1/64 dev adr${n} nodad`,
    ],
  }),
  n => ({ ip: [`route add 203.0.113.${n}/32 via 198.51.100.2`, `route add 203.0.113.${n}/32 via 198.51.100.2 table ${100 + n}`] }),
  n => ({ ip: [`rule add priority ${1000 + n} from 192.0.2.${n} lookup ${100 + n}`] }),
  n => ({ ip: [`neighbor add 198.51.100.${100 + n} lladdr 02:00:00:00:01:${(16 + n).toString(16)} dev eth0`] }),
  n => ({
    nft: [
      `add table ip netmode${n}`,
      `add chain ip netmode${n} passing { type filter hook forward priority ${n}; }`,
      `add rule ip netmode${n} passing counter`,
    ],
  }),
  n => ({ nft: [`add table inet t${n}`, `add set inet t${n} publish4 { type inet_service; elements = { ${n + 1} comment "web" }; }`] }),
  n => ({ nft: [`add table ip netmode`, `add chain ip netmode c${n}`, `add rule ip netmode c${n} tcp dport ${8000 + n} drop`] }),
  n => ({ nft: [`add table bridge b${n}`, `add map bridge b${n} sender4 { type ipv4_addr : verdict; }`] }),
  n => ({ namespace: `web${n}` }),
]

/** What is done beside them; each may find that there is nothing to do. */
const deeds: Readonly<Record<string, () => Promise<unknown>>> = {
  'networks.create': () => host.networks.ensure({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] }),
  create: async () => {
    await host.networks.ensure({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
    if (!(await host.sandboxes.get('web'))) await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['80'] })
  },
  publish: async () => (await host.sandboxes.get('web'))?.publish(['81', '53/udp']),
  attach: async () => {
    const web = await host.sandboxes.get('web')
    if (web?.endpoints.length === 1) await web.attach('bridge')
  },
  detach: async () => (await host.sandboxes.get('web'))?.detach('bridge'),
  remove: () => host.sandboxes.remove('web'),
  recover: () => host.recover(),
  'somebody deletes our tables': async () => {
    for (const family of ['inet', 'bridge']) await machine.nft('delete', 'table', family, 'netmode').catch(() => {})
    await host.recover()
  },
  "somebody deletes the sandbox's link": async () => {
    const veth = (await host.sandboxes.get('web'))?.endpoints[0]?.hostIfname
    if (veth) await machine.ip('link', 'delete', veth)
    await host.recover()
  },
  'the host is closed and opened': async () => {
    await host.close()
    host = await open(machine)
  },
}

async function make(crowd: readonly Foreign[]): Promise<void> {
  for (const { ip = [], nft = [], namespace } of crowd) {
    for (const line of ip) await machine.ip(...line.split(' '))
    for (const line of nft) await machine.nft(line)
    if (namespace) await run('ip', ['netns', 'add', namespace])
    if (namespace) await run('ip', ['-n', namespace, 'link', 'add', 'eth0', 'type', 'bridge'])
  }
}

/** Everything that is there, each thing as a line. */
async function things(namespaces: readonly string[]): Promise<ReadonlySet<string>> {
  const { links, addresses, routes, rules, neighbors, ruleset, namespaces: names } = await machine.dump()
  const inside = await Promise.all(namespaces.map(name => run('ip', ['-n', name, '-d', 'address'])))
  return new Set(
    [...links, ...addresses, ...routes, ...rules, ...neighbors, ...ruleset, ...names, ...inside].map(one => JSON.stringify(one)),
  )
}

const runs = isLong ? 60 : 3

test(`${runs} crowds`, { timeout: isLong ? 3_600_000 : 300_000 }, async () => {
  let looks = 0
  let made = 0
  const crowds = fc.array(fc.nat(kinds.length - 1), { minLength: 6, maxLength: 14 })
  const days = fc.array(fc.constantFrom(...Object.keys(deeds)), { minLength: 5, maxLength: 9 })
  await fc.assert(
    fc.asyncProperty(crowds, days, async (choice, day) => {
      const crowd = choice.map((kind, n) => (kinds[kind] as (n: number) => Foreign)(n))
      const namespaces = crowd.flatMap(({ namespace }) => namespace ?? [])
      await make(crowd)
      const before = await things(namespaces)
      made += crowd.length
      for (const deed of ['create', ...day]) {
        await deeds[deed]?.()
        const after = await things(namespaces)
        expect(
          [...before].filter(one => !after.has(one)),
          `${deed} has changed`,
        ).toEqual([])
        looks++
      }
      await host.sandboxes.remove('web')
      for (const { name } of await host.networks.list()) await host.networks.remove(name)
      expect(await things(namespaces)).toEqual(before)
      await host.close()
      await machine.remove()
      for (const name of namespaces) await run('ip', ['netns', 'delete', name])
      machine = await freshHost()
      host = await open(machine)
      await machine.run('sysctl', '-qw', 'net/ipv4/ip_forward=1', 'net/ipv6/conf/all/forwarding=1')
    }),
    { numRuns: runs, endOnFailure: true },
  )
  score(31, 'foreign objects beside us', `${made} things in ${runs} crowds, ${looks} looks: 0 touched`)
})
