/** What it costs a create that its sandbox may send with its own addresses only: the same create, the element for that left out. */

import { openHostWith } from '../../lib/host.js'
import type { Host } from '../../lib/index.js'
import type { Output } from '../../lib/native.js'
import { type Mechanism, stepsOf } from '../../lib/plan/mechanism.js'
import type { Plan, Step } from '../../lib/plan/op.js'
import { alternate, clock, type Rival } from '../alternate.js'
import { benchNetwork } from '../rivals.js'
import { barOf, figures, type Result, type Row, type Scale } from '../row.js'

const isSender = ({ apply }: Step): boolean => apply.op.startsWith('nft.element.') && 'family' in apply && apply.family === 'bridge'

/** Hands plans over step by step, those steps only that are wanted. */
function only(isWanted: (step: Step) => boolean): (real: Mechanism) => Mechanism {
  return real => ({
    run: async (given, signal) => {
      const plan = stepsOf(given)
      const kept: Plan = plan.filter(isWanted)
      const outputs = [...(await real.run(kept, signal))]
      return plan.map(step => (isWanted(step) ? outputs.shift() : undefined)) as readonly Output[]
    },
    order: like => real.order(like),
    socket: (plan, signal) => real.socket(plan, signal),
    expect: () => real.expect(),
    watch: (wish, onEvents) => real.watch(wish, onEvents),
    close: () => real.close(),
  })
}

/** One sandbox with a published port. */
function rival(who: string, host: Host): Rival {
  const name = 'measured'
  return {
    who,
    measure: () => clock(() => host.sandboxes.create({ name, network: benchNetwork.name, publish: ['8080:80'] })),
    clear: async () => void (await host.sandboxes.remove(name)),
  }
}

export const spoofCheck: Row = {
  name: 'spoof-check',
  work: 'a create with and without the element that holds the sandbox to its addresses',
  timely: true,
  async measure(scale: Scale): Promise<Result> {
    await using bare = await openHostWith(
      {},
      only(step => !isSender(step)),
    )
    await using host = await openHostWith(
      {},
      only(() => true),
    )
    await host.networks.create(benchNetwork)
    const turns = { rounds: scale.samples(500), warmup: scale.samples(50), rest: 10 }
    const [left, whole] = await alternate([rival('without the check', bare), rival('netmode', host)], turns)
    return { figures: figures([left, whole]), bars: [barOf('p50 to a create without the check', whole, left, 'at most', 1.05)], notes: [] }
  },
}
