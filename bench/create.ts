/**
 * What `host.sandboxes.create` costs beside the least that the kernel can be asked for (bare) and beside its own plan run natively
 * (full). One sample of each in turn, in one namespace, so that whatever disturbs the machine disturbs all alike.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { openHost } from '../lib/index.js'
import { machine } from './machine.js'
import { ratio, summarize } from './quantiles.js'
import { Bare, benchNetwork, Floor, Full, Ours, type Rival } from './rivals.js'

const help = `npm run bench -- create [options]
  --samples N    of each rival (default 1000)
  --warmup N     rounds before, not counted (default 100)
  --rest MS      pause after a sample has been removed (default 20): the kernel takes namespaces apart in the background
  --rivals LIST  of bare, full, ours (default all, in this order)
  --out FILE     where the result goes (default bench/results/create.json; - for nowhere)
  --check        ends with status 1 where a bar is missed
`
/** How many times as long as a rival ours may take, by the medians. */
const bars = { bare: 1.35, full: 1.2 } as const
const stateDir = '/run/netmode-bench'
/** The project's folder: this script runs from build-bench. */
const root = join(dirname(fileURLToPath(import.meta.url)), '..')

const { values: options } = parseArgs({
  options: {
    samples: { type: 'string', default: '1000' },
    warmup: { type: 'string', default: '100' },
    rest: { type: 'string', default: '20' },
    rivals: { type: 'string', default: 'bare,full,ours' },
    out: { type: 'string', default: join(root, 'bench/results/create.json') },
    check: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

/** A sample that is made, measured and removed; then the kernel gets the time to finish. */
async function measure(rival: Rival, n: number, rest: number): Promise<number> {
  const time = await rival.make(n)
  await rival.clear()
  await pause(rest)
  return time
}

/** Rounds of one sample each; who comes first changes, since each finds the machine as the one before has left it. */
async function alternate(rivals: readonly Rival[], rounds: number, rest: number, from: number): Promise<Map<string, number[]>> {
  const times = new Map(rivals.map(({ name }) => [name, [] as number[]]))
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < rivals.length; turn++) {
      const rival = rivals[(round + turn) % rivals.length] as Rival
      times.get(rival.name)?.push(await measure(rival, from + round, rest))
    }
  }
  return times
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => row[column]?.length ?? 0)))
  return rows
    .map(row => row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  '))
    .join('\n')
}

async function main(): Promise<void> {
  if (process.env.NETMODE_PRIVATE !== '1')
    throw new Error('a benchmark changes networking only in a private namespace: start it with `npm run bench`')
  const facts = machine()
  const [samples, warmup, rest] = [options.samples, options.warmup, options.rest].map(Number) as [number, number, number]
  mkdirSync(stateDir, { recursive: true })
  const host = await openHost({ stateDir })
  const network = await host.networks.create(benchNetwork)
  const floor = await Floor.start(join(root, 'build-bench/floor'), network)
  const all: readonly Rival[] = [new Bare(floor), new Full(floor, host, network.name), new Ours(host, network.name)]
  const rivals = all.filter(({ name }) => options.rivals.split(',').includes(name))
  await alternate(rivals, warmup, rest, 1)
  const times = await alternate(rivals, samples, rest, 1 + warmup)
  floor.close()
  await network.remove()
  await host.close()

  const summaries = Object.fromEntries([...times].map(([name, row]) => [name, summarize(row)]))
  const ratios = Object.fromEntries(
    (['bare', 'full'] as const).flatMap(name => {
      const [mine, theirs] = [times.get('ours'), times.get(name)]
      return mine && theirs ? [[name, { ...ratio(mine, theirs), bar: bars[name] }]] : []
    }),
  )
  console.log(
    Object.entries(facts)
      .map(([key, value]) => `${key} ${value}`)
      .join(', '),
  )
  console.log(`${samples} samples each after ${warmup} rounds, ${rest} ms of rest; µs\n`)
  const rows = Object.entries(summaries).map(([name, { min, p50, p90, p99 }]) => [
    name,
    ...[min, p50, p90, p99].map(time => time.toFixed(1)),
  ])
  console.log(table([['', 'min', 'p50', 'p90', 'p99'], ...rows]))
  for (const [name, { p50, low, high, bar }] of Object.entries(ratios)) {
    console.log(
      `ours / ${name}: ${p50.toFixed(3)} (95 %: ${low.toFixed(3)} to ${high.toFixed(3)}; bar ${bar})${p50 > bar ? ' MISSED' : ''}`,
    )
  }
  if (options.out !== '-') {
    mkdirSync(dirname(options.out), { recursive: true })
    writeFileSync(options.out, `${JSON.stringify({ machine: facts, samples, warmup, rest, micros: summaries, ratios }, null, 2)}\n`)
  }
  if (options.check && Object.values(ratios).some(({ p50, bar }) => p50 > bar)) process.exitCode = 1
}

if (options.help) console.log(help)
else await main()
