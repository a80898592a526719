/** `host.stats`: what has passed where, and what is still free. */
import type { Context } from '../context.js'
import type { ChainStats, EndpointStats, HostStats, PortStats, SubnetStats, Traffic } from '../contract.js'
import type { Firewall } from '../firewall/firewall.js'
import { publishElements } from '../firewall/ruleset.js'
import { bridgePlace, place } from '../firewall/table.js'
import type { NftListing, Output } from '../native.js'
import { leaseUse } from '../network/lease-use.js'
import type { Counter, Link, Ruleset, TrafficCounters } from '../plan/kernel-objects.js'
import { PlanFailure } from '../plan/mechanism.js'
import type { Datum, NftElementVerb, NftRuleAdd, Plan, Step } from '../plan/op.js'
import { translate } from '../plan/translate.js'
import { openNamespace, slot } from '../sandbox/modes/mode.js'
import { mappings } from '../sandbox/steps.js'
import type { EndpointRecord, NetworkRecord, SandboxRecord } from '../state/records.js'
import type { Store } from '../state/store.js'

/** Runs a plan that only looks; undefined where what it looks at is gone, or was never made. */
type Look = (plan: Plan) => Promise<readonly Output[] | undefined>

export async function readStats({ mechanism }: Context, store: Store, firewall: Firewall, signal?: AbortSignal): Promise<HostStats> {
  signal?.throwIfAborted()
  const look: Look = async plan => {
    try {
      return await mechanism.run(plan, signal)
    } catch (error) {
      if (error instanceof PlanFailure) return undefined
      throw translate(error, signal)
    }
  }
  const [{ records: networks }, { records: sandboxes }] = await Promise.all([store.networks(), store.sandboxes()])
  const live = sandboxes.filter(({ phase }) => phase === 'ready' || phase === 'changing')
  const made = networks.filter(({ phase }) => phase === 'ready')
  const [endpoints, subnets, ports, chains] = await Promise.all([
    endpointStats(live, look),
    Promise.all(made.map(network => subnetStats(network, store))),
    portStats(live, look),
    chainStats(firewall, look),
  ])
  return { endpoints, subnets: subnets.flat(), ports, chains }
}

/** Seen from the sandbox: what the host's end of a veth pair, or a TAP, sends is what the sandbox receives. */
async function endpointStats(records: readonly SandboxRecord[], look: Look): Promise<readonly EndpointStats[]> {
  const [links] = ((await look([{ apply: { op: 'link.list' } }])) ?? [[]]) as [readonly Link[]]
  const outers = new Map(links.filter(({ kind }) => kind === 'veth' || kind === 'tun').map(({ name, stats }) => [name, stats]))
  const of = async (record: SandboxRecord): Promise<readonly EndpointStats[]> => {
    const outerOf = ({ hostIfname = '' }: EndpointRecord) => outers.get(hostIfname)
    const insides = record.endpoints.every(outerOf) ? [] : await inside(record, look)
    return record.endpoints.map(endpoint => {
      const outer = outerOf(endpoint)
      const inner = insides.find(({ name }) => name === endpoint.ifname)?.stats
      return { ...placeOf(record, endpoint), received: traffic(outer?.tx ?? inner?.rx), sent: traffic(outer?.rx ?? inner?.tx) }
    })
  }
  const all: EndpointStats[] = []
  for (const record of records) all.push(...(await of(record)))
  return all
}

async function inside({ netns }: SandboxRecord, look: Look): Promise<readonly Link[]> {
  const outputs = await look([openNamespace(netns), { apply: { op: 'link.list', ns: slot } }])
  return (outputs?.[1] ?? []) as readonly Link[]
}

function placeOf({ name }: SandboxRecord, { network, ifname }: EndpointRecord) {
  return { sandbox: name, network, ifname }
}

function traffic({ bytes = 0, packets = 0, errors = 0, dropped = 0 }: Partial<TrafficCounters> = {}): Traffic {
  return { bytes, packets, errors, dropped }
}

async function subnetStats({ id, name, subnets }: NetworkRecord, store: Store): Promise<readonly SubnetStats[]> {
  const leases = await store.leases(id)
  return subnets.map(subnet => {
    const { used, free } = leaseUse(subnet, leases)
    return { network: name, subnet: subnet.subnet, used, free }
  })
}

const maps = ['publish', 'limited'].flatMap(name => ['4', '4_any', '6', '6_any'].map(suffix => `${name}${suffix}`))

/** By the elements that a port has in the maps: they count where the maps do. */
async function portStats(records: readonly SandboxRecord[], look: Look): Promise<readonly PortStats[]> {
  if (records.every(({ ports }) => ports.length === 0)) return []
  const listings = ((await look(maps.map((set): Step => ({ apply: { op: 'nft.list', ...place, set } })))) ?? []) as readonly NftListing[]
  const counters = new Map<string, Counter | undefined>()
  for (const [i, { elements = [] }] of listings.entries()) {
    for (const { key, counter } of elements) counters.set(elementId(maps[i], key), counter)
  }
  return records.flatMap(record =>
    mappings(record).map(mapping => {
      const { hostIp, hostPort, containerPort, protocol, address } = mapping
      const steps = publishElements(record.name, [], [mapping])
      const element = steps.map(({ apply }) => apply as NftElementVerb).find(({ set }) => maps.includes(set))
      const counter = element && counters.get(elementId(element.set, element.key))
      return { sandbox: record.name, address, port: { hostIp, hostPort, containerPort, protocol }, ...(counter && counted(counter)) }
    }),
  )
}

function elementId(set: string | undefined, key: readonly Datum[]): string {
  return `${set} ${JSON.stringify(key)}`
}

function counted({ packets, bytes }: Counter): Counter {
  return { packets, bytes }
}

/** Rules by their place in the chain, since the kernel keeps no text of them; in a chain that others have changed they have none. */
async function chainStats(firewall: Firewall, look: Look): Promise<readonly ChainStats[]> {
  return (await Promise.all([place, bridgePlace].map(where => chainsOf(where, firewall, look)))).flat()
}

async function chainsOf(where: typeof place | typeof bridgePlace, firewall: Firewall, look: Look): Promise<readonly ChainStats[]> {
  const [ruleset] = ((await look([{ apply: { op: 'nft.rules', ...where } }])) ?? [undefined]) as [Ruleset | undefined]
  const own = firewall
    .tableSteps()
    .flatMap(({ apply }) => (apply.op === 'nft.rule.add' && apply.family === where.family ? [apply as NftRuleAdd] : []))
  return (ruleset?.chains ?? []).map(({ chain, base }) => {
    const found = ruleset?.rules.filter(rule => rule.chain === chain) ?? []
    const texts = own.filter(rule => rule.chain === chain).map(({ text }) => text)
    return {
      family: where.family,
      chain,
      ...(base && { hook: base.hook, priority: base.priority, policy: base.policy }),
      rules: found.map(({ handle, verdict, counter }, i) => ({
        handle,
        rule: (texts.length === found.length ? texts[i] : undefined) ?? `${verdict ?? 'a rule'} (changed by others)`,
        ...(counter && counted(counter)),
      })),
    }
  })
}
