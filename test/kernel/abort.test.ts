/** An AbortSignal: rejects with its reason whenever it comes, and nothing is left of what was begun. */
import { once } from 'node:events'
import { type FileHandle, open as openFile, rm } from 'node:fs/promises'
import { afterEach, beforeEach, expect } from 'vitest'
import type { Host, Op, Sandbox } from '../../lib/index.js'
import type { Plan } from '../../lib/plan/op.js'
import { type Between, changes, openBetween } from '../setup/between.js'
import { freshHost, type PrivateHost, run } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { worldOf } from '../setup/state-tree.js'

const { describe, test } = requires('root', 'program:nft', 'program:flock')

const gate = '/run/gate'
let machine: PrivateHost
let host: Host
let between: Between

beforeEach(async () => {
  machine = await freshHost()
  ;({ host, between } = await openBetween(machine))
  await run('mkfifo', [gate])
})
afterEach(async () => {
  between.change = plan => plan
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await rm(gate)
  await machine.remove()
})

const world = () => worldOf(machine)

/**
 * Aborts `call` while its plan is held up before each op in turn. The op in the way opens a FIFO for reading: it waits until the
 * test opens the other end, which in turn waits for it. So nothing is left to chance.
 */
async function abortEverywhere(call: (op: Op) => Promise<unknown>): Promise<number> {
  const before = await world()
  let whole: Plan = []
  for (let at = 0; at === 0 || at < whole.length; at++) {
    // Wherever another kind of op begins: a run of one kind is as good as its first.
    if (at > 1 && whole[at - 1]?.apply.op === whole[at]?.apply.op) continue
    between.change = plan => {
      if (!changes(plan)) return plan
      whole = plan
      return [...plan.slice(0, at), { apply: { op: 'expect.unchanged', path: gate, text: '' } }, ...plan.slice(at)]
    }
    const controller = new AbortController()
    const reason = new Error(`called off before op ${at}`)
    const called = call({ signal: controller.signal })
    const outcome = expect(called, reason.message).rejects.toBe(reason)
    const reached: FileHandle = await openFile(gate, 'w')
    controller.abort(reason)
    await reached.close()
    await outcome
    between.change = plan => plan
    expect(await world(), reason.message).toEqual(before)
  }
  return whole.length
}

describe('an abort before each kind of op', () => {
  test('of a create on a fresh host', async () => {
    const create = (op: Op) => host.sandboxes.create({ name: 'web', publish: ['8080:80', '53:53/udp'] }, op)
    expect(await abortEverywhere(create)).toBeGreaterThan(80)
    await create({})
  })

  test('of networks.create', async () => {
    const create = (op: Op) => host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] }, op)
    expect(await abortEverywhere(create)).toBeGreaterThan(50)
    await create({})
  })

  describe('of a change of ports', () => {
    let web: Sandbox
    beforeEach(async () => {
      web = await host.sandboxes.create({ name: 'web', publish: ['8080:80', '53:53/udp'] })
    })

    test('publish', async () => {
      const publish = (op: Op) => web.publish(['8081:80', '54:53/udp'], op)
      expect(await abortEverywhere(publish)).toBeGreaterThan(8)
      expect(await publish({})).toHaveLength(2)
    })

    test('unpublish', async () => {
      const unpublish = (op: Op) => web.unpublish(['8080', '53/udp'], op)
      expect(await abortEverywhere(unpublish)).toBeGreaterThan(8)
      expect(await unpublish({})).toHaveLength(2)
    })
  })
})

/** What can't be taken back goes through to its end, or is not begun: nothing half removed is left either way. */
test.each(['sandboxes', 'networks'] as const)('an abort in the middle of %s.remove leaves nothing half done', async what => {
  const before = await world()
  for (let at = 0, length = 1; at < length; at++) {
    await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
    if (what === 'sandboxes') await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['8080:80'] })
    let held = false
    between.change = plan => {
      if (!changes(plan) || held) return plan
      held = true
      length = plan.length
      return [...plan.slice(0, at), { apply: { op: 'expect.unchanged', path: gate, text: '' } }, ...plan.slice(at)]
    }
    const controller = new AbortController()
    const removed = what === 'sandboxes' ? host.sandboxes.remove('web', controller) : host.networks.remove('lan', controller)
    const settled = removed.catch((error: unknown) => error)
    const reached = await openFile(gate, 'w')
    controller.abort()
    await reached.close()
    expect([true, controller.signal.reason]).toContain(await settled)
    between.change = plan => plan
    // Whether it is there still or not, it can be told, and what is told is true.
    if (what === 'sandboxes') expect(await host.sandboxes.remove('web')).toBe((await settled) !== true)
    const network = await host.networks.get('lan')
    expect(network !== undefined, `aborted before op ${at}`).toBe(what === 'sandboxes' || (await settled) !== true)
    await network?.remove()
    expect(await world(), `aborted before op ${at}`).toEqual(before)
  }
})

test('an abort ends the wait for a lock that somebody else holds', async () => {
  const lan = await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
  const before = await world()
  const holder = machine.spawn('flock', [machine.stateDir, 'sh', '-c', 'echo locked; cat'])
  try {
    await once(holder.stdout as NodeJS.ReadableStream, 'data')
    const controller = new AbortController()
    const reason = new Error('waited long enough')
    between.change = plan => {
      if (changes(plan)) setImmediate(() => controller.abort(reason))
      return plan
    }
    await expect(host.sandboxes.create({ name: 'web', network: lan.name }, controller)).rejects.toBe(reason)
  } finally {
    holder.stdin?.end()
    await once(holder, 'close')
  }
  expect(await world()).toEqual(before)
})

test('a signal that is aborted already stops every call before it begins', async () => {
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
  const web = await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['8080:80'] })
  const before = await world()
  const reason = new Error('not any more')
  const op = { signal: AbortSignal.abort(reason) }
  const calls: Record<string, () => Promise<unknown>> = {
    'networks.create': () => host.networks.create({ name: 'other' }, op),
    'networks.ensure': () => host.networks.ensure({ name: 'lan', subnets: ['10.9.0.0/24'] }, op),
    'networks.get': () => host.networks.get('lan', op),
    'networks.list': () => host.networks.list({}, op),
    'networks.inspect': () => host.networks.inspect('lan', op),
    'networks.remove': () => host.networks.remove('lan', op),
    'networks.prune': () => host.networks.prune({}, op),
    'sandboxes.create': () => host.sandboxes.create({ name: 'db', network: 'lan' }, op),
    'sandboxes.create on the host': () => host.sandboxes.create({ name: 'db', network: 'host' }, op),
    'sandboxes.get': () => host.sandboxes.get('web', op),
    'sandboxes.list': () => host.sandboxes.list({}, op),
    'sandboxes.inspect': () => host.sandboxes.inspect('web', op),
    'sandboxes.remove': () => host.sandboxes.remove('web', op),
    refresh: () => web.refresh(op),
    publish: () => web.publish('9090:90', op),
    unpublish: () => web.unpublish('8080', op),
    inspect: () => web.inspect(op),
    remove: () => web.remove(op),
    dial: () => web.dial({ host: '10.9.0.1', port: 1 }, op),
    udp: () => web.udp({}, op),
    recover: () => host.recover(op),
    'links.list': () => host.namespace.links.list({}, op),
  }
  for (const [name, call] of Object.entries(calls)) await expect(call(), name).rejects.toBe(reason)
  await expect(host.sandboxes.removeAll(['web'], op)).rejects.toMatchObject({ errors: [reason] })
  expect(await world()).toEqual(before)
})
