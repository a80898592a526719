/** When a program's native threads have nothing to do: what is done behind an answer holds a namespace for a moment longer. */
import { readdirSync, readFileSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'

/** Does a thread of netmode's sleep, waiting for work? One that ends meanwhile does nothing either. */
function rests(thread: string): boolean {
  const read = (file: string): string => {
    try {
      return readFileSync(`/proc/self/task/${thread}/${file}`, 'utf8').trim()
    } catch {
      return ''
    }
  }
  return read('comm') !== 'netmode' || /^(futex|$)/.test(read('wchan'))
}

/** Resolves when all of them do. */
export async function atRest(): Promise<void> {
  while (!readdirSync('/proc/self/task').every(rests)) await turn()
}
