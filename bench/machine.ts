/** What a result is worth nothing without: the machine that it was measured on. */
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'

export interface Machine {
  readonly kernel: string
  readonly node: string
  readonly cpu: string
  /** CPUs that this process may use. */
  readonly cpus: number
  /** CPUs that the kernel is prepared for: what a veth without a given number of queues gets one for each of. */
  readonly possibleCpus: string
  /** GiB */
  readonly memory: number
  /** Of the last minute before the run: more than a little says that others were at work. */
  readonly load: number
}

/** Of all CPU time since `before`, the share that a hypervisor gave to others: with more than a little, threads that should overlap don't. */
export function stolen(before: CpuTime): number {
  const now = cpuTime()
  return Number(((now.stolen - before.stolen) / Math.max(1, now.all - before.all)).toFixed(3))
}

export interface CpuTime {
  readonly all: number
  readonly stolen: number
}

/** In ticks since the machine came up (proc(5), stat: user nice system idle iowait irq softirq steal). */
export function cpuTime(): CpuTime {
  const [, ...ticks] = (readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '').split(/ +/).map(Number)
  const known = ticks.slice(0, 8)
  return { all: known.reduce((sum, one) => sum + one, 0), stolen: known[7] ?? 0 }
}

export function machine(): Machine {
  return {
    kernel: release(),
    node: process.version,
    cpu: cpus()[0]?.model ?? 'unknown',
    cpus: availableParallelism(),
    possibleCpus: readFileSync('/sys/devices/system/cpu/possible', 'utf8').trim(),
    memory: Math.round(totalmem() / 2 ** 30),
    load: Number((loadavg()[0] ?? 0).toFixed(2)),
  }
}
