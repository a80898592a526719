/** A sandbox that was made beforehand. */
import { alternate, clock } from '../alternate.js'
import { Ground } from '../ground.js'
import { barOf, figures, type Result, type Row, type Scale } from '../row.js'
import { Yardstick } from '../yardstick.js'
import { bareRival, rest } from './growth.js'

/** What this row needs of `host.sandboxes.pool({ size })`. */
interface Pool {
  take(options: { name: string; publish?: readonly string[] }): Promise<{ remove(): Promise<boolean> }>
  close(): Promise<void>
}

export const pool: Row = {
  name: 'pool',
  work: 'one sandbox with a published port, taken from a warm pool; the floor makes one',
  timely: true,
  async measure(scale: Scale): Promise<Result> {
    await using ground = await Ground.open()
    const { host, network } = ground
    const sandboxes = host.sandboxes as unknown as { pool?(options: { size: number; network: string }): Promise<Pool> | Pool }
    if (sandboxes.pool === undefined) return { figures: [], bars: [], notes: ['this version has no host.sandboxes.pool'] }
    await using yardstick = await Yardstick.on(ground)
    const warm = await sandboxes.pool({ size: 8, network: network.name })
    let taken: { remove(): Promise<boolean> } | undefined
    const [bare, ours] = await alternate(
      [
        bareRival(yardstick),
        {
          who: 'netmode, from a pool of 8',
          measure: n =>
            clock(async () => {
              taken = await warm.take({ name: `taken-${n}`, publish: ['8080:80'] })
            }),
          clear: async () => void (await taken?.remove()),
        },
      ],
      { rounds: scale.samples(500), warmup: scale.samples(20), rest },
    )
    await warm.close()
    return { figures: figures([bare, ours]), bars: [barOf('p50 to the bare floor', ours, bare, 'at most', 0.3)], notes: [] }
  },
}
