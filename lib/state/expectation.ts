/** A plan stops where the record that it was drawn up from is not the current one any more. */
import type { Step } from '../plan/op.js'
import type { Layout } from './layout.js'
import { format, formatDraft, type SandboxRecord } from './records.js'

/** The sandbox's record is still this one, and so is its change, or there is still none. */
export function expectRecord(layout: Layout, record: SandboxRecord): readonly [Step, ...Step[]] {
  const { name, phase, pending } = record
  if (phase === 'creating') return [unchanged(layout.sandboxInMaking(name), formatDraft(record))]
  const written = unchanged(layout.sandboxRecord(name), format(pending?.before ?? record))
  return phase === 'ready' || pending ? [written, unchanged(layout.sandboxInChange(name), pending?.text)] : [written]
}

function unchanged(path: string, text: string | undefined): Step {
  return { apply: { op: 'expect.unchanged', path, ...(text !== undefined && { text }) } }
}
