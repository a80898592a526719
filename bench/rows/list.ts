/** Looking at many sandboxes. */
import { alternate, clock } from '../alternate.js'
import { Ground } from '../ground.js'
import { type Bar, barOf, figures, type Result, type Row, type Scale } from '../row.js'
import { sh } from '../shell.js'
import { Yardstick } from '../yardstick.js'

export const list: Row = {
  name: 'list',
  work: 'list, and inspect, of 900 sandboxes; the floor is a dump of all links, received natively and not looked at',
  async measure(scale: Scale): Promise<Result> {
    await using ground = await Ground.open()
    await using yardstick = await Yardstick.on(ground)
    const { sandboxes } = ground.host
    const count = scale.crowd(900)
    await ground.crowd(count)
    const names = (await sandboxes.list()).map(({ name }) => name)
    const measured = await alternate(
      [
        { who: 'a raw dump of their links', measure: () => yardstick.ask('links') },
        { who: 'netmode, list', measure: () => clock(() => sandboxes.list()) },
        { who: 'netmode, inspect of each', measure: () => clock(() => Promise.all(names.map(name => sandboxes.inspect(name)))) },
        {
          who: '`ip -j -d link` in a child, parsed',
          measure: () => clock(async () => JSON.parse(await sh('ip', '-j', '-d', 'link', 'show'))),
        },
      ],
      { rounds: scale.samples(60), warmup: 3 },
    )
    const [dump, listed, inspected, child] = measured
    const bars = [listed, inspected].flatMap((mine): Bar[] => [
      barOf(`${mine.who} to the dump`, mine, dump, 'at most', 3),
      barOf(`${mine.who} to ip`, mine, child, 'at most', 0.2),
    ])
    return { figures: figures(measured, { beside: count }), bars, notes: [] }
  },
}
