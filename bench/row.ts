/** A row of the table: one kind of work, the figures of all who do it, and the bars that netmode has to meet in it. */
import type { Measured } from './alternate.js'
import { quantile, ratio, sort, type Times } from './quantiles.js'

export interface Row {
  readonly name: string
  /** The same work for all of its rivals, in a sentence. */
  readonly work: string
  /** Single calls are timed: as root they get a real-time priority, which keeps other processes off their CPU. */
  readonly timely?: boolean
  measure(scale: Scale): Promise<Result>
}

/** How much of a full run is wanted. Each row asks with what a full run takes, and gets no more than that. */
export class Scale {
  readonly #most: { readonly samples: number; readonly crowd: number }
  /** Other tools are measured too, where they are installed. */
  readonly peers: boolean

  constructor(most: { samples: number; crowd: number }, peers: boolean) {
    this.#most = most
    this.peers = peers
  }

  /** Of each rival. */
  samples(full: number): number {
    return Math.max(2, Math.min(full, this.#most.samples))
  }

  /** Sandboxes or published ports that are there beside the measured one. */
  crowd(full: number): number {
    return Math.min(full, this.#most.crowd)
  }
}

export type Unit = 'ns' | '/s' | 'Mbit/s' | 'bytes' | 'instructions'

/** What was measured of one rival. */
export interface Figure {
  readonly who: string
  readonly unit: Unit
  readonly samples: number
  readonly p50: number
  /** The worse end: of times the largest hundredth, of rates the smallest. */
  readonly p99: number
  /** Of p50, to that of the row's floor at the same size. */
  readonly ratio?: number
  /** How many others there were: sandboxes, published ports. */
  readonly beside?: number
  /** What this rival leaves out of the work. */
  readonly lacks?: string
}

export interface Bar {
  readonly what: string
  readonly value: number
  /** Where the value lies with 95 % confidence. */
  readonly interval?: readonly [low: number, high: number]
  readonly limit: number
  readonly sense: 'at most' | 'at least'
  readonly unit: '×' | 'ms' | 'µs' | 'bytes' | 'instructions'
}

export interface Result {
  readonly figures: readonly Figure[]
  readonly bars: readonly Bar[]
  /** What could not be measured, and why. */
  readonly notes: readonly string[]
}

export function isMet({ value, limit, sense }: Bar): boolean {
  return sense === 'at most' ? value <= limit : value >= limit
}

/** Figures of rivals that were measured in turns; the first is the floor that the others are compared with. */
export function figures(measured: readonly Measured[], { unit = 'ns', beside }: { unit?: Unit; beside?: number } = {}): Figure[] {
  const [floor] = measured
  return measured.map(one => {
    const figure = figureOf(one, unit)
    return { ...figure, ...(floor && { ratio: figure.p50 / median(floor.values) }), ...(beside !== undefined && { beside }) }
  })
}

/** Of one that has no floor. */
export function figureOf({ who, values, lacks }: Measured, unit: Unit = 'ns'): Figure {
  const sorted = sort(values)
  const [p50, p99] = [quantile(sorted, 0.5), quantile(sorted, isRate(unit) ? 0.01 : 0.99)]
  return { who, unit, samples: values.length, p50, p99, ...(lacks !== undefined && { lacks }) }
}

export function median(values: Times): number {
  return quantile(sort(values), 0.5)
}

export function isRate(unit: Unit): boolean {
  return unit.endsWith('/s')
}

/** A bar on how many times as much one rival takes as another, by their medians. */
export function barOf(what: string, one: Measured, other: Measured, sense: Bar['sense'], limit: number): Bar {
  const { p50, low, high } = ratio(one.values, other.values)
  return { what, value: p50, interval: [low, high], limit, sense, unit: '×' }
}
