/** A reporter of vitest's that writes one line of JSON for each test file as it ends: what is written stays, if the machine should die. */
import { appendFileSync } from 'node:fs'
import { relative } from 'node:path'
import type { Reporter, TestModule } from 'vitest/node'

/** What became of a test file. */
export interface FileReport {
  /** Relative to the project's folder. */
  readonly file: string
  /** Milliseconds. */
  readonly duration: number
  readonly passed: number
  readonly skipped: number
  /** What `requires` found missing. */
  readonly lacking: readonly string[]
  readonly failures: readonly { readonly test: string; readonly message: string }[]
}

export default class LineReporter implements Reporter {
  onTestModuleEnd(module: TestModule): void {
    const tests = [...module.children.allTests()]
    const count = (state: string): number => tests.filter(test => test.result().state === state).length
    const report: FileReport = {
      file: relative(process.cwd(), module.moduleId),
      duration: Math.round(module.diagnostic().duration),
      passed: count('passed'),
      skipped: count('skipped'),
      lacking: module.meta().lacking ?? [],
      failures: [
        ...module.errors().map(({ message }) => ({ test: '(the file)', message })),
        ...[...module.children.allSuites()].flatMap(suite => suite.errors().map(({ message }) => ({ test: suite.fullName, message }))),
        ...tests.flatMap(test => (test.result().errors ?? []).map(({ message }) => ({ test: test.fullName, message }))),
      ],
    }
    appendFileSync(process.env.NETMODE_TEST_LINES ?? '/dev/stdout', `${JSON.stringify(report)}\n`)
  }
}
