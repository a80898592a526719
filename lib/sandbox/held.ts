/** What a sandbox really holds of what its record lists, when its making, change or removal broke off. */
import { readlink } from 'node:fs/promises'

import type { Layout } from '../state/layout.js'
import type { EndpointRecord, PortRecord, SandboxRecord } from '../state/records.js'
import { leasesOf, type Published } from './steps.js'

/**
 * The ports and endpoints whose claims are the sandbox's. What it had not claimed yet, or has given back already, may be another's
 * by now, and so may be what the ruleset says of it. True for as long as the record is unchanged.
 */
export async function held(layout: Layout, record: SandboxRecord): Promise<Published> {
  if (record.phase === 'ready') return record
  const { name, ports, endpoints } = record
  const isOurs = async (path: string) => (await readlink(path).catch(() => undefined)) === name
  const holdsPort = ({ protocol, hostIp, hostPort }: PortRecord) => isOurs(layout.port(protocol, hostPort, hostIp))
  const holdsLeases = async (endpoint: EndpointRecord) =>
    (await Promise.all(leasesOf(layout, name, endpoint).map(({ path }) => isOurs(path)))).every(Boolean)
  const { redirects = [] } = record
  return { ports: await filter(ports, holdsPort), endpoints: await filter(endpoints, holdsLeases), redirects }
}

async function filter<T>(items: readonly T[], test: (item: T) => Promise<boolean>): Promise<T[]> {
  const passed = await Promise.all(items.map(test))
  return items.filter((_, i) => passed[i])
}
