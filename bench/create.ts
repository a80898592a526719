/**
 * What `host.sandboxes.create` costs beside the least that the kernel can be asked for (bare) and beside its own plan run natively
 * (full). One sample of each in turn, in one namespace, so that whatever disturbs the machine disturbs all alike.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'

import { type Host, openHost } from '../lib/index.js'
import { Alone, Behind, Between, type CleanUp, serveJanitor } from './clean-up.js'
import { cpuTime, machine, stolen } from './machine.js'
import { quantile, ratio, sort, summarize, type Times } from './quantiles.js'
import { Bare, benchNetwork, Floor, Full, Ours, type Rival, root, stateDir } from './rivals.js'

const help = `npm run bench -- create [options]
  --samples N    of each rival (default 1000)
  --warmup N     rounds before, not counted (default 2000: JavaScript is compiled by then, as in a process that has run for a while)
  --cleanup HOW  between (default): samples are removed in groups between bursts of them, the kernel takes their namespaces apart
                 while the next are made. behind: by another process, all the time. alone: each by itself, followed by a rest
  --burst N      between: samples from one removal to the next (default 192); behind: samples that may be there at once
  --rest MS      alone: the rest (default 20), after which everybody finds cold caches
  --rivals LIST  of bare, full, ours (default all, in this order)
  --out FILE     where the result goes (default bench/results/create.json; - for nowhere)
  --check        ends with status 1 where a bar is missed
`
/** How many times as long as a rival ours may take, by the medians. */
const bars = { bare: 1.3, full: 1.15 } as const
/** The same for the slowest in a hundred. */
const tailBar = 1.5

const { values: options } = parseArgs({
  options: {
    samples: { type: 'string', default: '1000' },
    warmup: { type: 'string', default: '2000' },
    cleanup: { type: 'string', default: 'between' },
    burst: { type: 'string', default: '192' },
    rest: { type: 'string', default: '20' },
    rivals: { type: 'string', default: 'bare,full,ours' },
    out: { type: 'string', default: join(root, 'bench/results/create.json') },
    check: { type: 'boolean', default: false },
    janitor: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

async function cleanUp(how: string, host: Host, floor: Floor, burst: number, rest: number): Promise<CleanUp> {
  if (how === 'alone') return new Alone(host, floor, rest)
  if (how === 'behind') return Behind.start(burst)
  return new Between(host, floor, burst)
}

/** Rounds of one sample each; who comes first changes, since each finds the machine as the one before has left it. */
async function alternate(rivals: readonly Rival[], rounds: number, from: number, clean: CleanUp): Promise<Map<string, number[]>> {
  const times = new Map(rivals.map(({ name }) => [name, [] as number[]]))
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < rivals.length; turn++) {
      const rival = rivals[(round + turn) % rivals.length] as Rival
      const { time, sample } = await rival.make(from + round)
      times.get(rival.name)?.push(time)
      await clean.take(sample)
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
  const before = cpuTime()
  const start = machine()
  const [samples, warmup, rest] = [options.samples, options.warmup, options.rest].map(Number) as [number, number, number]
  mkdirSync(stateDir, { recursive: true })
  const host = await openHost({ stateDir })
  const network = await host.networks.create(benchNetwork)
  // The first one makes /run/netns a mount of its own, which would copy those of bare samples made earlier.
  await host.namespaces.add('first')
  await host.namespaces.delete('first')
  const floor = await Floor.start(network)
  const clean = await cleanUp(options.cleanup, host, floor, Number(options.burst), rest)
  const all: readonly Rival[] = [new Bare(floor), new Full(floor, host), new Ours(host)]
  const rivals = all.filter(({ name }) => options.rivals.split(',').includes(name))
  await alternate(rivals, warmup, 1, clean)
  const times = await alternate(rivals, samples, 1 + warmup, clean)
  await clean.finish()
  floor[Symbol.dispose]()
  await network.remove()
  await host.close()

  const facts = { ...start, stolen: stolen(before) }
  const summaries = Object.fromEntries([...times].map(([name, row]) => [name, summarize(row)]))
  const ratios = Object.fromEntries(
    (['bare', 'full'] as const).flatMap(name => {
      const [mine, theirs] = [times.get('ours'), times.get(name)]
      const tail = (row: Times) => quantile(sort(row), 0.99)
      return mine && theirs ? [[name, { ...ratio(mine, theirs), p99: tail(mine) / tail(theirs), bar: bars[name] }]] : []
    }),
  )
  console.log(
    Object.entries(facts)
      .map(([key, value]) => `${key} ${value}`)
      .join(', '),
  )
  console.log(
    `${samples} samples each after ${warmup} rounds, clean-up ${options.cleanup}${options.cleanup === 'alone' ? `, ${rest} ms of rest` : ''}; µs\n`,
  )
  const rows = Object.entries(summaries).map(([name, { min, p50, p90, p99 }]) => [
    name,
    ...[min, p50, p90, p99].map(time => time.toFixed(1)),
  ])
  console.log(table([['', 'min', 'p50', 'p90', 'p99'], ...rows]))
  for (const [name, { p50, low, high, p99, bar }] of Object.entries(ratios)) {
    const verdict = (value: number, most: number) => `bar ${most}${value > most ? ' MISSED' : ''}`
    console.log(
      `ours / ${name}: p50 ${p50.toFixed(3)} (95 %: ${low.toFixed(3)} to ${high.toFixed(3)}; ${verdict(p50, bar)}), p99 ${p99.toFixed(2)} (${verdict(p99, tailBar)})`,
    )
  }
  if (options.out !== '-') {
    mkdirSync(dirname(options.out), { recursive: true })
    writeFileSync(
      options.out,
      `${JSON.stringify({ machine: facts, samples, warmup, cleanup: options.cleanup, micros: summaries, ratios }, null, 2)}\n`,
    )
  }
  if (options.check && Object.values(ratios).some(({ p50, p99, bar }) => p50 > bar || p99 > tailBar)) process.exitCode = 1
}

if (options.help) console.log(help)
else if (options.janitor) await serveJanitor()
else await main()
