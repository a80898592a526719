/**
 * Sandboxes in the middle of a change. The record stays as it was until the change is done: what the sandbox is to be is written into
 * `changes/` before anything else is touched, and takes the record's place as the last step. So a change writes one record, and one that lies in
 * `changes/` while nobody holds the sandbox's lock is of somebody who died.
 */
import { type EndpointRecord, type Pending, type PortRecord, parseSandbox, type RedirectRecord, type SandboxRecord } from './records.js'
import { withPorts } from './shelf.js'

/**
 * All that a sandbox had and may have by now. `text`: what lies in `changes/`. Nothing is done before all of it is there, so half a record
 * stands for no change at all; one of another sandbox was left behind when that one's record was lost.
 */
export function changing(before: SandboxRecord, text: string, shelf: (file: string) => string | undefined): SandboxRecord {
  const after = parseSandbox(text, shelf)
  return between(before, after?.id === before.id ? after : before, text)
}

/** The same, where both are known. */
export function between(before: SandboxRecord, after: SandboxRecord, text: string): SandboxRecord {
  const ports = difference(before.ports, after.ports, portId)
  const endpoints = difference(before.endpoints, after.endpoints, endpointId)
  const redirects = difference(before.redirects ?? [], after.redirects ?? [], redirectId)
  const pending: Pending = {
    ports: [...ports.added, ...ports.removed],
    endpoints: [...endpoints.added, ...endpoints.removed].map(({ networkId }) => networkId),
    redirects: [...redirects.added, ...redirects.removed],
    before,
    text,
  }
  return {
    ...withPorts(before, ports.added),
    phase: 'changing',
    endpoints: [...before.endpoints, ...endpoints.added],
    // What is pending has its files still.
    ...(after.lastShelf !== undefined && { lastShelf: after.lastShelf }),
    ...(pending.redirects.length > 0 && { redirects: [...(before.redirects ?? []), ...redirects.added] }),
    pending,
  }
}

/** What is in one list and not in the other. */
export function difference<T>(before: readonly T[], after: readonly T[], idOf: (one: T) => string) {
  const [old, wanted] = [new Set(before.map(idOf)), new Set(after.map(idOf))]
  return { added: after.filter(one => !old.has(idOf(one))), removed: before.filter(one => !wanted.has(idOf(one))) }
}

/** A sandbox has at most one endpoint on a network. */
export function endpointId({ networkId }: EndpointRecord): string {
  return networkId
}

function portId({ protocol, hostIp, hostPort, containerPort }: PortRecord): string {
  return `${protocol} ${hostIp} ${hostPort} ${containerPort}`
}

function redirectId({ protocol, port, toPort, toAddress }: RedirectRecord): string {
  return `${protocol} ${port} ${toPort} ${toAddress}`
}
