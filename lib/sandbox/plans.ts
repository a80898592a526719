/** The plans that make, change and remove a sandbox. Pure: from records to ops. */
import type { Firewall } from '../firewall/firewall.js'
import { type PublishedMapping, publishElements } from '../firewall/ruleset.js'
import { familyOf } from '../network/cidr.js'
import * as bridge from '../network/drivers/bridge.js'
import type { KnownNetwork } from '../network/known-network.js'
import type { Op, Step } from '../plan/op.js'
import type { Layout } from '../state/layout.js'
import { type EndpointRecord, format, type PortRecord, type SandboxRecord } from '../state/records.js'
import { fileSteps, type HostResolver } from './files.js'
import { addressOf, gatewayEndpoint } from './gateway.js'
import { bridge as bridgeMode } from './modes/bridge.js'
import { container } from './modes/container.js'
import { host } from './modes/host.js'
import { type ModeSteps, slot } from './modes/mode.js'
import { none } from './modes/none.js'

const modes: Readonly<Record<SandboxRecord['mode'], ModeSteps>> = { bridge: bridgeMode, none, host, container }

/** What plans are made with. */
export interface Ground {
  readonly layout: Layout
  readonly firewall: Firewall
  readonly resolver: HostResolver
}

/** Everybody who changes something takes the state folder's lock, shared; who changes what all stand on takes it alone. */
export function lockRoot(layout: Layout, mode: 'shared' | 'exclusive'): Step {
  return { apply: { op: 'lock', path: layout.root, mode } }
}

/** Makes a sandbox. `networkSteps` is what has to be made of networks first. */
export function createPlan(
  ground: Ground,
  record: SandboxRecord,
  networks: readonly KnownNetwork[],
  networkSteps: readonly Step[] = [],
): Step[] {
  const { layout, firewall, resolver } = ground
  const { name } = record
  const firewallSteps = networks.length > 0 ? firewall.steps() : []
  const folder = layout.sandbox(name)
  const path = layout.sandboxRecord(name)
  return [
    lockRoot(layout, firewallSteps.length + networkSteps.length > 0 ? 'exclusive' : 'shared'),
    ...(record.shares === undefined ? [] : [{ apply: { op: 'lock', path: layout.sandbox(record.shares), mode: 'shared' } } as const]),
    ...firewallSteps,
    ...networkSteps,
    { apply: { op: 'folder.create', path: folder }, undo: { op: 'folder.remove', path: folder }, journal: true },
    { apply: { op: 'lock', path: folder, mode: 'exclusive' } },
    { apply: { op: 'file.write', path, text: format(record), how: 'create' } },
    ...record.endpoints.flatMap(endpoint => leaseSteps(layout, name, endpoint)),
    ...record.ports.map(port => claimPort(layout, name, port)),
    ...(record.mode === 'bridge' || record.mode === 'none' ? fileSteps(layout, record, resolver.text(), 'create') : []),
    ...modes[record.mode].enter(record, layout),
    ...record.endpoints.flatMap((endpoint, i) => attachSteps(record, endpoint, networks[i] as KnownNetwork)),
    ...publishElements(name, [], mappings(record.endpoints, record.ports)),
    ...forgetFlows(record.ports),
    { apply: { op: 'file.write', path, text: format({ ...record, phase: 'ready' }), how: 'replace' } },
  ]
}

/** Removes sandboxes, all their links in one wait. `immediate`: fails with EWOULDBLOCK where somebody is at work. Absent parts are fine: it also ends what a crash left half done. */
export function removePlan(ground: Ground, unordered: readonly SandboxRecord[], options: { readonly immediate?: boolean } = {}): Step[] {
  const { layout } = ground
  // Everybody takes several locks in the same order, so that nobody waits for somebody who waits for them.
  const records = unordered.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const links = records.flatMap(({ endpoints }) => endpoints.map(({ hostIfname }) => ({ name: hostIfname })))
  return [
    lockRoot(layout, 'shared'),
    ...records.flatMap((record): Step[] => [
      { apply: { op: 'lock', path: layout.sandbox(record.name), mode: 'exclusive', ...options } },
      { apply: { op: 'expect.empty', path: layout.sandboxSharers(record.name) } },
      { apply: { op: 'expect.unchanged', path: layout.sandboxRecord(record.name), text: format(record) } },
    ]),
    ...records.map(
      (record): Step => ({
        apply: {
          op: 'file.write',
          path: layout.sandboxRecord(record.name),
          text: format({ ...record, phase: 'removing' }),
          how: 'replace',
        },
      }),
    ),
    ...records.flatMap(record => releaseSteps(ground, record)),
    ...(links.length > 0 ? [{ apply: { op: 'link.delete', links, missingOk: true } } as const] : []),
    ...records.flatMap(record => modes[record.mode].leave(record, layout)),
    ...records.flatMap(({ name, endpoints }) =>
      endpoints.flatMap(endpoint => leasesOf(layout, name, endpoint)).map((apply): Step => ({ apply: { ...apply, op: 'release' } })),
    ),
    ...records.map(({ name }): Step => ({ apply: { op: 'folder.remove', path: layout.sandbox(name) } })),
  ]
}

/** The published ports of a record, taken back without an undo. */
function releaseSteps({ layout }: Ground, record: SandboxRecord): Step[] {
  return [
    ...publishElements(record.name, mappings(record.endpoints, record.ports), []).map(({ apply }) => ({ apply })),
    ...forgetFlows(record.ports),
    ...record.ports.map((port): Step => ({ apply: { ...portOf(layout, record.name, port), op: 'port.release' } })),
  ]
}

/** Changes the published ports of a live sandbox from `before.ports` to `ports`. */
export function portsPlan(ground: Ground, before: SandboxRecord, ports: readonly PortRecord[]): Step[] {
  const { layout } = ground
  const { name } = before
  const path = layout.sandboxRecord(name)
  const added = ports.filter(port => !before.ports.some(samePort(port)))
  const removed = before.ports.filter(port => !ports.some(samePort(port)))
  const restore: Op = { op: 'file.write', path, text: format(before), how: 'replace' }
  return [
    lockRoot(layout, 'shared'),
    { apply: { op: 'lock', path: layout.sandbox(name), mode: 'exclusive' } },
    { apply: { op: 'expect.unchanged', path, text: format(before) } },
    // Until the change is through, the record lists every port that may be claimed: whoever cleans up after us finds them all.
    {
      apply: {
        op: 'file.write',
        path,
        text: format({ ...before, phase: 'changing', ports: [...before.ports, ...added], pending: added }),
        how: 'replace',
      },
      undo: restore,
      journal: true,
    },
    ...added.map(port => claimPort(layout, name, port)),
    ...publishElements(name, mappings(before.endpoints, before.ports), mappings(before.endpoints, ports)),
    ...forgetFlows([...added, ...removed]),
    ...removed.map(
      (port): Step => ({
        apply: { ...portOf(layout, name, port), op: 'port.release' },
        undo: { ...portOf(layout, name, port), op: 'port.claim' },
      }),
    ),
    { apply: { op: 'file.write', path, text: format({ ...before, phase: 'ready', ports: [...ports] }), how: 'replace' } },
  ]
}

/**
 * Puts a sandbox right whose change of ports did not get through: what was pending is taken back, all else is as the record
 * says. Claims that are there already and elements that are there already are fine.
 */
export function healPlan(ground: Ground, record: SandboxRecord): Step[] {
  const { layout } = ground
  const { pending = [], ...rest } = record
  const kept = record.ports.filter(port => !pending.some(samePort(port)))
  const path = layout.sandboxRecord(record.name)
  return [
    lockRoot(layout, 'shared'),
    { apply: { op: 'lock', path: layout.sandbox(record.name), mode: 'exclusive', immediate: true } },
    { apply: { op: 'expect.unchanged', path, text: format(record) } },
    ...publishElements(record.name, mappings(record.endpoints, record.ports), []).map(({ apply }) => ({ apply })),
    ...publishElements(record.name, [], mappings(record.endpoints, kept)),
    ...pending.map((port): Step => ({ apply: { ...portOf(layout, record.name, port), op: 'port.release' } })),
    { apply: { op: 'file.write', path, text: format({ ...rest, phase: 'ready', ports: kept }), how: 'replace' } },
  ]
}

/** The elements of a live sandbox's published ports, for a ruleset that is made anew. */
export function publishedSteps(record: SandboxRecord): Step[] {
  return publishElements(record.name, [], mappings(record.endpoints, record.ports))
}

function samePort(a: PortRecord): (b: PortRecord) => boolean {
  return b => a.hostIp === b.hostIp && a.hostPort === b.hostPort && a.protocol === b.protocol && a.containerPort === b.containerPort
}

function attachSteps(record: SandboxRecord, endpoint: EndpointRecord, network: KnownNetwork): Step[] {
  const gateways = ([4, 6] as const).filter(family => gatewayEndpoint(record.endpoints, family) === endpoint)
  return bridge.attachSteps({ sandbox: record.name, network: network.record, endpoint, bridgeIndex: network.deviceIndex, slot, gateways })
}

/** UDP flows outlive the rule that they met first: without this a client that goes on sending would miss a port's new or former owner. */
function forgetFlows(ports: readonly PortRecord[]): Step[] {
  return ports
    .filter(({ protocol }) => protocol === 'udp')
    .map(({ protocol, hostIp, hostPort }) => ({
      apply: {
        op: 'conntrack.flush',
        protocol,
        family: familyOf(hostIp),
        port: hostPort,
        ...(isWildcard(hostIp) ? {} : { address: hostIp }),
      },
    }))
}

function isWildcard(hostIp: string): boolean {
  return hostIp === '0.0.0.0' || hostIp === '::'
}

/** Ports with the addresses that they lead to. */
function mappings(endpoints: readonly EndpointRecord[], ports: readonly PortRecord[]): PublishedMapping[] {
  return ports.flatMap(port => {
    const family = familyOf(port.hostIp)
    const endpoint = gatewayEndpoint(endpoints, family)
    const target = endpoint && addressOf(endpoint, family)
    return target ? [{ ...port, address: target.address }] : []
  })
}

function leasesOf(layout: Layout, holder: string, { networkId, ipv4, ipv6 }: EndpointRecord) {
  return [ipv4, ipv6].filter(one => one !== undefined).map(({ address }) => ({ path: layout.lease(networkId, address), holder }))
}

function leaseSteps(layout: Layout, holder: string, endpoint: EndpointRecord): Step[] {
  return leasesOf(layout, holder, endpoint).map(lease => ({ apply: { ...lease, op: 'claim' }, undo: { ...lease, op: 'release' } }))
}

function portOf(layout: Layout, holder: string, { protocol, hostIp, hostPort }: PortRecord) {
  return { folder: layout.ports, protocol, address: hostIp, port: hostPort, holder }
}

function claimPort(layout: Layout, holder: string, port: PortRecord): Step {
  const claim = portOf(layout, holder, port)
  return { apply: { ...claim, op: 'port.claim', probe: true }, undo: { ...claim, op: 'port.release' } }
}
