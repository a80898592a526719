/**
 * Recovery: brings kernel and state together again after a process died in the middle of something, or others took away what
 * was ours. What somebody alive is working on is left alone: its lock says so.
 */
import { readdir, stat } from 'node:fs/promises'

import type { Context } from '../context.js'
import type { Recovery } from '../contract.js'
import { errnoName } from '../errors.js'
import type { NftListing } from '../native.js'
import { driverOf } from '../network/drivers/driver.js'
import { linkGroup } from '../network/drivers/link-group.js'
import type { Networks } from '../network/networks.js'
import type { Link } from '../plan/kernel-objects.js'
import { PlanFailure } from '../plan/mechanism.js'
import type { Plan, Step } from '../plan/op.js'
import { translate } from '../plan/translate.js'
import { healPlan } from '../sandbox/change-plan.js'
import { type Ground, removePlan } from '../sandbox/plans.js'
import { lockRoot, publishSteps } from '../sandbox/steps.js'
import { processIsAlive } from '../state/process.js'
import type { NetworkRecord, SandboxRecord } from '../state/records.js'
import type { Store } from '../state/store.js'

export class Recoverer {
  readonly #context: Context
  readonly #store: Store
  readonly #networks: Networks
  readonly #ground: Ground

  constructor(context: Context, store: Store, networks: Networks, ground: Ground) {
    this.#context = context
    this.#store = store
    this.#networks = networks
    this.#ground = ground
  }

  async recover(signal?: AbortSignal): Promise<Recovery> {
    // What can be left over is listed before the records: whatever is made meanwhile has its record first.
    const links = await this.#ownLinks(signal)
    const claims = await this.#claims()
    const { records: sandboxes, damaged: damagedSandboxes } = await this.#store.sandboxes()
    const { records: networks, damaged: damagedNetworks } = await this.#store.networks()
    const rolledBack: string[] = []
    const repaired: string[] = []
    if (await this.#rebuildRuleset(signal)) repaired.push('ruleset')
    for (const network of networks)
      if (network.phase !== 'ready' && (await this.#finishNetwork(network, signal))) rolledBack.push(network.name)
    const names = await namespaceNames()
    for (const record of sandboxes) {
      const verdict = await this.#judge(record, names)
      if (verdict === 'fine') continue
      const plan = verdict === 'heal' ? healPlan(this.#ground, record, { immediate: true }) : removePlan(this.#ground, [record], { immediate: true })
      if (await this.#try(plan, signal)) (record.phase === 'ready' ? repaired : rolledBack).push(record.name)
    }
    for (const name of await this.#foldersWithoutRecord(sandboxes))
      if (await this.#try(this.#forgetPlan(name), signal)) rolledBack.push(name)
    const damaged = [...damagedNetworks, ...damagedSandboxes]
    for (const path of damaged) await this.#store.setAside(path)
    await this.#sweep(links, claims, signal)
    return { rolledBack: rolledBack.sort(), repaired, damaged }
  }

  async #judge(record: SandboxRecord, names: ReadonlySet<string>): Promise<'fine' | 'heal' | 'remove'> {
    if (record.phase === 'creating' || record.phase === 'removing') return 'remove'
    if (record.ephemeral && !(await processIsAlive(record.ephemeral))) return 'remove'
    if (record.mode === 'bridge' || record.mode === 'none') {
      const there = record.netns.owned
        ? names.has(record.name)
        : await stat(record.netns.path).then(
            () => true,
            () => false,
          )
      if (!there) return 'remove'
    }
    return record.phase === 'changing' ? 'heal' : 'fine'
  }

  /** Makes the table anew, with all that belongs in it, if it is gone and something belongs in it. */
  async #rebuildRuleset(signal?: AbortSignal): Promise<boolean> {
    const [listing] = (await this.#context.mechanism.run([{ apply: { op: 'nft.list', family: 'inet' } }], signal)) as [NftListing]
    if (listing.tables?.some(({ name }) => name === 'netmode')) return false
    for (;;) {
      const { records: networks } = await this.#store.networks()
      const { records: sandboxes } = await this.#store.sandboxes()
      const live = networks.filter(({ phase }) => phase === 'ready')
      if (live.length === 0) return false
      const elements = [
        ...live.flatMap(network => driverOf(network).firewallSteps(network)),
        ...sandboxes.filter(({ phase }) => phase === 'ready').flatMap(record => publishSteps(record.name, undefined, record)),
      ]
      const steps = [...this.#ground.firewall.tableSteps(), ...elements]
      try {
        await this.#context.mechanism.run([lockRoot(this.#context.layout, 'exclusive'), ...steps], signal)
        return true
      } catch (error) {
        if (error instanceof PlanFailure && errnoName(error.errno) === 'EEXIST') return false // another process was faster
        throw translate(error, signal)
      }
    }
  }

  async #finishNetwork(network: NetworkRecord, signal?: AbortSignal): Promise<boolean> {
    this.#networks.forget(network.name)
    return this.#try(await this.#networks.removePlan(network), signal)
  }

  /** Links of ours by their group, with the sandbox and network that their alias names. */
  async #ownLinks(signal?: AbortSignal): Promise<readonly Link[]> {
    const [links] = (await this.#context.mechanism.run([{ apply: { op: 'link.list' } }], signal)) as [readonly Link[]]
    return links.filter(({ group }) => group === linkGroup)
  }

  /** Every lease and port claim. */
  async #claims(): Promise<readonly { readonly path: string; readonly holder: string }[]> {
    return [...(await this.#store.claims(this.#context.layout.leases)), ...(await this.#store.claims(this.#context.layout.ports))]
  }

  /** Takes away links and claims that no record knows of. */
  async #sweep(
    links: readonly Link[],
    claims: readonly { readonly path: string; readonly holder: string }[],
    signal?: AbortSignal,
  ): Promise<void> {
    const { records: sandboxes } = await this.#store.sandboxes()
    const { records: networks } = await this.#store.networks()
    const names = new Set(await this.#store.sandboxNames())
    const known = new Set([
      ...sandboxes.flatMap(({ endpoints }) => endpoints.map(({ hostIfname }) => hostIfname)),
      ...networks.map(({ device }) => device),
    ])
    const strays = links.filter(({ name }) => !known.has(name)).map(({ name, index }) => ({ name, index }))
    const steps: Step[] = [
      ...(strays.length > 0 ? [{ apply: { op: 'link.delete', links: strays, missingOk: true } } as const] : []),
      ...claims.filter(({ holder }) => !names.has(holder)).map((claim): Step => ({ apply: { op: 'release', ...claim } })),
    ]
    if (steps.length > 0) await this.#try(steps, signal)
  }

  async #foldersWithoutRecord(records: readonly SandboxRecord[]): Promise<readonly string[]> {
    const known = new Set(records.map(({ name }) => name))
    return (await this.#store.sandboxNames()).filter(name => !known.has(name))
  }

  /** For a folder whose record was never written: nothing else had been done yet. */
  #forgetPlan(name: string): Step[] {
    const path = this.#context.layout.sandbox(name)
    return [
      { apply: { op: 'lock', path, mode: 'exclusive', immediate: true } },
      { apply: { op: 'expect.empty', path } },
      { apply: { op: 'folder.remove', path } },
    ]
  }

  /** Runs a plan; false where somebody else is at work on it, or has been. */
  async #try(plan: Plan, signal?: AbortSignal): Promise<boolean> {
    try {
      await this.#context.mechanism.run(plan, signal)
      return true
    } catch (error) {
      if (error instanceof PlanFailure && ['lock', 'expect.unchanged', 'expect.empty'].includes(error.op.op)) return false
      throw translate(error, signal)
    }
  }
}

/** Names in /run/netns. */
async function namespaceNames(): Promise<ReadonlySet<string>> {
  return new Set(await readdir('/run/netns').catch(() => []))
}
