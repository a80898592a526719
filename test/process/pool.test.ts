/** A warm pool: what is taken is a sandbox as any other, what is not leaves nothing behind, however its process ends. */
import { mkdir, writeFile } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import type { Host, Sandbox, SandboxPool } from '../../lib/index.js'
import { stepsOf } from '../../lib/plan/mechanism.js'
import { type Between, open, openBetween } from '../setup/between.js'
import { dump, freshHost, type PrivateHost, PrivateNamespace } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { type Program, Programs } from '../setup/program.js'
import { settings } from '../setup/settings.js'
import { stateTree, worldOf } from '../setup/state-tree.js'
import { answer } from '../setup/talk.js'

const { describe, test } = requires('root', 'program:nft')

let programs: Programs
let machine: PrivateHost
let host: Host
let between: Between
beforeAll(async () => {
  programs = await Programs.bundle('test/process/programs/pool.ts')
})
afterAll(() => programs[Symbol.asyncDispose]())
beforeEach(async () => {
  machine = await freshHost()
  ;({ host, between } = await openBetween(machine))
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
  // A bridge has the kernel's own routes only from its first port on.
  await host.sandboxes.create({ name: 'old', network: 'lan' })
})
afterEach(async () => {
  between.change = plan => plan
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await machine.remove()
})

const world = () => worldOf(machine)

/** What the machine's `outside` hears from a port of the host. */
const ask = (port: number, host = '198.51.100.1') => machine.outside.run('bash', '-c', `cat </dev/tcp/${host}/${port}`)

/** A sandbox by what anyone can see of it, inside and on the host, but for what is drawn anew each time. */
async function portrait(name: string): Promise<unknown> {
  await labelled(name)
  const place = new PrivateNamespace(name)
  const seen = {
    inspect: await host.sandboxes.inspect(name),
    inside: await dump(place),
    settings: await settings(place),
    host: await world(),
  }
  const { id = '', endpoints = [] } = (await host.sandboxes.get(name)) ?? {}
  const end = endpoints[0]?.hostIfname ?? ''
  const { address = '' } = (await machine.ipJson('link', 'show', end))[0] ?? {}
  const text = JSON.stringify(seen)
  const drawn = [id, id.slice(12), end, String(address)].reduce((rest, one) => rest.replaceAll(one, 'DRAWN'), text)
  return inOrder(JSON.parse(drawn.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')))
}

/** Links and elements stand in the order of what was drawn. */
function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder).toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, inOrder(one)]))
}

/** Waits until the link of one that was taken says whose it is: it does so a moment after the answer. */
async function labelled(name: string): Promise<void> {
  while (!(await machine.ip('link', 'show')).includes(`alias netmode:${name}/lan`));
}

/** Waits for the pool to be full again. */
async function full(pool: SandboxPool): Promise<void> {
  while (pool.ready < pool.size) await new Promise(resolve => setImmediate(resolve))
}

describe('what is taken', () => {
  test('is reached through its ports, in both families, and reaches outside, at once', async () => {
    await using pool = await host.sandboxes.pool({ size: 2, network: 'lan' })
    const web = await pool.take({ name: 'web', publish: ['8080:80'], hostname: 'www', addHosts: ['db:10.9.0.77'], labels: { a: 'b' } })
    await answer(web, web.endpoints[0]?.ipv4?.address ?? '', 80)
    await answer(web, web.endpoints[0]?.ipv6?.address ?? '', 80)
    expect(await ask(8080)).toMatch(/^198\.51\.100\.2 at 10\.9\.0\./)
    expect(await ask(8080, '2001:db8:100::1')).toMatch(/^2001:db8:100::2 at fd00:9::/)
    expect(await new PrivateNamespace('web').succeeds('ping', '-c', '1', '-W', '5', '198.51.100.2')).toBe(true)
    const neighbor = await pool.take({ name: 'neighbor' })
    expect(await new PrivateNamespace('neighbor').succeeds('ping', '-c', '1', '-W', '5', web.endpoints[0]?.ipv4?.address ?? '')).toBe(true)
    expect([web.labels, web.ports.length, neighbor.ports]).toEqual([{ a: 'b' }, 2, []])
  })

  test('has announced itself while it waited: the bridge knows where it is', async () => {
    await host.networks.create({ name: 'four', subnets: ['10.8.0.0/24'], bridge: 'four0' })
    await using pool = await host.sandboxes.pool({ size: 1, network: 'four' })
    const known = async () =>
      (await machine.run('bridge', 'fdb', 'show', 'br', 'four0')).split('\n').filter(line => line !== '' && !/permanent/.test(line))
    const before = await known()
    await using web = await pool.take({ name: 'web' })
    expect(before).toEqual([expect.stringContaining(`${web.endpoints[0]?.mac} dev ${web.endpoints[0]?.hostIfname} `)])
  })

  test('looks as if it had been created, inside and outside, and is removed as such', async () => {
    const before = await world()
    const pool = await host.sandboxes.pool({ size: 1, network: 'lan' })
    const options = { name: 'web', publish: ['8080:80', '53:53/udp'], hostname: 'www', dns: ['192.0.2.1'], aliases: ['a'] }
    const taken = await pool.take(options)
    await pool.close()
    const { address: ip } = taken.endpoints[0]?.ipv4 ?? {}
    const { address: ip6 } = taken.endpoints[0]?.ipv6 ?? {}
    const seen = await portrait('web')
    expect([taken.name, taken.mode, taken.netns]).toEqual(['web', 'bridge', '/run/netns/web'])
    expect((await host.sandboxes.list({ name: 'web' })).map(({ id }) => id)).toEqual([taken.id])
    await taken.remove()
    await host.sandboxes.create({ ...options, network: 'lan', ...(ip && { ip }), ...(ip6 && { ip6 }) })
    expect(seen).toEqual(await portrait('web'))
    await host.sandboxes.remove('web')
    expect(await world()).toEqual(before)
  })

  test('is healed, listed and found again by another process', async () => {
    const pool = await host.sandboxes.pool({ size: 1, network: 'lan' })
    await pool.take({ name: 'web', publish: ['8080:80'] })
    await full(pool)
    await labelled('web')
    const before = await world()
    await using other = await open(machine)
    expect(await other.recover()).toEqual({ rolledBack: [], repaired: [], damaged: [] })
    expect(await world()).toEqual(before) // what is pooled is somebody's
    expect((await other.sandboxes.list()).map(({ name }) => name)).toEqual(['old', 'web'])
    await expect(other.networks.remove('lan')).rejects.toMatchObject({ code: 'ERR_NETMODE_BUSY', holder: 'old, web, a warm pool' })
    // The table of neighbours is the machine's, and fills and empties as others please.
    const lasting = async (one: Host) => (await one.doctor()).filter(({ id }) => !id.startsWith('neighbor-table'))
    expect(await lasting(other)).toEqual(await lasting(host))
    expect((await other.doctor()).filter(({ id }) => id === 'stale-record')).toEqual([])
  })

  test.each(['none', 'bridge'])('from a pool on %s', async network => {
    await using pool = await host.sandboxes.pool({ size: 1, network })
    const box = await pool.take({ name: 'box' })
    expect([box.mode, box.endpoints.map(one => one.network)]).toEqual(network === 'none' ? ['none', []] : ['bridge', ['bridge']])
    expect(await new PrivateNamespace('box').succeeds('ping', '-c', '1', '127.0.0.1')).toBe(true)
    await box.remove()
    await pool.close()
    await host.networks.remove('bridge')
  })

  test('on a ptp network reaches outside', async () => {
    await host.networks.create({ name: 'lines', driver: 'ptp', subnets: ['10.8.0.0/24'] })
    const before = await world()
    const pool = await host.sandboxes.pool({ size: 2, network: 'lines' })
    const web = await pool.take({ name: 'web', publish: ['8080:80'] })
    await answer(web, web.endpoints[0]?.ipv4?.address ?? '', 80)
    expect(await ask(8080)).toMatch(/^198\.51\.100\.2 at 10\.8\.0\./)
    await web.remove()
    await pool.close()
    expect(await world()).toEqual(before)
  })
})

describe('a pool', () => {
  test('that is empty makes them as create does, and says the same when it can not', async () => {
    await host.networks.create({ name: 'tiny', subnets: ['10.7.0.0/29'] }) // five addresses
    await using pool = await host.sandboxes.pool({ size: 2, network: 'tiny' })
    const names = ['a', 'b', 'c', 'd', 'e']
    const taken = await Promise.all(names.map(name => pool.take({ name })))
    expect(new Set(taken.map(({ endpoints }) => endpoints[0]?.ipv4?.address)).size).toBe(5)
    await expect(pool.take({ name: 'f' })).rejects.toMatchObject({ code: 'ERR_NETMODE_EXHAUSTED' })
    await expect(host.sandboxes.pool({ size: 1, network: 'tiny' })).rejects.toMatchObject({ code: 'ERR_NETMODE_EXHAUSTED' })
    // The pool makes itself one of what becomes free; it is not missed by whoever asks meanwhile.
    for (let last = taken[0], i = 0; i < 20; i++) {
      await last?.remove()
      const next = await pool.take({ name: `next-${i}` })
      expect(next.endpoints[0]?.ipv4?.address).toBe(last?.endpoints[0]?.ipv4?.address)
      last = next
    }
  })

  test('keeps what could not be taken', async () => {
    const pool = await host.sandboxes.pool({ size: 1, network: 'lan' })
    await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['8080:80'] })
    const before = await world()
    await expect(pool.take({ name: 'web' })).rejects.toMatchObject({ code: 'ERR_NETMODE_EXISTS' })
    await expect(pool.take({ name: 'api', publish: ['8080:80'] })).rejects.toMatchObject({ code: 'ERR_NETMODE_PORT_IN_USE', holder: 'web' })
    expect(await world()).toEqual(before)
    expect(pool.ready).toBe(1)
    expect((await pool.take({ name: 'api', publish: ['8080-8081:80'] })).ports[0]?.hostPort).toBe(8081)
  })

  test('gives nothing of what was given back', async () => {
    await using pool = await host.sandboxes.pool({ size: 1, network: 'lan' })
    const first = await pool.take({ name: 'first', publish: ['8080:80'] })
    const inside = new PrivateNamespace('first')
    await inside.nft('add table inet trap')
    await inside.ip('link', 'add', 'left0', 'type', 'veth', 'peer', 'name', 'left1')
    await inside.ip('route', 'add', '192.0.2.0/24', 'dev', 'lo')
    await inside.run('sysctl', '-qw', 'net/ipv4/ip_default_ttl=7')
    const { cookie } = first.namespace
    expect(await pool.giveBack(first)).toBe(true)
    expect(await pool.giveBack(first)).toBe(false)
    for (let i = 0; i < 3; i++) {
      await full(pool)
      const next = await pool.take({ name: `next-${i}` })
      const place = new PrivateNamespace(next.name)
      expect(next.namespace.cookie).not.toBe(cookie)
      expect(await place.nft('list', 'ruleset')).toBe('')
      expect((await place.ipJson('link', 'show')).map(({ ifname }) => ifname)).toEqual(['lo', 'eth0'])
      expect(await place.ipJson('route', 'show', '192.0.2.0/24')).toEqual([])
      expect(await place.sysctl('net.ipv4.ip_default_ttl')).toBe('64')
    }
  })

  test('makes another one where one has lost its link, and where the ruleset was flushed', async () => {
    await using pool = await host.sandboxes.pool({ size: 2, network: 'lan' })
    for (const { ifname } of (await machine.ipJson('link', 'show')).filter(one => String(one.ifname).startsWith('veth')))
      await machine.ip('link', 'delete', String(ifname))
    const web = await pool.take({ name: 'web', publish: ['8080:80'] })
    await answer(web, web.endpoints[0]?.ipv4?.address ?? '', 80)
    expect(await ask(8080)).toMatch(/ at 10\.9\.0\./)
    await full(pool)
    await machine.nft('flush', 'ruleset')
    const api = await pool.take({ name: 'api', publish: ['8081:80'] })
    await answer(api, api.endpoints[0]?.ipv4?.address ?? '', 80)
    expect(await ask(8081)).toMatch(/ at 10\.9\.0\./)
  })

  test('takes everything back, whichever op of a take fails', async () => {
    const pool = await host.sandboxes.pool({ size: 1, network: 'lan' })
    await pool.take({ name: 'first' })
    const first = between.planWith('netns.take')
    await host.sandboxes.remove('first')
    await pool.close()
    const before = await world()
    // Nothing comes after the last one, by which it is done.
    for (let at = 0; at < first.length; at++) {
      const one = await host.sandboxes.pool({ size: 1, network: 'lan' })
      let broken = 0
      between.change = plan => {
        if (!plan.some(({ apply }) => apply.op === 'netns.attach')) return plan
        broken++
        return [...plan.slice(0, at), { apply: { op: 'sysctl.get', key: 'net/ipv4/no_such_key' } }, ...plan.slice(at)]
      }
      const outcome = await one.take({ name: 'web' }).then(
        () => 'taken',
        () => 'failed',
      )
      between.change = plan => plan
      expect(broken, `broken before op ${at}`).toBe(1)
      // A fault of the one that was to be taken: another was made.
      expect(outcome === 'taken', `broken before op ${at}`).toBe((await host.sandboxes.remove('web')) === true)
      await one.close()
      expect(await world(), `broken before op ${at}`).toEqual(before)
    }
  })

  test('can be aborted, closed twice, and is closed with its host', async () => {
    const before = await world()
    const other = await open(machine)
    const pool = await other.sandboxes.pool({ size: 2, network: 'lan' })
    const aborted = AbortSignal.abort(new Error('enough'))
    await expect(pool.take({ name: 'web' }, { signal: aborted })).rejects.toThrow('enough')
    await expect(other.sandboxes.pool({ size: 2, network: 'lan' }, { signal: aborted })).rejects.toThrow('enough')
    const taking = pool.take({ name: 'web', ephemeral: true })
    await other.close()
    expect((await taking).name).toBe('web')
    await expect(pool.take({ name: 'api' })).rejects.toMatchObject({ code: 'ERR_NETMODE_CLOSED' })
    await Promise.all([pool.close(), pool.close()])
    expect(await world()).toEqual(before)
  })

  test('says what is wrong with its options', async () => {
    const { pool } = host.sandboxes
    const bad = (options: object) => host.sandboxes.pool(options as { size: number })
    expect(pool).toBeTypeOf('function')
    await expect(bad({})).rejects.toMatchObject({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'size' })
    await expect(bad({ size: 0 })).rejects.toThrow(RangeError)
    await expect(bad({ size: 1, network: 'host' })).rejects.toMatchObject({ field: 'network' })
    await expect(bad({ size: 1, network: 'nosuch' })).rejects.toMatchObject({ code: 'ERR_NETMODE_NOT_FOUND' })
    await expect(bad({ size: 1, ip: '10.9.0.9' })).rejects.toMatchObject({ field: 'ip' })
    await using one = await host.sandboxes.pool({ size: 1, network: 'lan' })
    await expect(one.take({ name: 'web', ip: '10.9.0.9' } as { name: string })).rejects.toMatchObject({ field: 'ip' })
    await expect(one.take({ name: '~web' })).rejects.toMatchObject({ field: 'name' })
    await expect(one.giveBack({ name: 'web' } as never)).rejects.toMatchObject({ field: 'sandbox' })
    expect(one.ready).toBe(1)
  })
})

test('a host that is closed while a pool fills leaves nothing of it', async () => {
  const before = await world()
  const { host: other, between: trips } = await openBetween(machine)
  let closing: Promise<void> | undefined
  const { run } = trips
  trips.run = (plan, signal) => {
    if (stepsOf(plan).some(({ apply }) => apply.op === 'netns.keep')) closing ??= other.close()
    return run(plan, signal)
  }
  await expect(other.sandboxes.pool({ size: 8, network: 'lan' })).rejects.toMatchObject({ code: 'ERR_NETMODE_CLOSED' })
  await closing
  expect(await world()).toEqual(before)
})

describe('a process with a pool', () => {
  async function start(where: 'main' | 'worker' = 'main'): Promise<Program> {
    const program = programs.start('pool', machine.netns, machine.stateDir, where)
    expect(await program.hear()).toBe('ready')
    return program
  }
  async function take(program: Program, name: string): Promise<string> {
    program.say(`take ${name}`)
    return program.hear()
  }

  test('that is killed leaves what was taken, and nothing else', async () => {
    const program = await start()
    const address = await take(program, 'web')
    program.process.kill('SIGKILL')
    await program.end()
    const { rolledBack } = await host.recover()
    // Those that were ready, and perhaps one on its way.
    expect(rolledBack.length).toBeGreaterThanOrEqual(3)
    const web = await host.sandboxes.get('web')
    await answer(web as NonNullable<typeof web>, address, 80)
    expect(await ask(web?.ports[0]?.hostPort ?? 0)).toBe(`198.51.100.2 at ${address}`)
    expect(Object.keys(await stateTree(machine.stateDir)).filter(path => path.includes('~'))).toEqual([])
    expect((await machine.ipJson('link', 'show')).filter(({ ifname }) => String(ifname).startsWith('veth'))).toHaveLength(2)
    await host.sandboxes.remove('web')
  })

  test('beside another one takes from its own', async () => {
    const both = await Promise.all([start(), start()])
    const taken = both.map(async (program, i) => {
      const addresses: string[] = []
      for (let n = 0; n < 6; n++) addresses.push(await take(program, `box-${i}-${n}`))
      return addresses
    })
    const addresses = (await Promise.all(taken)).flat()
    expect(new Set(addresses).size).toBe(12)
    expect(await host.sandboxes.list()).toHaveLength(13)
    for (const { process } of both) process.kill('SIGKILL')
    await Promise.all(both.map(one => one.end()))
    await host.recover()
    expect((await machine.ipJson('link', 'show')).filter(({ ifname }) => String(ifname).startsWith('veth'))).toHaveLength(13)
  })

  test('is not harmed by a recovery that reads names before a take and records after it', async () => {
    // So many that records are read by a trip of their own.
    const pool = await host.sandboxes.pool({ size: 24, network: 'lan' })
    const { host: other, between: trips } = await openBetween(machine, { repair: false })
    await mkdir(`${machine.stateDir}/sandboxes/damaged`)
    await writeFile(`${machine.stateDir}/sandboxes/damaged/state.json`, 'no record')
    const taken: Sandbox[] = []
    const run = trips.run
    trips.run = async (plan, signal) => {
      if (stepsOf(plan).some(({ apply }) => apply.op === 'file.look' && apply.paths.some(path => path.includes('/~'))))
        taken.push(await pool.take({ name: `taken-${taken.length}` }))
      return run(plan, signal)
    }
    const seen = async () => [
      ...(await machine.ipJson('link', 'show')).map(({ ifname, ifindex }) => `${ifname} ${ifindex}`),
      ...((await machine.nft('list', 'set', 'bridge', 'netmode', 'sender4')).match(/"veth\w+"/g) ?? []),
    ]
    const before = await seen()
    const { damaged } = await other.recover()
    expect(damaged).toEqual(['sandboxes/damaged'])
    expect(taken.length).toBeGreaterThan(3)
    // The pool has filled up.
    expect(await seen()).toEqual(expect.arrayContaining(before))
    await other.close()
    await pool.close()
  })

  test('in a worker that ends gives its addresses back', async () => {
    const before = await world()
    const program = await start('worker')
    await take(program, 'web')
    program.say('end')
    expect(await program.hear()).toBe('ended')
    await host.sandboxes.remove('web')
    await host.recover() // its process lives
    expect(await world()).toEqual(before)
    program.process.kill('SIGKILL')
    await program.end()
  })
})
