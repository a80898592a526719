/** A plan stops where the record that it was drawn up from is not the current one any more. */
import type { Step } from '../plan/op.js'
import type { Layout } from './layout.js'
import { format, formatDraft, type SandboxRecord } from './records.js'

/** The sandbox's record is still this one. */
export function expectRecord(layout: Layout, record: SandboxRecord): Step {
  const { name, phase } = record
  return phase === 'creating'
    ? { apply: { op: 'expect.unchanged', path: layout.sandboxInMaking(name), text: formatDraft(record) } }
    : { apply: { op: 'expect.unchanged', path: layout.sandboxRecord(name), text: format(record) } }
}
