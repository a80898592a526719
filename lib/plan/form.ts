/**
 * Plans that differ in a few words only, as those of sandboxes on one network do. What is alike in them is drawn up and written once, with
 * blanks for those words, which are filled in for each. Pure.
 */
import type { WrittenPlan } from './mechanism.js'
import type { Plan } from './op.js'

/** Neighbouring steps. In what is `alike` each of the words stands as it is, and nothing else depends on who the plan is for. */
export type Part<T> = { readonly alike: (of: T) => Plan } | { readonly own: (of: T) => Plan }

/** All parts of a plan, drawn up. */
export function draw<T>(parts: readonly Part<T>[], of: T): Plan {
  return parts.flatMap(part => ('alike' in part ? part.alike(of) : part.own(of)))
}

/** A text, or the place of a word among the words. */
type Piece = string | number

export class Form<T> {
  readonly #parts: readonly (Part<T> & { readonly pieces?: readonly Piece[] })[]
  readonly #words: (of: T) => readonly string[]

  /** `blank` is one with words that no text of a plan has but for them. */
  constructor(parts: readonly Part<T>[], words: (of: T) => readonly string[], blank: T) {
    this.#words = words
    const blanks = words(blank).map(inner)
    this.#parts = parts.map(part => ('alike' in part ? { ...part, pieces: split(inner(part.alike(blank)), blanks) } : part))
  }

  /** The plan of one whose words are the same in JSON as they are. */
  fill(of: T): WrittenPlan {
    const words = this.#words(of)
    const own = this.#parts.map(part => ('own' in part ? part.own(of) : []))
    let text = ''
    for (const [i, { pieces }] of this.#parts.entries()) {
      const written = pieces === undefined ? inner(own[i]) : join(pieces, words)
      if (written !== '') text += text === '' ? written : `,${written}`
    }
    return {
      text: `[${text}]`,
      steps: () => this.#parts.flatMap((part, i) => ('alike' in part ? part.alike(of) : (own[i] as Plan))),
    }
  }
}

/** How many kinds of plans are kept. */
const mostKinds = 16

/** Forms of plans that are drawn up again and again, by what is alike in them. */
export class Forms<T> {
  /** `form`: none where the plans turned out to differ in more than words. `stamp`: what it was made from besides. */
  readonly #tried = new Map<string, { readonly stamp: string; readonly form?: Form<T> }>()

  /** The plan of one of a kind; `draw` draws it up, and `form` makes a form of its kind, where it can of this one. */
  plan(kind: string, stamp: string, of: T, draw: () => Plan, form: () => Form<T> | undefined): Plan | WrittenPlan {
    const tried = this.#tried.get(kind)
    if (tried?.stamp === stamp && tried.form) return tried.form.fill(of)
    const plan = draw()
    if (tried?.stamp === stamp || (tried === undefined && this.#tried.size === mostKinds)) return plan
    const made = form()
    if (made === undefined) return plan
    // What is worked out from a word, and not just said, shows here.
    const isTrue = made.fill(of).text === JSON.stringify(plan)
    this.#tried.set(kind, { stamp, ...(isTrue && { form: made }) })
    return plan
  }
}

/** The JSON of a list or a text, without what it begins and ends with. */
function inner(value: unknown): string {
  return JSON.stringify(value).slice(1, -1)
}

function split(text: string, blanks: readonly string[]): readonly Piece[] {
  return blanks.reduce<readonly Piece[]>(
    (pieces, blank, word) =>
      pieces.flatMap(piece =>
        typeof piece === 'number' ? piece : piece.split(blank).flatMap((rest, i) => (i === 0 ? rest : [word, rest])),
      ),
    [text],
  )
}

function join(pieces: readonly Piece[], words: readonly string[]): string {
  let text = ''
  for (const piece of pieces) text += typeof piece === 'number' ? words[piece] : piece
  return text
}
