/** From thousands of cases to few rows: which of their conditions decide what comes of them? Pure. */
import type { Case } from './matrix.js'

/** The conditions of a case beside from and to, in the order in which they are printed. */
export const conditions = ['family', 'protocol', 'internal', 'icc', 'masquerade', 'bridgeNf'] as const
export type Condition = (typeof conditions)[number]
export type Conditions = { readonly [K in Condition]?: Case[K] }

/** One value and the cases that have it. */
export interface Row<T> {
  readonly when: Conditions
  readonly value: T
}

/** The fewest conditions that decide the value of these cases, and the value for each of their settings. */
export function rowsOf<T>(cases: readonly Case[], answerOf: (one: Case) => T): Row<T>[] {
  const valued = cases.map(one => ({ one, value: answerOf(one), text: JSON.stringify(answerOf(one)) }))
  for (const deciding of subsets) {
    const rows = new Map<string, Row<T> & { readonly text: string }>()
    const decided = valued.every(({ one, value, text }) => {
      const when = Object.fromEntries(deciding.map(condition => [condition, one[condition]])) as Conditions
      const key = JSON.stringify(when)
      const known = rows.get(key)
      if (known === undefined) rows.set(key, { when, value, text })
      return known === undefined || known.text === text
    })
    if (decided) return merged([...rows.values()])
  }
  throw new Error('all conditions together decide nothing: two cases are the same')
}

/** All sets of conditions, the smallest first. */
const subsets: readonly (readonly Condition[])[] = Array.from({ length: 2 ** conditions.length }, (_, bits) =>
  conditions.filter((_, i) => bits & (1 << i)),
).sort((a, b) => a.length - b.length)

/** Rows that differ in one condition only and have the same value become one, as long as there are any. */
function merged<T>(rows: readonly (Row<T> & { readonly text: string })[]): Row<T>[] {
  for (const [i, row] of rows.entries()) {
    for (const condition of Object.keys(row.when) as Condition[]) {
      const { [condition]: _, ...rest } = row.when
      const twin = rows.findIndex(
        (other, j) => j > i && other.text === row.text && condition in other.when && same(rest, without(other.when, condition)),
      )
      if (twin >= 0) return merged([...rows.slice(0, i), { ...row, when: rest }, ...rows.slice(i + 1).filter((_, j) => i + 1 + j !== twin)])
    }
  }
  return rows.map(({ when, value }) => ({ when, value }))
}

function without(when: Conditions, condition: Condition): Conditions {
  const { [condition]: _, ...rest } = when
  return rest
}

function same(a: Conditions, b: Conditions): boolean {
  const keys = Object.keys(a) as Condition[]
  return keys.length === Object.keys(b).length && keys.every(key => a[key] === b[key])
}

/** `IPv6, internal, no icc`; empty: always. */
export function conditionText(when: Conditions): string {
  const words: { readonly [K in Condition]: (value: Case[K]) => string } = {
    family: family => `IPv${family}`,
    protocol: protocol => protocol.toUpperCase(),
    internal: internal => (internal ? 'internal' : 'not internal'),
    icc: icc => `icc ${icc ? 'on' : 'off'}`,
    masquerade: masquerade => `masquerade ${masquerade ? 'on' : 'off'}`,
    bridgeNf: bridgeNf => `bridge-nf ${bridgeNf ? 1 : 0}`,
  }
  return conditions
    .filter(condition => condition in when)
    .map(condition => (words[condition] as (value: unknown) => string)(when[condition]))
    .join(', ')
}
