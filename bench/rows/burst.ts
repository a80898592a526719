/** Many creates at once from one process: how far they overlap, against a native program that makes one bare attach after the other. */
import { alternate, clock } from '../alternate.js'
import { Ground } from '../ground.js'
import { barOf, figures, median, type Result, type Row, type Scale } from '../row.js'
import { Yardstick } from '../yardstick.js'

const atOnce = 64
/** Numbers of the other program's bare ones, beyond those of the first. */
const firstOfOther = 10_000

export const burst: Row = {
  name: 'burst',
  work: `${atOnce} creates at once from one process; the floor makes as many bare ones in sequence, natively`,
  async measure(scale: Scale): Promise<Result> {
    await using ground = await Ground.open()
    await using floor = await Yardstick.on(ground)
    await using other = await Yardstick.on(ground)
    await other.ask('from', firstOfOther)
    const programs = [floor, other]
    const { host, network } = ground
    const count = scale.crowd(atOnce)
    let made: string[] = []
    const measured = await alternate(
      [
        {
          who: `the bare floor, ${count} in sequence`,
          measure: () => floor.ask('make', count),
          clear: async () => void (await floor.ask('remove', 32)),
        },
        {
          who: `the bare floor, ${count} by two programs at once`,
          measure: () => clock(() => Promise.all(programs.map(program => program.ask('make', count / programs.length)))),
          clear: async () => void (await Promise.all(programs.map(program => program.ask('remove', 32)))),
        },
        {
          who: `netmode, ${count} at once`,
          measure: async n => {
            made = Array.from({ length: count }, (_, i) => `burst-${n}-${i}`)
            const options = made.map((name, i) => ({ name, network: network.name, publish: [`${8000 + i}:80`] }))
            return clock(() => Promise.all(options.map(one => host.sandboxes.create(one))))
          },
          clear: async () => void (await host.sandboxes.removeAll(made)),
        },
      ],
      { rounds: scale.samples(30), warmup: 2, rest: 200 },
    )
    const [bare, both, ours] = measured
    return {
      figures: figures(measured),
      bars: [barOf('throughput of netmode to the floor', bare, ours, 'at least', 1.3)],
      notes: [`throughput of two bare floors at once to that of one: ${(median(bare.values) / median(both.values)).toFixed(2)} ×`],
    }
  },
}
