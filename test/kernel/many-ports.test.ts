/** Thousands of ports of one sandbox: a change of one writes as little as with few, and is as sure. */
import { readdir } from 'node:fs/promises'
import { afterEach, beforeEach, expect } from 'vitest'
import type { Host, Sandbox } from '../../lib/index.js'
import type { Plan } from '../../lib/plan/op.js'
import { type Between, open, openBetween } from '../setup/between.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { stateTree } from '../setup/state-tree.js'
import { answer } from '../setup/talk.js'

const { test } = requires('root', 'program:nft')

let machine: PrivateHost
let host: Host
let between: Between
let web: Sandbox

beforeEach(async () => {
  machine = await freshHost()
  ;({ host, between } = await openBetween(machine))
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
  web = await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['80:80'] })
})
afterEach(async () => {
  between.change = plan => plan
  await using last = await open(machine)
  await last.sandboxes.removeAll((await last.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await machine.remove()
})

const ask = (port: number) => machine.outside.run('bash', '-c', `cat </dev/tcp/198.51.100.1/${port}`)
const world = async () => ({ ...(await machine.dump()), state: await stateTree(machine.stateDir) })
const hostPorts = (sandbox: Sandbox | undefined) => (sandbox?.ports ?? []).map(({ hostPort }) => hostPort).sort((a, b) => a - b)
const range = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i)
const isDone = (got: readonly number[], after: readonly number[]) => got.length === after.length
/** Files beside the record. */
const shelf = async () => (await readdir(`${machine.stateDir}/sandboxes/web`)).filter(file => file.startsWith('ports-')).sort()
const size = (plan: Plan) => JSON.stringify(plan).length

test('one more, or one less, is a plan of the same size as with one port', async () => {
  await web.publish('81:81')
  const [first, few] = [size(between.planWith('port.claim')), web.ports.length]
  await web.unpublish('81')
  const firstBack = size(between.planWith('port.release'))
  await web.publish('10000-11999:10000-11999')
  expect(web.ports).toHaveLength(2001)
  await web.publish('81:81')
  // The names of the files beside the record, and how many ports are in each.
  const more = 4 * (await shelf()).length * 40
  expect(size(between.planWith('port.claim')) - first).toBeLessThan(more)
  expect(few).toBe(2)
  await web.unpublish('81')
  expect(size(between.planWith('port.release')) - firstBack).toBeLessThan(more)
})

test('all of them are there for every handle and process, lead where they should, and go', async () => {
  const before = await world()
  await web.publish('10000-10299:20000-20299')
  const found = await host.sandboxes.get('web')
  expect((await found?.unpublish(['10000', '10150', '10299']))?.length).toBe(3)
  await web.publish(range(11_000, 70).map(port => `${port}:80`)) // by a handle that is out of date
  const expected = [80, ...range(10_000, 300).filter(port => ![10_000, 10_150, 10_299].includes(port)), ...range(11_000, 70)]
  await using other = await open(machine)
  for (const one of [web, await other.sandboxes.get('web'), (await other.sandboxes.list())[0]]) expect(hostPorts(one)).toEqual(expected)
  expect(Object.keys((await other.sandboxes.inspect('web')).NetworkSettings)).toContain('Ports')

  const address = web.endpoints[0]?.ipv4?.address ?? ''
  for (const port of [80, 20_001, 20_298]) await answer(web, address, port)
  for (const port of [80, 10_001, 10_298, 11_069]) expect(await ask(port)).toBe(`198.51.100.2 at ${address}`)
  for (const port of [10_000, 10_150, 10_299]) await expect(ask(port)).rejects.toThrow('refused')

  await machine.nft('flush', 'ruleset')
  await other.recover()
  for (const port of [80, 10_001, 11_069]) expect(await ask(port)).toBe(`198.51.100.2 at ${address}`)
  await web.unpublish(expected.slice(1).map(String))
  expect(await shelf()).toEqual([])
  expect({ ...(await world()), state: {} }).toEqual({ ...before, state: {} })
  expect(hostPorts(web)).toEqual([80])
})

test('who has a handle from before a change learns of it, also where as many are in a file as then', async () => {
  await web.publish('10000-10063:10000-10063')
  await using other = await open(machine)
  const early = (await other.sandboxes.get('web')) as Sandbox
  await web.unpublish('10000')
  await web.publish('9999:9999')
  expect(hostPorts(await other.sandboxes.get('web'))).toEqual([80, 9999, ...range(10_001, 63)])
  expect(await early.unpublish('9999')).toHaveLength(1)
  expect(hostPorts(await host.sandboxes.get('web'))).toEqual([80, ...range(10_001, 63)])
  expect(await readdir(`${machine.stateDir}/ports`)).toHaveLength(64)
  expect(await machine.nft('list', 'map', 'inet', 'netmode', 'publish4_any')).not.toContain('9999')
})

test('a port of the sandbox that two lead to stays open until the last has gone', async () => {
  await web.publish(range(11_000, 100).map(port => `${port}:80`))
  await answer(web, web.endpoints[0]?.ipv4?.address ?? '', 80)
  await web.unpublish(['80', ...range(11_000, 99).map(String)])
  expect(await ask(11_099)).toMatch(/^198/)
  await expect(ask(11_098)).rejects.toThrow('refused')
})

// With 200 the last file is written anew when one of its ports goes; with 300 what is left of it goes into the record.
test.each([200, 300])('of %i: whichever op fails, all is as it was', async count => {
  const last = 10_000 + count - 1
  await web.publish(`10000-${last}:10000-${last}`)
  const before = await world()
  for (const call of [
    () => web.publish('12000-12069:12000-12069'),
    () => web.unpublish('10100'),
    () => web.unpublish(`10000-${last - 1}`),
  ]) {
    let length = 0
    for (let at = 0; at <= length; at += at > 8 && at < length - 8 ? 47 : 1) {
      between.change = plan => {
        length = plan.length
        return [...plan.slice(0, at), { apply: { op: 'sysctl.get', key: 'net/ipv4/no_such_key' } }, ...plan.slice(at)]
      }
      await expect(call(), `broken before op ${at}`).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_NETMODE_/) })
      between.change = plan => plan
      // Whatever stands at the last place has been done when it fails: only what is written of it is taken back then.
      expect(await world(), `broken before op ${at}`).toEqual(before)
    }
  }
})

test.each([200, 300])('of %i: a process that dies in the middle leaves it as it was or done', async count => {
  const last = 10_000 + count - 1
  await web.publish(`10000-${last}:10000-${last}`)
  const ports = hostPorts(web)
  for (const [act, after] of [
    [(one: Sandbox) => one.publish('12000-12069:12000-12069'), [...ports, ...range(12_000, 70)]],
    [(one: Sandbox) => one.unpublish('10100'), ports.filter(port => port !== 10_100)],
  ] as const) {
    const differ = [ports.filter(port => !after.includes(port)), after.filter(port => !ports.includes(port))]
    let length = 0
    for (let at = 0; at <= length; at += at > 8 && at < length - 8 ? 47 : 1) {
      const victim = await openBetween(machine)
      const died = victim.between.killAfter(at)
      void act((await victim.host.sandboxes.get('web')) as Sandbox)
      length = (await died).length
      await using next = await open(machine)
      const found = await next.sandboxes.get('web')
      const got = hostPorts(found)
      const [missing, extra] = [ports.filter(port => !got.includes(port)), got.filter(port => !ports.includes(port))]
      // What was to be removed and broke off is removed; what was to be added is not there.
      expect([missing, extra], `killed before op ${at}`).toEqual(isDone(got, after) ? differ : [[], []])
      expect((await next.recover()).damaged).toEqual([])
      const claims = (await readdir(`${machine.stateDir}/ports`)).length
      expect(claims, `killed before op ${at}`).toBe(got.length)
      if (missing.length > 0) await found?.publish(missing.map(port => `${port}:${port}`))
      if (extra.length > 0) await found?.unpublish(extra.map(String))
      await victim.between.close()
    }
  }
})

test('those who watch hear of the very ports that changed', async () => {
  const events = host.events({ types: ['port.published', 'port.unpublished'] })
  const next = async () => {
    const { value } = await events.next()
    return `${value.type} ${value.port.hostPort}`
  }
  await web.publish('10000-10099:10000-10099')
  for (const port of range(10_000, 100)) expect(await next()).toBe(`port.published ${port}`)
  await web.unpublish('10050')
  expect(await next()).toBe('port.unpublished 10050')
  await web.publish('81:81')
  expect(await next()).toBe('port.published 81')
  await events.return?.()
})
