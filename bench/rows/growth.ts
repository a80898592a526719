/** What a create costs beside 1, 100 and 900 others on the same bridge. */
import { alternate, clock, type Measured, type Rival } from '../alternate.js'
import { Ground } from '../ground.js'
import { Floor, Full } from '../rivals.js'
import { type Bar, barOf, type Figure, figures, type Result, type Row, type Scale } from '../row.js'
import { Yardstick } from '../yardstick.js'

/** Sandboxes that are there. */
export const sizes = [1, 100, 900] as const
/** Creates before all others, as in the row before it. */
export const warmCreates = 2000
/** Milliseconds after each sample, in which the kernel takes the namespace apart. */
export const rest = 20

/** Bare attaches of the native program's. */
export function bareRival(yardstick: Yardstick): Rival {
  return { who: 'the bare floor', measure: () => yardstick.ask('make', 1), clear: async () => void (await yardstick.ask('remove', 1)) }
}

/** One sandbox with a published port. */
export function ownRival({ host, network }: Ground): Rival {
  const name = 'measured'
  return {
    who: 'netmode',
    measure: () => clock(() => host.sandboxes.create({ name, network: network.name, publish: ['8080:80'] })),
    clear: async () => void (await host.sandboxes.remove(name)),
  }
}

/** The plan of such a create, drawn up before the clock runs, and run by the native program, step by step: no JavaScript, no other thread. */
export function planRival({ host }: Ground, floor: Floor): Rival {
  const full = new Full(floor, host)
  let last = ''
  return {
    who: 'the plan alone, natively',
    measure: async n => {
      const { time, sample } = await full.make(n)
      last = sample.sandbox
      return time
    },
    clear: async () => void (await host.sandboxes.remove(last)),
  }
}

export const growth: Row = {
  name: 'growth',
  work: 'a create beside 1, 100 and 900 sandboxes of the network',
  timely: true,
  async measure(scale: Scale): Promise<Result> {
    await using ground = await Ground.open()
    await ground.warmUp(scale.samples(warmCreates))
    await using yardstick = await Yardstick.on(ground)
    using floor = await Floor.start(ground.network)
    const all: Figure[] = []
    const bars: Bar[] = []
    const ours: Measured[] = []
    for (const size of new Set(sizes.map(one => scale.crowd(one)))) {
      await ground.crowd(size)
      const turns = { rounds: scale.samples(300), warmup: scale.samples(30), rest }
      const measured = await alternate([bareRival(yardstick), planRival(ground, floor), ownRival(ground)], turns)
      const [bare, , mine] = measured
      all.push(...figures(measured, { beside: size }))
      bars.push(barOf(`p50 to the bare floor, ${size} there`, mine, bare, 'at most', 1.3))
      ours.push(mine)
    }
    const [first, last] = [ours[0], ours.at(-1)]
    if (first && last) bars.push(barOf('p50 at the last size to the first', last, first, 'at most', 2))
    return { figures: all, bars, notes: [] }
  },
}
