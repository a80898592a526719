/** While a host is open: sees to it that the ruleset stays, and what sandboxes stand on, whoever takes it away. */
import { mkdirSync } from 'node:fs'

import type { Context } from '../context.js'
import { isNetmodeError } from '../errors.js'
import { tableName } from '../firewall/table.js'
import type { Loss, NativeEvent } from '../native.js'
import type { Watch } from '../plan/mechanism.js'
import { translate } from '../plan/translate.js'
import { namespaceNames } from './judgement.js'
import { sandboxOf } from './upkeep.js'

/** Who puts things right. */
export interface Repairs {
  ruleset(): Promise<unknown>
  /** Looks at the networks, then at these sandboxes and those of the links and namespaces; undefined: at all. Answers what failed. */
  links(lost: Lost | undefined): Promise<Unfinished | undefined>
}

/** What could not be put right, and why. */
export interface Unfinished {
  readonly sandboxes: readonly string[]
  readonly networks: boolean
  readonly error: unknown
}

/** What losses may have been about. */
export interface Lost {
  readonly sandboxes: Set<string>
  /** Of links on the host. */
  readonly indexes: Set<number>
  /** Of namespaces, as the host calls them. */
  readonly nsids: Set<number>
  /** Those of them that have lost a link, and how many links of sandboxes the host has lost. */
  readonly linksInside: Set<number>
  linksOfSandboxes: number
  networks: boolean
}

/**
 * For so long (ms) losses are gathered before they are looked into: a sandbox that is removed loses all it has, and by then most of that
 * explains itself.
 */
const settling = 30

/** After so long (ms) what failed is tried again, and then after twice as long each time, up to the other one. */
const firstPause = 200
const longestPause = 60_000

const names = '/run/netns'

/**
 * A thread that waits at sockets on which the kernel tells of what goes: tables, chains and rules; links, addresses and routes. All else is
 * filtered out in the kernel, so that what is made wakes nobody.
 */
export class Guard {
  readonly #context: Context
  readonly #tables: boolean
  readonly #repairs: Repairs
  #watch: Watch | undefined
  /** Of names of namespaces. */
  #names: Watch | undefined
  #namesSoon: NodeJS.Immediate | undefined
  /** Those that were there when the watch began. */
  #before: ReadonlySet<string> = new Set()
  #settled = false
  /** Why there is something that can't be watched. */
  #blind: unknown
  #atWork: Promise<void> | undefined
  #rulesetLost = false
  #lost: Lost = nothing()
  #all = false
  #timer: NodeJS.Timeout | undefined
  #due = false
  /** What failed, to be tried again after the pause. */
  #later: { ruleset: boolean; all: boolean; lost: Lost } | undefined
  #pause: NodeJS.Timeout | undefined
  #pauses = 0
  #closed = false

  /** `tables`: is there a ruleset to look after? */
  constructor(context: Context, tables: boolean, repairs: Repairs) {
    this.#context = context
    this.#tables = tables
    this.#repairs = repairs
  }

  /** From when there is something to look after. Again is fine. */
  start(): void {
    if (this.#watch !== undefined || this.#pause !== undefined || this.#closed) return
    this.#open()
    if (this.#blind !== undefined) this.#rest(this.#blind)
    else this.#watchNamesSoon()
  }

  /** The host has been opened. */
  settle(): void {
    this.#settled = true
    this.#watchNamesSoon()
  }

  /** The kernel takes milliseconds to end a watch of a folder: who opens a host for a moment needs none. */
  #watchNamesSoon(): void {
    if (!this.#settled || this.#watch === undefined || this.#blind !== undefined || this.#names !== undefined) return
    this.#namesSoon ??= setImmediate(() => {
      this.#watchNames()
      try {
        const now = namespaceNames()
        for (const name of this.#before) if (!now.has(name)) this.#lost.sandboxes.add(name)
      } catch (error) {
        this.#blind ??= error
      }
      this.#gather()
      if (this.#blind !== undefined) this.#rest(this.#blind)
    }).unref()
  }

  /** Waits for a repair that is under way. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    clearTimeout(this.#pause)
    clearImmediate(this.#namesSoon)
    this.#watch?.close()
    this.#names?.close()
    await this.#atWork
  }

  #open(): void {
    this.#blind = undefined
    try {
      const watch = this.#context.mechanism.watch({ tables: this.#tables, losses: true }, () => this.#take(this.#watch))
      this.#watch?.close()
      this.#watch = watch
      this.#before = namespaceNames()
    } catch (error) {
      this.#blind = error
    }
  }

  #watchNames(): void {
    try {
      mkdirSync(names, { recursive: true }) // watched before the first name comes
      const watch = this.#context.mechanism.watch({ removals: [names] }, () => this.#take(this.#names))
      this.#names?.close()
      this.#names = watch
    } catch (error) {
      this.#blind ??= error // a user may have few eyes for folders, and used them up
    }
  }

  /** Until it is tried again. That it failed twice is told. */
  #rest(error: unknown): void {
    if (this.#pause !== undefined || this.#closed || (isNetmodeError(error) && error.code === 'ERR_NETMODE_CLOSED')) return
    const pause = Math.min(firstPause * 2 ** this.#pauses++, longestPause)
    if (this.#pauses === 2) warn(error)
    this.#pause = setTimeout(() => {
      this.#pause = undefined
      this.#again()
    }, pause).unref()
  }

  #again(): void {
    const { ruleset, all, lost } = this.#later ?? { ruleset: false, all: false, lost: nothing() }
    this.#later = undefined
    // What has gone while nobody was watching, nobody knows.
    const missed = this.#blind !== undefined
    if (missed) {
      this.#open()
      this.#watchNames()
    }
    this.#rulesetLost ||= ruleset || missed
    this.#all ||= all || missed
    this.#lost.networks ||= lost.networks
    for (const name of lost.sandboxes) this.#lost.sandboxes.add(name)
    this.#due = true
    this.#begin()
  }

  #take(watch: Watch | undefined): void {
    for (const event of watch?.take() ?? []) this.#note(event)
    if (this.#rulesetLost) this.#begin()
    this.#gather()
  }

  #gather(): void {
    if (this.#timer !== undefined || !(this.#all || isAny(this.#lost))) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#due = true
      this.#begin()
    }, settling).unref()
  }

  #note(event: NativeEvent): void {
    switch (event.type) {
      case 'overrun':
        this.#rulesetLost = true
        this.#all = true
        break
      case 'ruleset':
        this.#rulesetLost ||= event.action === 'delete' && event.object.table === tableName
        break
      case 'file':
        if (event.name !== '') this.#lost.sandboxes.add(event.name)
        break
      case 'loss':
        note(this.#lost, event)
    }
  }

  #begin(): void {
    this.#atWork ??= this.#work().finally(() => {
      this.#atWork = undefined
    })
  }

  async #work(): Promise<void> {
    let trouble: unknown
    while (!this.#closed && (this.#rulesetLost || this.#due)) {
      const failed = await (this.#rulesetLost ? this.#putRulesetRight() : this.#putLinksRight())
      trouble ??= failed
    }
    trouble ??= this.#blind
    if (trouble !== undefined) this.#rest(trouble)
    else if (this.#later === undefined) this.#pauses = 0
  }

  async #putRulesetRight(): Promise<unknown> {
    this.#rulesetLost = false
    try {
      await this.#repairs.ruleset()
      return undefined
    } catch (error) {
      this.#failed().ruleset = true
      return error
    }
  }

  async #putLinksRight(): Promise<unknown> {
    const lost = this.#all ? undefined : this.#lost
    this.#lost = nothing()
    this.#all = this.#due = false
    try {
      const unfinished = await this.#repairs.links(lost && explained(lost))
      if (unfinished === undefined) return undefined
      const later = this.#failed()
      for (const name of unfinished.sandboxes) later.lost.sandboxes.add(name)
      later.lost.networks ||= unfinished.networks
      return unfinished.error
    } catch (error) {
      this.#failed().all = true
      return error
    }
  }

  #failed(): { ruleset: boolean; all: boolean; lost: Lost } {
    this.#later ??= { ruleset: false, all: false, lost: nothing() }
    return this.#later
  }
}

function warn(cause: unknown): void {
  const error = translate(cause) as Error
  const code = isNetmodeError(error) ? error.code : 'ERR_NETMODE_KERNEL'
  const text = `What others take from this host's networks and sandboxes is noticed or put right late, it is tried again and again: ${error.message}`
  process.emitWarning(text, { type: 'NetmodeWarning', code })
}

function nothing(): Lost {
  return { sandboxes: new Set(), indexes: new Set(), nsids: new Set(), linksInside: new Set(), linksOfSandboxes: 0, networks: false }
}

function isAny({ sandboxes, indexes, nsids, networks }: Lost): boolean {
  return sandboxes.size + indexes.size + nsids.size > 0 || networks
}

/** Where as many links went inside as on the host they were pairs, and the host's end tells whose. */
function explained(lost: Lost): Lost {
  if (lost.linksInside.size > lost.linksOfSandboxes) return lost
  return { ...lost, nsids: new Set([...lost.nsids].filter(nsid => !lost.linksInside.has(nsid))) }
}

/** A link or a namespace that is gone takes along what is known of it by number: whose it was, its alias tells. */
function note(lost: Lost, { what, index, nsid, alias }: Loss): void {
  if (what === 'namespace') lost.nsids.delete(nsid ?? -1)
  else if (nsid !== undefined) {
    lost.nsids.add(nsid)
    if (what === 'link') lost.linksInside.add(nsid)
  } else {
    const sandbox = sandboxOf(alias)
    if (what === 'link' && sandbox !== undefined) lost.linksOfSandboxes++
    if (sandbox !== undefined) lost.sandboxes.add(sandbox)
    else if (what === 'link' || what === 'down' || index === undefined) lost.networks = true
    else lost.indexes.add(index)
    if (what === 'link') lost.indexes.delete(index ?? 0)
  }
}
