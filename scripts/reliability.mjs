// The tests of reliability, and the scorecard of what they measured.
//
//   npm run test:reliability              the short form, as CI runs it
//   npm run test:reliability -- --long    every point of every operation, the full numbers: hours
//   npm run test:reliability -- crash     only files whose name has this in it
//   npm run test:reliability -- --long crash -t 'of publish'   a piece of it: tests whose names match, as vitest's -t
//   node scripts/reliability.mjs --print FILE   the table of a run that has been
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { root } from './stamp.mjs'

const { values, positionals: names } = parseArgs({
  allowPositionals: true,
  options: { long: { type: 'boolean', default: false }, print: { type: 'string' }, testNamePattern: { type: 'string', short: 't' } },
})

/** The rows of RELIABILITY.md's table: numbers, promise, what shows it. */
function promises() {
  return readFileSync(join(root, 'RELIABILITY.md'), 'utf8')
    .split('\n')
    .map(line => line.match(/^\| (\d[\d, –]*) \| ([^|]+) \| ([^|]+) \|/))
    .filter(found => found !== null)
    .flatMap(([, numbers, what, where]) => numbersOf(numbers).map(row => ({ row, what, figure: `tested in ${where.replaceAll('`', '')}` })))
}

/** `3, 4` and `33–36`. */
function numbersOf(text) {
  return text.split(', ').flatMap(part => {
    const [from, to = from] = part.split('–').map(Number)
    return Array.from({ length: to - from + 1 }, (_, i) => from + i)
  })
}

function print(file) {
  const rows = existsSync(file)
    ? readFileSync(file, 'utf8')
        .trim()
        .split('\n')
        .filter(line => line !== '')
        .map(line => JSON.parse(line))
    : []
  const measured = new Set(rows.map(({ row }) => row))
  rows.push(...promises().filter(({ row }) => !measured.has(row)))
  rows.sort((a, b) => a.row - b.row || (a.what < b.what ? -1 : 1))
  const width = Math.max(0, ...rows.map(({ what }) => what.length))
  console.log('\nReliability scorecard (numbers as in RELIABILITY.md)\n')
  for (const { row, what, figure } of rows) console.log(`${String(row).padStart(3)}  ${what.padEnd(width)}  ${figure}`)
  console.log()
}

if (values.print !== undefined) print(values.print)
else {
  const file = join(mkdtempSync(join(tmpdir(), 'netmode-scorecard-')), 'scorecard.jsonl')
  const files = names.length > 0 ? names.map(name => `test/reliability/${name}`) : ['test/reliability']
  const pattern = values.testNamePattern === undefined ? [] : ['-t', values.testNamePattern]
  const { status } = spawnSync(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', ...files, ...pattern], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, NETMODE_SCORECARD: file, ...(values.long && { NETMODE_RELIABILITY: 'long' }) },
  })
  print(file)
  process.exitCode = status ?? 1
}
