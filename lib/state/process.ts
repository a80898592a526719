/** Telling a process from another that got its pid later. */
import { readFileSync } from 'node:fs'

import { ignoreMissing } from './look.js'

/** A process: its pid and when it started (clock ticks since boot). */
export interface ProcessIdentity {
  readonly pid: number
  readonly started: string
}

/** The calling process. */
export function thisProcess(): ProcessIdentity {
  return { pid: process.pid, started: startOf(process.pid) ?? '' }
}

export function processIsAlive({ pid, started }: ProcessIdentity): boolean {
  return startOf(pid) === started
}

/** Field 22 of /proc/PID/stat (proc(5)), counted behind the command's closing parenthesis. */
function startOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19]
  } catch (error) {
    const failure = error as NodeJS.ErrnoException
    return failure.code === 'ESRCH' ? undefined : ignoreMissing(failure)
  }
}
