/** A sandbox that was made beforehand: taken one after the other from a pool that is full, and one at a time after a rest. */
import { setTimeout as pause } from 'node:timers/promises'

import { alternate, clock, type Measured } from '../alternate.js'
import { Ground } from '../ground.js'
import { LastTrip } from '../last-trip.js'
import { barOf, figures, type Result, type Row, type Scale } from '../row.js'
import { Yardstick } from '../yardstick.js'
import { bareRival, rest } from './growth.js'

/** Ready ones, and takes one after the other. */
const size = 32

export const pool: Row = {
  name: 'pool',
  work: `one sandbox with a published port, taken from a warm pool of ${size}; the floor makes one`,
  timely: true,
  async measure(scale: Scale): Promise<Result> {
    const trip = LastTrip.watch()
    await using ground = await Ground.open()
    const { host, network } = ground
    await using yardstick = await Yardstick.on(ground)
    await using warm = await host.sandboxes.pool({ size, network: network.name })
    let count = 0
    const take = async () => warm.take({ name: `taken-${++count}`, publish: [`${10_000 + (count % 10_000)}:80`] })
    /** Until the pool is full again, and the kernel has taken apart what is gone. */
    const settle = async () => {
      while (warm.ready < size) await pause(1)
      await pause(rest)
    }

    /** Each of as many as the pool has ready; who begins changes. */
    const [bareInTurn, oursInTurn, tripsInTurn]: [number[], number[], number[]] = [[], [], []]
    const rounds = Math.ceil(scale.samples(1000) / size)
    for (let round = -2; round < rounds; round++) {
      const bare = async () => {
        const times = []
        for (let n = 0; n < size; n++) times.push(await yardstick.ask('make', 1))
        if (round >= 0) bareInTurn.push(...times)
        await yardstick.ask('remove', size)
        await pause(rest)
      }
      const ours = async () => {
        const [times, trips]: [number[], number[]] = [[], []]
        for (let n = 0; n < size; n++) {
          times.push(await clock(take))
          trips.push(trip.nanoseconds)
        }
        if (round >= 0) {
          oursInTurn.push(...times)
          tripsInTurn.push(...trips)
        }
        await host.sandboxes.removeAll(Array.from({ length: size }, (_, n) => `taken-${count - n}`))
        await settle()
      }
      for (const one of round % 2 === 0 ? [bare, ours] : [ours, bare]) await one()
    }
    const inTurn: readonly Measured[] = [
      { who: 'the bare floor, one after the other', values: bareInTurn },
      { who: 'netmode, one after the other', values: oursInTurn },
      { who: 'of that the trip of its plan', values: tripsInTurn },
    ]

    const rested = await alternate(
      [
        { ...bareRival(yardstick), who: 'the bare floor, after a rest' },
        {
          who: 'netmode, after a rest',
          measure: () => clock(take),
          clear: async () => {
            await host.sandboxes.remove(`taken-${count}`)
            await settle()
          },
        },
      ],
      { rounds: scale.samples(300), warmup: scale.samples(20), rest },
    )
    const [bare, ours] = inTurn
    return {
      figures: [...figures(inTurn), ...figures(rested)],
      bars: [
        ...(bare && ours ? [barOf('p50 to the bare floor', ours, bare, 'at most', 0.3)] : []),
        barOf(`p50 to the bare floor, each after a rest of ${rest} ms`, rested[1], rested[0], 'at most', 0.3),
      ],
      notes: [],
    }
  },
}
