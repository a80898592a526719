/**
 * Recovery: brings kernel and state together again after a process died in the middle of something, or others took away what
 * was ours. What somebody alive is working on is left alone: its lock says so.
 */
import type { Context } from '../context.js'
import type { Recovery } from '../contract.js'
import { isNetmodeError } from '../errors.js'
import { tableName } from '../firewall/table.js'
import type { NftListing } from '../native.js'
import { driverOf } from '../network/drivers/drivers.js'
import type { Networks } from '../network/networks.js'
import type { Ruleset } from '../plan/kernel-objects.js'
import { PlanFailure } from '../plan/mechanism.js'
import type { NftFamily, Plan, Step } from '../plan/op.js'
import { translate } from '../plan/translate.js'
import { healPlan } from '../sandbox/change-plan.js'
import { held } from '../sandbox/held.js'
import { type Ground, removePlan } from '../sandbox/plans.js'
import { linkFirewallSteps, publishSteps } from '../sandbox/steps.js'
import { expectRecord } from '../state/expectation.js'
import { lockRoot } from '../state/lock.js'
import { format, type SandboxRecord } from '../state/records.js'
import type { Store } from '../state/store.js'
import { guestRepairs } from './guests.js'
import { judge, namespaceNames } from './judgement.js'
import { type Comparison, Seals } from './seals.js'
import { findStrays, sweepPlans } from './strays.js'
import type { Upkeep } from './upkeep.js'

/** How often the ruleset is drafted anew because records changed while it was drawn up. */
const attempts = 100

/** Which of the two tables is not as it was made. */
type Broken = ReadonlyMap<NftFamily, 'gone' | 'damaged'>

export class Recoverer {
  readonly #context: Context
  readonly #store: Store
  readonly #networks: Networks
  readonly #ground: Ground
  readonly #upkeep: Upkeep
  readonly #seals: Seals

  constructor(context: Context, store: Store, networks: Networks, ground: Ground, upkeep: Upkeep) {
    this.#context = context
    this.#store = store
    this.#networks = networks
    this.#ground = ground
    this.#upkeep = upkeep
    this.#seals = new Seals(context, { hairpin: ground.hairpin, firewall: ground.firewall.enabled })
  }

  async recover(signal?: AbortSignal): Promise<Recovery> {
    // Beside the look at sandboxes, which at its end leaves a processor idle.
    const broken = this.#ground.firewall.enabled ? this.#brokenTables(signal) : undefined
    broken?.catch(() => {})
    const compared = await this.#seals.compare(signal)
    // Whoever put it right: that is to be found, and told.
    const seen = this.#upkeep.isRight ? compared : { ...compared, whole: new Set<string>(), all: false }
    if (!seen.all || !(await this.#isTidy(seen))) return this.#recover(seen, signal)
    const repaired = (await this.rebuildRuleset(signal, broken)) ? ['ruleset'] : []
    const networks = await this.#upkeep.checkNetworks(signal)
    if (networks.drifted.length === 0) return { rolledBack: [], repaired, damaged: [] }
    repaired.push(...networks.repaired.map(name => `network ${name}`))
    const rest = await this.#recover({ ...seen, whole: new Set() }, signal)
    return { ...rest, repaired: [...repaired, ...rest.repaired] }
  }

  /** Links of ours that are of no sandbox: are they the networks'? */
  async #isTidy({ otherLinks }: Comparison): Promise<boolean> {
    const { records } = await this.#store.networks()
    const devices = new Set(records.flatMap(({ device, parent }) => [device, parent]))
    return otherLinks.every(name => devices.has(name))
  }

  async #recover(seen: Comparison, signal?: AbortSignal): Promise<Recovery> {
    // What may be left over is listed before the records are read: whatever is made meanwhile has its record first.
    const strays = await findStrays(this.#context, this.#store, signal)
    const { damaged, sandboxes } = await this.#setDamagedAside()
    const repaired = (await this.rebuildRuleset(signal)) ? ['ruleset'] : []
    const rolledBack = [...(await this.#finishNetworks(signal)), ...(await this.#finishSandboxes(sandboxes, repaired, signal))]
    const networks = await this.#upkeep.checkNetworks(signal)
    repaired.push(...networks.repaired.map(name => `network ${name}`))
    const known = networks.drifted.length === 0 ? seen.whole : new Set<string>()
    const candidates = await this.#seals.before(
      (await this.#store.sandboxes()).records.filter(({ name }) => !known.has(name)),
      signal,
    )
    const checked = await this.#upkeep.checkAllSandboxes({ immediate: true, signal, known })
    repaired.push(...checked.repaired)
    for (const { name, plan } of await guestRepairs(this.#context, (await this.#store.sandboxes()).records))
      if (await this.#try(plan, signal)) repaired.push(name)
    const sweep = await sweepPlans(this.#context, this.#store, strays, damaged.length > 0)
    for (const plan of sweep) await this.#try(plan, signal)
    const left = damaged.length + rolledBack.length + repaired.length + sweep.length
    // A change that somebody is at work on may break off yet, and its folder would look as it does now.
    const tidy = left === 0 && (await this.#store.changes()).length === 0
    await this.#seals.seal(seen, { candidates, whole: checked.whole, tidy }, signal)
    if (this.#ground.firewall.there && (await this.#store.networks()).records.length === 0) await this.#networks.removeTableIfUnused()
    return { rolledBack: rolledBack.sort(), repaired, damaged }
  }

  /** Makes the tables anew, with all that belongs in them, if one is gone or has lost rules, and something belongs in it. `broken`: a first look. */
  async rebuildRuleset(signal?: AbortSignal, broken?: Promise<Broken>): Promise<boolean> {
    const rebuilt = await this.repairRuleset(signal, broken)
    if (this.#ground.firewall.enabled && rebuilt !== undefined) this.#ground.firewall.made()
    return rebuilt ?? false
  }

  /**
   * The same for a guard that works beside other changes: by now somebody may have taken the table away again, so nothing is concluded
   * from what was seen. undefined: there is no table, and nothing to put into one.
   */
  async repairRuleset(signal?: AbortSignal, first?: Promise<Broken>): Promise<boolean | undefined> {
    if (!this.#ground.firewall.enabled) return undefined
    for (let attempt = 1; ; attempt++) {
      const broken = await ((attempt === 1 ? first : undefined) ?? this.#brokenTables(signal))
      if (broken.size === 0) return false
      const plan = await this.#rulesetPlan(broken)
      if (plan === undefined) return undefined
      try {
        await this.#context.mechanism.run(plan, signal)
        return true
      } catch (error) {
        if (attempt === attempts || !isOvertaken(error)) throw translate(error, signal)
      }
    }
  }

  /**
   * Somebody may have deleted one of the two, or some of its rules: each chain has to have at least as many as it was given. What
   * somebody has added is his business.
   */
  async #brokenTables(signal?: AbortSignal): Promise<Broken> {
    const families = ['inet', 'bridge'] as const
    const plan = [...families.map(family => ({ apply: { op: 'nft.list', family } }) as const), { apply: { op: 'nft.rules' } } as const]
    const outputs = await this.#context.mechanism.run(plan, signal).catch(error => Promise.reject(translate(error, signal)))
    const gone = families.filter((_, i) => !(outputs[i] as NftListing).tables?.some(({ name }) => name === tableName))
    const { rules } = outputs[families.length] as Ruleset
    const there = new Map<string, number>()
    for (const { family, table, chain } of rules)
      if (table === tableName) there.set(`${family} ${chain}`, (there.get(`${family} ${chain}`) ?? 0) + 1)
    const wanted = this.#ground.firewall.ruleCounts()
    const damaged = families.filter(one =>
      wanted.some(({ family, chain, count }) => family === one && (there.get(`${family} ${chain}`) ?? 0) < count),
    )
    return new Map<NftFamily, 'gone' | 'damaged'>([
      ...damaged.map(family => [family, 'damaged'] as const),
      ...gone.map(family => [family, 'gone'] as const),
    ])
  }

  /** Under the lock that keeps everybody else out, and only if the records are still what it was drawn up from. */
  async #rulesetPlan(broken: Broken): Promise<Plan | undefined> {
    const { layout } = this.#context
    const sandboxNames = await this.#store.sandboxNames()
    const { records: networks } = await this.#store.networks()
    const { records: sandboxes } = await this.#store.sandboxes()
    const live = networks.filter(record => record.phase === 'ready' && driverOf(record).usesFirewall(record))
    if (live.length === 0) return undefined
    return [
      lockRoot(layout, 'exclusive'),
      { apply: { op: 'expect.names', path: layout.networks, names: networks.map(({ name }) => `${name}.json`) } },
      { apply: { op: 'expect.names', path: layout.sandboxes, names: sandboxNames } },
      ...networks.map((record): Step => ({ apply: { op: 'expect.unchanged', path: layout.network(record.name), text: format(record) } })),
      ...sandboxes.flatMap(record => expectRecord(layout, record)),
      ...[...broken].flatMap(([family, how]): Step[] =>
        how === 'damaged' ? [{ apply: { op: 'nft.table.delete', family, table: tableName, missingOk: true } }] : [],
      ),
      ...[
        ...this.#ground.firewall.tableSteps(),
        ...live.flatMap(network => this.#ground.firewall.allowed(driverOf(network).firewallSteps(network))),
        ...sandboxes
          .filter(({ phase }) => phase === 'ready' || phase === 'changing' || phase === 'pooled')
          .flatMap(record => [
            ...linkFirewallSteps(this.#ground.firewall, record.name, record.endpoints),
            ...publishSteps(record.name, undefined, record),
          ]),
      ].filter(({ apply }) => 'family' in apply && broken.has(apply.family as NftFamily)),
    ]
  }

  /** Networks whose making or removal broke off are removed. */
  async #finishNetworks(signal?: AbortSignal): Promise<readonly string[]> {
    const finished: string[] = []
    const { records } = await this.#store.networks()
    for (const network of records) {
      if (network.phase === 'ready') continue
      this.#networks.forget(network.name)
      if (await this.#try(this.#networks.removePlan(network), signal)) finished.push(network.name)
    }
    return finished
  }

  /** Sandboxes whose making, change or removal broke off, or that have lost their namespace or their owner. */
  async #finishSandboxes(records: readonly SandboxRecord[], repaired: string[], signal?: AbortSignal): Promise<readonly string[]> {
    const rolledBack: string[] = []
    const namespaces = namespaceNames()
    // Who shares a namespace goes before the one whose it is.
    for (const record of records.toSorted((a, b) => Number(b.shares !== undefined) - Number(a.shares !== undefined))) {
      const verdict = judge(record, namespaces)
      if (verdict === 'fine') continue
      const holds = await held(this.#context.layout, record)
      const draw =
        verdict === 'heal'
          ? healPlan(this.#ground, record, holds, { immediate: true })
          : removePlan(this.#ground, [record], {
              immediate: true,
              holds: new Map([[record.name, holds]]),
              released: verdict === 'release',
            })
      if (!(await this.#tryOne(record.name, draw, signal))) continue
      if (verdict === 'release') repaired.push(record.name)
      else rolledBack.push(record.name)
    }
    const recorded = new Set(records.map(({ name }) => name))
    for (const name of await this.#store.sandboxNames()) {
      if (recorded.has(name)) continue
      const files = await this.#store.filesWithoutRecord(name)
      if (files && (await this.#try(this.#forgetPlan(name, files), signal))) rolledBack.push(name)
    }
    return rolledBack
  }

  /**
   * For a folder without a record: the record comes first, so nothing else had been done (or the record was set aside). It may
   * only have been looked at too early: with everybody else kept out, what is in it must still be the same.
   */
  #forgetPlan(name: string, files: readonly string[]): Plan {
    const { layout } = this.#context
    const path = layout.sandbox(name)
    return [lockRoot(layout, 'exclusive'), { apply: { op: 'expect.names', path, names: files } }, { apply: { op: 'folder.remove', path } }]
  }

  async #setDamagedAside(): Promise<{ readonly damaged: readonly string[]; readonly sandboxes: readonly SandboxRecord[] }> {
    const sandboxes = await this.#store.sandboxes()
    const damaged = [...(await this.#store.networks()).damaged, ...sandboxes.damaged]
    for (const record of damaged) await this.#store.setAside(record)
    return { damaged, sandboxes: sandboxes.records }
  }

  /** The same for one of many: what is in the way of it keeps nobody else from the host. It is tried again by the next recovery. */
  async #tryOne(name: string, plan: Plan, signal?: AbortSignal): Promise<boolean> {
    try {
      return await this.#try(plan, signal)
    } catch (error) {
      if (!isNetmodeError(error)) throw error
      process.emitWarning(`Sandbox ${name} can't be put right: ${error.message}`, { type: 'NetmodeWarning', code: error.code })
      return false
    }
  }

  /** Runs a plan; false where somebody else is at work on it, or has been. */
  async #try(plan: Plan, signal?: AbortSignal): Promise<boolean> {
    try {
      await this.#context.mechanism.run(plan, signal)
      return true
    } catch (error) {
      if (isOvertaken(error)) return false
      throw translate(error, signal)
    }
  }
}

/** Did a plan stop because of what somebody else is doing or has done? */
function isOvertaken(error: unknown): boolean {
  return error instanceof PlanFailure && ['lock', 'expect.unchanged', 'expect.names', 'nft.table.add'].includes(error.op.op)
}
