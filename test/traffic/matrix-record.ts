/** What real Docker answered, as kept in docs/reachability-docker.json. */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Case, matches, targets, vantages } from './matrix.js'
import { type Conditions, rowsOf } from './matrix-table.js'

export interface DockerAnswers {
  /** As `dockerd --version` has it. */
  readonly docker: string
  readonly date: string
  readonly kernel: string
  /** `from -> to` → the answers, each with the conditions that lead to it. */
  readonly matrix: Readonly<Record<string, readonly (Conditions & { readonly answer: string })[]>>
  /** case → answer */
  readonly company: Record<string, string>
}

export const dockerAnswersFile = fileURLToPath(new URL('../../docs/reachability-docker.json', import.meta.url))

/** undefined: nothing has been recorded. */
export function readDockerAnswers(): DockerAnswers | undefined {
  return existsSync(dockerAnswersFile) ? (JSON.parse(readFileSync(dockerAnswersFile, 'utf8')) as DockerAnswers) : undefined
}

export function summarize(cases: readonly Case[], answerOf: (one: Case) => string): DockerAnswers['matrix'] {
  const pairs = targets.flatMap(to => vantages.map(from => ({ from, to })))
  return Object.fromEntries(
    pairs
      .map(pair => [`${pair.from} -> ${pair.to}`, cases.filter(one => matches(pair, one))] as const)
      .filter(([, some]) => some.length > 0)
      .map(([key, some]) => [key, rowsOf(some, answerOf).map(({ when, value }) => ({ ...when, answer: value }))]),
  )
}

/** Docker's answer to a case. */
export function dockerAnswer({ matrix }: DockerAnswers, one: Case): string {
  const found = matrix[`${one.from} -> ${one.to}`]?.find(({ answer: _, ...when }) => matches(when, one))
  if (found === undefined) throw new Error(`docs/reachability-docker.json has no answer to ${one.from} -> ${one.to}`)
  return found.answer
}
