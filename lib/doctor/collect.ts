/** Collects the facts that findings are drawn from. Looks and changes nothing, but for a scratch namespace that is gone again. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'

import type { Context } from '../context.js'
import { errnoName } from '../errors.js'
import type { Firewall } from '../firewall/firewall.js'
import type { Output } from '../native.js'
import type { Address, Link, Neighbor, NeighborTable, Route, Ruleset } from '../plan/kernel-objects.js'
import { PlanFailure } from '../plan/mechanism.js'
import type { NftChainAdd, NftRuleAdd, NftSetAdd, NftTableVerb, Op, Plan, Step } from '../plan/op.js'
import { translate } from '../plan/translate.js'
import type { Store } from '../state/store.js'
import type { Facts } from './facts.js'

export async function collectFacts(context: Context, store: Store, firewall: Firewall, signal?: AbortSignal): Promise<Facts> {
  const { mechanism } = context
  const look = async (plan: Plan): Promise<{ readonly outputs?: readonly Output[]; readonly why?: string }> => {
    try {
      return { outputs: await mechanism.run(plan, signal) }
    } catch (error) {
      if (!(error instanceof PlanFailure)) throw translate(error, signal)
      return { why: [errnoName(error.errno), error.failure.detail].filter(Boolean).join(': ') }
    }
  }
  const [networks, sandboxes] = await Promise.all([store.networks(), store.sandboxes()])
  const devices = networks.records.map(({ device }) => device)
  const objects = await mechanism
    .run(
      [
        { apply: { op: 'link.list' } },
        { apply: { op: 'address.list' } },
        { apply: { op: 'route.list' } },
        { apply: { op: 'neighbor.list' } },
        { apply: { op: 'neighbor.tables' } },
      ],
      signal,
    )
    .catch(error => {
      throw translate(error, signal)
    })
  const [links, addresses, routes, neighbors, tables] = objects as [
    readonly Link[],
    readonly Address[],
    readonly Route[],
    readonly Neighbor[],
    readonly NeighborTable[],
  ]
  const keys = [...hostKeys, ...links.flatMap(({ name }) => deviceKeys(name, devices))]
  // One after the other, as each may be missing: many at once would only wait for each other.
  const sysctls: Record<string, string | undefined> = {}
  for (const key of keys) sysctls[key] = (await look([{ apply: { op: 'sysctl.get', key } }])).outputs?.[0] as string | undefined
  const ruleset = await look([{ apply: { op: 'nft.rules' } }])
  return {
    networks: networks.records,
    sandboxes: sandboxes.records,
    links,
    addresses,
    routes,
    ruleset: ruleset.outputs?.[0] as Ruleset | undefined,
    namespaces: await readdir('/run/netns').catch(() => []),
    adopted: await adoptedInodes(sandboxes.records.filter(({ netns }) => !netns.owned).map(({ netns }) => netns.path)),
    sysctls,
    capabilities: await effectiveCapabilities(),
    legacyTables: await legacyTables(),
    missing: await missingFeatures(look, firewall, ruleset),
    managers: await runningPrograms(),
    configuration: await configurationFiles(),
    neighborTables: tables.map(table => ({ ...table, entries: table.entries - permanent(neighbors, table.family) })),
    damaged: [...networks.damaged, ...sandboxes.damaged],
  }
}

const hostKeys = [
  'net/ipv4/ip_forward',
  'net/ipv6/conf/all/forwarding',
  'net/ipv4/conf/all/rp_filter',
  'net/bridge/bridge-nf-call-iptables',
  'net/bridge/bridge-nf-call-ip6tables',
  'net/netfilter/nf_conntrack_count',
  'net/netfilter/nf_conntrack_max',
  // Not for its value, which the table tells: many a namespace doesn't have it.
  'net/ipv4/neigh/default/gc_thresh3',
]

/** Those of other namespaces can't be told apart; there they are few. */
function permanent(neighbors: readonly Neighbor[], family: 4 | 6): number {
  return neighbors.filter(one => one.family === family && one.state === 'permanent').length
}

function deviceKeys(name: string, devices: readonly string[]): readonly string[] {
  if (/^veth/.test(name)) return []
  return [`net/ipv4/conf/${name}/rp_filter`, ...(devices.includes(name) ? [`net/ipv4/conf/${name}/forwarding`] : [])]
}

async function adoptedInodes(paths: readonly string[]): Promise<Facts['adopted']> {
  const inodeOf = (path: string) =>
    stat(path).then(
      ({ ino }) => String(ino),
      () => undefined,
    )
  return Object.fromEntries(await Promise.all(paths.map(async path => [path, await inodeOf(path)] as const)))
}

/** Effective capabilities of this process, as a bit mask. */
export async function effectiveCapabilities(): Promise<bigint> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '')
  const [, mask] = /^CapEff:\s*([0-9a-f]+)$/m.exec(status) ?? []
  return mask === undefined ? ~0n : BigInt(`0x${mask}`)
}

/** /proc/net is the main thread's namespace: right where the host is this process's own, and empty for most others. */
async function legacyTables(): Promise<readonly string[]> {
  const texts = await Promise.all(
    ['ip_tables_names', 'ip6_tables_names'].map(file => readFile(`/proc/net/${file}`, 'utf8').catch(() => '')),
  )
  return [...new Set(texts.flatMap(text => text.split('\n').filter(Boolean)))]
}

type Look = (plan: Plan) => Promise<{ readonly outputs?: readonly Output[]; readonly why?: string }>

/**
 * By trying: a bridge with a veth pair in a scratch namespace, and the ruleset in a transaction that takes it away again before anybody
 * could meet it (not where it is there: then it can be made).
 */
async function missingFeatures(look: Look, firewall: Firewall, ruleset: { readonly why?: string }): Promise<Facts['missing']> {
  const name = `netmode-doctor-${process.pid}`
  const inside = (step: Step['apply']): Step[] => [
    { apply: { op: 'netns.create', name, slot: 'scratch' }, undo: { op: 'netns.delete', name, missingOk: true } },
    { apply: step },
    { apply: { op: 'netns.delete', name, missingOk: true } },
  ]
  const tries: readonly (readonly [feature: string, plan: Plan])[] = [
    ['network namespaces', [...inside({ op: 'netns.identify', ns: 'scratch' })]],
    ['bridge links', inside({ op: 'link.add', ns: 'scratch', name: 'br0', kind: 'bridge' })],
    ['veth links', inside({ op: 'link.add', ns: 'scratch', name: 'v0', kind: 'veth', peer: { name: 'v1' } })],
    ...(firewall.enabled && !firewall.there && ruleset.why === undefined
      ? ([['nf_tables with NAT, maps and fib', scratchTable(firewall)]] as const)
      : []),
  ]
  const missing: Record<string, string> = ruleset.why === undefined ? {} : { nf_tables: ruleset.why }
  for (const [feature, plan] of tries) {
    const { why } = await look(plan)
    if (why !== undefined) missing[feature] = why
  }
  return missing
}

function scratchTable(firewall: Firewall): Plan {
  const table = `netmode-doctor-${process.pid}`
  const steps = firewall.tableSteps().flatMap(({ apply }): Step[] => (isNft(apply) ? [{ apply: { ...apply, table } }] : []))
  const families = new Set(steps.map(({ apply }) => (apply as NftTableVerb).family))
  return [...steps, ...[...families].map((family): Step => ({ apply: { op: 'nft.table.delete', family, table } }))]
}

function isNft(op: Op): op is NftTableVerb | NftChainAdd | NftSetAdd | NftRuleAdd {
  return op.op === 'nft.table.add' || op.op === 'nft.chain.add' || op.op === 'nft.set.add' || op.op === 'nft.rule.add'
}

/** Names of all processes, as /proc/PID/comm has them: 15 bytes. */
async function runningPrograms(): Promise<readonly string[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter(name => /^\d+$/.test(name))
  const names = await Promise.all(pids.map(pid => readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')))
  return [...new Set(names.map(name => name.trim()).filter(Boolean))]
}

const folders = [
  ...['/etc', '/run', '/usr/lib'].map(root => `${root}/systemd/network`),
  ...['/etc/NetworkManager', '/etc/NetworkManager/conf.d', '/run/NetworkManager/conf.d', '/usr/lib/NetworkManager/conf.d'],
  '/etc/firewalld/zones',
]

async function configurationFiles(): Promise<Facts['configuration']> {
  const files = await Promise.all(
    folders.map(async folder =>
      (await readdir(folder).catch(() => [])).filter(name => /\.(network|conf|xml)$/.test(name)).map(name => join(folder, name)),
    ),
  )
  return Object.fromEntries(
    await Promise.all(files.flat().map(async path => [path, await readFile(path, 'utf8').catch(() => '')] as const)),
  )
}
