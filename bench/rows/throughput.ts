/** What sandboxes get through, and how soon: beside the same links and routes made by hand. */
import { alternate, type Measured, type Rival } from '../alternate.js'
import { Lab, ports, serversAt } from '../lab.js'
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

/** Where the two ends of a connection run. Left to the scheduler it is now this, now that, and a round trip takes half as long again. */
const places = { 'on one processor': serversAt, 'on two': 0 } as const

function stream(who: string, [from, to]: ReturnType<Way['ends']>, place: number): Rival {
  const ask = async (): Promise<number> => {
    await from?.ask('pin', place)
    return (await from?.ask('stream', to, ports.serve, milliseconds)) ?? Number.NaN
  }
  return { who, measure: async () => ((await ask()) * 8) / 1e6 }
}

function roundTrip(who: string, [from, to]: ReturnType<Way['ends']>, place: number): Rival {
  const ask = async (): Promise<number> => {
    await from?.ask('pin', place)
    return (await from?.ask('round-trips', to, ports.serve, trips)) ?? Number.NaN
  }
  return { who, measure: async () => (await ask()) / trips }
}

/** Of netmode to both that are made by hand. */
function barsOf(what: string, [plain, guarded, ours]: readonly Measured[], sense: Bar['sense'], limit: number): Bar[] {
  if (!plain || !guarded || !ours) return []
  return [barOf(what, ours, plain, sense, limit), barOf(`${what}, to one that is kept apart`, ours, guarded, sense, limit)]
}

export const throughput: Row = {
  name: 'throughput',
  work: 'one TCP stream and one-byte round trips, from a sandbox to the one beside it and to outside; the floor is the same made by hand with ip, masquerade included',
  async measure(scale: Scale): Promise<Result> {
    await using byHand = await Lab.byHand({ masquerade: true })
    await using guarded = await Lab.byHand({ masquerade: true, guarded: true })
    await using ours = await Lab.byNetmode(1)
    const labs = [
      ['by hand', byHand],
      ['by hand, with rules that keep them apart', guarded],
      ['netmode', ours],
    ] as const
    const all: Figure[] = []
    const bars: Bar[] = []
    for (const { name, ends } of ways) {
      for (const [where, place] of Object.entries(places)) {
        const turns = { rounds: scale.samples(40), warmup: 2 }
        const what = `${name}, ${where}`
        const streams = await alternate(
          labs.map(([who, lab]) => stream(`${who}, ${what}`, ends(lab), place)),
          turns,
        )
        const answers = await alternate(
          labs.map(([who, lab]) => roundTrip(`${who}, round trip ${what}`, ends(lab), place)),
          turns,
        )
        all.push(...figures(streams, { unit: 'Mbit/s' }), ...figures(answers))
        bars.push(
          ...barsOf(`stream ${what}`, streams, 'at least', 1 - equal),
          ...barsOf(`round trip ${what}`, answers, 'at most', 1 + equal),
        )
      }
    }
    return { figures: all, bars, notes: [] }
  },
}
