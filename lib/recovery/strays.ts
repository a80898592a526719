/** Strays: links, claims and elements of ours that no record knows of. */
import type { Context } from '../context.js'
import type { Protocol } from '../contract.js'
import { errnoName } from '../errors.js'
import { portSets, sandboxSets } from '../firewall/ruleset.js'
import type { NftListing } from '../native.js'
import type { Link } from '../plan/kernel-objects.js'
import { linkGroup } from '../plan/link-group.js'
import { PlanFailure } from '../plan/mechanism.js'
import type { Op, Plan, Step } from '../plan/op.js'
import { expectRecord } from '../state/expectation.js'
import { lockRoot } from '../state/lock.js'
import type { SandboxRecord } from '../state/records.js'
import type { Claim, Store } from '../state/store.js'

/** What was there before the records were read: a stray is what they don't speak of. */
export interface Candidates {
  readonly links: readonly Link[]
  readonly leases: readonly Claim[]
  readonly ports: readonly Claim[]
  /** Ids that have a folder of leases. */
  readonly networkIds: readonly string[]
  /** Ports, as `tcp-80`, that have a folder and no claim in it. */
  readonly emptyPorts: readonly string[]
}

/** Links of ours are known by their group, which they have from birth. */
export async function findStrays({ mechanism, layout }: Context, store: Store, signal?: AbortSignal): Promise<Candidates> {
  // One that a partial list lacks is found the next time.
  const [links] = (await mechanism.run([{ apply: { op: 'link.list', partialOk: true } }], signal)) as [readonly Link[]]
  const leases = await store.claims(layout.leases)
  const ports = await store.claims(layout.ports)
  return {
    links: links.filter(({ group }) => group === linkGroup),
    leases: leases.claims,
    ports: ports.claims,
    networkIds: [...new Set([...leases.claims.map(({ group }) => group), ...leases.empty])],
    emptyPorts: ports.empty,
  }
}

/** The plans that take strays away, one for each matter, so that none is in the way of another. `elements`: look through the ruleset too. */
export async function sweepPlans(
  context: Context,
  store: Store,
  { links, leases, ports, networkIds, emptyPorts }: Candidates,
  elements: boolean,
): Promise<readonly Plan[]> {
  const { layout } = context
  // Before the records are read, as all that may be a stray is.
  const names = await store.sandboxNames()
  const listed = elements ? await listElements(context) : []
  const { records: sandboxes } = await store.sandboxes()
  const { records: networks } = await store.networks()
  const there = new Set(await store.sandboxNames())
  const byName = new Map(sandboxes.map(record => [record.name, record]))
  const devices = new Set([
    ...sandboxes.flatMap(({ endpoints }) => endpoints.flatMap(({ hostIfname }) => hostIfname ?? [])),
    ...networks.flatMap(({ device, parent }) => [device, ...(parent === undefined ? [] : [parent])]),
  ])
  const strayLinks = links.filter(({ name }) => !devices.has(name)).map(({ name, index }) => ({ name, index }))
  const strayElements = elementSteps(listed, byName, devices)
  const strayLeases = leases.filter(claim => !holdsLease(byName.get(claim.holder), claim))
  const strayPorts = ports.filter(claim => !holdsPort(byName.get(claim.holder), claim))
  const strayIds = networkIds.filter(id => !networks.some(network => network.id === id))
  return [
    ...(strayLinks.length > 0
      ? [[...sameNames(context, names), { apply: { op: 'link.delete', links: strayLinks, missingOk: true } } as const]]
      : []),
    ...strayLeases.map(claim => releasePlan(context, byName.get(claim.holder), claim, leaseRelease(claim))),
    ...strayPorts.map(claim => releasePlan(context, byName.get(claim.holder), claim, portRelease(context, claim))),
    ...strayIds.map(id => forgetFolderPlan(context, layout.networkLeases(id))),
    ...emptyPorts.map(port => forgetFolderPlan(context, layout.portClaims(port))),
    ...(await store.leaseDrafts()).map(path => forgetDraftPlan(context, path)),
    ...(await store.networkDrafts()).map(name => forgetDraftPlan(context, layout.network(name))),
    ...(await store.sandboxDrafts()).map(name => forgetDraftPlan(context, layout.sandboxRecord(name), layout.sandbox(name))),
    ...(await store.changes()).filter(name => !there.has(name)).map(name => forgetChangePlan(context, name)),
    ...(strayElements.length > 0 ? [[...sameNames(context, names), ...strayElements]] : []),
  ]
}

/**
 * With everybody else kept out, and only if no folder has got another name since then: one that passed from a pool to somebody while records were
 * read may have been read under neither.
 */
function sameNames({ layout }: Context, names: readonly string[]): Plan {
  return [lockRoot(layout, 'exclusive'), { apply: { op: 'expect.names', path: layout.sandboxes, names } }]
}

/** With everybody else kept out, and only if the holder is still who it was: a claim made meanwhile is not taken away. */
function releasePlan({ layout }: Context, holder: SandboxRecord | undefined, { holder: name }: Claim, release: Op): Plan {
  const unchanged: Plan = holder ? expectRecord(layout, holder) : [{ apply: { op: 'expect.names', path: layout.sandbox(name), names: [] } }]
  return [lockRoot(layout, 'exclusive'), ...unchanged, { apply: release }]
}

function leaseRelease({ path, holder }: Claim): Op {
  return { op: 'release', path, holder }
}

function portRelease({ layout }: Context, { group, name, holder }: Claim): Op {
  const [protocol, port] = group.split('-') as [Protocol, string]
  return { op: 'port.release', folder: layout.ports, protocol, address: name, port: Number(port), holder }
}

/** A folder of claims that nobody needs any more, once there is no claim in it. With everybody else kept out: nobody is about to make one. */
function forgetFolderPlan({ layout }: Context, path: string): Plan {
  return [lockRoot(layout, 'exclusive'), { apply: { op: 'expect.names', path, names: [] } }, { apply: { op: 'folder.remove', path } }]
}

/** What was written of a record or a claim before its writer died, once nobody is writing there. `folder`: whose lock guards it, besides all. */
function forgetDraftPlan({ layout }: Context, path: string, folder?: string): Plan {
  return [
    lockRoot(layout, folder ? 'shared' : 'exclusive'),
    ...(folder ? [{ apply: { op: 'lock', path: folder, mode: 'exclusive', immediate: true } } as const] : []),
    { apply: { op: 'file.remove', path: layout.draft(path) } },
  ]
}

/** A change whose sandbox is gone, since its record could not be read. */
function forgetChangePlan({ layout }: Context, name: string): Plan {
  return [
    lockRoot(layout, 'exclusive'),
    { apply: { op: 'expect.names', path: layout.sandbox(name), names: [] } },
    { apply: { op: 'file.remove', path: layout.sandboxInChange(name) } },
  ]
}

function holdsLease(holder: SandboxRecord | undefined, { group, name }: Claim): boolean {
  return (
    holder?.endpoints.some(({ networkId, ipv4, ipv6 }) => networkId === group && (ipv4?.address === name || ipv6?.address === name)) ??
    false
  )
}

function holdsPort(holder: SandboxRecord | undefined, { group, name }: Claim): boolean {
  return holder?.ports.some(({ protocol, hostPort, hostIp }) => group === `${protocol}-${hostPort}` && hostIp === name) ?? false
}

/** Elements of sandboxes that are not there, or about ports that are not. */
function elementSteps(listed: readonly Listed[], byName: ReadonlyMap<string, SandboxRecord>, devices: ReadonlySet<string>): Step[] {
  const isStray = ({ place, comment, key: [first] }: Listed) =>
    portSets.some(one => one === place)
      ? first !== undefined && 'ifname' in first && !devices.has(first.ifname)
      : comment !== undefined && !byName.has(comment)
  return listed
    .filter(isStray)
    .map(({ place, key, end }): Step => ({ apply: { op: 'nft.element.delete', ...place, key, ...(end && { end }), missingOk: true } }))
}

type Listed = NonNullable<NftListing['elements']>[number] & { readonly place: (typeof sandboxSets)[number] }

/** Those that say whose they are. None, if a table is missing: it is made anew without them. */
async function listElements({ mechanism }: Context): Promise<readonly Listed[]> {
  const places = [...sandboxSets, ...portSets]
  try {
    const listings = await mechanism.run(places.map(place => ({ apply: { op: 'nft.list', ...place } }) as const))
    return places.flatMap((place, i) => ((listings[i] as NftListing).elements ?? []).map(element => ({ ...element, place })))
  } catch (error) {
    if (error instanceof PlanFailure && errnoName(error.errno) === 'ENOENT') return []
    throw error
  }
}
