/**
 * A process with a warm pool: `pool NETNS STATEDIR main` keeps it in the main thread, `… worker` in a worker thread. For each line `take NAME`
 * it takes a sandbox and tells its address; `end` ends the worker, if there is one. It never closes anything.
 */
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { openHost } from '../../../lib/index.js'

const [netns = '', stateDir = '', where] = process.argv.slice(2)

async function keep(tell: (line: string) => void): Promise<(name: string) => Promise<void>> {
  const host = await openHost({ netns, stateDir })
  const pool = await host.sandboxes.pool({ size: 4, network: 'lan' })
  tell('ready')
  return async name => {
    const sandbox = await pool.take({ name, publish: ['80'] })
    tell(sandbox.endpoints[0]?.ipv4?.address ?? '')
  }
}

const say = (line: string): void => void process.stdout.write(`${line}\n`)

if (!isMainThread) {
  const take = await keep(line => parentPort?.postMessage(line))
  parentPort?.on('message', take)
} else {
  const worker = where === 'worker' ? new Worker(fileURLToPath(import.meta.url), { argv: process.argv.slice(2) }) : undefined
  worker?.on('message', say)
  const take = worker ? async (name: string) => worker.postMessage(name) : await keep(say)
  for await (const line of createInterface(process.stdin)) {
    const [verb, name = ''] = line.split(' ')
    if (verb === 'take') await take(name)
    else if (worker) {
      await worker.terminate()
      say('ended')
    }
  }
}
