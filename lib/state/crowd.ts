/**
 * Records of many sandboxes. One trip to a native thread looks at all of their files, and brings the texts of those only that have changed
 * since the last look.
 */
import { frozen } from '../frozen.js'
import type { FileLook, Sights } from '../plan/op.js'
import type { Layout } from './layout.js'
import { look } from './look.js'
import type { SandboxRecord } from './records.js'
import { readSandbox } from './shelf.js'

/** What is at a record's place: nothing, a record, or what can't be read. */
export interface Found<T> {
  readonly record?: T | undefined
  readonly damaged?: boolean
}

export class Crowd {
  readonly #layout: Layout
  readonly #look: (op: FileLook) => Promise<Sights>
  readonly #textAt: (path: string) => string | undefined
  readonly #known = new Map<string, { readonly version: string; readonly record: SandboxRecord }>()

  constructor(layout: Layout, look: (op: FileLook) => Promise<Sights>, textAt: (path: string) => string | undefined) {
    this.#layout = layout
    this.#look = look
    this.#textAt = textAt
  }

  /** In the order of `names`; `alone` looks at one whose record isn't there under its name, or can't be told. */
  async records(
    names: readonly string[],
    alone: (name: string) => Promise<Found<SandboxRecord>>,
  ): Promise<readonly Found<SandboxRecord>[]> {
    const known = names.map(name => this.#known.get(name))
    const sights = await this.#look({
      op: 'file.look',
      paths: names.map(name => this.#layout.sandboxRecord(name)),
      known: known.map(one => one?.version ?? ''),
    })
    return Promise.all(
      names.map((name, i) => {
        const [version, text] = [sights[2 * i], sights[2 * i + 1]]
        const old = known[i]
        if (text !== undefined) return this.#read(name, version, text, alone)
        return old !== undefined && old.version === version ? { record: old.record } : alone(name)
      }),
    )
  }

  /** There are no others any more. */
  keepOnly(names: readonly string[]): void {
    if (this.#known.size <= names.length) return
    const there = new Set(names)
    for (const name of this.#known.keys()) if (!there.has(name)) this.#known.delete(name)
  }

  async #read(
    name: string,
    version: string | undefined,
    text: string,
    alone: (name: string) => Promise<Found<SandboxRecord>>,
  ): Promise<Found<SandboxRecord>> {
    const path = this.#layout.sandboxRecord(name)
    const texts = [text]
    const found = (await look(() => readSandbox(path, at => (at === path ? texts.pop() : undefined) ?? this.#textAt(at)))) ?? {}
    // Not if it had to be read again: then the version is another one's.
    if (version !== undefined && found.record && texts.length === 0) this.#known.set(name, { version, record: frozen(found.record) })
    return (found.record ?? found.damaged) ? found : alone(name)
  }
}
