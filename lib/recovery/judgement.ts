/** Whether a record still has what it stands on: its namespace and its owner. */
import { readdirSync, statSync } from 'node:fs'

import { ignoreMissing, isMissing } from '../state/look.js'
import { processIsAlive } from '../state/process.js'
import type { SandboxRecord } from '../state/records.js'

/** `remove`: what broke off, or belonged to a process that is dead; `release`: what has lost its namespace. */
export function judge(record: SandboxRecord, namespaces: ReadonlySet<string>): 'fine' | 'heal' | 'remove' | 'release' {
  // What is pooled is locked for as long as its pool lives.
  if (record.phase === 'creating' || record.phase === 'removing' || record.phase === 'pooled') return 'remove'
  if (record.ephemeral && !processIsAlive(record.ephemeral)) return 'remove'
  if (!hasNamespace(record, namespaces)) return 'release'
  return record.phase === 'changing' ? 'heal' : 'fine'
}

/** `namespaces`: the names in /run/netns. */
export function hasNamespace({ name, mode, netns }: SandboxRecord, namespaces: ReadonlySet<string>): boolean {
  if (mode === 'host') return true
  if (netns.owned) return namespaces.has(name)
  try {
    const { ino } = statSync(netns.path)
    return netns.inode === undefined || String(ino) === netns.inode
  } catch (error) {
    return !isMissing(error as NodeJS.ErrnoException) // what can't be looked at may be there
  }
}

/** Names in /run/netns. */
export function namespaceNames(): ReadonlySet<string> {
  try {
    return new Set(readdirSync('/run/netns'))
  } catch (error) {
    return new Set(ignoreMissing(error as NodeJS.ErrnoException))
  }
}
