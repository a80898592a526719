/**
 * Many ports of one sandbox: all but the latest few lie in files beside the record, `ports-N.json`, which are written once. So a change of one
 * port writes the same few hundred bytes, however many there are. In memory a record has all of its ports, shelved ones first.
 */
import { basename, dirname, join } from 'node:path'

import type { Step } from '../plan/op.js'
import type { Layout } from './layout.js'
import { type PortRecord, parseSandbox, type SandboxRecord } from './records.js'

/** More than that are not kept in the record itself. */
const mostLoose = 64
/** Of one file: it is written anew when one of its ports goes. */
const bundleSize = 256

type Bundle = NonNullable<SandboxRecord['shelved']>[number]

/** How many of a record's ports are shelved. */
function shelvedCount({ shelved = [] }: Pick<SandboxRecord, 'shelved'>): number {
  return shelved.reduce((sum, { count }) => sum + count, 0)
}

/** Are all of its ports in the record itself, before a change and after it? */
export function isLoose({ shelved, ports }: Pick<SandboxRecord, 'shelved' | 'ports'>): boolean {
  return shelved === undefined && ports.length <= mostLoose
}

/** The record with further ports. */
export function withPorts(record: SandboxRecord, added: readonly PortRecord[]): SandboxRecord {
  return { ...record, ports: [...record.ports, ...added] }
}

/** The record without some of its ports, told by identity; what is left of a bundle is loose. */
export function withoutPorts(record: SandboxRecord, removed: readonly PortRecord[]): SandboxRecord {
  const { shelved: old = [], ...rest } = record
  // Who takes one back mostly takes one of the latest.
  const [only] = removed
  const place = removed.length === 1 && only !== undefined ? record.ports.lastIndexOf(only) : -1
  if (place >= shelvedCount(record)) return { ...record, ports: record.ports.toSpliced(place, 1) }
  const gone = new Set(removed)
  const isGone = (port: PortRecord) => gone.has(port)
  const shelved: Bundle[] = []
  const [kept, loose]: [PortRecord[][], PortRecord[][]] = [[], []]
  let at = 0
  for (const bundle of old) {
    const ports = record.ports.slice(at, at + bundle.count)
    at += bundle.count
    if (ports.some(isGone)) {
      loose.push(ports.filter(port => !isGone(port)))
    } else {
      kept.push(ports)
      shelved.push(bundle)
    }
  }
  const latest = record.ports.slice(at).filter(port => !isGone(port))
  const ports = [...kept, ...loose, latest].flat()
  return { ...rest, ports, ...(shelved.length > 0 && { shelved }), ...(old.length > 0 && { lastShelf: lastShelfOf(record) }) }
}

/** The record as it is to be written after a change, with what has to be on the shelf before. */
export function shelve(layout: Layout, record: SandboxRecord): { readonly record: SandboxRecord; readonly steps: readonly Step[] } {
  const { shelved: old = [], ports } = record
  // Many small bundles are put together now and then.
  const kept = old.length > 16 + (2 * ports.length) / bundleSize ? [] : old
  const from = shelvedCount({ shelved: kept })
  if (ports.length - from <= mostLoose) return { record, steps: [] }
  const next = 1 + lastShelfOf(record)
  const fresh = Array.from({ length: Math.ceil((ports.length - from) / bundleSize) }, (_, i) => ({
    file: `ports-${next + i}.json`,
    ports: ports.slice(from + i * bundleSize, from + (i + 1) * bundleSize),
  }))
  return {
    record: {
      ...record,
      shelved: [...kept, ...fresh.map(bundle => ({ file: bundle.file, count: bundle.ports.length }))],
      lastShelf: next + fresh.length - 1,
    },
    steps: fresh.map(bundle => {
      const path = join(layout.sandbox(record.name), bundle.file)
      // What a crash has left there is nobody's.
      return { apply: { op: 'file.write', path, text: textOf(bundle.ports), how: 'replace' }, undo: { op: 'file.remove', path } }
    }),
  }
}

/** Takes away what is on the shelf before a change and not after it. Last of all: until then the record speaks of it. */
export function unshelve(layout: Layout, before: SandboxRecord, after: SandboxRecord): readonly Step[] {
  const { shelved: old = [] } = before
  let at = 0
  return old.flatMap((bundle): Step[] => {
    const from = at
    at += bundle.count
    if (after.shelved?.some(({ file }) => file === bundle.file)) return []
    const path = join(layout.sandbox(before.name), bundle.file)
    const text = textOf(before.ports.slice(from, at))
    return [{ apply: { op: 'file.remove', path }, undo: { op: 'file.write', path, text, how: 'replace' } }]
  })
}

/** Takes away what a change has put on the shelf that broke off, once nobody speaks of it any more. */
export function unshelvePending(layout: Layout, changing: SandboxRecord, before: SandboxRecord): readonly Step[] {
  const first = 1 + lastShelfOf(before)
  return Array.from({ length: 1 + lastShelfOf(changing) - first }, (_, i) => ({
    apply: { op: 'file.remove', path: join(layout.sandbox(before.name), `ports-${first + i}.json`) },
  }))
}

/**
 * The record at a path, with what is on its shelf. `damaged`: there is one, and it can't be read. Others may be changing it: what is not on
 * the shelf any more is not in the record by then either.
 */
export function readSandbox(
  path: string,
  textAt: (path: string) => string | undefined,
): { readonly record?: SandboxRecord; readonly damaged?: boolean } {
  for (let text = textAt(path); text !== undefined; ) {
    const record = parseSandbox(text, file => textAt(join(dirname(path), file)))
    // One of a warm pool that is just being taken: what it is to be lies beside it (sandbox/pool-plans.ts).
    if (record !== undefined) return record.name === basename(dirname(path)) ? { record } : {}
    const again = textAt(path)
    if (again === text) return { damaged: true }
    text = again
  }
  return {}
}

function lastShelfOf({ lastShelf, shelved = [] }: SandboxRecord): number {
  return lastShelf ?? Math.max(0, ...shelved.map(({ file }) => numberOf(file)))
}

function numberOf(file: string): number {
  return Number(/\d+/.exec(file)?.[0] ?? 0)
}

function textOf(ports: readonly PortRecord[]): string {
  return `${JSON.stringify(ports)}\n`
}
