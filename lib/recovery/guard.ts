/** While a host is open: sees to it that the ruleset stays, and what sandboxes stand on, whoever takes it away. */
import { mkdirSync } from 'node:fs'

import type { Context } from '../context.js'
import { tableName } from '../firewall/table.js'
import type { Loss, NativeEvent, NativeWatch } from '../native.js'
import { sandboxOf } from './upkeep.js'

/** Who puts things right. */
export interface Repairs {
  ruleset(): Promise<unknown>
  /** Looks at the networks, then at these sandboxes and those of the links and namespaces; undefined: at all. */
  links(lost: Lost | undefined): Promise<unknown>
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

/**
 * A thread that waits at sockets on which the kernel tells of what goes: tables, chains and rules; links, addresses and routes. All else is
 * filtered out in the kernel, so that what is made wakes nobody.
 */
export class Guard {
  readonly #context: Context
  readonly #tables: boolean
  readonly #repairs: Repairs
  #watch: NativeWatch | undefined
  #atWork: Promise<void> | undefined
  #rulesetLost = false
  #lost: Lost = nothing()
  #all = false
  #timer: NodeJS.Timeout | undefined
  #due = false
  #closed = false

  /** `tables`: is there a ruleset to look after? */
  constructor(context: Context, tables: boolean, repairs: Repairs) {
    this.#context = context
    this.#tables = tables
    this.#repairs = repairs
  }

  /** From when there is something to look after. Again is fine, and tries anew what could not be watched. */
  start(): void {
    if (this.#watch !== undefined || this.#closed) return
    try {
      mkdirSync('/run/netns', { recursive: true }) // watched before the first name comes
      this.#watch = this.#context.mechanism.watch({ tables: this.#tables, losses: true, removals: ['/run/netns'] }, () => this.#take())
    } catch {
      // No descriptors, or no right to: then it is the next open that puts things right.
    }
  }

  /** Waits for a repair that is under way. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#watch?.close()
    await this.#atWork
  }

  #take(): void {
    for (const event of this.#watch?.take() ?? []) this.#note(event)
    if (this.#rulesetLost) this.#begin()
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
    // What fails now fails for the next change of this host as well, and is told there; so does the next open.
    while (!this.#closed && (this.#rulesetLost || this.#due)) {
      if (this.#rulesetLost) {
        this.#rulesetLost = false
        await this.#repairs.ruleset().catch(() => {})
        continue
      }
      const lost = this.#all ? undefined : this.#lost
      this.#lost = nothing()
      this.#all = this.#due = false
      await this.#repairs.links(lost && explained(lost)).catch(() => {})
    }
  }
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
