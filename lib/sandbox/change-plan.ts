/** The plans that change a live sandbox: its ports and its endpoints. Pure. */

import { driverOf } from '../network/drivers/drivers.js'
import type { KnownNetwork } from '../network/known-network.js'
import type { Part } from '../plan/form.js'
import type { Op, Plan, Step } from '../plan/op.js'
import { between, difference, endpointId } from '../state/changing.js'
import { expectRecord } from '../state/expectation.js'
import type { Layout } from '../state/layout.js'
import { lockRoot } from '../state/lock.js'
import { type EndpointRecord, format, type PortRecord, type SandboxRecord } from '../state/records.js'
import { shelve, unshelve, unshelvePending, withoutPorts } from '../state/shelf.js'
import { changedFileSteps } from './files.js'
import { addressOf, gatewayEndpoint } from './gateway.js'
import { openNamespace, slot } from './modes/mode.js'
import type { Ground } from './plans.js'
import {
  attachSteps,
  claimPort,
  deleteLinks,
  deleteLinksIn,
  forgetLinks,
  forgetMoved,
  leaseSteps,
  linkFirewallSteps,
  type Published,
  publishSteps,
  releaseLeases,
  releasePort,
  unpublishSteps,
} from './steps.js'

/** What is to become of a live sandbox. */
export interface Change {
  readonly before: SandboxRecord
  readonly after: SandboxRecord
  /** Of the record's file before, where it is known: it need not be read again then. */
  readonly version?: string | undefined
  /** Which of their ports make the difference: where there are thousands, nobody looks for them again. */
  readonly ports?: { readonly added: readonly PortRecord[]; readonly removed: readonly PortRecord[] }
  /** The network of each endpoint that is new, in their order. */
  readonly networks: readonly KnownNetwork[]
  /** What has to be made of networks first. */
  readonly networkSteps: readonly Step[]
}

/** The sandbox as it is when the plan of such a change has been run, but for the end: only `healPlan` goes on from there. */
export function begun({ layout }: Ground, { before, after }: Change): SandboxRecord {
  const { record } = shelve(layout, after)
  return between(before, record, format(record))
}

/** Does a change need `healPlan` after its own plan? */
export function isToBeFinished({ before, after }: Change): boolean {
  return difference(before.endpoints, after.endpoints, endpointId).removed.length > 0
}

/** A plan, and which of its steps writes the record. */
export interface ChangePlan<P> {
  readonly plan: P
  readonly writing: number
}

/**
 * One plan for every change: what the sandbox is to be is written down first, and becomes its record in the end. Links can't be undeleted, so
 * they come last: with the plan that deletes some the change is not done yet, and `healPlan` ends it, which whoever comes next would
 * run otherwise.
 */
export function changePlan(ground: Ground, change: Change): ChangePlan<Plan> {
  const { first, after, then } = around(ground, change)
  return { plan: [...first, writing(ground, after), ...then], writing: first.length }
}

/** The same in parts, of changes that differ in words only (change-forms.ts), and put nothing on the shelf. */
export function changeParts(ground: Ground): readonly Part<Change>[] {
  return [
    { alike: change => around(ground, change).first },
    { own: change => [writing(ground, change.after)] },
    { alike: change => around(ground, change).then },
  ]
}

/** The step that writes what the sandbox is to be. */
function writing({ layout }: Ground, after: SandboxRecord): Step {
  const path = layout.sandboxInChange(after.name)
  return { apply: { op: 'file.write', path, text: format(after), how: 'start' }, undo: { op: 'file.remove', path }, journal: true }
}

/** What comes before that, what is written, and what follows. */
function around(ground: Ground, change: Change): { readonly first: Plan; readonly after: SandboxRecord; readonly then: Plan } {
  const { before, networks, networkSteps, ports = noPorts } = change
  const { layout, firewall, resolver } = ground
  const { record: after, steps: shelving } = shelve(layout, change.after)
  const { name } = before
  const endpoints = difference(before.endpoints, after.endpoints, endpointId)
  const published = concerned(change)
  const unshelving = unshelve(layout, before, after)
  const attached = endpoints.added.length + endpoints.removed.length > 0
  const firewallSteps = networks.some(({ record }) => driverOf(record).usesFirewall(record)) ? firewall.steps() : []
  const first: Plan = [
    lockRoot(layout, firewallSteps.length + networkSteps.length > 0 ? 'exclusive' : 'shared'),
    ...firewallSteps,
    ...networkSteps,
    { apply: { op: 'lock', path: layout.sandbox(name), mode: 'exclusive' } },
    expectBefore(layout, change),
    ...shelving,
  ]
  const then: Plan = [
    ...endpoints.added.flatMap(endpoint => leaseSteps(layout, name, endpoint)),
    ...ports.added.map(port => claimPort(layout, name, port)),
    ...(attached ? [openNamespace(before.netns)] : []),
    ...linkFirewallSteps(firewall, name, endpoints.added),
    ...endpoints.added.flatMap((endpoint, i) => attachSteps(ground, name, endpoint, networks[i] as KnownNetwork, [])),
    ...defaultRoutes(before.endpoints, after.endpoints),
    ...firewall.allowed(publishSteps(name, published.before, published.after)),
    ...forgetMoved(published.before, published.after),
    ...(attached ? changedFileSteps(layout, after, resolver.text(), before) : []),
    ...ports.removed.map(port => releasePort(layout, name, port)).map(reclaimable),
    ...(endpoints.removed.length > 0
      ? [...deleteLinks(endpoints.removed), ...deleteLinksIn(slot, endpoints.removed, false)]
      : [renamed(layout, before, unshelving.length > 0), ...unshelving]),
  ]
  return { first, after, then }
}

/**
 * Puts a sandbox right whose change broke off: what was pending is taken away, all else is as the record says. `holds`: what it
 * really holds. `immediate`: fails with EWOULDBLOCK where somebody is at work.
 */
export function healPlan(ground: Ground, record: SandboxRecord, holds: Published, options: { readonly immediate?: boolean } = {}): Step[] {
  const { layout, firewall, resolver } = ground
  const { name } = record
  const { pending, ...rest } = record
  if (pending === undefined) return []
  const leaving = record.endpoints.filter(({ networkId }) => pending.endpoints.includes(networkId))
  const ours = record.endpoints.filter(endpoint => holds.endpoints.includes(endpoint) || !leaving.includes(endpoint))
  const redirects = record.redirects?.filter(one => !pending.redirects.includes(one))
  const { redirects: _, ...unredirected } = withoutPorts(rest, pending.ports)
  const { record: healed, steps: shelving } = shelve(layout, {
    ...unredirected,
    phase: 'ready',
    endpoints: record.endpoints.filter(endpoint => !leaving.includes(endpoint)),
    ...(redirects && redirects.length > 0 && { redirects }),
  })
  return [
    lockRoot(layout, 'shared'),
    { apply: { op: 'lock', path: layout.sandbox(name), mode: 'exclusive', ...options } },
    ...expectRecord(layout, record),
    // Where the ports led while both old and new endpoints were there, and where they led before: neither is to stay.
    ...firewall.allowed([...unpublishSteps(name, { ...holds, endpoints: ours }), ...publishSteps(name, undefined, healed)]),
    ...forgetMoved(record, healed),
    ...forgetMoved({ ...record, endpoints: healed.endpoints }, healed),
    ...(leaving.length > 0
      ? [
          openNamespace(record.netns),
          ...deleteLinks(leaving),
          ...deleteLinksIn(slot, leaving, true),
          ...forgetLinks(ground.firewall, name, leaving),
          // Where somebody has taken the link as well, it comes back with its routes as soon as the sandbox is ready (recovery/upkeep.ts).
          ...defaultRoutes([], healed.endpoints).map(({ apply }) => ({ apply: { ...apply, missingOk: true } as Op })),
          ...changedFileSteps(layout, healed, resolver.text(), record),
        ]
      : []),
    ...leaving.flatMap(endpoint => releaseLeases(layout, name, endpoint)),
    ...pending.ports.map(port => releasePort(layout, name, port)),
    ...shelving,
    { apply: { op: 'file.write', path: layout.sandboxRecord(name), text: format(healed), how: 'replace' } },
    { apply: { op: 'file.remove', path: layout.sandboxInChange(name) } },
    ...unshelve(layout, record, healed),
    ...unshelvePending(layout, record, pending.before),
  ]
}

/** A release that is taken back with the rest: until the record says so, what it gives up is still the sandbox's. */
function reclaimable({ apply }: Step): Step {
  return apply.op === 'port.release' ? { apply, undo: { ...apply, op: 'port.claim' } } : { apply }
}

/** The default route of each family, where another endpoint gives it now. The old one goes with its link, if that goes. */
function defaultRoutes(before: readonly EndpointRecord[], after: readonly EndpointRecord[]): Step[] {
  return ([4, 6] as const).flatMap((family): Step[] => {
    const route = (endpoint: EndpointRecord | undefined) => {
      const via = endpoint && addressOf(endpoint, family)?.gateway
      return via === undefined ? undefined : { ns: slot, to: 'default', family, via, link: { name: endpoint?.ifname ?? '' } }
    }
    const [old, next] = [gatewayEndpoint(before, family), gatewayEndpoint(after, family)]
    const [from, to] = [route(old), route(next)]
    if (to === undefined || (old && next && endpointId(old) === endpointId(next))) return []
    return [
      {
        apply: { op: 'route.replace', ...to },
        undo: from ? { op: 'route.replace', ...from } : { op: 'route.delete', ...to, missingOk: true },
      },
    ]
  })
}

function expectBefore(layout: Layout, { before, version }: Change): Step {
  const path = layout.sandboxRecord(before.name)
  return { apply: version === undefined ? { op: 'expect.unchanged', path, text: format(before) } : { op: 'expect.version', path, version } }
}

/** The change is done. `undoable`: something comes behind it that can fail. */
function renamed(layout: Layout, before: SandboxRecord, undoable: boolean): Step {
  const to = layout.sandboxRecord(before.name)
  const apply = { op: 'file.rename', path: layout.sandboxInChange(before.name), to } as const
  return undoable ? { apply, undo: { op: 'file.write', path: to, text: format(before), how: 'replace' } } : { apply }
}

const noPorts = { added: [], removed: [] }

/**
 * What decides about the elements that a change of ports is about: those ports, and others that lead to the same ports of the sandbox, since
 * they share an element. All of them where addresses change.
 */
function concerned({ before, after, ports }: Change): { readonly before: Published; readonly after: Published } {
  if (ports === undefined || before.endpoints.some(({ lan }) => lan)) return { before, after }
  const leadTo = new Set([...ports.added, ...ports.removed].map(({ containerPort }) => containerPort))
  const [only] = leadTo
  const removed = new Set(ports.removed)
  const beside = before.ports.filter(leadTo.size === 1 ? one => one.containerPort === only : one => leadTo.has(one.containerPort))
  return {
    before: { ...before, ports: beside },
    after: { ...after, ports: [...beside.filter(one => !removed.has(one)), ...ports.added] },
  }
}
