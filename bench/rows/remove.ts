/** Removing many: all at once, one after the other, and what creates feel of it. */
import { setTimeout as pause } from 'node:timers/promises'

import { alternate, clock } from '../alternate.js'
import { Ground } from '../ground.js'
import { quantile, sort } from '../quantiles.js'
import { barOf, figureOf, figures, median, type Result, type Row, type Scale } from '../row.js'
import { Yardstick } from '../yardstick.js'

/** As in lib/sandbox/removals.ts: links deleted in one wait. */
const batch = 32
/** Numbers of bare ones, beyond those of the crowd. */
const firstBeside = 20_000

/** So many at most are beside those that are removed: a bridge takes 1,023. */
const besides = 120
/** Between two creates (ms). */
const pace = 10

/** Creates go on, one after the other, for as long as `removal` is under way; answers what each has taken. */
async function createBeside(removal: Promise<unknown>, create: (n: number) => Promise<number>): Promise<number[]> {
  const times: number[] = []
  let going = true
  const done = removal.finally(() => {
    going = false
  })
  while (going && times.length < besides) {
    times.push(await create(times.length))
    await pause(pace)
  }
  await done
  return times
}

/** Of netmode beside removeAll, and of bare creates beside the native loop. */
async function measureBeside(ground: Ground, floor: Yardstick, { count, rounds }: { readonly count: number; readonly rounds: number }) {
  const { host, network } = ground
  await using bare = await Yardstick.on(ground)
  await bare.ask('from', firstBeside)
  const native: number[] = []
  const ours: number[] = []
  for (let round = 0; round < rounds; round++) {
    await floor.ask('make', count)
    native.push(...(await createBeside(floor.ask('remove', batch), () => bare.ask('make', 1))))
    await bare.ask('remove', batch)
    await ground.crowd(count)
    const name = (n: number) => `beside-${round}-${n}`
    const create = (n: number) => clock(() => host.sandboxes.create({ name: name(n), network: network.name, publish: ['8080-9999:80'] }))
    const times = await createBeside(host.sandboxes.removeAll(ground.release()), create)
    ours.push(...times)
    await host.sandboxes.removeAll(times.map((_, n) => name(n)))
  }
  return { native, ours }
}

export const remove: Row = {
  name: 'remove',
  work: `900 sandboxes at once; the floor deletes links in groups of ${batch} and their namespaces' names`,
  async measure(scale: Scale): Promise<Result> {
    await using ground = await Ground.open()
    await using floor = await Yardstick.on(ground)
    const { host } = ground
    const count = scale.crowd(900)
    const measured = await alternate(
      [
        {
          who: `the native loop, ${count}`,
          measure: async () => {
            await floor.ask('make', count)
            return floor.ask('remove', batch)
          },
        },
        {
          who: `netmode, removeAll of ${count}`,
          measure: async () => {
            await ground.crowd(count)
            return clock(() => host.sandboxes.removeAll(ground.release()))
          },
        },
        {
          who: `netmode, ${count} single removes at once`,
          measure: async () => {
            await ground.crowd(count)
            return clock(() => Promise.all(ground.release().map(name => host.sandboxes.remove(name))))
          },
        },
      ],
      { rounds: scale.samples(7), warmup: 1, rest: 500 },
    )
    const [native, together, single] = measured

    await ground.crowd(count)
    const sequence: number[] = []
    const names = ground.release()
    for (const name of names.slice(0, scale.samples(60))) sequence.push(await clock(() => host.sandboxes.remove(name)))
    await host.sandboxes.removeAll(names.slice(sequence.length))

    const beside = await measureBeside(ground, floor, { count, rounds: scale.samples(4) })
    return {
      figures: [
        ...figures(measured),
        figureOf({ who: 'netmode, one by one (each)', values: sequence }),
        figureOf({ who: 'a bare create beside the native loop', values: beside.native }),
        figureOf({ who: 'netmode, a create beside removeAll', values: beside.ours }),
      ],
      bars: [
        barOf('removeAll to the native loop', together, native, 'at most', 1.2),
        barOf('single removes at once to the native loop', single, native, 'at most', 1.2),
        {
          what: 'one by one to removeAll',
          value: (median(sequence) * count) / median(together.values),
          limit: 12,
          sense: 'at least',
          unit: '×',
        },
        {
          what: 'p99 of a create beside removeAll',
          value: quantile(sort(beside.ours), 0.99) / 1e6,
          limit: 25,
          sense: 'at most',
          unit: 'ms',
        },
      ],
      notes: [],
    }
  },
}
