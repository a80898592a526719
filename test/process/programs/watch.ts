/**
 * Ends with an iterator of events still open: `watch NETNS STATEDIR HOW`. `idle`: nobody waits, so it ends by itself. `wait`: it tells the
 * first event that comes, and leaves the iterator. `exit`: process.exit while somebody waits. `threads`: workers that are terminated.
 */
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { openHost } from '../../../lib/index.js'

const [netns = '', stateDir = '', how] = process.argv.slice(2)

async function watch(): Promise<void> {
  const host = await openHost({ netns, stateDir })
  const events = host.events()
  parentPort?.postMessage('watching')
  process.stdout.write('watching\n')
  if (how === 'idle') return
  if (how === 'exit') {
    void events.next()
    process.exit(0)
  }
  for await (const event of events) {
    process.stdout.write(`${event.type}\n`)
    if (how === 'wait') break
  }
}

if (how === 'threads' && isMainThread) {
  for (let i = 0; i < 10; i++) {
    const worker = new Worker(fileURLToPath(import.meta.url), { argv: process.argv.slice(2), stdout: true })
    await once(worker, 'message')
    await worker.terminate()
  }
  process.stdout.write('done\n')
} else await watch()
