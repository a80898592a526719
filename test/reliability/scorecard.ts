/** What the tests of reliability measure, collected for the table that `npm run test:reliability` prints. */
import { appendFileSync } from 'node:fs'

/** The long form: every point, the full numbers. */
export const isLong = process.env.NETMODE_RELIABILITY === 'long'

/** A figure of the scorecard. `row`: its number there. */
export function score(row: number, what: string, figure: string): void {
  const file = process.env.NETMODE_SCORECARD
  if (file !== undefined) appendFileSync(file, `${JSON.stringify({ row, what, figure })}\n`)
}
