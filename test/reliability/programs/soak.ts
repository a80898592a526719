/** Makes and removes sandboxes: `soak NETNS STATEDIR CYCLES LIVE`. Says how much it holds after a start, after the cycles, with many live, and without. */
import { readdirSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { openHost } from '../../../lib/index.js'
import { atRest } from '../../setup/at-rest.js'
import { descriptors } from '../../setup/descriptors.js'

/** What a process holds. */
export interface Footprint {
  /** Descriptors. */
  readonly fds: number
  /** What they lead to, by kind: `socket`, `anon_inode`, or a path. */
  readonly kinds: Readonly<Record<string, number>>
  readonly threads: number
  /** Bytes of memory, without what V8 has set apart for its heap, used or not. */
  readonly native: number
  /** Bytes of V8's heap in use, after a collection. */
  readonly heap: number
}

const [netns = '', stateDir = '', cycles = '', live = ''] = process.argv.slice(2)
const host = await openHost({ netns, stateDir })

async function cycle(name: string): Promise<void> {
  const sandbox = await host.sandboxes.create({ name, network: 'lan', publish: ['80', '5353:53/udp'] })
  const socket = await sandbox.udp({ port: 53 })
  await sandbox.publish('81')
  socket.close()
  await sandbox.remove()
}

function kinds(): Record<string, number> {
  const found: Record<string, number> = {}
  for (const target of descriptors()) {
    const kind = target.replace(/^(socket|pipe|net):.*/, '$1')
    found[kind] = (found[kind] ?? 0) + 1
  }
  return found
}

setFlagsFromString('--expose_gc')
const collect = runInNewContext('gc') as () => void

async function tell(): Promise<void> {
  await atRest()
  collect()
  const { rss, heapTotal, heapUsed } = process.memoryUsage()
  const footprint: Footprint = {
    fds: readdirSync('/proc/self/fd').length,
    kinds: kinds(),
    threads: readdirSync('/proc/self/task').length,
    native: rss - heapTotal,
    heap: heapUsed,
  }
  process.stdout.write(`${JSON.stringify(footprint)}\n`)
}

// Sockets are kept for as many plans as have been under way at once: as many as there are native threads, and no more.
for (let held = 0, same = 0; same < 5; ) {
  const crowd = Array.from({ length: 16 }, (_, i) => `crowd-${i}`)
  await Promise.all(crowd.map(name => host.sandboxes.create({ name, network: 'lan', publish: ['80', '53/udp'] })))
  await host.sandboxes.removeAll(crowd)
  const now = kinds().socket ?? 0
  same = now === held ? same + 1 : 0
  held = now
}
for (let i = 0; i < 50; i++) await cycle('warm')
await tell()
for (let i = 0; i < Number(cycles); i++) await cycle('box')
await tell()
const names = Array.from({ length: Number(live) }, (_, i) => `live-${i}`)
for (const name of names) await host.sandboxes.create({ name, network: 'lan', publish: ['80'] })
await tell()
await host.sandboxes.removeAll(names)
await tell()
await host.close()
