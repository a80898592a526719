/** All or nothing: whichever op of a plan fails, all is as it was before, and the next call succeeds. */
import { afterEach, beforeEach, expect, test as plainTest } from 'vitest'
import type { Host, SandboxOptions } from '../../lib/index.js'
import type { LinkSet, Op, Plan } from '../../lib/plan/op.js'
import { type Between, changes, openBetween } from '../setup/between.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { settings } from '../setup/settings.js'
import { homeSubnets } from '../setup/stage.js'
import { stateTree } from '../setup/state-tree.js'

const { describe, test } = requires('root', 'program:nft')

let machine: PrivateHost
let host: Host
let between: Between

beforeEach(async () => {
  machine = await freshHost()
  ;({ host, between } = await openBetween(machine))
})
afterEach(async () => {
  between.change = plan => plan
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await machine.remove()
})

/** Everything that a failed call must leave as it was. */
async function world(): Promise<object> {
  const [dump, state, sysctls] = await Promise.all([machine.dump(), stateTree(machine.stateDir), settings(machine)])
  return { ...dump, state, sysctls }
}

/**
 * Ops that are sure to fail, each on another path through the runner: done at once; one message of a batch whose others go through
 * all the same; one message that spoils a whole transaction.
 */
const atOnce: Op = { op: 'sysctl.get', key: 'net/ipv4/no_such_key' }
const inBatch: LinkSet = { op: 'link.set', link: { name: 'nosuch0', index: 0x3fff_ffff }, up: true }
const inTransaction: Op = {
  op: 'nft.rule.add',
  family: 'inet',
  table: 'netmode',
  chain: 'nosuch',
  text: 'accept',
  expressions: [{ expr: 'verdict', verdict: 'accept' }],
}

/** The batch of a neighbour: a message breaks into it only where it goes to the same namespace. */
function inBatchOf(neighbor: Op | undefined): LinkSet {
  const ns = neighbor && /^(link|address|route)\./.test(neighbor.op) && 'ns' in neighbor ? neighbor.ns : undefined
  return ns === undefined ? inBatch : { ...inBatch, ns }
}

const insert = (plan: Plan, at: number, op: Op): Plan => [...plan.slice(0, at), { apply: op }, ...plan.slice(at)]
/** In its turn, where nobody would hear of the failure. */
const replace = (plan: Plan, at: number, op: Op): Plan =>
  plan.map((step, i) => {
    if (i !== at) return step
    const { when, ...rest } = step
    return { ...rest, apply: op, ...(when === 'ahead' && { when }) }
  })

/** One way to break a plan at a place. */
type Breakage = (plan: Plan, at: number) => Plan
const breakages: Readonly<Record<string, Breakage>> = {
  'an op fails at once': (plan, at) => insert(plan, at, atOnce),
  'a message of a batch is refused': (plan, at) => insert(plan, at, inBatchOf(plan[at - 1]?.apply)),
  'a transaction is refused': (plan, at) => insert(plan, at, inTransaction),
  'the op itself does nothing and fails': (plan, at) => (at < plan.length ? replace(plan, at, atOnce) : insert(plan, at, atOnce)),
}

/** Runs `call` broken at every place in turn, but for the last `but`; answers at how many. */
async function breakEverywhere(call: () => Promise<unknown>, broken: (at: number) => Breakage, but = 0): Promise<number> {
  const before = await world()
  for (let at = 0; ; at++) {
    let length = 0
    between.change = plan => {
      if (!changes(plan)) return plan
      length = plan.length
      return broken(at)(plan, at)
    }
    await expect(call(), `broken before op ${at}`).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_NETMODE_/) })
    between.change = plan => plan
    expect(await world(), `broken before op ${at}`).toEqual(before)
    if (at >= length - but) return at
  }
}

const kinds = Object.values(breakages)
/** All breakages in turn, one a place: for long plans. */
const inTurn = (at: number): Breakage => kinds[at % kinds.length] as Breakage

/** The last op of a change can't be taken back: it makes the rest good, or deletes links. Nothing comes behind it. */
const commit = 1

const twoPorts = { publish: ['8080:80', '5353:53/udp'] }

describe('a create on a network that exists', () => {
  const sandbox: SandboxOptions = { name: 'web', network: 'lan', ...twoPorts }
  beforeEach(async () => {
    // Four free addresses: they would soon be used up if the failed ones kept theirs.
    await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/29', 'fd00:9::/125'] })
    await host.sandboxes.create({ name: 'neighbor', network: 'lan', publish: ['80', '53/udp'] })
  })

  for (const [title, broken] of Object.entries(breakages)) {
    test(`${title}, at every place`, async () => {
      expect(
        await breakEverywhere(
          () => host.sandboxes.create(sandbox),
          () => broken,
        ),
      ).toBeGreaterThan(30)
      const web = await host.sandboxes.create(sandbox)
      expect(web.endpoints).toMatchObject([{ network: 'lan', ipv4: { prefix: 29 }, ipv6: { prefix: 125 } }])
      expect(web.ports).toHaveLength(4)
    })
  }
})

describe('on a fresh host, where table and default network are in the plan', () => {
  beforeEach(async () => {
    // An administrator's own choices, which the kernel overrides when forwarding is switched on or off for all.
    for (const choice of ['ipv4/conf/all/accept_redirects=0', 'ipv4/conf/eth0/forwarding=1', 'ipv6/conf/eth0/forwarding=1'])
      await machine.run('sysctl', '-qw', `net/${choice}`)
  })

  test('a create that breaks, at every place', async () => {
    const sandbox: SandboxOptions = { name: 'web', ...twoPorts }
    expect(await breakEverywhere(() => host.sandboxes.create(sandbox), inTurn)).toBeGreaterThan(80)
    expect((await host.sandboxes.create(sandbox)).endpoints).toMatchObject([{ network: 'bridge', ipv4: { address: '172.17.0.2' } }])
  })

  test('networks.create, at every place', async () => {
    const network = { name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] }
    expect(await breakEverywhere(() => host.networks.create(network), inTurn)).toBeGreaterThan(50)
    expect((await host.networks.create(network)).subnets).toHaveLength(2)
  })
})

describe('on a live sandbox', () => {
  beforeEach(async () => {
    await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
    await host.sandboxes.create({ name: 'web', network: 'lan', ...twoPorts })
  })
  const web = async () => {
    const found = await host.sandboxes.get('web')
    if (!found) throw new Error('web is gone')
    return found
  }

  test('publish, at every place', async () => {
    const publish = async () => (await web()).publish(['8081:80', '5354:53/udp', '127.0.0.1:9000:9000'])
    expect(await breakEverywhere(publish, inTurn, commit)).toBeGreaterThan(15)
    expect(await publish()).toHaveLength(5)
  })

  test('unpublish, at every place', async () => {
    const unpublish = async () => (await web()).unpublish(['8080', '5353/udp'])
    expect(await breakEverywhere(unpublish, inTurn, commit)).toBeGreaterThan(10)
    expect(await unpublish()).toHaveLength(4)
    expect((await web()).ports).toEqual([])
  })

  test('publish, where the ruleset is gone and looking for it fails', async () => {
    between.change = plan => (plan.some(({ apply }) => apply.op === 'nft.rules') ? insert(plan, 0, atOnce) : plan)
    await machine.nft('flush', 'ruleset')
    const publish = async () => (await web()).publish('8081:80')
    await expect(publish()).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_NETMODE_/) })
    await expect(host.recover()).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_NETMODE_/) })
    between.change = plan => plan
    await host.recover()
    expect(await publish()).toHaveLength(2)
  })

  test('attach and detach, at every place', async () => {
    await host.networks.create({ name: 'far', subnets: ['10.8.0.0/24'] })
    const attach = async () => (await web()).attach('far', { gatewayPriority: 1 })
    expect(await breakEverywhere(attach, inTurn, commit)).toBeGreaterThan(15)
    expect(await attach()).toMatchObject({ network: 'far' })
    const detach = async () => (await web()).detach('far')
    expect(await breakEverywhere(detach, inTurn, commit)).toBeGreaterThan(8)
    expect(await detach()).toBe(true)
  })
})

plainTest('the plans that are broken are those that change something', () => {
  expect(changes([{ apply: { op: 'lock', path: '/', mode: 'shared' } }, { apply: { op: 'link.list' } }])).toBe(false)
  expect(changes([{ apply: { op: 'file.remove', path: '/x' } }])).toBe(true)
})

describe('with the other drivers', () => {
  const onLan = { subnets: [homeSubnets[0]] }
  const { test: withMacvlan } = requires('root', 'link:macvlan')

  test('a ptp network and its sandboxes, at every place', async () => {
    const network = { name: 'lines', driver: 'ptp', subnets: ['10.8.0.0/24', 'fd00:8::/64'] } as const
    expect(await breakEverywhere(() => host.networks.create(network), inTurn)).toBeGreaterThan(50)
    await host.networks.create(network)
    const sandbox: SandboxOptions = { name: 'web', network: 'lines', ...twoPorts }
    expect(await breakEverywhere(() => host.sandboxes.create(sandbox), inTurn)).toBeGreaterThan(30)
    expect((await host.sandboxes.create(sandbox)).endpoints).toMatchObject([{ ipv4: { prefix: 32 }, ipv6: { prefix: 128 } }])
  })

  const { test: withTun } = requires('root', '/dev/net/tun')
  withTun('a sandbox with a TAP on a bridge, and a TAP that is attached later, at every place', async () => {
    await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/29', 'fd00:9::/125'], icc: false })
    await host.networks.create({ name: 'far', subnets: ['10.8.0.0/29'] })
    const sandbox: SandboxOptions = { name: 'vm', network: 'lan', tap: { owner: 7 }, ...twoPorts }
    expect(await breakEverywhere(() => host.sandboxes.create(sandbox), inTurn)).toBeGreaterThan(30)
    const vm = await host.sandboxes.create(sandbox)
    expect(vm.endpoints).toMatchObject([{ ipv4: { prefix: 29 }, tap: { owner: 7 } }])
    expect(await breakEverywhere(() => vm.attach('far', { tap: {} }), inTurn, commit)).toBeGreaterThan(10)
    expect(await vm.attach('far', { tap: {} })).toMatchObject({ network: 'far', tap: { vnetHdr: false } })
    expect(await breakEverywhere(() => vm.detach('far'), inTurn, commit)).toBeGreaterThan(7)
    expect(await vm.detach('far')).toBe(true)
  })

  withMacvlan('a macvlan network and its sandboxes, at every place', async () => {
    const network = { name: 'lan', driver: 'macvlan', parent: 'eth0', ...onLan } as const
    expect(await breakEverywhere(() => host.networks.create(network), inTurn)).toBeGreaterThan(4)
    await host.networks.create(network)
    const sandbox: SandboxOptions = { name: 'web', network: 'lan' }
    expect(await breakEverywhere(() => host.sandboxes.create(sandbox), inTurn)).toBeGreaterThan(10)
    expect((await host.sandboxes.create(sandbox)).endpoints).toMatchObject([{ ipv4: { gateway: '198.51.100.2' } }])
  })

  const { test: withIpvlan } = requires('root', 'link:ipvlan')
  withIpvlan('an ipvlan network and its sandboxes, at every place', async () => {
    const network = { name: 'lan', driver: 'ipvlan', parent: 'eth0', ...onLan } as const
    expect(await breakEverywhere(() => host.networks.create(network), inTurn)).toBeGreaterThan(4)
    await host.networks.create(network)
    const sandbox: SandboxOptions = { name: 'web', network: 'lan' }
    expect(await breakEverywhere(() => host.sandboxes.create(sandbox), inTurn)).toBeGreaterThan(10)
    expect((await host.sandboxes.create(sandbox)).endpoints).toMatchObject([{ ipv4: { gateway: '198.51.100.2' } }])
  })

  const { test: withVlan } = requires('root', 'link:macvlan', 'link:vlan')
  withVlan.each(['macvlan', 'bridge'] as const)('a %s network on a VLAN that it makes, and its sandboxes, at every place', async driver => {
    const network = { name: 'lan', driver, parent: 'eth0.7', subnets: ['203.0.113.0/24'] }
    expect(await breakEverywhere(() => host.networks.create(network), inTurn)).toBeGreaterThan(6)
    await host.networks.create(network)
    expect(await breakEverywhere(() => host.sandboxes.create({ name: 'web', network: 'lan' }), inTurn)).toBeGreaterThan(10)
  })

  test('a bridge with an uplink, at every place: the host has its addresses and routes again', async () => {
    await machine.ip('route', 'add', '203.0.113.0/24', 'via', '198.51.100.2', 'metric', '77')
    const network = { name: 'lan', parent: 'eth0', ...onLan }
    expect(await breakEverywhere(() => host.networks.create(network), inTurn)).toBeGreaterThan(15)
    await host.networks.create(network)
    expect(await breakEverywhere(() => host.sandboxes.create({ name: 'web', network: 'lan' }), inTurn)).toBeGreaterThan(10)
  })
})
