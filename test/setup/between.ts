/** What a test puts between policy and kernel: plans are kept, changed, cut short. */

import { openHostWith } from '../../lib/host.js'
import { type Host, type OpenHostOptions, openHost } from '../../lib/index.js'
import { type Mechanism, stepsOf, type Watch } from '../../lib/plan/mechanism.js'
import type { Op, Plan } from '../../lib/plan/op.js'
import type { PrivateHost } from './namespace.js'

/** Passes plans on, changed as the test says. */
export class Between implements Mechanism {
  /** Every plan that policy has handed over, as it was before the change. */
  readonly plans: Plan[] = []
  /** What becomes of the next plans. */
  change: (plan: Plan) => Plan = plan => plan
  readonly #real: Mechanism
  /** A process that is dead watches nothing, nor begins to. */
  readonly #watches = new Set<Watch>()
  #isDead = false
  #deathAfter: number | undefined
  #died: { readonly resolve: (plan: Plan) => void; readonly reject: (error: unknown) => void } | undefined

  constructor(real: Mechanism) {
    this.#real = real
  }

  run: Mechanism['run'] = (given, signal) => {
    const plan = stepsOf(given)
    this.plans.push(plan)
    return this.#deathAfter !== undefined && changes(plan) ? this.#die(plan) : this.#real.run(this.change(plan), signal)
  }

  /**
   * As if the process were killed when the next plan that changes something has come that far: nothing is taken back, the locks are
   * free, and nobody hears of it again. Resolves then, with the whole plan.
   */
  killAfter(ops: number): Promise<Plan> {
    this.#deathAfter = ops
    return new Promise((resolve, reject) => {
      this.#died = { resolve, reject }
    })
  }

  socket: Mechanism['socket'] = (plan, signal) => {
    this.plans.push(plan)
    return this.#real.socket(this.change(plan), signal)
  }

  order: Mechanism['order'] = like => this.#real.order(like)

  expect: Mechanism['expect'] = () => this.#real.expect()

  #die(plan: Plan): Promise<never> {
    const done = plan.slice(0, this.#deathAfter).map(({ apply }) => ({ apply }))
    this.#isDead = true
    for (const watch of this.#watches) watch.close()
    this.#real.run(done).then(() => this.#died?.resolve(plan), this.#died?.reject)
    return new Promise(() => {})
  }

  watch: Mechanism['watch'] = (wish, onEvents) => {
    const watch = this.#real.watch(wish, onEvents)
    this.#watches.add(watch)
    if (this.#isDead) watch.close()
    return watch
  }

  close(): Promise<void> {
    return this.#real.close()
  }

  /** The last plan that had such an op. */
  planWith(op: Op['op']): Plan {
    const plan = this.plans.findLast(steps => steps.some(({ apply }) => apply.op === op))
    if (plan === undefined) throw new Error(`no plan with ${op} has been run`)
    return plan
  }
}

/** How a test opens its host. Without `repair` nobody puts right what the test breaks, until it says so. */
export type Opening = Pick<OpenHostOptions, 'repair'>

/** The host of a test, worked from its state folder. */
export function open(machine: PrivateHost, opening: Opening = {}): Promise<Host> {
  return openHost({ netns: machine.netns, stateDir: machine.stateDir, ...opening })
}

/** The same, with a `Between`. */
export async function openBetween(
  machine: PrivateHost,
  opening: Opening = {},
): Promise<{ readonly host: Host; readonly between: Between }> {
  let between: Between | undefined
  const host = await openHostWith({ netns: machine.netns, stateDir: machine.stateDir, ...opening }, real => {
    between = new Between(real)
    return between
  })
  return { host, between: between as Between }
}

/** Does a plan change anything but its locks? Plans that only look are left alone by the tests that break plans. */
export function changes(plan: Plan): boolean {
  return plan.some(
    ({ apply: { op } }) =>
      !/^(lock|expect\.|sysctl\.get|netns\.(open|identify)|file\.look|survey|.*\.list|neighbor\.tables|nft\.rules)/.test(op),
  )
}
