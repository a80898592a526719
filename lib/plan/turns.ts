/**
 * Work on the main thread in small pieces: however much of it is ready at once, timers and the sockets of others have their turn of the
 * event loop after each piece. Done in one go, what is ready of sixty sandboxes would hold them up for tens of milliseconds.
 */
const waiting: (() => void)[] = []
let isTaken = false

/** Resolves in a turn of the event loop in which it is the only one to resolve, in order: at once (undefined) where that is the current one. */
export function ownTurn(): Promise<void> | undefined {
  if (isTaken) return new Promise(resolve => waiting.push(resolve))
  isTaken = true
  // Twice: what is set while sockets are looked at comes in the same turn.
  setImmediate(() => setImmediate(next))
  return undefined
}

function next(): void {
  const piece = waiting.shift()
  isTaken = piece !== undefined
  if (piece === undefined) return
  setImmediate(next)
  piece()
}
