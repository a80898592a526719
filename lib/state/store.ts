/** Reading what is written down. Writing is part of the plans. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, rename } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { fail } from '../errors.js'
import type { ClaimGroups, ClaimList, FileLook, Sights } from '../plan/op.js'
import { changing } from './changing.js'
import { Crowd, type Found } from './crowd.js'
import type { Layout } from './layout.js'
import { ignoreMissing, look } from './look.js'
import { asDraft, type NetworkRecord, parseNetwork, type SandboxRecord } from './records.js'
import { readSandbox } from './shelf.js'

/** Record names that could not be read, as `sandboxes/x`; recovery sets them aside. */
export type Damaged = string

/** A symbolic link `<folder>/<group>/<name>` → holder. */
export interface Claim {
  readonly path: string
  readonly group: string
  readonly name: string
  readonly holder: string
}

/** Fewer records than that are read at once, and not by a trip. */
const few = 16

/** Trips to a native thread, for many looks at a time. */
export interface Trips {
  files(op: FileLook): Promise<Sights>
  claims(op: ClaimList): Promise<ClaimGroups>
}

/** The records of one state folder. */
export class Store {
  readonly #layout: Layout
  readonly #trips: Trips
  readonly #crowd: Crowd
  /** What is asked for in this turn of the event loop. */
  #gathered: Promise<ReadonlyMap<string, Found<SandboxRecord>> | undefined> | undefined
  readonly #wanted = new Set<string>()
  #closed = false

  constructor(layout: Layout, trips: Trips) {
    this.#layout = layout
    this.#trips = trips
    this.#crowd = new Crowd(layout, op => trips.files(op), textAt)
  }

  /** The host is closed: nothing of it is read any more. */
  close(): void {
    this.#closed = true
  }

  /** @throws CLOSED */
  assertOpen(): void {
    if (this.#closed) throw fail('CLOSED', 'This host has been closed')
  }

  /** Is there a network or a sandbox? */
  isInUse(): boolean {
    return [this.#layout.networks, this.#layout.sandboxes].some(folder => readdirSync(folder).length > 0)
  }

  /** undefined: there is none, or it can't be read. */
  async network(name: string): Promise<NetworkRecord | undefined> {
    this.assertOpen()
    const text = await read(this.#layout.network(name))
    return text === undefined ? undefined : parseNetwork(text)
  }

  /** undefined: there is none, or it can't be read. */
  async sandbox(name: string): Promise<SandboxRecord | undefined> {
    this.assertOpen()
    const found = await this.#gather(name)
    return (found === undefined ? await this.#sandbox(name) : found.get(name))?.record
  }

  /** Whoever asks in the same turn shares one trip; undefined: they are so few that each looks for himself. */
  #gather(name: string): Promise<ReadonlyMap<string, Found<SandboxRecord>> | undefined> {
    this.#wanted.add(name)
    this.#gathered ??= new Promise<void>(resolve => setImmediate(resolve)).then(async () => {
      const names = [...this.#wanted]
      this.#wanted.clear()
      this.#gathered = undefined
      if (names.length < few) return undefined
      const found = await this.#sandboxesOf(names, await this.changes())
      return new Map(names.map((one, i) => [one, found[i] as Found<SandboxRecord>]))
    })
    return this.#gathered
  }

  /** Sorted by name. */
  async networks(): Promise<{ readonly records: readonly NetworkRecord[]; readonly damaged: readonly Damaged[] }> {
    this.assertOpen()
    const files = (await list(this.#layout.networks)).filter(file => file.endsWith('.json'))
    const names = files.map(file => basename(file, '.json'))
    const texts = await Promise.all(names.map(name => read(this.#layout.network(name))))
    return gather(
      names,
      texts.map(text => (text === undefined ? {} : found(parseNetwork(text)))),
      'networks',
    )
  }

  /** Sorted by name. A folder without a record is one whose creation has just begun (or ended early): not listed. */
  async sandboxes(): Promise<{ readonly records: readonly SandboxRecord[]; readonly damaged: readonly Damaged[] }> {
    this.assertOpen()
    const changed = await this.changes()
    const names = await list(this.#layout.sandboxes)
    this.#crowd.keepOnly(names)
    return gather(names, await this.#sandboxesOf(names, changed), 'sandboxes')
  }

  /** `changed`: whose change was under way before; what has begun since then may be seen or not. */
  async #sandboxesOf(names: readonly string[], changed: readonly string[]): Promise<readonly Found<SandboxRecord>[]> {
    const alone = (name: string) => this.#sandbox(name)
    if (names.length < few) return await Promise.all(names.map(alone))
    const found = await this.#crowd.records(names, alone)
    if (changed.length === 0) return found
    const isChanged = new Set(changed)
    return found.map((one, i) => (isChanged.has(names[i] as string) ? this.#changing(one) : one))
  }

  /** Names of sandboxes whose change is under way, or has broken off. */
  async changes(): Promise<readonly string[]> {
    return (await list(this.#layout.changes)).map(file => basename(file, '.json'))
  }

  /** With the change that is under way; one that has just been done is none any more. */
  #changing(found: Found<SandboxRecord>): Found<SandboxRecord> {
    const { record } = found
    if (record?.phase !== 'ready') return found
    const text = textAt(this.#layout.sandboxInChange(record.name))
    return text === undefined ? found : { record: changing(record, text, file => textAt(join(this.#layout.sandbox(record.name), file))) }
  }

  /** Versions of what is at these paths: the same for as long as nothing changes there. undefined where that can't be told. */
  async versions(paths: readonly string[]): Promise<readonly (string | undefined)[]> {
    this.assertOpen()
    const sights = await this.#trips.files({ op: 'file.look', paths })
    return paths.map((_, i) => sights[2 * i])
  }

  /** The record, or else the draft of one that is being made. In between the draft may have become the record: hence the second look. */
  async #sandbox(name: string): Promise<Found<SandboxRecord>> {
    const at = async (path: string): Promise<Found<SandboxRecord>> => (await look(() => readSandbox(path, textAt))) ?? {}
    const path = this.#layout.sandboxRecord(name)
    const ready = await at(path)
    if (ready.record) return existsSync(this.#layout.sandboxInChange(name)) ? this.#changing(ready) : ready
    if (ready.damaged) return ready
    const draft = await at(this.#layout.sandboxInMaking(name))
    if (draft.record) return { record: asDraft(draft.record) }
    return draft.damaged ? draft : await at(path)
  }

  /** Names that have a folder, whatever is in it. */
  sandboxNames(): Promise<readonly string[]> {
    return list(this.#layout.sandboxes)
  }

  /** What a sandbox's folder holds; undefined if a record is among it. */
  async filesWithoutRecord(name: string): Promise<readonly string[] | undefined> {
    const files = await list(this.#layout.sandbox(name))
    const records = [this.#layout.sandboxRecord(name), this.#layout.sandboxInMaking(name)].map(path => basename(path))
    return files.some(file => records.includes(file)) ? undefined : files
  }

  /** Networks whose record was about to be replaced, or made, when somebody died (or this very moment). */
  async networkDrafts(): Promise<readonly string[]> {
    const files = (await look(() => readdirSync(this.#layout.networks))) ?? []
    return files.flatMap(file => file.match(/^\.(.*)\.json\.new$/)?.[1] ?? [])
  }

  /** The same of sandboxes. */
  async sandboxDrafts(): Promise<readonly string[]> {
    const names = await this.sandboxNames()
    const sights = await this.#trips.files({
      op: 'file.look',
      paths: names.map(name => this.#layout.draft(this.#layout.sandboxRecord(name))),
      known: names.map(() => ''),
    })
    return names.filter((_, i) => sights[2 * i + 1] !== undefined)
  }

  /** Leases, by path, that were about to pass to another holder when somebody died (or this very moment). */
  async leaseDrafts(): Promise<readonly string[]> {
    const folders = (await this.networkIds()).map(id => this.#layout.networkLeases(id))
    const files = await Promise.all(folders.map(folder => look(() => readdirSync(folder))))
    return folders.flatMap((folder, i) =>
      (files[i] ?? []).flatMap(file => {
        const name = file.match(/^\.(.*)\.new$/)?.[1]
        return name === undefined ? [] : [join(folder, name)]
      }),
    )
  }

  /** Addresses that are leased, with their holders' names unread. */
  leases(networkId: string): Promise<readonly string[]> {
    return list(this.#layout.networkLeases(networkId))
  }

  /** Names of the sandboxes that share this one's namespace. */
  sharers(name: string): Promise<readonly string[]> {
    return list(this.#layout.sandboxSharers(name))
  }

  /** Ids that have a folder of leases. */
  networkIds(): Promise<readonly string[]> {
    return list(this.#layout.leases)
  }

  /** Every claim below a folder of claims (leases, ports), and the groups that hold none: one is on its way, or broke off before it was made. */
  async claims(folder: string): Promise<{ readonly claims: readonly Claim[]; readonly empty: readonly string[] }> {
    const groups = await this.#trips.claims({ op: 'claim.list', path: folder })
    return {
      claims: groups.flatMap(({ group, claims }) =>
        Array.from({ length: claims.length / 2 }, (_, i): Claim => {
          const [name = '', holder = ''] = [claims[2 * i], claims[2 * i + 1]]
          return { path: `${folder}/${group}/${name}`, group, name, holder }
        }),
      ),
      empty: groups.filter(({ claims }) => claims.length === 0).map(({ group }) => group),
    }
  }

  /** Moves a damaged record out of the way. */
  async setAside(damaged: Damaged): Promise<void> {
    const [kind, name = ''] = damaged.split('/')
    const paths =
      kind === 'networks' ? [this.#layout.network(name)] : [this.#layout.sandboxRecord(name), this.#layout.sandboxInMaking(name)]
    await mkdir(this.#layout.damaged, { recursive: true })
    for (const path of paths) await rename(path, join(this.#layout.damaged, `${kind}-${name}-${Date.now()}.json`)).catch(ignoreMissing)
  }
}

function found<T>(record: T | undefined): Found<T> {
  return record === undefined ? { damaged: true } : { record }
}

function gather<T>(names: readonly string[], all: readonly Found<T>[], kind: string) {
  return {
    records: all.flatMap(({ record }) => record ?? []),
    damaged: names.filter((_, i) => all[i]?.damaged).map(name => `${kind}/${name}`),
  }
}

/** Of what others may take away meanwhile. */
function textAt(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    return ignoreMissing(error as NodeJS.ErrnoException)
  }
}

function read(path: string): Promise<string | undefined> {
  return look(() => readFileSync(path, 'utf8'))
}

async function list(folder: string): Promise<readonly string[]> {
  const names = (await look(() => readdirSync(folder))) ?? []
  return names.filter(name => !name.startsWith('.')).sort()
}
