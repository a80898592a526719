/** Telling a process from another that got its pid later. */
import { readFile } from 'node:fs/promises'

import { ignoreMissing } from './look.js'

/** A process: its pid and when it started (clock ticks since boot). */
export interface ProcessIdentity {
  readonly pid: number
  readonly started: string
}

/** The calling process. */
export async function thisProcess(): Promise<ProcessIdentity> {
  return { pid: process.pid, started: (await startOf(process.pid)) ?? '' }
}

export async function processIsAlive({ pid, started }: ProcessIdentity): Promise<boolean> {
  return (await startOf(pid)) === started
}

/** Field 22 of /proc/PID/stat (proc(5)), counted behind the command's closing parenthesis. */
async function startOf(pid: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch((error: NodeJS.ErrnoException) =>
    error.code === 'ESRCH' ? undefined : ignoreMissing(error),
  )
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')[19]
}
