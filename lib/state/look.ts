/**
 * Looking at the state folder. It is on a tmpfs, where a look takes microseconds; a promise of node:fs takes several trips through libuv's
 * threads for it, and there may be a thousand records. So a look is done at once, but only so many of them in one turn of the event loop.
 */
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
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}
