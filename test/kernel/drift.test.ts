/** What others take from under a live sandbox is noticed and put right: at once by an open host, else at the next opening. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { symlinkSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { afterEach, beforeEach, expect } from 'vitest'
import { type Host, type HostEvent, openHost, type Sandbox } from '../../lib/index.js'
import { open, openBetween } from '../setup/between.js'
import { freshHost, type PrivateHost, run } from '../setup/namespace.js'
import { ask, greet, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'
import { sealAll } from '../setup/sealing.js'
import { stateTree } from '../setup/state-tree.js'

const { describe, test } = requires('root', 'program:nft')

let machine: PrivateHost
let host: Host
beforeEach(async () => {
  machine = await freshHost()
  host = await open(machine)
})
afterEach(async () => {
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  for (const { name } of await host.networks.list()) await host.networks.remove(name)
  await host.close()
  await machine.remove()
})

/** `ip` in the sandbox. */
const inside = (...args: string[]) => run('ip', ['-n', 'web', ...args])
/** Several at once, in one process. */
const batch = (where: string, lines: readonly string[]) => run('sh', ['-ec', `printf '${lines.join('\\n')}\\n' | ip ${where} -batch -`])
const veth = async () => (await host.sandboxes.get('web'))?.endpoints[0]?.hostIfname ?? ''
const bridge = async (network = 'lan') => (await host.networks.get(network))?.device ?? ''

/** What somebody does, on a host with `web` on a bridge network of both families. */
const deeds: Readonly<Record<string, () => Promise<unknown>>> = {
  'deletes eth0 inside': () => inside('link', 'delete', 'eth0'),
  // Before Linux 6.2 a link that is up keeps its name.
  'renames eth0': () => batch('-n web', ['link set eth0 down', 'link set eth0 name lan7', 'link set lan7 up']),
  'moves eth0 to another namespace': async () => {
    await run('ip', ['netns', 'add', 'elsewhere'])
    await inside('link', 'set', 'eth0', 'netns', 'elsewhere')
  },
  'sets eth0 down': () => inside('link', 'set', 'eth0', 'down'),
  'removes the address': () => inside('address', 'delete', '10.9.0.9/24', 'dev', 'eth0'),
  'removes the IPv6 address': () => inside('address', 'delete', 'fd00:9::9/64', 'dev', 'eth0'),
  'removes the default route': () => inside('route', 'delete', 'default'),
  'flushes all addresses': () => inside('address', 'flush', 'dev', 'eth0'),
  "deletes the host's end": async () => machine.ip('link', 'delete', await veth()),
  "renames the host's end": async () => {
    const name = await veth()
    await batch(`-n ${machine.name}`, [`link set ${name} down`, `link set ${name} name gotcha`, 'link set gotcha up'])
  },
  "moves the host's end to another namespace": async () => {
    await run('ip', ['netns', 'add', 'elsewhere'])
    await machine.ip('link', 'set', await veth(), 'netns', 'elsewhere')
  },
  "takes the host's end from the bridge": async () => machine.ip('link', 'set', await veth(), 'nomaster'),
  "sets the host's end down": async () => machine.ip('link', 'set', await veth(), 'down'),
  'deletes the bridge': async () => machine.ip('link', 'delete', await bridge()),
  'sets the bridge down': async () => machine.ip('link', 'set', await bridge(), 'down'),
  "removes the bridge's address": async () => machine.ip('address', 'delete', '10.9.0.1/24', 'dev', await bridge()),
}

async function stage(): Promise<Sandbox> {
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
  return createWeb()
}

const createWeb = () => host.sandboxes.create({ name: 'web', network: 'lan', ip: '10.9.0.9', ip6: 'fd00:9::9', publish: ['8080:80'] })

/** Traffic from outside through the published port, from the host, and from the sandbox to the outside, of both families. */
async function works(web: Sandbox, outside: Peer): Promise<void> {
  expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2')
  expect(await ask(outside, '2001:db8:100::1', 8080)).toBe('2001:db8:100::2')
  for (const address of ['198.51.100.2', '2001:db8:100::2']) {
    const ping = web.spawn('ping', ['-n', '-c', '1', '-W', '5', address], { stdio: 'ignore' })
    expect((await once(ping, 'exit'))[0], `ping ${address}`).toBe(0)
  }
}

async function world(): Promise<object> {
  const of = async (family: string) => (await run('ip', ['-n', 'web', family, 'route'])).split('\n').map(line => line.trim())
  const links = JSON.parse(await run('ip', ['-n', 'web', '-j', 'address'])) as { ifname: string; address: string; addr_info: object[] }[]
  const { namespaces: _, links: hostLinks, ...dump } = await machine.dump()
  return {
    ...dump,
    // The kernel chooses the MAC of the host's end.
    hostLinks: hostLinks.map(link =>
      String((link as { ifname: string }).ifname).startsWith('veth') ? { ...(link as object), address: '' } : link,
    ),
    state: await stateTree(machine.stateDir),
    inside: links.map(({ ifname, address, addr_info }) => ({
      ifname,
      address,
      addresses: addr_info
        .map(one => one as { local: string; prefixlen: number; scope: string })
        .filter(({ local }) => !local.startsWith('fe80:'))
        .map(({ local, prefixlen, scope }) => `${local}/${prefixlen} ${scope}`)
        .sort(),
    })),
    routes: [...(await of('-4')), ...(await of('-6'))].filter(line => !line.startsWith('fe80::')).sort(),
  }
}

async function until(events: AsyncIterator<HostEvent>, type: HostEvent['type']): Promise<HostEvent> {
  while (true) {
    const { value, done } = await events.next()
    if (done) throw new Error(`the events ended before ${type}`)
    if (value.type === type) return value
  }
}

test('a namespace that can’t be entered just now is not taken for one that is gone', { timeout: 60_000 }, async () => {
  await stage()
  await host.close()
  symlinkSync('loop', '/run/loop')
  const { host: other, between } = await openBetween(machine)
  host = other
  await host.recover()
  const before = await world()
  const events = host.events({ types: ['sandbox.repaired'] })
  let refused = 0
  between.change = plan => {
    if (refused > 0 || !plan.some(({ apply }) => apply.op === 'netns.open')) return plan
    refused++
    return plan.map(step => (step.apply.op === 'netns.open' ? { apply: { ...step.apply, path: '/run/loop' } } : step))
  }
  await inside('link', 'delete', 'eth0')
  for (let isRight = false; !isRight; isRight = isDeepStrictEqual(await world(), before)) await until(events, 'sandbox.repaired')
  expect(refused).toBe(1)
})

test("a host's end that somebody has made too narrow for IPv6 comes up again", async () => {
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
  const web = await host.sandboxes.create({ name: 'web', network: 'lan' })
  const port = String(web.endpoints[0]?.hostIfname)
  await host.close()
  host = await openHost({ netns: machine.netns, stateDir: machine.stateDir, repair: false })
  await machine.ip('link', 'set', port, 'mtu', '1000', 'down')
  expect(await host.recover()).toEqual({ rolledBack: [], repaired: ['web'], damaged: [] })
  expect(await machine.ipJson('link', 'show', 'dev', port)).toMatchObject([{ mtu: 1000, operstate: 'UP' }])
})

test("a host's end that was made and not yet told what it is takes no IPv6 address", async () => {
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
  const web = await host.sandboxes.create({ name: 'web', network: 'lan' })
  const port = String(web.endpoints[0]?.hostIfname)
  await host.close()
  host = await openHost({ netns: machine.netns, stateDir: machine.stateDir, repair: false })
  await machine.ip('link', 'set', port, 'alias', '')
  await machine.ip('link', 'set', port, 'addrgenmode', 'eui64')
  expect(await host.recover()).toEqual({ rolledBack: [], repaired: ['web'], damaged: [] })
  expect(await machine.ipJson('-d', 'link', 'show', 'dev', port)).toMatchObject([
    { ifalias: 'netmode:web/lan', inet6_addr_gen_mode: 'none' },
  ])
})

const forget = async () => run('ip', ['netns', 'delete', 'elsewhere']).catch(() => {})

describe.each(Object.entries(deeds))('somebody %s', (_, deed) => {
  test('of an open host: it is told, and put right', { timeout: 60_000 }, async () => {
    const web = await stage()
    await greet(web, '10.9.0.9', 80)
    await greet(web, 'fd00:9::9', 80)
    await using outside = new Peer(machine.outside.netns)
    await works(web, outside)
    const before = await world()
    const events = host.events({ types: ['sandbox.drifted', 'sandbox.repaired', 'sandbox.removed'] })
    await deed()
    expect(await until(events, 'sandbox.drifted')).toMatchObject({ sandbox: 'web' })
    // What is done in several steps may be noticed, and put right, after each.
    for (let isRight = false; !isRight; isRight = isDeepStrictEqual(await world(), before))
      expect(await until(events, 'sandbox.repaired')).toMatchObject({ sandbox: 'web' })
    await forget()
    await works(web, outside)
  })

  test.each([
    ['', false],
    ['that was found whole before', true],
  ])('of a closed one %s: the next opening puts it right', { timeout: 60_000 }, async (_, isSealed) => {
    await stage()
    const before = await world()
    await host.close()
    if (isSealed) await sealAll(machine, ['web'])
    host = await openHost({ netns: machine.netns, stateDir: machine.stateDir, repair: false })
    await deed()
    await host.close()
    host = await openHost({ netns: machine.netns, stateDir: machine.stateDir, repair: false })
    const { repaired, ...rest } = await host.recover()
    expect(rest).toEqual({ rolledBack: [], damaged: [] })
    expect(['web', 'network lan', 'network lan,web']).toContain(repaired.join())
    await forget()
    expect(await world()).toEqual(before)
    const web = await host.sandboxes.get('web')
    if (web === undefined) throw new Error('web is gone')
    await greet(web, '10.9.0.9', 80)
    await greet(web, 'fd00:9::9', 80)
    await using outside = new Peer(machine.outside.netns)
    await works(web, outside)
    expect(await host.recover()).toEqual({ rolledBack: [], repaired: [], damaged: [] })
  })
})

describe('the namespace of a sandbox', () => {
  test.each([
    ['of which nothing is left', false],
    ['in which a program still runs', true],
  ])('%s loses its name: the sandbox is released, and another may have all it had', async (_, isHeld) => {
    await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
    const before = await machine.dump()
    await createWeb()
    const holder = isHeld ? spawn('nsenter', ['--net=/run/netns/web', 'sleep', 'infinity'], { stdio: 'ignore' }) : undefined
    if (holder) await once(holder, 'spawn')
    const events = host.events({ types: ['sandbox.drifted', 'sandbox.removed'] })
    await run('ip', ['netns', 'delete', 'web'])
    expect(await until(events, 'sandbox.drifted')).toMatchObject({ sandbox: 'web' })
    expect(await until(events, 'sandbox.removed')).toMatchObject({ sandbox: 'web' })
    expect(await host.sandboxes.list()).toEqual([])
    await createWeb()
    await host.sandboxes.remove('web')
    expect(await machine.dump()).toEqual(before)
    holder?.kill('SIGKILL')
  })

  test('was replaced by another of its name: that one is left alone, and the sandbox told of', async () => {
    await stage()
    await host.close()
    await run('ip', ['netns', 'delete', 'web'])
    await run('ip', ['netns', 'add', 'web'])
    const before = await inside('-d', 'address')
    host = await openHost({ netns: machine.netns, stateDir: machine.stateDir, repair: false })
    const events = host.events({ types: ['sandbox.drifted'] })
    expect(await host.recover()).toEqual({ rolledBack: [], repaired: [], damaged: [] })
    expect(await until(events, 'sandbox.drifted')).toMatchObject({ sandbox: 'web' })
    expect(await inside('-d', 'address')).toBe(before)
  })
})

test('what is not ours to mend is told of: an adopted bridge that somebody has deleted', async () => {
  await machine.ip('link', 'add', 'br7', 'type', 'bridge')
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'], bridge: 'br7' })
  await host.sandboxes.create({ name: 'web', network: 'lan', ip: '10.9.0.9' })
  const events = host.events({ types: ['sandbox.drifted', 'sandbox.repaired'] })
  await machine.ip('link', 'delete', 'br7')
  expect(await until(events, 'sandbox.drifted')).toMatchObject({ sandbox: 'web' })
  // Whoever it belongs to makes it anew; the next look finds it, and joins the sandbox to it.
  await machine.ip('link', 'add', 'br7', 'type', 'bridge')
  await host.recover()
  expect(await until(events, 'sandbox.repaired')).toMatchObject({ sandbox: 'web' })
  await using peer = new Peer(machine.netns)
  const web = await host.sandboxes.get('web')
  if (web) await greet(web, '10.9.0.9', 80)
  expect(await ask(peer, '10.9.0.9', 80)).toBe('10.9.0.1')
})

test('what a sandbox is asked to change, and its removal, are no drift', async () => {
  await host.networks.create({ name: 'far', subnets: ['10.8.0.0/24'] })
  const events = host.events({ types: ['sandbox.drifted', 'sandbox.repaired', 'network.removed'] })
  const web = await stage()
  for (let round = 0; round < 5; round++) {
    await web.attach('far')
    await web.detach('far')
    await (await host.sandboxes.create({ name: 'guest', network: 'far' })).remove()
  }
  await web.remove()
  await host.networks.remove('far')
  expect(await events.next()).toMatchObject({ value: { type: 'network.removed' } })
})

describe('with the other drivers', () => {
  const lan = { subnet: '198.51.100.0/24', gateway: '198.51.100.2', reserved: { host: '198.51.100.1' } }
  const { test: withMacvlan } = requires('root', 'program:nft', 'link:macvlan')

  async function loses(deed: string): Promise<void> {
    const events = host.events({ types: ['sandbox.drifted', 'sandbox.repaired'] })
    const dump = async () =>
      [await inside('-br', '-4', 'address'), await inside('route')].map(text => text.replace(/@if\d+|dev eth0@\S+/g, ''))
    const before = await dump()
    await inside(...deed.split(' '))
    expect(await until(events, 'sandbox.drifted')).toMatchObject({ sandbox: 'web' })
    expect(await until(events, 'sandbox.repaired')).toMatchObject({ sandbox: 'web' })
    expect(await dump()).toEqual(before)
  }

  test.each(['link delete eth0', 'route delete default', 'address flush dev eth0'])('ptp: ip %s', async deed => {
    await host.networks.create({ name: 'lines', driver: 'ptp', subnets: ['10.8.0.0/24', 'fd00:8::/64'] })
    const web = await host.sandboxes.create({ name: 'web', network: 'lines', ip: '10.8.0.9', publish: ['8080:80'] })
    await loses(deed)
    await greet(web, '10.8.0.9', 80)
    await using outside = new Peer(machine.outside.netns)
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2')
  })

  // The host has no id for such a namespace, and hears nothing of it: the next look finds it.
  withMacvlan('macvlan: at the next look', async () => {
    await host.networks.create({ name: 'lan', driver: 'macvlan', parent: 'eth0', subnets: [lan] })
    const web = await host.sandboxes.create({ name: 'web', network: 'lan', ip: '198.51.100.9' })
    await greet(web, '198.51.100.9', 80)
    for (const deed of ['link delete eth0', 'address flush dev eth0']) {
      await inside(...deed.split(' '))
      await host.recover()
      await using outside = new Peer(machine.outside.netns)
      expect(await ask(outside, '198.51.100.9', 80), deed).toBe('198.51.100.2')
    }
  })
})
