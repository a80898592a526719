/** The plans that make and remove a sandbox. Pure: from records to ops. */
import type { NamespaceRef } from '../contract.js'
import type { Firewall } from '../firewall/firewall.js'
import { driverOf } from '../network/drivers/drivers.js'
import { commonSettings } from '../network/drivers/endpoint-settings.js'
import type { KnownNetwork } from '../network/known-network.js'
import { draw, type Part } from '../plan/form.js'
import type { Plan, Step } from '../plan/op.js'
import { expectRecord } from '../state/expectation.js'
import type { Layout } from '../state/layout.js'
import { lockRoot } from '../state/lock.js'
import { type EndpointRecord, formatDraft, formatRemoval, type SandboxRecord } from '../state/records.js'
import { type HostResolver, nameSteps, resolverStep } from './files.js'
import { gatewayEndpoint } from './gateway.js'
import { guestSteps } from './guest.js'
import { bridge } from './modes/bridge.js'
import { container } from './modes/container.js'
import { host } from './modes/host.js'
import type { ModeSteps } from './modes/mode.js'
import { none } from './modes/none.js'
import {
  attachSteps,
  claimPort,
  deleteLinks,
  deleteLinksInside,
  forgetFlows,
  forgetLinks,
  leaseSteps,
  linkFirewallSteps,
  type Published,
  publishSteps,
  releaseLeases,
  releasePort,
  unpublishSteps,
} from './steps.js'

const modes: Readonly<Record<SandboxRecord['mode'], ModeSteps>> = { bridge, none, host, container }

/** What plans are made with. */
export interface Ground {
  readonly layout: Layout
  readonly firewall: Firewall
  readonly resolver: HostResolver
  /** Bridge ports send frames back where they came from: what a sandbox needs to reach its own published port past br_netfilter. */
  readonly hairpin: boolean
  /** The kernel of the host has IPv6. */
  readonly ipv6: boolean
}

/** What the making of a sandbox has to know of a namespace that is there already. */
export interface Entrance {
  /** Where an adopted one is, if its record's path leads there only once it is made. */
  readonly adopted?: NamespaceRef
  /** The sandbox whose namespace is to be shared, as it was when this was drawn up. */
  readonly owner?: SandboxRecord
}

/** What the making of a sandbox has to know besides its record. */
export interface Making extends Entrance {
  /** Of its endpoints, in their order. */
  readonly networks: readonly KnownNetwork[]
  /** What has to be made of them first. */
  readonly networkSteps: readonly Step[]
}

/** Makes a sandbox. */
export function createPlan(ground: Ground, record: SandboxRecord, making: Making): Plan {
  return draw(createParts(ground, making), record)
}

/** The same in parts. Only who makes a form of them has to know in which words sandboxes that are alike differ (create-forms.ts). */
export function createParts(ground: Ground, { networks, networkSteps, adopted, owner }: Making): readonly Part<SandboxRecord>[] {
  const { layout, firewall, resolver } = ground
  const firewallSteps = networks.some(({ record }) => driverOf(record).usesFirewall(record)) ? firewall.steps() : []
  const hostResolver = resolver.remembered()
  const asRemembered = resolver.expectations()
  return [
    {
      alike: ({ name, mode, netns }) => {
        const folder = layout.sandbox(name)
        return [
          lockRoot(layout, firewallSteps.length + networkSteps.length > 0 ? 'exclusive' : 'shared'),
          ...(owner === undefined ? [] : ownerSteps(layout, owner)),
          ...firewallSteps,
          ...networkSteps,
          { apply: { op: 'folder.create', path: folder }, undo: { op: 'folder.remove', path: folder }, journal: true },
          { apply: { op: 'lock', path: folder, mode: 'exclusive' } },
          // One that broke off right before its namespace was to be made would be taken for the owner of another with its name.
          ...(netns.owned ? [{ apply: { op: 'expect.absent', path: netns.path } } as const] : []),
          ...(hasFiles(mode) ? asRemembered : []),
        ]
      },
    },
    {
      own: record => [{ apply: { op: 'file.write', path: layout.sandboxInMaking(record.name), text: formatDraft(record), how: 'create' } }],
    },
    {
      alike: ({ name, endpoints, ports }) => [
        ...endpoints.flatMap(endpoint => leaseSteps(layout, name, endpoint)),
        ...ports.map(port => claimPort(layout, name, port)),
      ],
    },
    { own: record => (hasFiles(record.mode) ? nameSteps(layout.sandbox(record.name), record) : []) },
    {
      alike: record => [
        ...(hasFiles(record.mode) ? [resolverStep(layout.sandbox(record.name), record, hostResolver)] : []),
        // Before the links are up: what a sandbox announces would be dropped otherwise.
        ...firewall.allowed(publishSteps(record.name, undefined, record)),
        ...linkFirewallSteps(firewall, record.name, record.endpoints),
        ...forgetFlows(record.ports),
      ],
    },
    // All that is above may overlap with the making of the namespace (Mechanism.order).
    {
      alike: record => {
        const { name, mode, endpoints, netns, guest } = record
        const defaults = netns.owned ? commonSettings(endpoints) : []
        const gatewaysOf = (endpoint: EndpointRecord) => ([4, 6] as const).filter(family => gatewayEndpoint(endpoints, family) === endpoint)
        const attached = endpoints.flatMap((endpoint, i) =>
          attachSteps(ground, name, endpoint, networks[i] as KnownNetwork, gatewaysOf(endpoint), defaults),
        )
        return [
          ...modes[mode].enter(record, layout, { defaults, adopted }),
          ...(modes[mode].furnish?.(record, attached) ?? attached),
          ...guestSteps(guest),
          { apply: { op: 'file.rename', path: layout.sandboxInMaking(name), to: layout.sandboxRecord(name) } },
        ]
      },
    },
  ]
}

/** Has it /etc files of its own? */
function hasFiles(mode: SandboxRecord['mode']): boolean {
  return mode === 'bridge' || mode === 'none'
}

/** Keeps the sandbox whose namespace is shared from going or changing meanwhile. */
function ownerSteps(layout: Layout, owner: SandboxRecord): Step[] {
  return [{ apply: { op: 'lock', path: layout.sandbox(owner.name), mode: 'shared' } }, ...expectRecord(layout, owner)]
}

export interface RemoveOptions {
  /** Fail with EWOULDBLOCK where somebody is at work. */
  readonly immediate?: boolean
  /** By name: what a sandbox really holds, where that may be less than its record says. */
  readonly holds?: ReadonlyMap<string, Published>
  /** Their namespaces are gone: what has such a name by now is somebody else's. */
  readonly released?: boolean
}

/** Removes sandboxes, all their links in one wait. Absent parts are fine: it also ends what a crash left half done. */
export function removePlan(
  ground: Ground,
  unordered: readonly SandboxRecord[],
  { holds, released = false, ...options }: RemoveOptions = {},
): Step[] {
  const { layout, firewall } = ground
  // Everybody takes several locks in the same order, so that nobody waits for somebody who waits for them.
  const records = unordered.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const path = (record: SandboxRecord) => layout.sandboxRecord(record.name)
  // Should this break off, the next one has to know it too.
  const leaving = released ? records.map(record => ({ ...record, netns: { path: record.netns.path, owned: false } })) : records
  return [
    lockRoot(layout, 'shared'),
    ...records.flatMap((record): Step[] => [
      { apply: { op: 'lock', path: layout.sandbox(record.name), mode: 'exclusive', ...options } },
      { apply: { op: 'expect.names', path: layout.sandboxSharers(record.name), names: [] } },
      ...expectRecord(layout, record),
    ]),
    ...leaving.map(
      (record): Step => ({
        apply: { op: 'file.write', path: path(record), text: formatRemoval(record), how: 'replace' },
      }),
    ),
    ...firewall.allowed(
      records.flatMap(record => {
        const held = holds?.get(record.name)
        return held ? unpublishSteps(record.name, held) : publishSteps(record.name, record).map(({ apply }) => ({ apply }))
      }),
    ),
    ...records.flatMap(({ ports }) => forgetFlows(ports)),
    ...records.flatMap(({ name, ports }) => ports.map(port => releasePort(layout, name, port))),
    ...deleteLinks(records.flatMap(({ endpoints }) => endpoints)),
    ...records.flatMap(deleteLinksInside),
    ...records.flatMap(({ name, endpoints }) => forgetLinks(ground.firewall, name, endpoints)),
    ...leaving.flatMap(record => modes[record.mode].leave(record, layout)),
    ...records.flatMap(({ name, endpoints }) => endpoints.flatMap(endpoint => releaseLeases(layout, name, endpoint))),
    ...records.flatMap(({ name, phase }): Step[] => (phase === 'ready' ? [] : [forgetChange(layout, name)])),
    ...records.map(({ name }): Step => ({ apply: { op: 'folder.remove', path: layout.sandbox(name) } })),
  ]
}

/** What a change that broke off has left, whose sandbox goes: until then whoever comes next has to see it. */
function forgetChange(layout: Layout, name: string): Step {
  return { apply: { op: 'file.remove', path: layout.sandboxInChange(name) } }
}
