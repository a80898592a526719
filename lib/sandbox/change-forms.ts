/** Plans that publish a few ports of a live sandbox, or take them back: they are written once, and filled in. */
import { Form, Forms } from '../plan/form.js'
import type { WrittenPlan } from '../plan/mechanism.js'
import type { Plan } from '../plan/op.js'
import type { PortRecord, SandboxRecord } from '../state/records.js'
import { isLoose, withPorts } from '../state/shelf.js'
import { type Change, type ChangePlan, changeParts, changePlan } from './change-plan.js'
import type { Ground } from './plans.js'
import { areOrdinary, blankPorts, kindOf, wordsOfPorts } from './port-words.js'

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
    const plan = this.#forms.plan(kind, '', change, draw, () => new Form(changeParts(this.#ground), wordsOf, blankOf(change)))
    return { plan, writing: ordinaryWriting }
  }
}

/** Behind two locks and a look at the record. */
const ordinaryWriting = 3

type Ports = NonNullable<Change['ports']>

/** A few ports for everybody come or go, of an IPv4 endpoint; nothing else of the sandbox has to do with them. */
function isOrdinary({ before, after, version, networks, networkSteps }: Change, { added, removed }: Ports): boolean {
  const [endpoint] = before.endpoints
  const ports = added.length > 0 ? added : removed
  return (
    version !== undefined &&
    networks.length + networkSteps.length === 0 &&
    before.endpoints === after.endpoints &&
    before.endpoints.length === 1 &&
    endpoint?.ipv4 !== undefined &&
    endpoint.ipv6 === undefined &&
    !endpoint.lan &&
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

/** What differs. */
function wordsOf({ before: { name, endpoints }, version, ports }: Change): readonly string[] {
  const { added, removed } = ports as Ports
  return [name, version ?? '', endpoints[0]?.ipv4?.address ?? '', ...wordsOfPorts(removed), ...wordsOfPorts(added)]
}

/** Characters that have no meaning: no text has them, and JSON writes them as they are. */
const [blankName, blankVersion, blankAddress] = ['\ue000', '\ue001', '\ue002'] as const

function blankOf({ before, ports, ...rest }: Change): Change {
  const { added, removed } = ports as Ports
  const endpoints = before.endpoints.map(endpoint => ({
    ...endpoint,
    ...(endpoint.ipv4 && { ipv4: { ...endpoint.ipv4, address: blankAddress } }),
  }))
  const blank: SandboxRecord = { ...before, name: blankName, endpoints, ports: [] }
  const blanks = { added: blankPorts(added), removed: blankPorts(removed) }
  const [from, to] = [withPorts(blank, blanks.removed), withPorts(blank, blanks.added)]
  return { ...rest, version: blankVersion, before: from, after: to, ports: blanks }
}
