/** Removing one and waiting for it: the kernel's own wait is most of it. */
import { alternate, clock } from '../alternate.js'
import { Ground } from '../ground.js'
import { barOf, figures, type Result, type Row, type Scale } from '../row.js'
import { Yardstick } from '../yardstick.js'

export const removeOne: Row = {
  name: 'remove-one',
  work: 'one sandbox, waiting for it; the floor is one RTM_DELLINK of a veth',
  timely: true,
  async measure(scale: Scale): Promise<Result> {
    await using ground = await Ground.open()
    await using floor = await Yardstick.on(ground)
    const { host, network } = ground
    const measured = await alternate(
      [
        {
          who: 'one RTM_DELLINK',
          measure: async () => {
            await floor.ask('make', 1)
            return floor.ask('delete')
          },
        },
        {
          who: 'netmode',
          measure: async n => {
            const { name } = await host.sandboxes.create({ name: `one-${n}`, network: network.name, publish: ['8080:80'] })
            return clock(() => host.sandboxes.remove(name))
          },
        },
      ],
      { rounds: scale.samples(300), warmup: scale.samples(20), rest: 20 },
    )
    const [native, ours] = measured
    return { figures: figures(measured), bars: [barOf('p50 of netmode to RTM_DELLINK', ours, native, 'at most', 1.2)], notes: [] }
  },
}
