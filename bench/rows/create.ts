/** One create after the other beside its two floors: create.ts does it; this hands its result on. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { Ratio, Summary } from '../quantiles.js'
import type { Bar, Figure, Result, Row, Scale } from '../row.js'
import { builds } from '../yardstick.js'

const full = { samples: 1000, warmup: 2000, rest: 20 }

/** What create.ts writes. */
interface Output {
  readonly micros: Readonly<Record<string, Summary>>
  readonly ratios: Readonly<Record<string, Ratio & { readonly bar: number }>>
}

export const create: Row = {
  name: 'create',
  work: 'one sandbox on one network: namespace, veth, IPv4, route, one published port, durable state',
  timely: true,
  async measure(scale: Scale): Promise<Result> {
    const out = '/run/create.json'
    const options = { ...full, samples: scale.samples(full.samples), warmup: scale.samples(full.warmup), out }
    const words = Object.entries(options).flatMap(([key, value]) => [`--${key}`, String(value)])
    const child = spawn(process.execPath, [join(builds, 'create.mjs'), ...words], { stdio: ['ignore', 'ignore', 'inherit'] })
    const [status] = (await once(child, 'exit')) as [number | null]
    if (status !== 0) throw new Error(`create.ts ended with status ${status}`)
    const { micros, ratios } = JSON.parse(readFileSync(out, 'utf8')) as Output
    const [floor] = Object.values(micros)
    const figures = Object.entries(micros).map(
      ([who, { samples, p50, p99 }]): Figure => ({
        who: names[who] ?? who,
        unit: 'ns',
        samples,
        p50: p50 * 1000,
        p99: p99 * 1000,
        ...(floor && { ratio: p50 / floor.p50 }),
      }),
    )
    const bars = Object.entries(ratios).map(
      ([who, { p50, low, high, bar }]): Bar => ({
        what: `p50 of netmode to ${names[who] ?? who}`,
        value: p50,
        interval: [low, high],
        limit: bar,
        sense: 'at most',
        unit: '×',
      }),
    )
    const [bare, ours] = [micros.bare, micros.ours]
    if (bare && ours)
      bars.push({ what: 'p99 of netmode to the bare floor', value: ours.p99 / bare.p99, limit: 1.5, sense: 'at most', unit: '×' })
    return { figures, bars, notes: [] }
  },
}

const names: Readonly<Record<string, string>> = { bare: 'the bare floor', full: 'the full floor', ours: 'netmode' }
