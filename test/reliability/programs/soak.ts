/** Makes and removes sandboxes: `soak NETNS STATEDIR CYCLES LIVE`. Says how much it holds after a start, after the cycles, with many live, and without. */
import { readdirSync } from 'node:fs'
import { openHost } from '../../../lib/index.js'

/** What a process holds. */
export interface Footprint {
  readonly fds: number
  readonly threads: number
  /** bytes */
  readonly rss: number
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

function tell(): void {
  globalThis.gc?.()
  const footprint: Footprint = {
    fds: readdirSync('/proc/self/fd').length,
    threads: readdirSync('/proc/self/task').length,
    rss: process.memoryUsage.rss(),
  }
  process.stdout.write(`${JSON.stringify(footprint)}\n`)
}

for (let i = 0; i < 50; i++) await cycle('warm')
tell()
for (let i = 0; i < Number(cycles); i++) await cycle('box')
tell()
const names = Array.from({ length: Number(live) }, (_, i) => `live-${i}`)
for (const name of names) await host.sandboxes.create({ name, network: 'lan', publish: ['80'] })
tell()
await host.sandboxes.removeAll(names)
tell()
await host.close()
