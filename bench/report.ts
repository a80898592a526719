/** The table that a run prints. */
import { type Bar, type Figure, isMet, isRate, type Result, type Unit } from './row.js'

type Cells = readonly [what: string, p50: string, p99: string, samples: string, ratio: string, remark: string]

/** One table for all rows: the figures of each, then its bars. */
export function table(results: ReadonlyMap<string, Result>): string {
  const lines: Cells[] = [['', 'p50', 'p99', 'n', '× floor', '']]
  for (const [name, { figures, bars, notes }] of results) {
    lines.push([name, '', '', '', '', ''])
    for (const figure of figures) lines.push(figureCells(figure))
    for (const bar of bars) lines.push(barCells(bar))
    for (const note of notes) lines.push([`  (${note})`, '', '', '', '', ''])
  }
  // A long remark or note doesn't widen its column.
  const widths = lines[0]?.map((_, column) =>
    Math.max(...lines.filter(line => line[1] !== '' || column > 0).map(line => line[column]?.length ?? 0)),
  )
  return lines
    .map(line =>
      line
        .map((cell, i) => (i === 0 || i === 5 ? cell.padEnd(i === 0 ? (widths?.[0] ?? 0) : 0) : cell.padStart(widths?.[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function figureCells({ who, beside, unit, p50, p99, samples, ratio, lacks }: Figure): Cells {
  const place = beside === undefined ? '' : `, ${beside} there`
  return [
    `  ${who}${place}`,
    quantity(p50, unit),
    quantity(p99, unit),
    String(samples),
    ratio === undefined ? '' : times(ratio),
    lacks ? `without ${lacks}` : '',
  ]
}

function barCells(bar: Bar): Cells {
  const { what, value, limit, sense, unit, interval } = bar
  const say = (number: number): string => (unit === '×' ? times(number) : `${round(number)} ${unit}`)
  const within = interval ? ` (${interval.map(times).join(' to ')})` : ''
  return [
    `  > ${what}`,
    say(value),
    `${sense === 'at most' ? '≤' : '≥'} ${say(limit)}`,
    '',
    '',
    `${isMet(bar) ? 'met' : 'MISSED'}${within}`,
  ]
}

/** A value with a unit that fits its size. */
export function quantity(value: number, unit: Unit): string {
  if (isRate(unit)) return `${Math.round(value).toLocaleString('en')} ${unit}`
  if (unit !== 'ns') return `${Math.round(value).toLocaleString('en')} ${unit === 'bytes' ? 'B' : unit}`
  return value < 1e6 ? `${round(value / 1e3)} µs` : value < 1e9 ? `${round(value / 1e6)} ms` : `${round(value / 1e9)} s`
}

function times(ratio: number): string {
  return `${round(ratio)}×`
}

/** Three digits or so: more would promise what a measurement doesn't hold. */
function round(value: number): string {
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(Math.abs(value) >= 10 ? 1 : 2)
}
