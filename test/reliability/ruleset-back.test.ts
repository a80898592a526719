/** How long sandboxes are without a ruleset after somebody has deleted it: from before that begins to the event of the last element that is back. */
import { afterEach, beforeEach, expect } from 'vitest'
import type { Host } from '../../lib/index.js'
import { KernelMechanism } from '../../lib/plan/mechanism.js'
import type { NftFamily } from '../../lib/plan/op.js'
import { open } from '../setup/between.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { isLong, score } from './scorecard.js'

const { describe, test } = requires('root', 'program:nft')

let machine: PrivateHost
let host: Host
beforeEach(async () => {
  machine = await freshHost()
  host = await open(machine)
})
afterEach(async () => {
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await machine.remove()
})

const times = isLong ? 500 : 5
const sandboxes = isLong ? 50 : 3

/** Whose tables go: all at once, as with `nft flush ruleset`, or one. */
const losses: readonly (readonly [string, readonly NftFamily[]])[] = [
  ['the whole ruleset', ['inet', 'bridge']],
  ['table inet netmode', ['inet']],
]

describe(`with ${sandboxes} sandboxes`, () => {
  test.each(losses)(`${times} times somebody deletes %s`, { timeout: isLong ? 3_600_000 : 300_000 }, async (what, families) => {
    await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
    for (let i = 0; i < sandboxes; i++) await host.sandboxes.create({ name: `web${i}`, network: 'lan', publish: ['80'] })
    const { ruleset } = await machine.dump()
    // Without a program to start, which would take longer than what is measured.
    const somebody = new KernelMechanism(machine.netns)
    const spans: number[] = []
    for (let time = 0; time < times; time++) {
      const events = host.events({ types: ['ruleset'] })
      const from = performance.now()
      await somebody.run(families.map(family => ({ apply: { op: 'nft.table.delete', family, table: 'netmode' } })))
      for await (const event of events) {
        if (event.type !== 'ruleset' || event.action !== 'new') continue
        if ((event.object as { name?: string }).name !== 'exposed4') continue
        spans.push(performance.now() - from) // not what the iterator takes to end
        break
      }
      if (time % 50 === 0) expect((await machine.dump()).ruleset).toEqual(ruleset)
    }
    await somebody.close()
    spans.sort((a, b) => a - b)
    const at = (share: number) => spans[Math.min(spans.length - 1, Math.floor(spans.length * share))]?.toFixed(1)
    score(23, `back after the loss of ${what}`, `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms of ${times}, with ${sandboxes} sandboxes`)
  })
})
