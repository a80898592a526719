/** The benchmark itself: every row runs and gives numbers. What the numbers are is not asked here. */
import { spawnSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { Result } from '../../bench/row.js'
import { requires } from '../setup/privilege.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const rows = ['burst', 'create', 'event-loop', 'growth', 'list', 'memory', 'publish', 'remove', 'remove-one', 'spoof-check', 'start-up']
const { describe } = requires('root')
// A sanitizer's addon is not what is to be measured, and its object files are not those that the native programs are linked from.
const isSanitized = process.env.LD_PRELOAD !== undefined

function node(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, NETMODE_NO_INSTALL: '1' },
  })
  if (status !== 0) throw new Error(`${args.join(' ')} ended with status ${status}: ${stderr}\n${stdout}`)
  return stdout
}

describe('npm run bench', () => {
  test.skipIf(isSanitized)(
    'every row of the benchmark gives figures or bars, all of them numbers',
    async () => {
      const out = await mkdtemp(join(tmpdir(), 'netmode-bench-'))
      try {
        node('scripts/setup.mjs', '--dist')
        const table = node('bench/run.mjs', ...rows, '--samples', '2', '--crowd', '4', '--no-peers', '--out', out)
        const files = (await readdir(out)).filter(file => file.endsWith('.json'))
        expect(files.map(file => basename(file, '.json')).sort()).toEqual(rows)
        for (const file of files) {
          const { figures, bars } = JSON.parse(await readFile(join(out, file), 'utf8')) as Result
          const numbers = [...figures.flatMap(({ p50, p99 }) => [p50, p99]), ...bars.map(({ value }) => value)]
          expect(numbers.length, file).toBeGreaterThan(0)
          expect(
            numbers.filter(number => !Number.isFinite(number)),
            file,
          ).toEqual([])
          for (const { who } of figures) expect(table, file).toContain(who)
        }
      } finally {
        await rm(out, { recursive: true })
      }
    },
    300_000,
  )
})
