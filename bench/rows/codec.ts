/** Encoding and parsing of single messages, in instructions: the same number on a busy machine as on an idle one. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

import type { Bar, Figure, Result, Row, Scale } from '../row.js'
import { find } from '../shell.js'
import { builds } from '../yardstick.js'

/** Task of codec.cc → instructions that it may take: what it took when it was last looked at, and a tenth more. */
const limits = {
  'encode-link': 4_500,
  'encode-address': 2_600,
  'encode-element': 77_000,
  'parse-ack': 1_000,
  'parse-link': 2_200,
} as const

/** Instructions of the whole program. */
function count(valgrind: string, task: string, times: number): number {
  const args = ['--tool=callgrind', '--callgrind-out-file=/dev/null', join(builds, 'codec'), task, String(times)]
  const { status, stderr } = spawnSync(valgrind, args, { encoding: 'utf8' })
  const collected = /Collected : (\d+)/.exec(stderr)?.[1]
  if (status !== 0 || collected === undefined) throw new Error(`codec ${task} under callgrind: ${stderr}`)
  return Number(collected)
}

export const codec: Row = {
  name: 'codec',
  work: 'one message encoded or parsed, in instructions as callgrind counts them',
  async measure(scale: Scale): Promise<Result> {
    const valgrind = find('valgrind')
    if (valgrind === undefined) return { figures: [], bars: [], notes: ['valgrind is not installed'] }
    const times = scale.samples(1000)
    const tasks = Object.entries(limits).map(([task, limit]) => ({
      task,
      limit,
      // The start of the program falls out.
      instructions: (count(valgrind, task, 2 * times) - count(valgrind, task, times)) / times,
    }))
    return {
      figures: tasks.map(
        ({ task, instructions }): Figure => ({ who: task, unit: 'instructions', samples: times, p50: instructions, p99: instructions }),
      ),
      bars: tasks.map(
        ({ task, limit, instructions }): Bar => ({ what: task, value: instructions, limit, sense: 'at most', unit: 'instructions' }),
      ),
      notes: [],
    }
  },
}
