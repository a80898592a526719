/** The records as somebody who watches has last seen them. */
import { readdirSync, readFileSync } from 'node:fs'

import type { Layout } from '../state/layout.js'
import { type NetworkRecord, parseNetwork, type SandboxRecord } from '../state/records.js'
import { readSandbox } from '../state/shelf.js'
import { type Happening, networkChanges, sandboxChanges } from './state-changes.js'

/**
 * Reads synchronously, so that there is no moment between subscribing and knowing what there was: some 10 µs a record, once, and again
 * for each that changes.
 */
export class StateView {
  readonly #layout: Layout
  readonly #networks = new Map<string, NetworkRecord>()
  readonly #sandboxes = new Map<string, SandboxRecord>()

  constructor(layout: Layout) {
    this.#layout = layout
    this.refresh()
  }

  /** What the watcher has to watch: folders themselves, and those with folders below them that count. */
  get folders(): readonly string[] {
    return [this.#layout.networks]
  }
  get trees(): readonly string[] {
    return [this.#layout.sandboxes]
  }

  /** A name has come, gone or been replaced in a folder: what that means. */
  changed(folder: string, name: string): readonly Happening[] {
    const { networks, sandboxes } = this.#layout
    if (folder === networks) return name.endsWith('.json') ? this.#network(name.slice(0, -'.json'.length)) : []
    if (folder === sandboxes) return this.#sandbox(name)
    if (name !== 'state.json' && name !== '') return []
    return this.#sandbox(folder.slice(sandboxes.length + 1))
  }

  /** Looks at everything again. */
  refresh(): readonly Happening[] {
    const networks = new Set([...this.#networks.keys(), ...names(this.#layout.networks).map(file => file.replace(/\.json$/, ''))])
    const sandboxes = new Set([...this.#sandboxes.keys(), ...names(this.#layout.sandboxes)])
    return [...[...sandboxes].flatMap(name => this.#sandbox(name)), ...[...networks].flatMap(name => this.#network(name))]
  }

  #network(name: string): readonly Happening[] {
    const before = this.#networks.get(name)
    const record = parseNetwork(textAt(this.#layout.network(name)) ?? '')
    const after = record?.phase === 'removing' ? before : record?.phase === 'creating' ? undefined : record
    return note(this.#networks, name, before, after, networkChanges)
  }

  #sandbox(name: string): readonly Happening[] {
    const before = this.#sandboxes.get(name)
    const { record } = readSandbox(this.#layout.sandboxRecord(name), textAt)
    // What is being made isn't there yet, and what is being removed still is.
    const isToBe = record?.phase === 'creating' || record?.phase === 'pooled'
    const after = isToBe ? undefined : record?.phase === 'ready' ? record : record && (before ?? record)
    return note(this.#sandboxes, name, before, after, sandboxChanges)
  }
}

function note<R>(
  known: Map<string, R>,
  name: string,
  before: R | undefined,
  after: R | undefined,
  changes: (name: string, before: R | undefined, after: R | undefined) => readonly Happening[],
): readonly Happening[] {
  if (after === undefined) known.delete(name)
  else known.set(name, after)
  return changes(name, before, after)
}

function names(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
      .filter(name => !name.startsWith('.'))
      .sort()
  } catch {
    return [] // gone meanwhile: then nothing is in it
  }
}

function textAt(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined // gone
  }
}
