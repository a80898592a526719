/** Live sandboxes attached to further networks and detached again: routes, published ports, files, failures, crashes, crowds. */
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect } from 'vitest'
import type { Host, Sandbox } from '../../lib/index.js'
import { stepsOf } from '../../lib/plan/mechanism.js'
import type { Op, Plan } from '../../lib/plan/op.js'
import { type Between, changes, open, openBetween } from '../setup/between.js'
import { freshHost, type PrivateHost, PrivateNamespace, run } from '../setup/namespace.js'
import { ask, askUdp, at, families, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'
import { stateTree } from '../setup/state-tree.js'
import { answer, answerUdp, Talk } from '../setup/talk.js'

const { describe, test } = requires('root', 'program:nft')

let machine: PrivateHost
let host: Host
let between: Between
let web: Sandbox
const inside = new PrivateNamespace('web')

beforeEach(async () => {
  machine = await freshHost()
  ;({ host, between } = await openBetween(machine))
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
  await host.networks.create({ name: 'back', subnets: ['10.8.0.0/24', 'fd00:8::/64'] })
  await host.networks.create({ name: 'sealed', subnets: ['10.6.0.0/24'], internal: true })
  web = await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['8080:80', '5353:53/udp'] })
})
afterEach(async () => {
  between.change = plan => plan
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await machine.remove()
})

const endpointOn = (network: string, sandbox = web) => {
  const endpoint = sandbox.endpoints.find(one => one.network === network)
  if (!endpoint) throw new Error(`not attached to ${network}`)
  return endpoint
}

/** `eth0 via 10.9.0.1`, one for each default route. */
async function defaultRoutes(version: 4 | 6): Promise<readonly string[]> {
  const routes = await inside.ipJson(`-${version}`, 'route', 'show', 'default')
  return routes.map(({ dev, gateway }) => `${String(dev)} via ${String(gateway)}`)
}

/**
 * Everything that a change touches, on the host and in the sandbox, but for what is drawn by lot (names and MAC addresses of the
 * host's ends) or the kernel's own. Read by the verbs of the namespaces, which have tests of their own: many of these are made.
 */
async function world(): Promise<object> {
  const namespaces = [host.namespace, web.namespace]
  const [ruleset, state, ...lists] = await Promise.all([
    machine.nft('-s', 'list', 'table', 'inet', 'netmode'), // without counters
    stateTree(machine.stateDir),
    ...namespaces.flatMap(({ links, addresses, routes }) => [
      links
        .list()
        .then(all => all.map(({ name, master, alias, group, up, mtu }) => ({ name, master: Boolean(master), alias, group, up, mtu }))),
      addresses.list().then(all =>
        all
          .filter(({ scope }) => scope === 'global')
          .map(({ address, prefix }) => `${address}/${prefix}`)
          .sort(),
      ),
      routes.list().then(all => all.filter(({ to }) => !/^fe80|^ff00/.test(to)).map(({ to, via, metric }) => ({ to, via, metric }))),
    ]),
  ])
  const text = JSON.stringify({ ruleset: ruleset.split('\n').sort(), state, lists })
  return JSON.parse(text.replace(/veth[0-9a-f]{7}/g, 'veth')) as object
}

describe('the default route', () => {
  test.each(families)('goes to the highest priority, and back ($name)', async ({ version }) => {
    const via = (ifname: string, network: number) => [`${ifname} via ${version === 4 ? `10.${network}.0.1` : `fd00:${network}::1`}`]
    expect(await defaultRoutes(version)).toEqual(via('eth0', 9))
    expect(await web.attach('back')).toMatchObject({ network: 'back', ifname: 'eth1' })
    expect(await defaultRoutes(version)).toEqual(via('eth0', 9)) // the first of equals
    expect(await web.detach('back')).toBe(true)
    await web.attach('back', { gatewayPriority: 1 })
    expect(await defaultRoutes(version)).toEqual(via('eth1', 8))
    expect(await web.detach('back')).toBe(true)
    expect(await defaultRoutes(version)).toEqual(via('eth0', 9))
    await web.attach('back', { gatewayPriority: -1 })
    expect(await defaultRoutes(version)).toEqual(via('eth0', 9))
    expect(await web.detach('lan')).toBe(true)
    expect(await defaultRoutes(version)).toEqual(via('eth1', 8))
    expect(await web.attach('lan')).toMatchObject({ ifname: 'eth0' }) // the lowest free name
    expect(await defaultRoutes(version)).toEqual(via('eth0', 9))
    expect(await web.detach('lan')).toBe(true)
    expect(await web.detach('back')).toBe(true)
    expect(await defaultRoutes(version)).toEqual([])
  })

  test('is chosen for each family by itself', async () => {
    await host.networks.create({ name: 'six', subnets: ['fd00:7::/64'] })
    await web.attach('six', { gatewayPriority: 1 })
    expect(await defaultRoutes(4)).toEqual(['eth0 via 10.9.0.1'])
    expect(await defaultRoutes(6)).toEqual(['eth1 via fd00:7::1'])
    await web.detach('six')
    expect(await defaultRoutes(6)).toEqual(['eth0 via fd00:9::1'])
  })

  test('never goes to an internal network, whatever its priority', async () => {
    expect(await web.attach('sealed', { gatewayPriority: 100 })).toMatchObject({ ipv4: { address: '10.6.0.2', prefix: 24 } })
    expect(await defaultRoutes(4)).toEqual(['eth0 via 10.9.0.1'])
    await using peer = await host.sandboxes.create({ name: 'peer', network: 'sealed' })
    await answer(web, '10.6.0.2', 80)
    expect(await ask(peer, '10.6.0.2', 80)).toBe('10.6.0.3 at 10.6.0.2')
    expect(await ask(peer, '198.51.100.1', 8080)).toBe('unreachable')
    await web.detach('lan')
    expect(await defaultRoutes(4)).toEqual([])
    expect(await ask(web, '198.51.100.2', 80)).toBe('unreachable')
  })
})

describe.each(families)('a published port over $name, with reverse path filters on', family => {
  const { version } = family
  const addressOn = (network: string) => String((version === 4 ? endpointOn(network).ipv4 : endpointOn(network).ipv6)?.address)
  const gatewayOn = (network: string) => String((version === 4 ? endpointOn(network).ipv4 : endpointOn(network).ipv6)?.gateway)
  let outside: Peer
  let self: Peer
  let siblings: Record<'lan' | 'back', Sandbox>

  beforeEach(async () => {
    for (const one of [machine, inside])
      await one.run('sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=1', 'net.ipv4.conf.default.rp_filter=1')
    outside = new Peer(machine.outside.netns)
    self = new Peer(machine.netns)
    siblings = {
      lan: await host.sandboxes.create({ name: 'lan-sibling', network: 'lan' }),
      back: await host.sandboxes.create({ name: 'back-sibling', network: 'back' }),
    }
    await serve('lan')
  })
  afterEach(async () => {
    await outside[Symbol.asyncDispose]()
    await self[Symbol.asyncDispose]()
  })

  async function serve(network: string): Promise<void> {
    await answer(web, addressOn(network), 80)
    await answerUdp(web, addressOn(network), 53)
  }

  /** Everybody who may reach the port does, meets it at its address in this network, and gets the answer. */
  async function leadsTo(network: 'lan' | 'back'): Promise<void> {
    const target = addressOn(network)
    const from = at(family.host, 5353)
    const clients: [Peer | Sandbox, string][] = [
      [outside, family.outside],
      [self, family.host],
      [siblings.lan, gatewayOn(network)],
      [siblings.back, gatewayOn(network)],
      [web, gatewayOn(network)],
    ]
    for (const [client, saw] of clients) {
      expect(await ask(client, family.host, 8080)).toBe(`${saw} at ${target}`)
      expect(await askUdp(client, family.host, 5353)).toEqual({ saw: `${saw} at ${target}`, from })
    }
    // Through ::1 it depends on br_netfilter (docs/firewall.md).
    if (version === 4) expect(await ask(self, '127.0.0.1', 8080)).toBe(`${gatewayOn(network)} at ${target}`)
  }

  test('leads to the endpoint of the highest priority, there and back', async () => {
    await leadsTo('lan')
    await web.attach('back')
    await serve('back')
    await leadsTo('lan')
    await web.detach('back')
    await web.attach('back', { gatewayPriority: 7 })
    await serve('back')
    await leadsTo('back')
    await web.detach('back')
    await leadsTo('lan')
    await web.attach('back')
    await serve('back')
    await web.detach('lan')
    await leadsTo('back')
  })

  test('is closed while there is nowhere to lead to, and stays claimed', async () => {
    await web.detach('lan')
    expect(await ask(outside, family.host, 8080)).toBe('refused')
    expect(await askUdp(outside, family.host, 5353, { quiet: true })).toBe('silent')
    await expect(siblings.back.publish('8080:80')).rejects.toMatchObject({ code: 'ERR_NETMODE_PORT_IN_USE', holder: 'web' })
    await web.attach('back')
    await serve('back')
    await leadsTo('back')
  })

  test('takes clients along that go on sending: their flow is not left at the old endpoint', async () => {
    using talk = await Talk.begin(outside, family.host, 5353)
    const met = (network: string) => `${family.outside} at ${addressOn(network)}`
    expect(await talk.say()).toBe(met('lan'))
    await web.attach('back', { gatewayPriority: 1 })
    await serve('back')
    expect(await talk.say()).toBe(met('back'))
    await web.detach('back')
    expect(await talk.say()).toBe(met('lan'))
  })

  test('new ports lead to the endpoint that gives the default route', async () => {
    await web.attach('back', { gatewayPriority: 1 })
    await serve('back')
    await web.publish('9090:80')
    expect(await ask(outside, family.host, 9090)).toBe(`${family.outside} at ${addressOn('back')}`)
    await web.detach('back')
    expect(await ask(outside, family.host, 9090)).toBe(`${family.outside} at ${addressOn('lan')}`)
    await web.unpublish('9090')
    expect(await ask(outside, family.host, 9090)).toBe('refused')
  })
})

describe('names and addresses', () => {
  test('the hosts file is changed in place: a process that runs sees it', async () => {
    const shell = web.spawn('sh', ['-c', 'while read go; do grep -c . /etc/hosts; grep web /etc/hosts; echo; done'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const lines = createInterface(shell.stdout as NodeJS.ReadableStream)[Symbol.asyncIterator]()
    const seen = async (): Promise<string[]> => {
      shell.stdin?.write('go\n')
      const text: string[] = []
      for (;;) {
        const { value } = (await lines.next()) as { value: string }
        if (value === '') return text
        text.push(value)
      }
    }
    const lan = ['10.9.0.2\tweb', 'fd00:9::2\tweb']
    expect(await seen()).toEqual(['8', ...lan])
    await web.attach('back')
    expect(await seen()).toEqual(['10', ...lan, '10.8.0.2\tweb', 'fd00:8::2\tweb'])
    await web.detach('lan')
    expect(await seen()).toEqual(['8', '10.8.0.2\tweb', 'fd00:8::2\tweb'])
    await web.detach('back')
    expect(await seen()).toEqual(['6'])
    shell.stdin?.end()
    expect(await once(shell, 'close')).toEqual([0, null])
  })

  test('host-gateway goes along with the default route, and is left out while there is none', async () => {
    await using box = await host.sandboxes.create({ name: 'box', network: 'lan', addHosts: ['up:host-gateway'] })
    const up = async () =>
      (await machine.run('grep', '-h', '-s', 'up$', `${machine.stateDir}/sandboxes/box/hosts`).catch(() => 'none')).trim()
    expect(await up()).toBe('10.9.0.1\tup')
    await box.attach('back', { gatewayPriority: 1 })
    expect(await up()).toBe('10.8.0.1\tup')
    await box.detach('back')
    await box.detach('lan')
    expect(await up()).toBe('none')
    await box.attach('back')
    expect(await up()).toBe('10.8.0.1\tup')
  })

  test('address, MAC and interface as asked for', async () => {
    const endpoint = await web.attach('back', { ip: '10.8.0.88', ip6: 'fd00:8::88', mac: '02:00:5e:00:53:01', ifname: 'data0' })
    expect(endpoint).toMatchObject({
      network: 'back',
      ifname: 'data0',
      mac: '02:00:5e:00:53:01',
      ipv4: { address: '10.8.0.88', prefix: 24, gateway: '10.8.0.1' },
      ipv6: { address: 'fd00:8::88', prefix: 64, gateway: 'fd00:8::1' },
    })
    const [link] = await inside.ipJson('address', 'show', 'data0')
    expect(link).toMatchObject({ address: '02:00:5e:00:53:01', mtu: endpoint.mtu })
    const addresses = ((link?.addr_info ?? []) as { local: string }[]).map(({ local }) => local)
    expect(addresses).toEqual(expect.arrayContaining(['10.8.0.88', 'fd00:8::88']))
    expect((await host.sandboxes.get('web'))?.endpoints).toEqual(web.endpoints)
    expect(await host.sandboxes.inspect('web')).toMatchObject({
      NetworkSettings: { Networks: { lan: { IPAddress: '10.9.0.2' }, back: { IPAddress: '10.8.0.88', MacAddress: '02:00:5e:00:53:01' } } },
    })
  })

  test('what is wrong or taken is refused by its field, and nothing changes', async () => {
    await host.sandboxes.create({ name: 'other', network: 'back', ip: '10.8.0.7' })
    const before = await world()
    const refused = async (options: Parameters<Sandbox['attach']>[1], error: object) => {
      await expect(web.attach('back', options), JSON.stringify(options)).rejects.toMatchObject(error)
      expect(await world()).toEqual(before)
    }
    await refused({ ip: '10.9.0.7' }, { code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'ip' })
    await refused({ ip: '10.8.0.1' }, { code: 'ERR_NETMODE_ADDRESS_IN_USE', field: 'ip', holder: 'the gateway' })
    await refused({ ip: '10.8.0.7' }, { code: 'ERR_NETMODE_ADDRESS_IN_USE', holder: 'other' })
    await refused({ ip6: '10.8.0.8' }, { code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'ip6' })
    await refused({ ifname: 'eth0' }, { code: 'ERR_NETMODE_EXISTS', message: expect.stringContaining('eth0') })
    await refused({ ifname: 'lo' }, { code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'ifname' })
    await refused({ mac: '01:00:00:00:00:00' }, { code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'mac' })
    await refused({ gateway: 1 } as object, { code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'gateway' })
    // What was refused is free again.
    expect(await web.attach('back', { ip: '10.8.0.8' })).toMatchObject({ ipv4: { address: '10.8.0.8' } })
  })

  test('attached twice, to nowhere, detached twice', async () => {
    await expect(web.attach('lan')).rejects.toMatchObject({ code: 'ERR_NETMODE_EXISTS', field: 'network', subject: 'lan' })
    await expect(web.attach('nowhere')).rejects.toMatchObject({ code: 'ERR_NETMODE_NOT_FOUND', subject: 'nowhere' })
    expect(await web.detach('nowhere')).toBe(false)
    expect(await web.detach('back')).toBe(false)
    expect(await web.detach('lan')).toBe(true)
    expect(await web.detach('lan')).toBe(false)
    expect(web.endpoints).toEqual([])
    const address = (await inside.ipJson('link', 'show')).map(({ ifname }) => ifname)
    expect(address).toEqual(['lo'])
  })

  test('a network can go when its last endpoint has', async () => {
    await web.attach('back')
    await expect(host.networks.remove('back')).rejects.toMatchObject({ code: 'ERR_NETMODE_BUSY', subject: 'back', holder: 'web' })
    expect(await host.networks.prune()).toEqual(['sealed'])
    await web.detach('back')
    expect(await host.networks.remove('back')).toBe(true)
    await expect(web.attach('back')).rejects.toMatchObject({ code: 'ERR_NETMODE_NOT_FOUND' })
  })

  test('a default network that is not made yet is made with the attach', async () => {
    expect(await web.attach('bridge')).toMatchObject({ ipv4: { address: '172.17.0.2' } })
    expect((await host.networks.list()).map(({ name }) => name)).toContain('bridge')
  })
})

const failing: Op = { op: 'sysctl.get', key: 'net/ipv4/no_such_key' }

/** Attach and detach that move the default route and the published ports; each is undone by the other. */
const moves = {
  attach: () => web.attach('back', { gatewayPriority: 1, ip: '10.8.0.9', ip6: 'fd00:8::9' }),
  detach: () => web.detach('back'),
  publish: () => web.publish(['8081:80', '127.0.0.1:5354:53/udp']),
  unpublish: () => web.unpublish(['8080', '5353/udp']),
}
type Move = keyof typeof moves
const inverse: Readonly<Record<Move, () => Promise<unknown>>> = {
  attach: moves.detach,
  detach: moves.attach,
  publish: () => web.unpublish(['8081', '5354/udp']),
  unpublish: () => web.publish(['8080:80', '5353:53/udp']),
}

describe('all or nothing', () => {
  test.each(['attach', 'detach'] as const)('%s fails at every op: all is as before', async move => {
    if (move === 'detach') await moves.attach()
    const before = await world()
    // In turn: one op more that fails, and the op itself does nothing and fails.
    const breakages = [
      (plan: Plan, k: number): Plan => [...plan.slice(0, k), { apply: failing }, ...plan.slice(k)],
      (plan: Plan, k: number): Plan => plan.map((step, i) => (i === k ? { ...step, apply: failing } : step)),
    ] as const
    let length = 1
    for (let k = 0; k < length; k++) {
      let broken = false
      between.change = plan => {
        if (!changes(plan) || broken) return plan
        broken = true // what follows a plan that goes through is only the tidying up
        length = plan.length
        return breakages[k % 2 === 0 ? 0 : 1](plan, k)
      }
      await expect(moves[move](), `op ${k}`).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_NETMODE_/) })
      between.change = plan => plan
      expect(await world(), `op ${k}`).toEqual(before)
    }
    expect(length).toBeGreaterThan(15)
    await moves[move]()
    expect(await defaultRoutes(4)).toEqual([move === 'attach' ? 'eth1 via 10.8.0.1' : 'eth0 via 10.9.0.1'])
  })
})

describe('a process that dies in the middle', () => {
  /** Runs the move cut short after k ops, for each k; `heal` puts things right; the world is then as before or as after. */
  async function dies(move: Move, heal: () => Promise<unknown>): Promise<void> {
    if (move === 'detach') await moves.attach()
    const before = await world()
    await moves[move]()
    const after = await world()
    await inverse[move]()
    expect(await world()).toEqual(before)
    let length = 1
    const outcomes: string[] = []
    for (let k = 0; k <= length; k++) {
      between.change = plan => {
        if (!changes(plan)) return plan
        length = plan.length
        return plan.slice(0, k)
      }
      await moves[move]()
      between.change = plan => plan
      await heal()
      const healed = await world()
      const isBefore = JSON.stringify(healed) === JSON.stringify(before)
      if (!isBefore) expect(healed, `after op ${k}`).toEqual(after)
      outcomes.push(isBefore ? 'before' : 'after')
      web = (await host.sandboxes.get('web')) as Sandbox
      if (!isBefore) await inverse[move]()
    }
    // There is one point from which on it is done.
    expect(outcomes).toEqual(outcomes.toSorted().reverse())
    expect(outcomes.at(-1)).toBe('after')
  }

  test.each(['attach', 'detach', 'publish', 'unpublish'] as const)('%s: the next to open the host heals it', async move => {
    await dies(move, async () => {
      const next = await open(machine)
      await next.close()
    })
  })

  test.each(['attach', 'detach', 'publish', 'unpublish'] as const)('%s: the next to change the sandbox heals it', async move => {
    const other = await open(machine)
    await dies(move, async () => {
      const same = (await other.sandboxes.get('web')) as Sandbox
      await same.publish('9999:99')
      await same.unpublish('9999')
    })
    await other.close()
  })

  /** The plan of the detach has been carried out, what ends it has not. */
  async function halfDetached(network: string): Promise<void> {
    await moves.attach()
    let begun = false
    between.change = plan => {
      if (!changes(plan)) return plan
      const kept = begun ? [] : plan
      begun = true
      return kept
    }
    await web.detach(network)
    between.change = plan => plan
  }

  test.each(['lan', 'back'])('detaching it from %s: when it is removed then, nothing of its ports is left', async network => {
    await halfDetached(network)
    await using other = await open(machine, { repair: false })
    expect(await other.sandboxes.remove('web')).toBe(true)
    for (const set of ['publish4_any', 'publish6_any', 'exposed4', 'exposed6'])
      expect(
        (await machine.dump()).ruleset.filter(
          one => JSON.stringify(one).includes(`"name":"${set}"`) && JSON.stringify(one).includes('elem'),
        ),
      ).toEqual([])
    expect(await other.recover()).toEqual({ rolledBack: [], repaired: [], damaged: [] })
  })

  test('detaching it from one network, and somebody deletes the link to the other: the next opening has both right', async () => {
    await halfDetached('lan')
    await host.close()
    await inside.ip('link', 'delete', 'eth1')
    ;({ host, between } = await openBetween(machine))
    web = (await host.sandboxes.get('web')) as Sandbox
    expect(web.endpoints.map(({ network }) => network)).toEqual(['back'])
    expect(await defaultRoutes(4)).toEqual(['eth1 via 10.8.0.1'])
  })

  test('and that can not be put right keeps nobody from the host', async () => {
    await halfDetached('lan')
    await host.close()
    await run('umount', ['/run/netns/web'])
    const warned = once(process, 'warning')
    ;({ host, between } = await openBetween(machine))
    expect((await warned)[0]).toMatchObject({ name: 'NetmodeWarning', message: expect.stringContaining('Sandbox web') })
    await host.sandboxes.create({ name: 'other', network: 'lan' })
    expect(await host.sandboxes.remove('web')).toBe(true)
    await rm('/run/netns/web', { force: true })
  })

  test('what others have taken since is not touched by the healing', async () => {
    const other = await open(machine)
    const rival = await other.sandboxes.create({ name: 'rival', network: 'back' })
    // The intent is written and nothing is claimed yet.
    const cut = (op: Op['op']) => {
      between.change = plan =>
        changes(plan)
          ? plan.slice(
              0,
              plan.findIndex(({ apply }) => apply.op === op),
            )
          : plan
    }
    cut('port.claim')
    await web.publish('8081:80')
    cut('claim')
    const box = host.sandboxes.create({ name: 'box', network: 'back', ip: '10.8.0.9', publish: ['8082:80'] })
    await box.catch(() => {})
    between.change = plan => plan
    await rival.publish(['8081:80', '8082:80'])
    const late = await other.sandboxes.create({ name: 'late', network: 'back', ip: '10.8.0.9', publish: ['8083:80'] })
    await answer(rival, '0.0.0.0', 80)
    await answer(late, '0.0.0.0', 80)
    await using outside = new Peer(machine.outside.netns)
    const ports = async () => Promise.all([8081, 8082, 8083].map(port => ask(outside, '198.51.100.1', port)))
    const expected = await ports()
    expect(expected).toEqual(Array.from({ length: 3 }, () => '198.51.100.2 at 0.0.0.0'))
    await (await open(machine)).close()
    expect(await ports()).toEqual(expected)
    expect((await other.sandboxes.list()).map(({ name }) => name)).toEqual(['late', 'rival', 'web'])
    await other.close()
  })
})

describe('several at work on one sandbox', () => {
  test('a host that is closed in the middle of a detach ends it first', async () => {
    await moves.attach()
    const { host: other, between: trips } = await openBetween(machine)
    const same = (await other.sandboxes.get('web')) as Sandbox
    let closing: Promise<void> | undefined
    const { run: carryOut } = trips
    trips.run = async (plan, signal) => {
      const outputs = await carryOut(plan, signal)
      if (changes(stepsOf(plan))) closing ??= other.close()
      return outputs
    }
    expect(await same.detach('back')).toBe(true)
    await closing
    expect(Object.keys(await stateTree(machine.stateDir)).filter(path => path.includes('changes/'))).toEqual([])
    expect(await host.networks.remove('back')).toBe(true)
  })

  test('who calls off a change that somebody else was faster with hears of that, not of the record', async () => {
    await using other = await open(machine)
    await (await other.sandboxes.get('web'))?.publish('9001:91')
    const controller = new AbortController()
    const reason = new Error('not any more')
    const { run: carryOut } = between
    between.run = (plan, signal) => {
      const carriedOut = carryOut(plan, signal)
      if (changes(stepsOf(plan))) {
        // Nobody hears of an answer meanwhile.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100)
        controller.abort(reason)
      }
      return carriedOut
    }
    await expect(web.publish('9002:92', { signal: controller.signal })).rejects.toBe(reason)
    between.run = carryOut
    expect((await web.publish('9002:92'))[0]?.hostPort).toBe(9002)
  })

  test('all succeed, and nothing is lost', async () => {
    const others = await Promise.all(Array.from({ length: 8 }, () => open(machine)))
    const same = await Promise.all(others.map(async one => (await one.sandboxes.get('web')) as Sandbox))
    for (const [i] of same.entries()) await host.networks.create({ name: `net${i}`, subnets: [`10.20.${i}.0/24`] })
    await Promise.all(
      same.flatMap((one, i) => [one.attach(`net${i}`), one.publish(`${9000 + i}:80`), one.publish('53/udp'), one.unpublish('8080')]),
    )
    await web.refresh()
    expect(web.endpoints.map(({ network }) => network).sort()).toEqual(['lan', ...same.map((_, i) => `net${i}`)])
    expect(new Set(web.endpoints.map(({ ifname }) => ifname)).size).toBe(9)
    expect((await inside.ipJson('link', 'show')).map(({ ifname }) => ifname).sort()).toEqual([
      'eth0',
      ...same.map((_, i) => `eth${i + 1}`),
      'lo',
    ])
    const tcp = web.ports.filter(({ protocol, hostIp }) => protocol === 'tcp' && hostIp === '0.0.0.0')
    expect(tcp.map(({ hostPort }) => hostPort).sort()).toEqual(same.map((_, i) => 9000 + i))
    expect(web.ports.filter(({ protocol, hostIp }) => protocol === 'udp' && hostIp === '0.0.0.0')).toHaveLength(9)
    await answer(web, '10.9.0.2', 80)
    await using outside = new Peer(machine.outside.netns)
    for (const { hostPort } of tcp) expect(await ask(outside, '198.51.100.1', hostPort)).toBe('198.51.100.2 at 10.9.0.2')
    await Promise.all(same.map((one, i) => one.detach(`net${i}`)))
    await web.refresh()
    expect(web.endpoints.map(({ network }) => network)).toEqual(['lan'])
    await Promise.all(others.map(one => one.close()))
  })

  test('an address that another process has given back is free again', async () => {
    await host.networks.create({ name: 'small', subnets: ['10.5.0.0/30'] }) // room for one
    const other = await open(machine)
    const guest = await other.sandboxes.create({ name: 'guest', network: 'small' })
    await expect(web.attach('small')).rejects.toMatchObject({ code: 'ERR_NETMODE_EXHAUSTED', subject: 'small' })
    await guest.remove()
    expect(await web.attach('small')).toMatchObject({ ipv4: { address: '10.5.0.2' } })
    await expect(other.sandboxes.create({ name: 'late', network: 'small' })).rejects.toMatchObject({ code: 'ERR_NETMODE_EXHAUSTED' })
    await web.detach('small')
    await other.sandboxes.create({ name: 'late', network: 'small' })
    await other.close()
  })

  test('the one that comes too late is told so', async () => {
    const other = await open(machine)
    const same = (await other.sandboxes.get('web')) as Sandbox
    await web.attach('back')
    await expect(same.attach('back')).rejects.toMatchObject({ code: 'ERR_NETMODE_EXISTS', subject: 'back' })
    await web.remove()
    await expect(same.publish('9090:80')).rejects.toMatchObject({ code: 'ERR_NETMODE_NOT_FOUND', subject: 'web' })
    await host.sandboxes.create({ name: 'web', network: 'lan' })
    await expect(same.detach('lan')).rejects.toMatchObject({ code: 'ERR_NETMODE_NOT_FOUND', subject: 'web' })
    await other.close()
  })
})
