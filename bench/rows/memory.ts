/** What a handle weighs, and whether anything is left behind by sandboxes that come and go. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Sandbox } from '../../lib/index.js'
import { Ground } from '../ground.js'
import type { Result, Row, Scale } from '../row.js'
import { builds } from '../yardstick.js'

interface Probe {
  nativeHeap(): number
}

/** Cycles before those that count: until then what threads and V8 keep for the next time fills up, ever more slowly. */
const warmup = 24_000
/** Sandboxes that are made and removed together. */
const atOnce = 32

/** Bytes that this process has in memory, garbage taken away. */
function resident(): number {
  for (let i = 0; i < 3; i++) global.gc?.()
  return process.memoryUsage.rss()
}

async function cycle({ host, network }: Ground): Promise<void> {
  const names = Array.from({ length: atOnce }, (_, i) => `cycle-${i}`)
  await Promise.all(names.map((name, i) => host.sandboxes.create({ name, network: network.name, publish: [`${8000 + i}:80`] })))
  await host.sandboxes.removeAll(names)
}

/** Readings of the native heap, of which the least counts: what V8 keeps for a while comes and goes by tens of KiB, what is lost stays. */
const readings = 5
const cyclesBetween = 5

async function leastHeap(ground: Ground, probe: Probe): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < readings; i++) {
    for (let n = 0; n < cyclesBetween; n++) await cycle(ground)
    resident() // garbage holds native memory, too
    least = Math.min(least, probe.nativeHeap())
  }
  return least
}

function kib(bytes: number): string {
  return `${Math.round(bytes / 1024)} KiB`
}

export const memory: Row = {
  name: 'memory',
  work: 'memory of a process: handles that it keeps, and sandboxes that it has made and removed',
  async measure(scale: Scale): Promise<Result> {
    await using ground = await Ground.open()
    const probe = createRequire(import.meta.url)(join(builds, 'probe.node')) as Probe
    const [few, lots] = [scale.crowd(1000), scale.crowd(10_000)]
    await ground.crowd(Math.min(100, few))
    const handles: (Sandbox | undefined)[] = []
    const keep = async (count: number): Promise<number> => {
      while (handles.length < count) handles.push(await ground.host.sandboxes.get(Ground.nameOf(handles.length % Math.min(100, few))))
      return resident()
    }
    const before = await keep(few)
    const slope = ((await keep(Math.max(lots, 2 * few))) - before) / (handles.length - few)
    await ground.host.sandboxes.removeAll(ground.release())

    const cycles = Math.ceil(scale.crowd(10_000) / atOnce)
    const cold = probe.nativeHeap()
    for (let i = 0; i < Math.ceil(scale.crowd(warmup) / atOnce); i++) await cycle(ground)
    const heap = await leastHeap(ground, probe)
    const rss = resident()
    let halfway = heap
    for (let i = 0; i < cycles; i++) {
      await cycle(ground)
      if (i === Math.floor(cycles / 2)) halfway = await leastHeap(ground, probe)
    }
    const growth = (await leastHeap(ground, probe)) - heap
    const after = resident()
    return {
      figures: [],
      bars: [
        { what: `memory of a handle, ${few} to ${handles.length}`, value: slope, limit: 8192, sense: 'at most', unit: 'bytes' },
        { what: `native heap after ${cycles * atOnce} cycles`, value: growth, limit: 65_536, sense: 'at most', unit: 'bytes' },
      ],
      notes: [
        `resident after the cycles: ${kib(after - rss)} more`,
        `native heap: ${kib(heap - cold)} more by the warm-up, ${kib(halfway - heap)} by the first half of what counts, ${kib(growth - (halfway - heap))} by the second`,
      ],
    }
  },
}
