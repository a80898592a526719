/** Whether a record still has what it stands on: its namespace and its owner. */
import { readdir, stat } from 'node:fs/promises'

import { ignoreMissing, isMissing } from '../state/look.js'
import { processIsAlive } from '../state/process.js'
import type { SandboxRecord } from '../state/records.js'

/** `remove`: what broke off, or belonged to a process that is dead; `release`: what has lost its namespace. */
export async function judge(record: SandboxRecord, namespaces: ReadonlySet<string>): Promise<'fine' | 'heal' | 'remove' | 'release'> {
  // What is pooled is locked for as long as its pool lives.
  if (record.phase === 'creating' || record.phase === 'removing' || record.phase === 'pooled') return 'remove'
  if (record.ephemeral && !(await processIsAlive(record.ephemeral))) return 'remove'
  if (!(await hasNamespace(record, namespaces))) return 'release'
  return record.phase === 'changing' ? 'heal' : 'fine'
}

/** `namespaces`: the names in /run/netns. */
export async function hasNamespace({ name, mode, netns }: SandboxRecord, namespaces: ReadonlySet<string>): Promise<boolean> {
  if (mode === 'host') return true
  if (netns.owned) return namespaces.has(name)
  return stat(netns.path).then(
    ({ ino }) => netns.inode === undefined || String(ino) === netns.inode,
    (error: NodeJS.ErrnoException) => !isMissing(error), // what can't be looked at may be there
  )
}

/** Names in /run/netns. */
export async function namespaceNames(): Promise<ReadonlySet<string>> {
  return new Set(await readdir('/run/netns').catch(error => ignoreMissing(error) ?? []))
}
