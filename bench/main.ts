/** `npm run bench`: every row in a process and namespaces of its own, one after the other; then the table, the JSON, the charts. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { charts } from './charts.js'
import { cpuTime, machine, stolen } from './machine.js'
import { table } from './report.js'
import { isMet, type Result, type Row } from './row.js'
import { rows } from './rows/rows.js'

const help = `npm run bench -- [ROW…] [options]

Rows (all, if none is named):
${rows.map(({ name, work }) => `  ${name.padEnd(12)} ${work}`).join('\n')}

  --quick        a tenth of the samples: shows that all works, and roughly where things stand
  --samples N    at most N samples of each rival
  --crowd N      at most N sandboxes or published ports beside the measured one
  --no-peers     netmode and its floors alone
  --out FOLDER   where the JSON and the charts go (default bench/results and docs; of a shortened run: nowhere)
  --check        ends with status 1 where a bar is missed
  --install      installs the other tools that are compared (Debian, as root), and measures nothing
`
/** The project's folder: this script runs from build-bench. */
const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const builds = join(root, 'build-bench')
const everything = '1000000'

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  allowNegative: true,
  options: {
    quick: { type: 'boolean', default: false },
    samples: { type: 'string' },
    crowd: { type: 'string' },
    peers: { type: 'boolean', default: true },
    out: { type: 'string' },
    check: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

/** Where the result goes. A shortened run says nothing that should be kept, unless it is told where. */
function outFolders(): { readonly results: string; readonly charts: string } | undefined {
  if (options.out !== undefined) return { results: options.out, charts: options.out }
  if (options.quick || options.samples !== undefined || options.crowd !== undefined) return undefined
  return { results: join(root, 'bench/results'), charts: join(root, 'docs') }
}

/** Before all that is not measured, where that is allowed: containers may not. */
const ahead = ['chrt', '-f', '10']
const mayBeAhead = spawnSync('chrt', [...ahead.slice(1), 'true'], { stdio: 'ignore' }).status === 0

/** A row in a process and in a network and mount namespace of its own: what it leaves goes with it. */
async function measure({ name, timely }: Row, folder: string): Promise<Result> {
  const out = join(folder, `${name}.json`)
  const samples = options.samples ?? (options.quick ? '100' : everything)
  const row = [
    process.execPath,
    '--expose-gc',
    join(builds, 'row.mjs'),
    name,
    samples,
    options.crowd ?? everything,
    String(options.peers),
    out,
  ]
  const first = timely && mayBeAhead ? ahead : []
  const [program = '', ...args] = [...first, join(root, 'scripts/in-namespace.sh'), ...row]
  const [status] = (await once(spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] }), 'exit')) as [number | null]
  if (status !== 0) throw new Error(`status ${status}`)
  return JSON.parse(readFileSync(out, 'utf8')) as Result
}

async function main(): Promise<void> {
  const unknown = positionals.filter(word => !rows.some(({ name }) => name === word))
  if (unknown.length > 0) throw new Error(`there is no row ${unknown.join(', ')}; npm run bench -- --help lists them`)
  const wanted = rows.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
  const before = cpuTime()
  const facts = machine()
  const folder = mkdtempSync(join(tmpdir(), 'netmode-bench-'))
  const results = new Map<string, Result>()
  for (const row of wanted) {
    const { name } = row
    process.stderr.write(`netmode bench: ${name}\n`)
    try {
      results.set(name, await measure(row, folder))
    } catch (error) {
      results.set(name, { figures: [], bars: [], notes: [`failed: ${(error as Error).message}`] })
      process.exitCode = 1
    }
    await pause(500) // the kernel takes the row's namespaces apart
  }
  rmSync(folder, { recursive: true })
  report({ ...facts, stolen: stolen(before) }, results)
}

function report(facts: object, results: ReadonlyMap<string, Result>): void {
  console.log(
    Object.entries(facts)
      .map(([key, value]) => `${key} ${value}`)
      .join(', '),
  )
  console.log(`\n${table(results)}`)
  const folders = outFolders()
  if (folders) {
    for (const folder of Object.values(folders)) mkdirSync(folder, { recursive: true })
    for (const [name, result] of results)
      writeFileSync(join(folders.results, `${name}.json`), `${JSON.stringify({ machine: facts, ...result }, null, 2)}\n`)
    for (const [name, svg] of charts(results)) writeFileSync(join(folders.charts, `${name}.svg`), svg)
  }
  const missed = [...results.values()].flatMap(({ bars }) => bars).filter(bar => !isMet(bar))
  if (options.check && missed.length > 0) process.exitCode = 1
}

if (options.help) console.log(help)
else await main()
