/**
 * Does to a host what it is told, line by line, with a meddler at its side: `victim NETNS STATEDIR [guard]`. A line is `{ act, order }`; before the
 * act the order goes to the meddler. Answers with an `Answer`. The act `close` closes the host.
 */
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { isNetmodeError, openHost } from '../../../lib/index.js'
import { atRest } from '../../setup/at-rest.js'
import { descriptors } from '../../setup/descriptors.js'
import { type ActName, acts, type RepairName, repairs } from '../acts.js'

/** What came of an act. */
export interface Answer {
  /** The error's code, or how it looks where it is none of ours. */
  readonly failed?: string
  readonly undo?: number
  /** Was the place reached that the order was about? */
  readonly fired: boolean
  readonly open: Descriptors
}

export interface Descriptors {
  /** Sockets, and folders that are locked now and then: netmode keeps as many of each as plans have needed at once. */
  readonly kept: number
  readonly others: number
}

function opened(): Descriptors {
  const targets = descriptors()
  const kept = targets.filter(target => target.startsWith('socket:') || target.startsWith(stateDir)).length
  return { kept, others: targets.length - kept }
}

const [netns = '', stateDir = '', guard] = process.argv.slice(2)
const lines = createInterface(process.stdin)
const before = opened()
const host = await openHost({ netns, stateDir, repair: guard !== undefined, nameService: false })
const all = { ...acts, ...repairs, close: { run: () => host.close() } }
await host.namespace.links.list() // starts a native thread
process.stdout.write(`${JSON.stringify(before)}\n`)

for await (const line of lines) {
  const { act, order } = JSON.parse(line) as { act: ActName | RepairName | 'close'; order: string }
  let failed: Pick<Answer, 'failed' | 'undo'> = {}
  existsSync(`/meddle/${order}`)
  try {
    await all[act].run(host)
  } catch (error) {
    failed = isNetmodeError(error) ? { failed: error.code, undo: error.undo?.length ?? 0 } : { failed: String((error as Error).stack) }
  }
  const fired = existsSync('/meddle/off')
  await atRest()
  const answer: Answer = { ...failed, fired, open: opened() }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
process.exit(0)
