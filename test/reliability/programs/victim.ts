/**
 * Does to a host what it is told, line by line, with a meddler at its side: `victim NETNS STATEDIR [guard]`. A line is `{ act, order }`; before the
 * act the order goes to the meddler. Answers with `{ failed?, fired, fds, threads }`.
 */
import { existsSync, readdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { isNetmodeError, openHost } from '../../../lib/index.js'
import { atRest } from '../../setup/at-rest.js'
import { type ActName, acts, type RepairName, repairs } from '../acts.js'

/** What came of an act. */
export interface Answer {
  /** The error's code, or how it looks where it is none of ours. */
  readonly failed?: string
  readonly undo?: number
  /** Was the place reached that the order was about? */
  readonly fired: boolean
  readonly fds: number
}

const [netns = '', stateDir = '', guard] = process.argv.slice(2)
const host = await openHost({ netns, stateDir, repair: guard !== undefined, nameService: false })
const all = { ...acts, ...repairs }
// Starts all native threads, each with the socket that it keeps.
await Promise.all(Array.from({ length: 16 }, () => host.namespace.links.list()))
process.stdout.write('ready\n')

for await (const line of createInterface(process.stdin)) {
  const { act, order } = JSON.parse(line) as { act: ActName | RepairName; order: string }
  let failed: Pick<Answer, 'failed' | 'undo'> = {}
  existsSync(`/meddle/${order}`)
  try {
    await all[act].run(host)
  } catch (error) {
    failed = isNetmodeError(error) ? { failed: error.code, undo: error.undo?.length ?? 0 } : { failed: String((error as Error).stack) }
  }
  const fired = existsSync('/meddle/off')
  await atRest()
  const answer: Answer = { ...failed, fired, fds: readdirSync('/proc/self/fd').length }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
process.exit(0)
