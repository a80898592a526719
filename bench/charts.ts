import type { Result } from './row.js'

export function charts(_: ReadonlyMap<string, Result>): ReadonlyMap<string, string> {
  return new Map()
}
