/** Rivals in turns: whatever disturbs the machine for a while disturbs all of them alike. */
import { setTimeout as pause } from 'node:timers/promises'

import type { Times } from './quantiles.js'

export interface Rival {
  readonly who: string
  /** What it leaves out of the work. */
  readonly lacks?: string
  /** Does the n-th piece of work; answers what it measured: nanoseconds, or a rate. */
  measure(n: number): Promise<number>
  /** Takes away what `measure` made last. */
  clear?(): Promise<void>
}

export interface Turns {
  /** Rounds that count. */
  readonly rounds: number
  /** Rounds before those. Default 1. */
  readonly warmup?: number
  /** Milliseconds after each measurement, in which the kernel finishes in the background. Default 0. */
  readonly rest?: number
}

/** What was measured of one rival, in the order of rounds. */
export interface Measured {
  readonly who: string
  readonly lacks?: string
  readonly values: Times
}

let count = 0

/** One measurement of each a round; who comes first changes, since each finds the machine as the one before has left it. */
export async function alternate<const Rivals extends readonly Rival[]>(
  rivals: Rivals,
  { rounds, warmup = 1, rest = 0 }: Turns,
): Promise<{ readonly [K in keyof Rivals]: Measured }> {
  const values = rivals.map(() => [] as number[])
  for (let round = -warmup; round < rounds; round++) {
    for (let turn = 0; turn < rivals.length; turn++) {
      const which = (round + warmup + turn) % rivals.length
      const rival = rivals[which] as Rival
      const value = await rival.measure(++count)
      await rival.clear?.()
      if (rest > 0) await pause(rest)
      if (round >= 0) values[which]?.push(value)
    }
  }
  const measured = rivals.map(({ who, lacks }, i) => ({ who, ...(lacks !== undefined && { lacks }), values: values[i] ?? [] }))
  return measured as { readonly [K in keyof Rivals]: Measured }
}

/** Nanoseconds that `work` takes. */
export async function clock(work: () => Promise<unknown>): Promise<number> {
  const start = process.hrtime.bigint()
  await work()
  return Number(process.hrtime.bigint() - start)
}
