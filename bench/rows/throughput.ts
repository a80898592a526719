/** What sandboxes get through, and how soon: beside the same links and routes made by hand. */
import { alternate, type Rival } from '../alternate.js'
import { Lab, ports } from '../lab.js'
import { type Bar, barOf, type Figure, figures, type Result, type Row, type Scale } from '../row.js'
import type { Yardstick } from '../yardstick.js'

const milliseconds = 200
const trips = 1000
/** Two that are equal differ by less than this share in the medians of a run. */
const equal = 0.05

interface Way {
  readonly name: string
  readonly ends: (lab: Lab) => readonly [from: Yardstick | undefined, to: string]
}

const ways: readonly Way[] = [
  { name: 'to a sandbox beside it', ends: ({ boxes: [first, second] }) => [first?.stick, second?.address ?? ''] },
  { name: 'to outside', ends: ({ boxes: [first] }) => [first?.stick, '198.51.100.2'] },
]

function stream(who: string, [from, to]: ReturnType<Way['ends']>): Rival {
  const ask = async (): Promise<number> => (await from?.ask('stream', to, ports.serve, milliseconds)) ?? Number.NaN
  return { who, measure: async () => ((await ask()) * 8) / 1e6 }
}

function roundTrip(who: string, [from, to]: ReturnType<Way['ends']>): Rival {
  return { who, measure: async () => ((await from?.ask('round-trips', to, ports.serve, trips)) ?? Number.NaN) / trips }
}

export const throughput: Row = {
  name: 'throughput',
  work: 'one TCP stream and one-byte round trips, from a sandbox to the one beside it and to outside; the floor is the same made by hand with ip, masquerade included',
  async measure(scale: Scale): Promise<Result> {
    await using byHand = await Lab.byHand({ masquerade: true })
    await using ours = await Lab.byNetmode(1)
    const all: Figure[] = []
    const bars: Bar[] = []
    for (const { name, ends } of ways) {
      const turns = { rounds: scale.samples(40), warmup: 2 }
      const streams = await alternate([stream(`by hand, ${name}`, ends(byHand)), stream(`netmode, ${name}`, ends(ours))], turns)
      const answers = await alternate(
        [roundTrip(`by hand, round trip ${name}`, ends(byHand)), roundTrip(`netmode, round trip ${name}`, ends(ours))],
        turns,
      )
      all.push(...figures(streams, { unit: 'Mbit/s' }), ...figures(answers))
      bars.push(barOf(`stream ${name}`, streams[1], streams[0], 'at least', 1 - equal))
      bars.push(barOf(`round trip ${name}`, answers[1], answers[0], 'at most', 1 + equal))
    }
    return { figures: all, bars, notes: [] }
  },
}
