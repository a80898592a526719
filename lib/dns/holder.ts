/** Who serves names, as far as the claim in the state folder tells. */
import { readlinkSync } from 'node:fs'

import { processIsAlive } from '../state/process.js'

/** The holder's name, `PID.START.…`: by that the others meet it. */
export function readHolder(claim: string): string | undefined {
  try {
    return readlinkSync(claim)
  } catch {
    return undefined
  }
}

/** Is there a process that is called so? One of another pid namespace isn't seen. */
export function isAlive(holder: string): boolean {
  const [pid, started = ''] = holder.split('.')
  return processIsAlive({ pid: Number(pid), started })
}
