/** Guests whose ruleset is gone from their sandbox's namespace: somebody flushed it there, where nobody watches. */
import type { Context } from '../context.js'
import { guestTable } from '../firewall/guest-table.js'
import { tableName } from '../firewall/ruleset.js'
import type { NftListing } from '../native.js'
import type { Plan } from '../plan/op.js'
import { namespaceGone } from '../plan/translate.js'
import { openNamespace, slot } from '../sandbox/modes/mode.js'
import { expectRecord } from '../state/expectation.js'
import { lockRoot } from '../state/lock.js'
import type { SandboxRecord } from '../state/records.js'

/** The plans that make it anew, by the sandbox's name; each only if the record is still what it was, and nobody is at work on it. */
export async function guestRepairs(
  { mechanism, layout }: Context,
  sandboxes: readonly SandboxRecord[],
): Promise<readonly { readonly name: string; readonly plan: Plan }[]> {
  const repairs: { name: string; plan: Plan }[] = []
  for (const record of sandboxes) {
    const { name, guest, netns } = record
    if (guest === undefined || record.phase !== 'ready') continue
    const look: Plan = [openNamespace(netns), { apply: { op: 'nft.list', ns: slot, family: 'inet' } }]
    const seen = (await mechanism.run(look).catch(ifGone)) as readonly [undefined, NftListing] | undefined
    if (seen === undefined || seen[1].tables?.some(table => table.name === tableName)) continue
    const path = layout.sandbox(name)
    repairs.push({
      name,
      plan: [
        lockRoot(layout, 'shared'),
        { apply: { op: 'lock', path, mode: 'exclusive', immediate: true } },
        ...expectRecord(layout, record),
        openNamespace(netns),
        ...guestTable(slot, guest),
      ],
    })
  }
  return repairs
}

/** A namespace that went meanwhile is the matter of others. */
function ifGone(error: unknown): undefined {
  if (namespaceGone(error)) return undefined
  throw error
}
