/** What is said of a row of measured times. */

/** Nanoseconds of one rival, in the order in which they were measured. */
export type Times = readonly number[]

/** The value that `share` (0 to 1) of the sorted values do not exceed: the nearest rank. */
export function quantile(sorted: Times, share: number): number {
  const rank = Math.max(1, Math.ceil(share * sorted.length))
  return sorted[rank - 1] ?? Number.NaN
}

export function sort(times: Times): Times {
  return [...times].sort((a, b) => a - b)
}

export interface Summary {
  readonly samples: number
  /** Microseconds, as all that follows. */
  readonly min: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
}

export function summarize(times: Times): Summary {
  const sorted = sort(times)
  const micros = (share: number): number => round(quantile(sorted, share) / 1000, 1)
  return { samples: times.length, min: micros(0), p50: micros(0.5), p90: micros(0.9), p99: micros(0.99) }
}

export interface Ratio {
  readonly p50: number
  /** Where the ratio of the medians lies with 95 % confidence. */
  readonly low: number
  readonly high: number
}

/**
 * How many times as long `ours` takes as `theirs`, by their medians. The interval is a bootstrap over rounds: what disturbs the
 * machine for a while disturbs neighbours of a round alike, so rounds are drawn, not single samples.
 */
export function ratio(ours: Times, theirs: Times, draws = 1000): Ratio {
  const rounds = Math.min(ours.length, theirs.length)
  const ratios = Array.from({ length: draws }, () => {
    const drawn = Array.from({ length: rounds }, () => Math.floor(Math.random() * rounds))
    return median(drawn.map(i => ours[i] as number)) / median(drawn.map(i => theirs[i] as number))
  }).sort((a, b) => a - b)
  return {
    p50: round(median(ours) / median(theirs), 3),
    low: round(quantile(ratios, 0.025), 3),
    high: round(quantile(ratios, 0.975), 3),
  }
}

function median(times: Times): number {
  return quantile(sort(times), 0.5)
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}
