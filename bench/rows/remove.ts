/** Removing many: all at once, one after the other, and what creates feel of it. */
import { alternate, clock } from '../alternate.js'
import { Ground } from '../ground.js'
import { quantile, sort } from '../quantiles.js'
import { barOf, figureOf, figures, median, type Result, type Row, type Scale } from '../row.js'
import { Yardstick } from '../yardstick.js'

/** As in lib/sandbox/removals.ts: links deleted in one wait. */
const batch = 32

/** Creates go on for as long as `removal` is under way; answers what each has taken. */
async function createBeside(ground: Ground, removal: Promise<unknown>, round: number): Promise<number[]> {
  const { host, network } = ground
  const times: number[] = []
  let going = true
  const done = removal.finally(() => {
    going = false
  })
  for (let i = 0; going; i++)
    times.push(await clock(() => host.sandboxes.create({ name: `beside-${round}-${i}`, network: network.name, publish: ['8080-9999:80'] })))
  await done
  await host.sandboxes.removeAll(times.map((_, i) => `beside-${round}-${i}`))
  return times
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

    const beside: number[] = []
    for (let round = 0; round < scale.samples(4); round++) {
      await ground.crowd(count)
      beside.push(...(await createBeside(ground, host.sandboxes.removeAll(ground.release()), round)))
    }
    return {
      figures: [
        ...figures(measured),
        figureOf({ who: 'netmode, one by one (each)', values: sequence }),
        figureOf({ who: 'netmode, a create beside removeAll', values: beside }),
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
        { what: 'p99 of a create beside removeAll', value: quantile(sort(beside), 0.99) / 1e6, limit: 25, sense: 'at most', unit: 'ms' },
      ],
      notes: [],
    }
  },
}
