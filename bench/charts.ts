/** The charts that the README shows: bars that lie beside each other, as SVG. */
import { quantity } from './report.js'
import type { Figure, Result } from './row.js'

interface Line {
  readonly label: string
  /** One for each series; undefined: not measured. */
  readonly figures: readonly (Figure | undefined)[]
  readonly kind: 'own' | 'floor' | 'other'
}

interface Chart {
  readonly title: string
  readonly lines: readonly Line[]
  /** What the bars of a line stand for, from top to bottom. */
  readonly series: readonly string[]
  readonly scale: 'linear' | 'logarithmic'
  readonly better: 'shorter' | 'longer'
}

const width = 900
const labels = 270
const values = 90
const bar = 13
const gap = 14
const head = 62
/** Of the first series to the last one: the more there are, the darker. */
const shades = {
  own: ['#86efac', '#22c55e', '#15803d'],
  floor: ['#cbd5e1', '#94a3b8', '#64748b'],
  other: ['#fde68a', '#fbbf24', '#b45309'],
} as const

export function charts(results: ReadonlyMap<string, Result>): ReadonlyMap<string, string> {
  const drawn = [
    ['bench-create', create(results.get('growth'), results.get('peers'))],
    ['bench-publish', publish(results.get('publish'))],
    ['bench-connections', connections(results.get('connections'))],
  ] as const
  return new Map(drawn.flatMap(([name, chart]) => (chart ? [[name, draw(chart)] as const] : [])))
}

function create(growth: Result | undefined, peers: Result | undefined): Chart | undefined {
  if (!growth || !peers || peers.figures.length === 0) return undefined
  const figures = [...growth.figures.filter(({ who }) => who.includes('floor')), ...peers.figures]
  const sizes = [...new Set(figures.map(({ beside }) => beside))]
  const lines = [...new Set(figures.map(({ who }) => who))].map(
    (who): Line => ({
      label: who,
      kind: kindOf(who),
      figures: sizes.map(size => figures.find(one => one.who === who && one.beside === size)),
    }),
  )
  const series = sizes.map(size => `${size} there`)
  return { title: 'One sandbox made, beside others on the same bridge (p50)', lines, series, scale: 'logarithmic', better: 'shorter' }
}

function publish(result: Result | undefined): Chart | undefined {
  if (!result) return undefined
  const figures = result.figures.filter(({ who }) => !/of its own|trip|least/.test(who))
  const sizes = [...new Set(figures.map(({ beside }) => beside))]
  const lines = [...new Set(figures.map(({ who }) => who))].map(
    (who): Line => ({
      label: who,
      kind: kindOf(who),
      figures: sizes.map(size => figures.find(one => one.who === who && one.beside === size)),
    }),
  )
  const series = sizes.map(size => `${size?.toLocaleString('en')} published`)
  return { title: 'A port published on a live sandbox, or taken back (p50)', lines, series, scale: 'logarithmic', better: 'shorter' }
}

function connections(result: Result | undefined): Chart | undefined {
  if (!result) return undefined
  const lines = result.figures.map((figure): Line => ({ label: figure.who, kind: kindOf(figure.who), figures: [figure] }))
  return { title: 'New connections a second through a published port (p50)', lines, series: [], scale: 'linear', better: 'longer' }
}

function kindOf(who: string): Line['kind'] {
  return who.startsWith('netmode') ? 'own' : /floor|routed|alone/.test(who) ? 'floor' : 'other'
}

function draw({ title, lines, series, scale, better }: Chart): string {
  const most = Math.max(...lines.flatMap(({ figures }) => figures.map(figure => figure?.p50 ?? 0)))
  const least = Math.min(...lines.flatMap(({ figures }) => figures.map(figure => figure?.p50 ?? most)))
  const room = width - labels - values - 20
  // A logarithmic bar begins at a power of ten below all of them.
  const start = 10 ** Math.floor(Math.log10(least))
  const length = (value: number): number => room * (scale === 'linear' ? value / most : Math.log(value / start) / Math.log(most / start))
  let y = head
  const parts: string[] = []
  for (const { label, figures, kind } of lines) {
    const shown = figures.flatMap((figure, i) =>
      figure ? [{ figure, shade: figures.length === 1 ? 2 : Math.min(i + 3 - figures.length, 2) }] : [],
    )
    const middle = y + (shown.length * bar) / 2 + (shown[0]?.figure.lacks === undefined ? 4 : -2)
    parts.push(
      `<text x="${labels}" y="${middle}" text-anchor="end" fill="#0f172a"${kind === 'own' ? ' font-weight="600"' : ''}>${plain(label)}</text>`,
    )
    const lacks = shown[0]?.figure.lacks
    if (lacks !== undefined)
      parts.push(`<text x="${labels}" y="${middle + 12}" text-anchor="end" font-size="9.5" fill="#64748b">without ${plain(lacks)}</text>`)
    for (const { figure, shade } of shown) {
      const long = Math.max(1, length(figure.p50)).toFixed(1)
      parts.push(
        `<rect x="${labels + 10}" y="${y}" width="${long}" height="${bar - 2}" rx="2" fill="${shades[kind][Math.max(shade, 0)]}"/>`,
      )
      parts.push(
        `<text x="${labels + 16 + Number(long)}" y="${y + bar - 4}" font-size="10.5" fill="#334155">${quantity(figure.p50, figure.unit)}</text>`,
      )
      y += bar
    }
    y += gap
  }
  const legend = `${series.length > 1 ? `bars from the top: ${series.join(', ')}; ` : ''}${scale} scale, ${better} is better`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y + 6}" role="img" aria-labelledby="title" font-family="system-ui, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="12">
  <title id="title">${plain(title)}</title>
  <rect width="${width}" height="${y + 6}" rx="10" fill="#ffffff"/>
  <text x="20" y="28" font-size="14" font-weight="600" fill="#0f172a">${plain(title)}</text>
  <text x="20" y="46" font-size="11" fill="#64748b">${plain(legend)}</text>
  ${parts.join('\n  ')}
</svg>
`
}

function plain(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
