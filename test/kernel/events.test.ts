/** `host.events`: what others and we ourselves do is told, in order, to each who asked. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import type { Host, HostEvent } from '../../lib/index.js'
import type { Route } from '../../lib/plan/kernel-objects.js'
import { open } from '../setup/between.js'
import { Command } from '../setup/command.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { ask, greet, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'

const { describe, test } = requires('root', 'program:nft')

let machine: PrivateHost
let host: Host
let command: Command

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

/** The next event that fits; those before it are dropped. */
async function until<E extends HostEvent>(events: AsyncIterator<HostEvent>, fits: (event: HostEvent) => event is E): Promise<E>
async function until(events: AsyncIterator<HostEvent>, fits: (event: HostEvent) => boolean): Promise<HostEvent>
async function until(events: AsyncIterator<HostEvent>, fits: (event: HostEvent) => boolean): Promise<HostEvent> {
  while (true) {
    const { value, done } = await events.next()
    if (done) throw new Error('the events ended')
    if (fits(value)) return value
  }
}

async function next(events: AsyncIterator<HostEvent>, count: number): Promise<readonly HostEvent[]> {
  const found: HostEvent[] = []
  while (found.length < count) found.push(await until(events, () => true))
  return found
}

const words = (events: readonly HostEvent[]): readonly string[] =>
  events.map(event => {
    const { time: _, ...rest } = event
    if ('endpoint' in rest) return `${rest.type} ${rest.sandbox} ${rest.endpoint.network} ${rest.endpoint.ipv4?.address}`
    if ('port' in rest) return `${rest.type} ${rest.sandbox} ${rest.port.hostIp}:${rest.port.hostPort}`
    return Object.values(rest).join(' ')
  })

const libraryTypes = [
  'sandbox.created',
  'sandbox.removed',
  'endpoint.attached',
  'endpoint.detached',
  'port.published',
  'port.unpublished',
  'network.created',
  'network.removed',
] as const

/** The life of a sandbox on two networks, and the events that it makes, whoever asks for it. */
const life = [
  ['network create back --subnet 10.9.0.0/24', ['network.created back']],
  ['network create front --subnet 10.8.0.0/24', ['network.created front']],
  [
    'create web --network back -p 127.0.0.1:8080:80',
    ['sandbox.created web', 'endpoint.attached web back 10.9.0.2', 'port.published web 127.0.0.1:8080'],
  ],
  ['publish web -p 127.0.0.1:8443:443', ['port.published web 127.0.0.1:8443']],
  ['network connect front web', ['endpoint.attached web front 10.8.0.2']],
  ['unpublish web -p 127.0.0.1:8443', ['port.unpublished web 127.0.0.1:8443']],
  ['network disconnect front web', ['endpoint.detached web front 10.8.0.2']],
  ['rm web', ['port.unpublished web 127.0.0.1:8080', 'endpoint.detached web back 10.9.0.2', 'sandbox.removed web']],
  ['create quiet --network none', ['sandbox.created quiet']],
  ['rm quiet', ['sandbox.removed quiet']],
  ['network rm front', ['network.removed front']],
] as const

describe('what is done with sandboxes and networks', () => {
  test('is told when another process does it', async () => {
    const events = host.events({ types: libraryTypes })
    for (const [line, told] of life) {
      await command.ok(machine, ...line.split(' '))
      expect(words(await next(events, told.length)), line).toEqual(told)
    }
    await events.return?.()
  })

  test('is told when this host does it, and at the time when it happened', async () => {
    await host.networks.create({ name: 'back', subnets: ['10.9.0.0/24'] })
    const events = host.events({ types: libraryTypes })
    const before = Date.now()
    const web = await host.sandboxes.create({ name: 'web', network: 'back', publish: ['127.0.0.1:8080:80'] })
    const told = await next(events, 3)
    expect(words(told)).toEqual(['sandbox.created web', 'endpoint.attached web back 10.9.0.2', 'port.published web 127.0.0.1:8080'])
    expect(told[1]).toMatchObject({ endpoint: web.endpoints[0] })
    for (const { time } of told) expect(time).toBeGreaterThanOrEqual(before)
    await web.remove()
    await host.sandboxes.create({ name: 'web', network: 'none' })
    expect(words(await next(events, 4))).toEqual([
      'port.unpublished web 127.0.0.1:8080',
      'endpoint.detached web back 10.9.0.2',
      'sandbox.removed web',
      'sandbox.created web',
    ])
  })

  test('what was there before is not told, and what fails is not either', async () => {
    await host.sandboxes.create({ name: 'old', network: 'none' })
    const events = host.events({ types: libraryTypes })
    await expect(host.sandboxes.create({ name: 'bad', network: 'none', netns: '/run/netns/nowhere' })).rejects.toThrow()
    await host.sandboxes.create({ name: 'new', network: 'none' })
    expect(words(await next(events, 1))).toEqual(['sandbox.created new'])
  })
})

describe('what the kernel changes', () => {
  test('links, addresses, routes and neighbours, as ip changes them', async () => {
    const events = host.events({ types: ['link', 'address', 'route', 'neighbor'] })
    const isLink = (action: string) => (event: HostEvent) =>
      event.type === 'link' && event.action === action && 'name' in event.object && event.object.name === 'br7'
    await machine.ip('link', 'add', 'br7', 'type', 'bridge')
    expect(await until(events, isLink('new'))).toMatchObject({ object: { kind: 'bridge', name: 'br7' } })
    await machine.ip('link', 'set', 'br7', 'up')
    await machine.ip('address', 'add', '10.7.0.1/24', 'dev', 'br7')
    expect(
      await until(events, event => event.type === 'address' && 'address' in event.object && event.object.address === '10.7.0.1'),
    ).toMatchObject({
      action: 'new',
      object: { prefix: 24, family: 4 },
    })
    await machine.ip('route', 'add', '192.0.2.0/24', 'via', '198.51.100.2')
    const isRoute = (event: HostEvent) => event.type === 'route' && 'to' in event.object && event.object.to === '192.0.2.0/24'
    expect(await until(events, isRoute)).toMatchObject({ action: 'new', object: { via: '198.51.100.2', protocol: 'boot' } })
    await machine.ip('neighbor', 'add', '10.7.0.9', 'lladdr', '02:00:00:00:00:09', 'dev', 'br7')
    expect(await until(events, ({ type }) => type === 'neighbor')).toMatchObject({
      action: 'new',
      object: { address: '10.7.0.9', mac: '02:00:00:00:00:09' },
    })
    await machine.ip('route', 'delete', '192.0.2.0/24')
    expect(await until(events, isRoute)).toMatchObject({ action: 'delete' })
    await machine.ip('link', 'delete', 'br7')
    expect(await until(events, isLink('delete'))).toMatchObject({ object: { name: 'br7' } })
  })

  test('the ruleset, as nft changes it', async () => {
    const events = host.events({ types: ['ruleset'] })
    await machine.nft(
      'add table ip theirs; add chain ip theirs c; add rule ip theirs c drop; add set ip theirs s { type ipv4_addr; }; add element ip theirs s { 10.0.0.1 }',
    )
    expect((await next(events, 5)).map(event => ('object' in event ? event.object : event))).toEqual([
      { kind: 'table', family: 'ip', table: 'theirs' },
      { kind: 'chain', family: 'ip', table: 'theirs', name: 'c' },
      { kind: 'rule', family: 'ip', table: 'theirs', name: 'c' },
      { kind: 'set', family: 'ip', table: 'theirs', name: 's' },
      { kind: 'element', family: 'ip', table: 'theirs', name: 's' },
    ])
    await machine.nft('delete', 'table', 'ip', 'theirs')
    expect(await until(events, event => 'object' in event && 'kind' in event.object && event.object.kind === 'table')).toMatchObject({
      action: 'delete',
    })
  })
})

describe('lost events', () => {
  const many = 70_000

  test('are announced, and what follows is what a fresh list has', { timeout: 120_000 }, async () => {
    const events = host.events({ types: ['route', 'sandbox.created'] })
    const batch = `${machine.stateDir}/routes`
    const line = (i: number) => `route add 10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}/32 via 198.51.100.2\n`
    writeFileSync(batch, Array.from({ length: many }, (_, i) => line(i)).join(''))
    // With this thread busy nobody takes the events.
    execFileSync('ip', ['-n', machine.name, '-batch', batch])
    await host.sandboxes.create({ name: 'late', network: 'none' })
    await until(events, ({ type }) => type === 'overrun')
    // A consumer forgets what it knew, and takes in what comes.
    const known = new Set<string>()
    const id = ({ to, via, link, table, family }: Route) => JSON.stringify([to, via, link, table, family])
    const fresh = new Set(((await host.namespace.routes.list()) as readonly Route[]).map(id))
    let heard = false
    while (!heard || fresh.size > known.size) {
      const event = await until(events, () => true)
      if (event.type === 'sandbox.created') heard = event.sandbox === 'late'
      if (event.type === 'overrun') known.clear()
      if (event.type === 'route' && event.action === 'new') known.add(id(event.object as Route))
      if (event.type === 'route' && event.action === 'delete') known.delete(id(event.object as Route))
    }
    expect(fresh.size).toBeGreaterThan(many)
    expect(known).toEqual(fresh)
  })
})

describe('an iterator', () => {
  test('yields only the types asked for; a wrong one is refused', async () => {
    expect(() => host.events({ types: ['links' as never] })).toThrow(
      expect.objectContaining({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'types[0]' }),
    )
    expect(() => host.events({ kind: 'link' } as never)).toThrow(expect.objectContaining({ field: 'kind' }))
    const events = host.events({ types: ['network.created'] })
    await host.sandboxes.create({ name: 'job', network: 'none' })
    await host.networks.create({ name: 'back' })
    expect(words(await next(events, 1))).toEqual(['network.created back'])
  })

  test('ends with return, with close, and rejects with the reason of an abort', async () => {
    const first = host.events()
    const waiting = first.next()
    await first.return?.()
    expect((await waiting).done).toBe(true)
    expect((await first.next()).done).toBe(true)

    const controller = new AbortController()
    const second = host.events({ signal: controller.signal })
    const aborted = second.next()
    const reason = new Error('enough')
    controller.abort(reason)
    await expect(aborted).rejects.toBe(reason)
    await expect(second.next()).rejects.toBe(reason)
    await expect(host.events({ signal: controller.signal }).next()).rejects.toBe(reason)

    const third = host.events()
    const last = third.next()
    await host.close()
    expect((await last).done).toBe(true)
    expect(() => host.events()).toThrow(expect.objectContaining({ code: 'ERR_NETMODE_CLOSED' }))
    host = await open(machine)
  })
})

describe('the ruleset of an open host', () => {
  test.each([
    ['flush ruleset', ['flush', 'ruleset']],
    ['delete table', ['delete', 'table', 'inet', 'netmode']],
    ['flush table', ['flush', 'table', 'inet', 'netmode']],
    ['flush chain', ['flush', 'chain', 'inet', 'netmode', 'forward']],
  ])('is put right after a foreign %s, without being asked', async (_, foreign) => {
    await host.networks.create({ name: 'back', subnets: ['10.9.0.0/24'] })
    const web = await host.sandboxes.create({ name: 'web', network: 'back', publish: ['8080:80'] })
    const { ruleset } = await machine.dump()
    const events = host.events({ types: ['ruleset'] })
    await machine.nft(...foreign)
    // The last of what makes it whole again is the port's element.
    await until(
      events,
      ({ type, ...rest }) =>
        type === 'ruleset' && 'action' in rest && rest.action === 'new' && (rest.object as { name?: string }).name === 'exposed4',
    )
    expect((await machine.dump()).ruleset).toEqual(ruleset)
    await using outside = new Peer(machine.outside.netns)
    await greet(web, '10.9.0.2', 80)
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2')
  })

  test('a host that was opened with repair: false leaves it alone', async () => {
    await host.networks.create({ name: 'back', subnets: ['10.9.0.0/24'] })
    await host.close()
    host = await import('../../lib/index.js').then(({ openHost }) =>
      openHost({ netns: machine.netns, stateDir: machine.stateDir, repair: false }),
    )
    const events = host.events({ types: ['ruleset', 'network.created'] })
    await machine.nft('flush', 'ruleset')
    await machine.nft('add', 'table', 'ip', 'theirs')
    const told = await until(events, event => event.type === 'ruleset' && event.action === 'new')
    expect(told).toMatchObject({ object: { kind: 'table', table: 'theirs' } })
  })
})
