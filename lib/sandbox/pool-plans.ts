/** The plans of a warm pool: a sandbox all but made, in nobody's name, and what gives it to somebody. Pure. */
import { driverOf } from '../network/drivers/drivers.js'
import { commonSettings } from '../network/drivers/endpoint-settings.js'
import type { KnownNetwork } from '../network/known-network.js'
import type { Plan, Step } from '../plan/op.js'
import type { Layout } from '../state/layout.js'
import { lockRoot } from '../state/lock.js'
import { format, formatDraft, type SandboxRecord } from '../state/records.js'
import { fileSteps } from './files.js'
import { gatewayEndpoint } from './gateway.js'
import { slot, withLoopback } from './modes/mode.js'
import type { Ground } from './plans.js'
import { attachSteps, claimPort, forgetFlows, forgetLinks, leaseSteps, leasesOf, linkFirewallSteps, publishSteps } from './steps.js'

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
  const { layout, firewall } = ground
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

/** Gives one to a sandbox that is drafted with its endpoint. Both records are there until it is done. */
export function takePlan(ground: Ground, record: SandboxRecord, reserved: SandboxRecord, linkIndex: number | undefined): Step[] {
  const { layout, firewall, resolver } = ground
  const { name, endpoints } = record
  const folder = layout.sandbox(name)
  const draft = layout.sandboxInMaking(name)
  const kept = { key: reserved.name, slot }
  const old = { folder: layout.sandbox(reserved.name), record: layout.sandboxRecord(reserved.name) }
  return [
    lockRoot(layout, 'shared'),
    { apply: { op: 'folder.create', path: folder }, undo: { op: 'folder.remove', path: folder }, journal: true },
    { apply: { op: 'lock', path: folder, mode: 'exclusive' } },
    { apply: { op: 'expect.absent', path: record.netns.path } },
    { apply: { op: 'file.write', path: draft, text: formatDraft(record), how: 'create' } },
    ...record.ports.map(port => claimPort(layout, name, port)),
    ...fileSteps(layout, record, resolver.text()),
    { apply: { op: 'netns.take', ...kept }, undo: { op: 'netns.keep', ...kept } },
    ...endpoints.flatMap(endpoint => passLeases(layout, reserved.name, name, endpoint)),
    ...firewall.allowed(publishSteps(name, undefined, record)),
    ...passLinks(ground, reserved, record),
    ...forgetFlows(record.ports),
    { apply: { op: 'netns.attach', name, slot }, undo: { op: 'netns.delete', name, missingOk: true } },
    ...endpoints.map(endpoint => aliasStep(name, endpoint, linkIndex)),
    // The old record goes before the new one is ready: recovery would remove the links that it speaks of.
    { apply: { op: 'file.remove', path: old.record }, undo: { op: 'file.write', path: old.record, text: format(reserved), how: 'create' } },
    { apply: { op: 'folder.remove', path: old.folder }, undo: { op: 'folder.create', path: old.folder } },
    { apply: { op: 'file.rename', path: draft, to: layout.sandboxRecord(name) } },
  ]
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
function passLinks({ firewall }: Ground, from: SandboxRecord, to: SandboxRecord): Step[] {
  const old = linkFirewallSteps(firewall, from.name, from.endpoints)
  return [
    ...forgetLinks(firewall, from.name, from.endpoints).map(({ apply }, i): Step => ({ apply, ...(old[i] && { undo: old[i].apply }) })),
    ...linkFirewallSteps(firewall, to.name, to.endpoints),
  ]
}

function aliasStep(name: string, endpoint: SandboxRecord['endpoints'][number], index: number | undefined): Step {
  const { at, link } = driverOf(endpoint).linkOf(endpoint)
  return {
    apply: {
      op: 'link.set',
      ...(at === 'sandbox' && { ns: slot }),
      link: { ...link, ...(index !== undefined && { index }) },
      alias: `netmode:${name}/${endpoint.network}`,
    },
  }
}
