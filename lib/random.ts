/** Random names and ids. One draw from the system serves many: each costs as much as a small system call. */
import { randomFillSync } from 'node:crypto'

const pool = Buffer.allocUnsafeSlow(4096)
let used = pool.length

/** That many random bytes (at most 4096) as hexadecimal digits. */
export function randomHex(bytes: number): string {
  if (used + bytes > pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const from = used
  used += bytes
  return pool.toString('hex', from, used)
}
