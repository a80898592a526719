/** Plans of takes that ask for a name and a few ports: for each pool they are written once, and filled in. */
import { Form, Forms } from '../plan/form.js'
import type { WrittenPlan } from '../plan/mechanism.js'
import type { Plan } from '../plan/op.js'
import type { SandboxRecord } from '../state/records.js'
import type { Ground } from './plans.js'
import { keepsResolver, type Taking, takePlan } from './pool-plans.js'
import { areOrdinary, blank, blankOf, hasOneEndpoint, hasWordsOnly, kindOf, wordsOf } from './record-words.js'

export class TakeForms {
  readonly #ground: Ground
  readonly #forms = new Forms<Taking>()

  constructor(ground: Ground) {
    this.#ground = ground
  }

  plan(taking: Taking): Plan | WrittenPlan {
    const hostResolver = this.#ground.resolver.text()
    const draw = () => takePlan(this.#ground, taking, hostResolver)
    if (!isOrdinary(taking) || !keepsResolver(taking, hostResolver)) return draw()
    const { reserved, record } = taking
    const kind = `${kindOf(record.ports)} ${record.ephemeral?.pid ?? ''} ${reserved.likeness}`
    return this.#forms.plan(kind, hostResolver, taking, draw, () => this.#form(taking, hostResolver))
  }

  #form({ reserved, record }: Taking, hostResolver: string): Form<Taking> | undefined {
    const [one, from] = [blankOf(record), blankOf(reserved.record)]
    if (one === undefined || from === undefined) return undefined
    const alike = (taking: Taking) => takePlan(this.#ground, taking, hostResolver)
    const blankTaking = { reserved: { ...reserved, linkIndex: noLink, record: { ...from, name: noName } }, record: one }
    return new Form<Taking>([{ alike }], wordsOfTaking, blankTaking)
  }
}

/** The same for those that differ in words only. */
export function likenessOf(record: SandboxRecord): string {
  const { endpoints, files } = blankOf(record) ?? record
  return JSON.stringify({ endpoints, files })
}

/** An IPv4 endpoint and a few ports for everybody, and nothing else that the pool does not give to all. */
function isOrdinary({ reserved, record }: Taking): boolean {
  return reserved.linkIndex !== undefined && hasOneEndpoint(record) && hasWordsOnly(record) && areOrdinary(record.ports)
}

/** What no link and no pool has. */
const noLink = 4_000_000_000
const noName = blank(100)

function wordsOfTaking({ reserved, record }: Taking): readonly string[] {
  return [reserved.record.name, String(reserved.linkIndex), ...wordsOf(record)]
}
