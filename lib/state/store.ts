/** Reading what is written down. Writing is part of the plans. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { mkdir, rename } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { fail } from '../errors.js'
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

/** The records of one state folder. */
export class Store {
  readonly #layout: Layout

  #closed = false

  constructor(layout: Layout) {
    this.#layout = layout
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
    const { record } = await this.#sandbox(name)
    return record
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
    const names = await list(this.#layout.sandboxes)
    return gather(names, await Promise.all(names.map(name => this.#sandbox(name))), 'sandboxes')
  }

  /** The record, or else the draft of one that is being made. In between the draft may have become the record: hence the second look. */
  async #sandbox(name: string): Promise<Found<SandboxRecord>> {
    const at = async (path: string): Promise<Found<SandboxRecord>> => (await look(() => readSandbox(path, textAt))) ?? {}
    const path = this.#layout.sandboxRecord(name)
    const ready = await at(path)
    if (ready.record ?? ready.damaged) return ready
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

  /** The same of sandboxes. Synchronously: a look at a tmpfs takes microseconds, and there may be a thousand. */
  async sandboxDrafts(): Promise<readonly string[]> {
    const names = await this.sandboxNames()
    return names.filter(name => existsSync(this.#layout.draft(this.#layout.sandboxRecord(name))))
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

  /** Ports, as `tcp-80`, whose folder holds no claim: one that is on its way, or broke off before it was made. */
  async portsWithoutClaim(): Promise<readonly string[]> {
    const groups = await list(this.#layout.ports)
    const claims = await Promise.all(groups.map(group => list(join(this.#layout.ports, group))))
    return groups.filter((_, i) => claims[i]?.length === 0)
  }

  /** Every claim below a folder of claims (leases, ports). */
  async claims(folder: string): Promise<readonly Claim[]> {
    const claims: Claim[] = []
    for (const group of await list(folder)) {
      for (const name of await list(join(folder, group))) {
        const path = join(folder, group, name)
        const holder = await look(() => readlinkSync(path))
        if (holder !== undefined) claims.push({ path, group, name, holder })
      }
    }
    return claims
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

/** What is at a record's place: nothing, a record, or what can't be read. */
interface Found<T> {
  readonly record?: T | undefined
  readonly damaged?: boolean
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
