/** Somebody takes something away while a sandbox is being made: after each step of the plan. A typed error or a sandbox, and nothing is left. */
import { afterEach, beforeEach, expect } from 'vitest'
import { isNetmodeError } from '../../lib/index.js'
import type { Op, Plan } from '../../lib/plan/op.js'
import { open, openBetween } from '../setup/between.js'
import { freshHost, type PrivateHost, run } from '../setup/namespace.js'
import { ask, greet, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'
import { worldOf } from '../setup/state-tree.js'
import { isLong, score } from './scorecard.js'

const { describe, test } = requires('root', 'program:nft')

let machine: PrivateHost
beforeEach(async () => {
  machine = await freshHost()
})
afterEach(() => machine.remove())

const world = () => worldOf(machine)

const lan = { name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] }
const web = { name: 'web', network: 'lan', ip: '10.9.0.9', publish: ['8080:80'] }

interface Scene {
  readonly bridge: string
  readonly veth: string
}

const tables = ['inet', 'bridge'] as const

/** What is done, as ops: they go into the plan, so each falls exactly between two of its steps. What isn't there yet is no error. */
const deeds: Readonly<Record<string, (scene: Scene) => readonly Op[]>> = {
  'the namespace loses its name': () => [{ op: 'netns.delete', name: 'web', missingOk: true }],
  'the bridge is deleted': ({ bridge }) => [{ op: 'link.delete', links: [{ name: bridge }], missingOk: true }],
  "the host's end is deleted": ({ veth }) => [{ op: 'link.delete', links: [{ name: veth }], missingOk: true }],
  "the host's end is renamed": ({ veth }) => [{ op: 'link.set', link: { name: veth }, name: 'gotcha', missingOk: true }],
  "the host's end is moved": ({ veth }) => [
    { op: 'netns.open', slot: 'elsewhere', path: '/run/netns/elsewhere' },
    { op: 'link.set', link: { name: veth }, moveTo: 'elsewhere', missingOk: true },
  ],
  'the ruleset is flushed': () => tables.map(family => ({ op: 'nft.table.delete', family, table: 'netmode', missingOk: true })),
  'one of the tables is deleted': () => [{ op: 'nft.table.delete', family: 'inet', table: 'netmode', missingOk: true }],
  "the bridge's address is deleted": ({ bridge }) => [
    { op: 'address.delete', link: { name: bridge }, address: '10.9.0.1', prefix: 24, missingOk: true },
  ],
}

describe.each(Object.entries(deeds))('during a create %s', (what, deed) => {
  test('after any step', { timeout: 900_000 }, async () => {
    await run('ip', ['netns', 'add', 'elsewhere'])
    const first = await open(machine)
    await first.networks.create(lan)
    await (await first.sandboxes.create(web)).remove()
    await first.close()
    const before = await world()
    // In the short form a prime apart, begun elsewhere for each deed.
    const stride = isLong ? 1 : 5
    let length = Number.POSITIVE_INFINITY
    const outcomes = { made: 0, refused: 0 }
    for (let at = Object.keys(deeds).indexOf(what) % stride; at <= length; at += stride) {
      const { host, between } = await openBetween(machine, { repair: false })
      const bridge = (await host.networks.get('lan'))?.device ?? ''
      // Once: what the host then does about it, and its next try, meet nobody.
      between.change = plan => {
        if (!plan.some(({ apply }) => apply.op === 'folder.create')) return plan
        between.change = rest => rest
        return [...plan.slice(0, at), ...deed({ bridge, veth: vethOf(plan) }).map(apply => ({ apply })), ...plan.slice(at)]
      }
      const outcome = await host.sandboxes.create(web).catch(error => error)
      length = between.planWith('folder.create').length
      await host.close()
      if (outcome instanceof Error) expect(isNetmodeError(outcome), `${what} before step ${at}: ${outcome.stack}`).toBe(true)
      const next = await open(machine) // puts right what is left
      const found = await next.sandboxes.get('web')
      if (found) {
        expect(outcome, `before step ${at}`).not.toBeInstanceOf(Error)
        await greet(found, '10.9.0.9', 80)
        await using outside = new Peer(machine.outside.netns)
        expect(await ask(outside, '198.51.100.1', 8080), `before step ${at}`).toBe('198.51.100.2')
        await found.remove()
        outcomes.made++
      } else outcomes.refused++
      await next.close()
      expect(await world(), `before step ${at}`).toEqual(before)
    }
    expect(outcomes.made + outcomes.refused).toBeGreaterThan(3)
    await run('ip', ['netns', 'delete', 'elsewhere'])
    score(21, what, `${outcomes.made} made and put right, ${outcomes.refused} refused; 0 residue`)
  })
})

function vethOf(plan: Plan): string {
  for (const { apply } of plan) if (apply.op === 'link.add') return apply.name
  throw new Error('this plan makes no link')
}
