/** What a program pays before its first call: the import and openHost(), and the command line. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { alternate, clock } from '../alternate.js'
import { Ground } from '../ground.js'
import { type Bar, type Figure, figures, median, type Result, type Row, type Scale } from '../row.js'
import { sh } from '../shell.js'
import { builds } from '../yardstick.js'

const dist = fileURLToPath(new URL('../dist/', import.meta.url))
/** Sandboxes that are there → milliseconds more than `node -e 0`. */
const bars = [
  [10, 30],
  [900, 60],
] as const

export const startUp: Row = {
  name: 'start-up',
  timely: true,
  work: 'a process that imports netmode and opens and closes a host, and `netmode ps`, with 10 and 900 sandboxes; the floor is `node -e 0`',
  async measure(scale: Scale): Promise<Result> {
    await using ground = await Ground.open()
    const program = join(builds, 'open.mjs')
    writeFileSync(program, "import { openHost } from '../dist/index.js'\nawait (await openHost()).close()\n")
    const all: Figure[] = []
    const met: Bar[] = []
    for (const [size, limit] of bars) {
      const count = scale.crowd(size)
      await ground.crowd(count)
      const node = (...args: string[]) => ({ measure: () => clock(() => sh(process.execPath, ...args)) })
      const measured = await alternate(
        [
          { who: 'node -e 0', ...node('-e', '0') },
          { who: 'import and openHost()', ...node(program) },
          { who: 'netmode ps', ...node(join(dist, 'cli/main.js'), 'ps') },
        ],
        { rounds: scale.samples(40), warmup: 3 },
      )
      all.push(...figures(measured, { beside: count }))
      const [floor, ...ours] = measured
      for (const { who, values } of ours) {
        met.push({
          what: `${who}, beyond node -e 0, ${count} there`,
          value: (median(values) - median(floor.values)) / 1e6,
          limit,
          sense: 'at most',
          unit: 'ms',
        })
      }
    }
    return { figures: all, bars: met, notes: [] }
  },
}
