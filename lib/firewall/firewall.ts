/** The firewall of one host: whether the table is there, and the steps that make it and fill it. */
import { errnoName } from '../errors.js'
import { PlanFailure } from '../plan/mechanism.js'
import type { Op, Step } from '../plan/op.js'
import { ruleCounts, type TableOptions, tableSteps } from './ruleset.js'

export class Firewall {
  readonly enabled: boolean
  readonly #table: TableOptions
  #there: boolean
  #rebuild: () => Promise<unknown> = async () => {}

  /** `enabled: false` (daemon.json's `iptables`): no rule is ever written. */
  constructor(table: TableOptions, there: boolean, enabled: boolean) {
    this.#table = table
    this.enabled = enabled
    this.#there = there
  }

  /** As far as is known. */
  get there(): boolean {
    return this.#there
  }

  /** What makes the table; nothing if it is known to be there. The plan has to hold the state folder's lock alone. */
  steps(): Step[] {
    return this.#there || !this.enabled ? [] : this.tableSteps()
  }

  /** Without those that write rules, or rules of IPv6, if none are to be written. */
  allowed(steps: readonly Step[]): Step[] {
    const { ip6 = true } = this.#table
    return steps.filter(({ apply }) => (this.enabled || !apply.op.startsWith('nft.')) && (ip6 || !isOfIp6(apply)))
  }

  /** What makes the table, whatever is known of it. */
  tableSteps(): Step[] {
    return tableSteps(this.#table)
  }

  /** How many rules each of the tables' chains is given. */
  ruleCounts(): ReturnType<typeof ruleCounts> {
    return ruleCounts(this.#table)
  }

  /** What takes the table away with all that is in it. */
  removeSteps(): Step[] {
    return this.allowed(tableSteps(this.#table)).flatMap(({ undo }) => (undo ? [{ apply: undo }] : []))
  }

  /** A plan with `removeSteps()` has gone through. */
  gone(): void {
    this.#there = false
  }

  /** A plan with `steps()` has gone through. */
  made(): void {
    this.#there = true
  }

  /** Who makes the table anew, with all that belongs in it, when it turns out to be gone. */
  onGone(rebuild: () => Promise<unknown>): void {
    this.#rebuild = rebuild
  }

  /**
   * Did a plan fail only because the table was made or deleted by somebody else since it was last looked at? Then that is put
   * right, and the plan may be drawn up anew.
   */
  async canRetry(error: unknown): Promise<boolean> {
    if (!(error instanceof PlanFailure)) return false
    const errno = errnoName(error.errno)
    if (error.op.op === 'nft.table.add' && errno === 'EEXIST') {
      this.#there = true
      return true
    }
    if (!error.op.op.startsWith('nft.element.') || errno !== 'ENOENT') return false
    this.#there = false
    await this.#rebuild()
    return true
  }
}

/** An element that is about IPv6. */
function isOfIp6(op: Op): boolean {
  return (op.op === 'nft.element.add' || op.op === 'nft.element.delete') && /6(_any|_all)?$/.test(op.set)
}
