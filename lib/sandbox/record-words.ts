/**
 * What records of sandboxes differ in that are alike, and a record with none of that: their plans are written once, and filled in
 * (plan/form.ts). Pure.
 */
import { formatIp, networkOf, parseInterface } from '../network/cidr.js'
import { macOfIpv4 } from '../network/mac.js'
import type { PortRecord, SandboxRecord } from '../state/records.js'

/** What publishes more ports is drawn up each time. */
const mostPorts = 4
/** Beyond what a port can be, with as many digits each. */
const noPort = 1_000_000_000

/** A character without a meaning, for each number up to some thousands: no text has it, and JSON writes it as it is. */
export function blank(n: number): string {
  return String.fromCharCode(0xe000 + n)
}

/** Has it one endpoint, with IPv4 alone? */
export function hasOneEndpoint({ endpoints }: SandboxRecord): boolean {
  const [endpoint] = endpoints
  return endpoints.length === 1 && endpoint?.hostIfname !== undefined && endpoint.ipv4 !== undefined && endpoint.ipv6 === undefined
}

/** Does it say nothing of its own but the words? Of `web.example.com` the hosts file says more. */
export function hasWordsOnly({ name, hostname, endpoints, files, expose, labels }: SandboxRecord): boolean {
  return (
    hostname === name &&
    !name.includes('.') &&
    endpoints.every(({ aliases }) => aliases.length === 0) &&
    files.addHosts.length === 0 &&
    expose.length === 0 &&
    Object.keys(labels).length === 0
  )
}

/** Are they few, for everybody, and does each lead to a port of its own? Two that lead to one share an element. */
export function areOrdinary(ports: readonly PortRecord[]): boolean {
  return (
    ports.length <= mostPorts &&
    ports.every((one, i) => one.allow === undefined && ports.findIndex(other => other.containerPort === one.containerPort) === i)
  )
}

/** The same for ports that differ in words only. */
export function kindOf(ports: readonly PortRecord[]): string {
  return ports.map(({ protocol, hostIp }) => `${protocol} ${hostIp}`).join()
}

/** What differs, of one with one endpoint. */
export function wordsOf({ id, name, created, endpoints: [endpoint], ports }: SandboxRecord): string[] {
  const words = [id, name, created, endpoint?.hostIfname ?? '', endpoint?.mac ?? '', endpoint?.ipv4?.address ?? '']
  for (const { hostPort, containerPort } of ports) words.push(String(hostPort), String(containerPort))
  return words
}

/** One with words that no text has, and an address that no sandbox has; undefined where there is no such address. */
export function blankOf(record: SandboxRecord): SandboxRecord | undefined {
  const [endpoint] = record.endpoints
  const ipv4 = endpoint?.ipv4
  if (endpoint?.hostIfname === undefined || ipv4 === undefined) return undefined
  const address = formatIp(networkOf(parseInterface(`${ipv4.address}/${ipv4.prefix}`)))
  if (address === ipv4.address || address === ipv4.gateway) return undefined
  const name = blank(1)
  return {
    ...record,
    id: blank(0),
    name,
    created: blank(2),
    ...(record.hostname === record.name && { hostname: name }),
    netns: { path: `/run/netns/${name}`, owned: true },
    endpoints: [{ ...endpoint, hostIfname: blank(3), mac: macOfIpv4(address), ipv4: { ...ipv4, address } }],
    ports: record.ports.map((port, i) => ({ ...port, hostPort: noPort + 2 * i, containerPort: noPort + 2 * i + 1 })),
  }
}
