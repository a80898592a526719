/**
 * Who is who, by what is written down in the state folder: that is shared by all processes, so names are known here whoever made
 * them. Read synchronously, in microseconds, as it is on tmpfs; what hasn't changed is not read again.
 */
import { type BigIntStats, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'

import { formatIp, parseIp } from '../network/cidr.js'
import type { Layout } from '../state/layout.js'
import { type EndpointRecord, parseSandbox, type SandboxRecord } from '../state/records.js'

/** A sandbox as the others on a network see it. */
export interface Member {
  readonly sandbox: string
  readonly endpoint: EndpointRecord
}

/** A folder that was changed this lately may be changed once more without another time stamp: clocks of file systems are coarse. */
const coarseness = 50_000_000n // ns

export class Directory {
  readonly #layout: Layout
  readonly #records = new Map<string, { readonly stamp: string; readonly record: SandboxRecord | undefined }>()
  readonly #rolls = new Map<string, Roll>()

  constructor(layout: Layout) {
    this.#layout = layout
  }

  /** The sandbox that holds an address on a network. */
  holder(networkId: string, address: string): SandboxRecord | undefined {
    const name = linkTarget(this.#layout.lease(networkId, formatIp(parseIp(address))))
    const record = name === undefined ? undefined : this.#read(name).record
    return record && isOn(record, networkId) ? record : undefined
  }

  /** Whom a name means on a network: a sandbox's own, its id's first twelve digits, its host name, aliases that may be several's. */
  members(networkId: string, name: string): readonly Member[] {
    return this.#roll(networkId)?.members.get(name) ?? []
  }

  /** Networks that are gone need not be remembered. */
  forgetAllBut(networkIds: ReadonlySet<string>): void {
    for (const id of this.#rolls.keys()) if (!networkIds.has(id)) this.#rolls.delete(id)
  }

  /** The leases of a network say who is on it, and their folder changes with every endpoint that comes or goes. */
  #roll(networkId: string): Roll | undefined {
    const folder = this.#layout.networkLeases(networkId)
    const stat = statOf(folder)
    if (stat === undefined) return undefined
    const known = this.#rolls.get(networkId)
    if (known?.isOld && known.stamp === stampOf(stat) && known.unsettled.every(one => this.#stamp(one.name) === one.stamp)) return known
    // Read after it was looked at: what changes meanwhile changes the stamp once more.
    const roll = new Roll(stampOf(stat), BigInt(Date.now()) * 1_000_000n - stat.mtimeNs > coarseness)
    for (const address of namesIn(folder)) {
      const name = linkTarget(this.#layout.lease(networkId, address))
      if (name === undefined || roll.names.has(name)) continue
      const { stamp, record } = this.#read(name)
      roll.names.add(name)
      if (record?.phase !== 'ready' || !isOn(record, networkId)) roll.unsettled.push({ name, stamp })
      if (record !== undefined) roll.add(record, networkId)
    }
    for (const name of known?.names ?? []) if (!roll.names.has(name)) this.#records.delete(name)
    this.#rolls.set(networkId, roll)
    return roll
  }

  #stamp(name: string): string {
    return stampOf(statOf(this.#layout.sandboxRecord(name)))
  }

  /** A record is replaced as a whole, so that its file is another one whenever it has changed. */
  #read(name: string): { readonly stamp: string; readonly record: SandboxRecord | undefined } {
    const stamp = this.#stamp(name)
    const known = this.#records.get(name)
    if (known?.stamp === stamp) return known
    const read = { stamp, record: parseSandbox(textOf(this.#layout.sandboxRecord(name)) ?? '') }
    this.#records.set(name, read)
    return read
  }
}

/** Who is on a network. */
class Roll {
  readonly stamp: string
  /** Long enough ago that the stamp tells of every change. */
  readonly isOld: boolean
  readonly members = new Map<string, Member[]>()
  /** Of all sandboxes that hold a lease. */
  readonly names = new Set<string>()
  /** Those who are being made, removed, or attached: their records are looked at again. */
  readonly unsettled: { readonly name: string; readonly stamp: string }[] = []

  constructor(stamp: string, isOld: boolean) {
    this.stamp = stamp
    this.isOld = isOld
  }

  add(record: SandboxRecord, networkId: string): void {
    if (record.phase !== 'ready') return
    for (const endpoint of record.endpoints) {
      if (endpoint.networkId !== networkId) continue
      const names = [record.name, record.id.slice(0, 12), record.hostname, ...endpoint.aliases]
      for (const name of new Set(names.map(one => one.toLowerCase()))) {
        const members = this.members.get(name) ?? []
        members.push({ sandbox: record.name, endpoint })
        this.members.set(name, members)
      }
    }
  }
}

function isOn({ endpoints }: SandboxRecord, networkId: string): boolean {
  return endpoints.some(endpoint => endpoint.networkId === networkId)
}

function statOf(path: string): BigIntStats | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })
}

function stampOf(stat: BigIntStats | undefined): string {
  return stat ? `${stat.ino} ${stat.mtimeNs} ${stat.size}` : ''
}

function linkTarget(path: string): string | undefined {
  return orMissing(() => readlinkSync(path))
}

function textOf(path: string): string | undefined {
  return orMissing(() => readFileSync(path, 'utf8'))
}

function namesIn(folder: string): readonly string[] {
  return orMissing(() => readdirSync(folder)) ?? []
}

/** What others remove meanwhile is as good as never there. */
function orMissing<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EINVAL') return undefined
    throw error
  }
}
