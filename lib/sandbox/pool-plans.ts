/** The plans of a warm pool: a sandbox all but made, in nobody's name, and what gives it to somebody. Pure. */
import type { Identity } from '../native.js'
import { driverOf } from '../network/drivers/drivers.js'
import { commonSettings } from '../network/drivers/endpoint-settings.js'
import type { KnownNetwork } from '../network/known-network.js'
import type { LinkRef, Op, Plan, Slot, Step } from '../plan/op.js'
import type { Layout } from '../state/layout.js'
import { lockRoot } from '../state/lock.js'
import { format, formatDraft, type SandboxRecord } from '../state/records.js'
import { nameSteps, resolverStep } from './files.js'
import { gatewayEndpoint } from './gateway.js'
import { slot, withLoopback } from './modes/mode.js'
import type { Ground } from './plans.js'
import { attachSteps, claimPort, forgetFlows, leaseSteps, leasesOf, linkFirewallSteps, publishSteps } from './steps.js'

/** One that can be taken. */
export interface Reserved {
  readonly record: SandboxRecord
  readonly identity: Identity
  /** Of its link: the end on the host, or one that is inside as a whole. */
  readonly linkIndex: number | undefined
  /** The host's resolv.conf that its own was made from. */
  readonly hostResolver: string
  /** What it has in common with others of its pool (take-forms.ts), so that no take has to find out. */
  readonly likeness: string
}

/** One of them, and who it is for. */
export interface Taking {
  readonly reserved: Reserved
  readonly record: SandboxRecord
}

/**
 * Makes one that is to be taken later. Its namespace has no name, so that it ends with the process; what the process holds of it
 * (`netns.keep`) goes with a lock on its folder, and an unlocked one is an orphan.
 */
export function reservePlan(
  ground: Ground,
  record: SandboxRecord,
  networks: readonly KnownNetwork[],
  networkSteps: readonly Step[],
): Step[] {
  const { layout, firewall, resolver } = ground
  const { name, endpoints } = record
  const firewallSteps = networks.some(network => driverOf(network.record).usesFirewall(network.record)) ? firewall.steps() : []
  const folder = layout.sandbox(name)
  const defaults = commonSettings(endpoints)
  const gatewaysOf = (endpoint: SandboxRecord['endpoints'][number]) =>
    ([4, 6] as const).filter(family => gatewayEndpoint(endpoints, family) === endpoint)
  return [
    lockRoot(layout, firewallSteps.length + networkSteps.length > 0 ? 'exclusive' : 'shared'),
    ...firewallSteps,
    ...networkSteps,
    { apply: { op: 'folder.create', path: folder }, undo: { op: 'folder.remove', path: folder }, journal: true },
    { apply: { op: 'lock', path: folder, mode: 'exclusive' } },
    { apply: { op: 'file.write', path: layout.sandboxRecord(name), text: format(record), how: 'create' } },
    resolverStep(folder, record, resolver.text()),
    ...endpoints.flatMap(endpoint => leaseSteps(layout, name, endpoint)),
    ...linkFirewallSteps(firewall, name, endpoints),
    { apply: { op: 'netns.create', slot, settings: defaults } },
    // All in its turn: nobody waits for it, and behind the answer the namespace is no longer the plan's.
    ...withLoopback(
      endpoints.flatMap((endpoint, i) => attachSteps(ground, name, endpoint, networks[i] as KnownNetwork, gatewaysOf(endpoint), defaults)),
    ).map(({ when: _, ...step }): Step => step),
    { apply: { op: 'netns.keep', key: name, slot } },
  ]
}

/**
 * Gives one to a sandbox that is drafted with its endpoint. The folder gets its name, with the lock and what was written beforehand. The
 * record that the pool had stays in it until the new one, which lies beside it, takes its place: the last step of all, so that nothing has
 * to take it back. `hostResolver`: the host's resolv.conf by now.
 */
export function takePlan({ layout, firewall }: Ground, taking: Taking, hostResolver: string): Plan {
  const { reserved, record } = taking
  const { name: old, endpoints } = reserved.record
  const { name } = record
  const [from, to, draft] = [layout.sandbox(old), layout.sandbox(name), layout.sandboxInMaking(old)]
  const kept = { key: old, slot }
  return [
    lockRoot(layout, 'shared'),
    { apply: { op: 'netns.take', ...kept }, undo: { op: 'netns.keep', ...kept } },
    ...endpoints.map((endpoint): Step => ({ apply: { op: 'expect.link', ...linkOf(endpoint, reserved) } })),
    // Beside the record of the pool nobody looks at it.
    { apply: { op: 'file.write', path: draft, text: formatDraft(record), how: 'unseen' }, undo: { op: 'file.remove', path: draft } },
    { apply: { op: 'file.rename', path: from, to, exclusive: true }, undo: { op: 'file.rename', path: to, to: from }, journal: true },
    { apply: { op: 'expect.absent', path: `/run/netns/${name}` } },
    ...endpoints.flatMap(endpoint => passLeases(layout, old, name, endpoint)),
    ...record.ports.map(port => claimPort(layout, name, port)),
    // Of one that nobody has taken nobody reads them.
    ...nameSteps(to, record),
    ...passResolver(to, taking, hostResolver),
    ...firewall.allowed(publishSteps(name, undefined, record)),
    ...passLinks(linkFirewallSteps(firewall, old, endpoints), name),
    ...forgetFlows(record.ports),
    { apply: { op: 'netns.attach', name, slot }, undo: { op: 'netns.delete', name, missingOk: true } },
    ...endpoints.map(endpoint => aliasStep(name, endpoint, reserved)),
    { apply: { op: 'file.rename', path: layout.sandboxInMaking(name), to: layout.sandboxRecord(name) } },
  ]
}

/** Is its resolv.conf as it has to be? */
export function keepsResolver({ reserved: { record, hostResolver }, record: { files } }: Taking, resolver: string): boolean {
  const isSame = (key: 'dns' | 'dnsSearch' | 'dnsOptions') =>
    files[key].length === record.files[key].length && files[key].every((one, i) => one === record.files[key][i])
  return hostResolver === resolver && isSame('dns') && isSame('dnsSearch') && isSame('dnsOptions')
}

function passResolver(folder: string, taking: Taking, resolver: string): Step[] {
  if (keepsResolver(taking, resolver)) return []
  const { reserved, record } = taking
  return [{ ...resolverStep(folder, record, resolver), undo: resolverStep(folder, reserved.record, reserved.hostResolver).apply }]
}

/** Lets go of what is kept: the namespaces go, and their folders are free for a removal. */
export function dropPlan(names: readonly string[]): Plan {
  return names.map(key => ({ apply: { op: 'netns.take', key, slot } }))
}

function passLeases(layout: Layout, from: string, to: string, endpoint: SandboxRecord['endpoints'][number]): Step[] {
  return leasesOf(layout, to, endpoint).map(({ path }) => ({
    apply: { op: 'claim', path, holder: to, from },
    undo: { op: 'claim', path, holder: from, from: to },
  }))
}

/** What the ruleset has about the links stays as it is, but for the name in it. */
function passLinks(links: readonly Step[], name: string): Step[] {
  const named = links.filter(({ apply }) => apply.op === 'nft.element.add' && apply.comment !== undefined)
  return [
    ...named.flatMap(({ apply, undo }): Step[] => (undo ? [{ apply: undo, undo: apply }] : [])),
    ...named.map(({ apply, undo }): Step => ({ apply: { ...apply, comment: name } as Op, ...(undo && { undo }) })),
  ]
}

/** Who it is for can be seen at the link, a moment after it is: the kernel tells many of it. What a crash leaves undone is drift, and repaired. */
function aliasStep(name: string, endpoint: SandboxRecord['endpoints'][number], reserved: Reserved): Step {
  return { apply: { op: 'link.set', ...linkOf(endpoint, reserved), alias: `netmode:${name}/${endpoint.network}` }, when: 'behind' }
}

function linkOf(endpoint: SandboxRecord['endpoints'][number], { linkIndex }: Reserved): { readonly ns?: Slot; readonly link: LinkRef } {
  const { at, link } = driverOf(endpoint).linkOf(endpoint)
  return { ...(at === 'sandbox' && { ns: slot }), link: { ...link, ...(linkIndex !== undefined && { index: linkIndex }) } }
}
