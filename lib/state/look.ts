/**
 * Looking at the state folder. It is on a tmpfs, where a look takes microseconds; a promise of node:fs takes several trips through libuv's
 * threads for it, and there may be a thousand records. So a look is done at once, but only so many of them in one turn of the event loop.
 */
import { fail } from '../errors.js'

const perTurn = 32
let left = perTurn
let nextTurn: Promise<void> | undefined

/** What `at` answers; undefined where there is nothing at that path. */
export async function look<T>(at: () => T): Promise<T | undefined> {
  while (left === 0) await nextTurn
  if (--left === 0) {
    nextTurn = new Promise(resolve =>
      setImmediate(() => {
        left = perTurn
        resolve()
      }),
    )
  }
  try {
    return at()
  } catch (error) {
    return ignoreMissing(error as NodeJS.ErrnoException)
  }
}

export function isMissing({ code }: NodeJS.ErrnoException): boolean {
  return code === 'ENOENT' || code === 'ENOTDIR'
}

/** undefined where there is nothing. @throws STATE for anything else */
export function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (isMissing(error)) return undefined
  throw fail('STATE', `The state folder can't be used: ${error.message}`, {
    cause: error,
    ...(error.errno !== undefined && { errno: error.errno }),
    ...(error.syscall !== undefined && { syscall: error.syscall }),
    ...(error.path !== undefined && { subject: error.path }),
  })
}
