/**
 * Works in worker threads: `threads NETNS STATEDIR whole` lets two workers come to their ends, `… cut [COUNT]` terminates ten of them, or
 * as many, in the middle of their work; `… exit TURNS` ends the process with status 7, so many turns of the loop into it.
 */
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { openHost } from '../../../lib/index.js'

const [netns = '', stateDir = '', how, count = '10'] = process.argv.slice(2)

async function work(name: string): Promise<void> {
  const host = await openHost({ netns, stateDir })
  for (let round = 0; how !== 'whole' || round < 3; round++) {
    parentPort?.postMessage(round)
    const sandbox = await host.sandboxes.create({ name, publish: ['80', '53/udp'] })
    await sandbox.publish('81')
    await sandbox.remove()
  }
  await host.close()
}

async function cut(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const worker = new Worker(fileURLToPath(import.meta.url), { argv: process.argv.slice(2), workerData: `cut-${i}` })
    await once(worker, 'message')
    // In the middle of a plan, or between two, further on each time.
    for (let turn = 0; turn < i % 40; turn++) await new Promise(resolve => setImmediate(resolve))
    await worker.terminate()
  }
}

if (!isMainThread) await work(workerData as string)
else if (how === 'cut') await cut(Number(count))
else if (how === 'exit') {
  void work('exit')
  for (let turn = 0; turn < 20 * Number(count); turn++) await new Promise(resolve => setImmediate(resolve))
  process.exit(7)
} else {
  const workers = ['one', 'two'].map(name => new Worker(fileURLToPath(import.meta.url), { argv: process.argv.slice(2), workerData: name }))
  await Promise.all([work('main'), ...workers.map(worker => once(worker, 'exit'))])
}
process.stdout.write('done\n')
