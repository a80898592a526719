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
import type { Plan, SurveyItem } from '../plan/op.js'
import type { SandboxRecord } from '../state/records.js'
import * as shape from '../state/shape.js'

const texts = shape.list(shape.text)
const sealed = shape.object({ look: shape.text, files: texts, links: texts, netns: shape.text, inside: texts })
const seals = shape.object({
  /** What else the judgement depends on: this netmode, and how the host is opened. */
  terms: shape.text,
  /** How the folders looked when nothing was in them that no record speaks of. */
  folders: shape.text,
  sandboxes: shape.table(sealed),
})
type Sealed = shape.Infer<typeof sealed>
type Written = shape.Infer<typeof seals>

/** Fewer than that are looked at by one thread. */
const few = 32

/** What a look at all that is sealed has shown. */
export interface Comparison {
  /** Sandboxes that look as when they were found whole. */
  readonly whole: ReadonlySet<string>
  /** All there are, and the folders too. */
  readonly all: boolean
  /** Links of ours that are of no sandbox. */
  readonly otherLinks: readonly string[]
  readonly folders: string
  readonly before: Written | undefined
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
    const known = Object.entries(before?.sandboxes ?? {})
    const names = list(this.#context.layout.sandboxes)
    const there = new Set(names)
    const items = known.filter(([name]) => there.has(name))
    const { looks, folders, otherLinks } = await this.#look(
      items.map(([, item]) => item),
      signal,
    )
    const whole = new Set(items.flatMap(([name, { look }], i) => (look === looks[i] ? [name] : [])))
    const all = before !== undefined && whole.size === names.length && folders !== '' && before.folders === folders
    return { whole, all, otherLinks, folders, before }
  }

  /** How sandboxes look that may be sealed later, if they are found whole; before they are judged. */
  async before(records: readonly SandboxRecord[], signal?: AbortSignal): Promise<ReadonlyMap<string, Sealed>> {
    const items = records.filter(isSealable).map(record => [record.name, this.#item(record)] as const)
    if (items.length === 0) return new Map()
    const { looks } = await this.#look(
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
    const after = await this.#look(
      fresh.map(([, item]) => item),
      signal,
    )
    const sandboxes = Object.fromEntries([
      ...Object.entries(before?.sandboxes ?? {}).filter(([name]) => kept.has(name) && whole.has(name)),
      ...fresh.filter(([, { look }], i) => look === after.looks[i]),
    ])
    const now = { terms: this.#terms, folders: tidy && folders === after.folders ? folders : '', sandboxes }
    const text = JSON.stringify(now)
    if (before === undefined ? Object.keys(sandboxes).length === 0 : text === JSON.stringify(before)) return
    const path = this.#context.layout.seals
    const empty = Object.keys(sandboxes).length === 0
    const plan: Plan = [{ apply: empty ? { op: 'file.remove', path } : { op: 'file.write', path, text, how: 'replace' } }]
    await this.#context.mechanism.run(plan, signal).catch(ignoreFailure)
  }

  #read(): Written | undefined {
    try {
      const value: unknown = JSON.parse(readFileSync(this.#context.layout.seals, 'utf8'))
      return seals(value) && value.terms === this.#terms ? value : undefined
    } catch {
      return undefined
    }
  }

  /** The folder tells of what is written beside the record, the record's file of what somebody writes into it. */
  #item({ name, endpoints, ports, netns }: SandboxRecord): Omit<Sealed, 'look'> {
    const { layout } = this.#context
    const claims = new Set(ports.map(({ protocol, hostPort }) => layout.portClaims(`${protocol}-${hostPort}`)))
    return {
      files: [layout.sandbox(name), layout.sandboxRecord(name), ...claims],
      links: endpoints.flatMap(({ hostIfname }) => hostIfname ?? []),
      netns: netns.path,
      inside: ['lo', ...endpoints.map(({ ifname }) => ifname)],
    }
  }

  async #look(items: readonly Omit<Sealed, 'look'>[], signal?: AbortSignal) {
    const { mechanism, layout } = this.#context
    const folders = {
      files: [layout.networks, layout.sandboxes, layout.leases, layout.ports].concat(
        list(layout.networks).map(file => join(layout.networks, file)),
        list(layout.leases).map(id => layout.networkLeases(id)),
      ),
    }
    const outside = [...items.map(({ files, links }): SurveyItem => ({ files, links })), folders]
    const inside = items.map(({ netns, inside }): SurveyItem => ({ netns, inside }))
    // Links of the host, of which the kernel makes one list, and what is in namespaces can be looked at by different threads.
    const half = items.length < few ? items.length : Math.ceil(items.length / 2)
    const surveys = [
      { op: 'survey', items: outside, group: linkGroup } as const,
      ...[inside.slice(0, half), inside.slice(half)]
        .filter(({ length }) => length > 0)
        .map(part => ({ op: 'survey', items: part }) as const),
    ]
    const run = async (plan: Plan) => (await mechanism.run(plan, signal)) as readonly (readonly string[])[]
    const steps = surveys.map(apply => ({ apply }))
    const [outer = [], ...inner] = await (items.length < few
      ? run(steps)
      : Promise.all(steps.map(async step => (await run([step]))[0] ?? [])))
    const insides = inner.flat()
    return {
      looks: items.map((_, i) => (outer[i] && insides[i] ? `${outer[i]} ${insides[i]}` : '')),
      folders: outer[items.length] ?? '',
      otherLinks: (outer[items.length + 1] ?? '').split(' ').filter(Boolean),
    }
  }
}

/** Those whose plans are about nothing but what is looked at: a veth pair on a bridge each. */
function isSealable({ phase, mode, ephemeral, guest, endpoints }: SandboxRecord): boolean {
  const plain = mode !== 'host' && phase === 'ready' && ephemeral === undefined && guest === undefined
  return plain && endpoints.every(({ driver, tap }) => driver === 'bridge' && tap === undefined)
}

function list(folder: string): readonly string[] {
  return readdirSync(folder)
    .filter(name => !name.startsWith('.'))
    .sort()
}

function ignoreFailure(error: unknown): void {
  if (!(error instanceof PlanFailure)) throw error
}
