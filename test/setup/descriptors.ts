/** What this process has open. */
import { readdirSync, readlinkSync } from 'node:fs'

/** What each descriptor leads to, as /proc says it, but for the one by which they are listed. */
export function descriptors(): string[] {
  return readdirSync('/proc/self/fd').flatMap(fd => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)]
    } catch {
      return []
    }
  })
}
