/** Plans that publish a few ports of a live sandbox, or take them back: they are written once, and filled in. */
import { Form, Forms } from '../plan/form.js'
import type { WrittenPlan } from '../plan/mechanism.js'
import type { Plan } from '../plan/op.js'
import type { PortRecord, SandboxRecord } from '../state/records.js'
import { isLoose, withPorts } from '../state/shelf.js'
import { type Change, type ChangePlan, changeParts, changePlan } from './change-plan.js'
import type { Ground } from './plans.js'
import { areOrdinary, blank, blankOf, hasOneEndpoint, kindOf, wordsOf } from './record-words.js'

export class ChangeForms {
  readonly #ground: Ground
  readonly #forms = new Forms<Change>()

  constructor(ground: Ground) {
    this.#ground = ground
  }

  plan(change: Change): ChangePlan<Plan | WrittenPlan> {
    const { ports } = change
    if (ports === undefined || !isOrdinary(change, ports)) return changePlan(this.#ground, change)
    const kind = `${ports.removed.length} ${kindOf([...ports.removed, ...ports.added])}`
    const draw = () => changePlan(this.#ground, change).plan
    const form = () => {
      const one = blankChange(change)
      return one && new Form(changeParts(this.#ground), wordsOfChange, one)
    }
    return { plan: this.#forms.plan(kind, '', change, draw, form), writing: ordinaryWriting }
  }
}

/** Behind two locks and a look at the record. */
const ordinaryWriting = 3

type Ports = NonNullable<Change['ports']>

/** A few ports for everybody come or go, of an IPv4 endpoint that they lead to; nothing else of the sandbox has to do with them. */
function isOrdinary({ before, after, version, networks, networkSteps }: Change, { added, removed }: Ports): boolean {
  const ports = added.length > 0 ? added : removed
  return (
    version !== undefined &&
    networks.length + networkSteps.length === 0 &&
    before.endpoints === after.endpoints &&
    hasOneEndpoint(before) &&
    before.endpoints.every(({ lan, ipv4 }) => !lan && ipv4?.gateway !== undefined) &&
    before.redirects === undefined &&
    isLoose(before) &&
    isLoose(after) &&
    (added.length === 0 || removed.length === 0) &&
    areOrdinary(ports) &&
    !hasOthers(before.ports, ports, removed)
  )
}

/** Do others lead to the same ports of the sandbox? */
function hasOthers(all: readonly PortRecord[], ports: readonly PortRecord[], except: readonly PortRecord[]): boolean {
  return all.some(one => ports.some(({ containerPort }) => one.containerPort === containerPort) && !except.includes(one))
}

/** The sandbox with those ports alone that make the difference. */
function concernedOf({ before, ports }: Change): SandboxRecord {
  const { added, removed } = ports as Ports
  return { ...before, ports: [...removed, ...added] }
}

/** What differs. */
function wordsOfChange(change: Change): readonly string[] {
  return [change.version ?? '', ...wordsOf(concernedOf(change))]
}

const noVersion = blank(100)

function blankChange(change: Change): Change | undefined {
  const one = blankOf(concernedOf(change))
  if (one === undefined) return undefined
  const removed = one.ports.slice(0, change.ports?.removed.length)
  const added = one.ports.slice(removed.length)
  const bare = { ...one, ports: [] }
  return { ...change, version: noVersion, before: withPorts(bare, removed), after: withPorts(bare, added), ports: { added, removed } }
}
