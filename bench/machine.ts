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
