/**
 * Seals: which sandboxes were found whole, and how they looked then. Whoever opens the host again has looks compared, in one trip to native
 * threads, and judges only what looks different: nine hundred sandboxes are a matter of milliseconds.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { Context } from '../context.js'
import { packageFolder } from '../package-folder.js'
import { linkGroup } from '../plan/link-group.js'
import { PlanFailure } from '../plan/mechanism.js'
import type { Plan, Survey, SurveyItem } from '../plan/op.js'
import { ignoreMissing } from '../state/look.js'
import type { SandboxRecord } from '../state/records.js'
import * as shape from '../state/shape.js'

/** The first line of the file; the others are items of surveys, which native threads read: of the host, and `shares` of what is inside. */
const header = shape.object({
  /** What else the judgement depends on: this netmode, and how the host is opened. */
  terms: shape.text,
  /** How the folders looked when nothing was in them that no record speaks of. */
  folders: shape.text,
  names: shape.list(shape.text),
  looks: shape.list(shape.text),
})
type Header = shape.Infer<typeof header>

/** A sandbox to be looked at. */
interface Item {
  readonly outside: SurveyItem
  readonly inside: SurveyItem
}
interface Sealed extends Item {
  readonly look: string
}

/** Fewer than that are looked at by one thread. */
const few = 32
/** Those inside are looked at by that many: small enough to fill whatever processor has nothing else left to do. */
const shares = 4

/** What a look at all that is sealed has shown. */
export interface Comparison {
  /** Sandboxes that look as when they were found whole. */
  readonly whole: ReadonlySet<string>
  /** All there are, and the folders too. */
  readonly all: boolean
  /** Links of ours that are of no sandbox. */
  readonly otherLinks: readonly string[]
  readonly folders: string
  readonly before: { readonly header: Header; readonly text: string } | undefined
}

export class Seals {
  readonly #context: Context
  readonly #terms: string

  /** `settings`: what the plans of endpoints depend on besides the records. */
  constructor(context: Context, settings: object) {
    this.#context = context
    this.#terms = JSON.stringify([JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8')).version, settings, context.config])
  }

  async compare(signal?: AbortSignal): Promise<Comparison> {
    const before = this.#read()
    const { names = [], looks = [] } = before?.header ?? {}
    const path = this.#context.layout.seals
    const lines = before === undefined ? [] : Array.from({ length: 1 + shares }, (_, i) => ({ items: [], from: { path, line: 1 + i } }))
    const looking = this.#look(lines[0] ?? { items: [] }, lines.slice(1), names.length, signal)
    const there = list(this.#context.layout.sandboxes)
    const now = await looking
    const known = new Set(there)
    const whole = new Set(names.filter((name, i) => known.has(name) && looks[i] !== '' && looks[i] === now.looks[i]))
    const all = before !== undefined && whole.size === there.length && now.folders !== '' && before.header.folders === now.folders
    return { whole, all, otherLinks: now.otherLinks, folders: now.folders, before }
  }

  /** How sandboxes look that may be sealed later, if they are found whole; before they are judged. */
  async before(records: readonly SandboxRecord[], signal?: AbortSignal): Promise<ReadonlyMap<string, Sealed>> {
    const items = records.filter(isSealable).map(record => [record.name, this.#item(record)] as const)
    if (items.length === 0) return new Map()
    const { looks } = await this.#lookAt(
      items.map(([, item]) => item),
      signal,
    )
    return new Map(items.map(([name, item], i) => [name, { ...item, look: looks[i] ?? '' }]))
  }

  /**
   * Seals what was found whole and looks as it did before it was judged. `tidy`: nothing was found that no record speaks of. What can't be
   * written is judged again the next time.
   */
  async seal(
    { before, whole: kept, folders }: Comparison,
    { candidates, whole, tidy }: { candidates: ReadonlyMap<string, Sealed>; whole: ReadonlySet<string>; tidy: boolean },
    signal?: AbortSignal,
  ): Promise<void> {
    const fresh = [...candidates].filter(([name, { look }]) => whole.has(name) && look !== '')
    const after = await this.#lookAt(
      fresh.map(([, item]) => item),
      signal,
    )
    const sealed = new Map([
      ...entriesOf(before).filter(([name]) => kept.has(name) && whole.has(name)),
      ...fresh.filter(([, { look }], i) => look === after.looks[i]),
    ])
    const text = this.#textOf(sealed, tidy && folders === after.folders ? folders : '')
    if (text === before?.text || (before === undefined && sealed.size === 0)) return
    const path = this.#context.layout.seals
    const plan: Plan = [{ apply: sealed.size === 0 ? { op: 'file.remove', path } : { op: 'file.write', path, text, how: 'replace' } }]
    await this.#context.mechanism.run(plan, signal).catch(ignoreFailure)
  }

  #read(): Comparison['before'] {
    try {
      const text = readFileSync(this.#context.layout.seals, 'utf8')
      const value: unknown = JSON.parse(text.slice(0, text.indexOf('\n')))
      return header(value) && value.terms === this.#terms ? { header: value, text } : undefined
    } catch {
      return undefined
    }
  }

  #textOf(sealed: ReadonlyMap<string, Sealed>, folders: string): string {
    const all = [...sealed.values()]
    const first: Header = { terms: this.#terms, folders, names: [...sealed.keys()], looks: all.map(({ look }) => look) }
    const share = Math.ceil(all.length / shares)
    const inside = Array.from({ length: shares }, (_, i) => all.slice(i * share, (i + 1) * share).map(one => one.inside))
    const lines = [first, all.map(({ outside }) => outside), ...inside]
    return `${lines.map(line => JSON.stringify(line)).join('\n')}\n`
  }

  /** The folder tells of what is written beside the record, the record's file of what somebody writes into it. */
  #item({ name, endpoints, ports, netns }: SandboxRecord): Item {
    const { layout } = this.#context
    const claims = new Set(ports.map(({ protocol, hostPort }) => layout.portClaims(`${protocol}-${hostPort}`)))
    return {
      outside: {
        files: [layout.sandbox(name), layout.sandboxRecord(name), ...claims],
        links: endpoints.flatMap(({ hostIfname }) => hostIfname ?? []),
      },
      inside: { netns: netns.path, inside: ['lo', ...endpoints.map(({ ifname }) => ifname)] },
    }
  }

  #lookAt(items: readonly Item[], signal?: AbortSignal) {
    const outside = { items: items.map(one => one.outside) }
    return this.#look(outside, [{ items: items.map(({ inside }) => inside) }], items.length, signal)
  }

  /** Links of the host, of which the kernel makes one list, and what is in namespaces are looked at by different threads, if they are many. */
  async #look(outside: Wish, inside: readonly Wish[], count: number, signal?: AbortSignal) {
    const { mechanism, layout } = this.#context
    const files = [layout.networks, layout.sandboxes, layout.leases, layout.ports, layout.changes].concat(
      list(layout.networks).map(file => join(layout.networks, file)),
      list(layout.leases).map(id => layout.networkLeases(id)),
    )
    const steps = [{ ...outside, items: [...outside.items, { files }], group: linkGroup }, ...inside].map(wish => ({
      apply: { op: 'survey', ...wish } as const,
    }))
    const run = async (plan: Plan) => (await mechanism.run(plan, signal)) as readonly (readonly string[])[]
    // The list of links first: nothing else takes as long.
    const answers = count < few ? await run(steps) : await Promise.all(steps.map(async step => (await run([step]))[0] ?? []))
    const [outer = [], ...inner] = answers
    const insides = inner.flat()
    const looks = Array.from({ length: count }, (_, i) => (outer[i] && insides[i] ? `${outer[i]} ${insides[i]}` : ''))
    const [folders = '', otherLinks = ''] = outer.slice(-2)
    return { looks, folders, otherLinks: otherLinks.split(' ').filter(Boolean) }
  }
}

type Wish = Pick<Survey, 'items' | 'from'>

/** All that is sealed; nothing, if the file isn't what was written. */
function entriesOf(before: Comparison['before']): readonly (readonly [string, Sealed])[] {
  if (before === undefined) return []
  try {
    const { names, looks } = before.header
    const [outside, ...parts] = before.text
      .split('\n')
      .slice(1, 2 + shares)
      .map(line => JSON.parse(line) as readonly SurveyItem[])
    const inside = parts.flat()
    return names.flatMap((name, i) => {
      const [one, other, look] = [outside?.[i], inside[i], looks[i]]
      return one && other && look ? [[name, { outside: one, inside: other, look }] as const] : []
    })
  } catch {
    return []
  }
}

/** Those whose plans are about nothing but what is looked at: a veth pair on a bridge each. */
function isSealable({ phase, mode, ephemeral, guest, endpoints }: SandboxRecord): boolean {
  const plain = mode !== 'host' && phase === 'ready' && ephemeral === undefined && guest === undefined
  return plain && endpoints.every(({ driver, tap }) => driver === 'bridge' && tap === undefined)
}

function list(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
      .filter(name => !name.startsWith('.'))
      .sort()
  } catch (error) {
    return ignoreMissing(error as NodeJS.ErrnoException) ?? []
  }
}

function ignoreFailure(error: unknown): void {
  if (!(error instanceof PlanFailure)) throw error
}
