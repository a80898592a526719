/**
 * Ends with an iterator of events still open: `watch NETNS STATEDIR HOW`. `idle`: nobody waits, so it ends by itself. `wait`: it tells the
 * first event that comes, and leaves the iterator. `exit`: process.exit while somebody waits. `threads`: workers that are terminated.
 * `calls`: the same, in the middle of the addon's calls.
 */
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { openHost } from '../../../lib/index.js'
import { KernelMechanism } from '../../../lib/plan/mechanism.js'

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

/** One of the addon's calls, so often that the end comes within it. */
function call(which: number): void {
  const mechanism = new KernelMechanism(netns)
  const watch = mechanism.watch({ kinds: ['link'] }, () => {})
  const calls = [
    () => watch.hold(true),
    () => watch.take(),
    () => new KernelMechanism(netns),
    () => mechanism.watch({ kinds: ['link'] }, () => {}).close(),
    () => void mechanism.run([{ apply: { op: 'sysctl.get', key: 'net/ipv4/ip_forward' } }]),
    () => mechanism.order(JSON.stringify({ name: '', slot: '', settings: [] }))(),
  ]
  const one = calls[which % calls.length] as () => void
  parentPort?.postMessage('calling')
  while (true) one()
}

if (isMainThread && (how === 'threads' || how === 'calls')) {
  for (let i = 0; i < (how === 'calls' ? 60 : 10); i++) {
    const worker = new Worker(fileURLToPath(import.meta.url), { argv: process.argv.slice(2), stdout: true, workerData: i })
    await once(worker, 'message')
    await worker.terminate()
  }
  process.stdout.write('done\n')
} else if (how === 'calls') call(workerData as number)
else await watch()
