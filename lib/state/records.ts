/** Records: what is written down of networks and sandboxes, and checked when it is read back. */
import * as shape from './shape.js'

/** `creating`, `removing` and `pooled` are rolled back (or forth) by recovery when nobody holds the record's lock. */
const phase = shape.oneOf('creating', 'ready', 'removing', 'pooled')

const driver = shape.oneOf('bridge', 'macvlan', 'ipvlan', 'ptp')

const subnet = shape.object({
  subnet: shape.text,
  gateway: shape.text,
  range: shape.optional(shape.text),
  reserved: shape.optional(shape.table(shape.text)),
})

const adopted = shape.object({
  /** Files of the networks that were there when the device was looked at. None of them has it; another one since then might. */
  beside: shape.list(shape.text),
  up: shape.flag,
  /** It has no port, and so no MAC of its own: the one it shows has to be fixed. */
  lonely: shape.flag,
  /** Addresses that it hasn't yet. */
  addresses: shape.list(shape.object({ address: shape.text, prefix: shape.integer })),
  /** Settings as they were. */
  sysctls: shape.table(shape.text),
})

const networkRecord = shape.object({
  version: shape.oneOf(1),
  id: shape.matching(/^[0-9a-f]{64}$/),
  name: shape.text,
  phase,
  driver,
  /** The bridge, or for macvlan and ipvlan the device underneath; empty for ptp, which has none. */
  device: shape.text,
  /** The device's. */
  mac: shape.text,
  /** The host's device that leads to the LAN, where the network is one with it. */
  parent: shape.optional(shape.text),
  /** `parent` is a VLAN that was made for the network, on that link of the host. */
  vlan: shape.optional(shape.object({ link: shape.text, id: shape.integer })),
  /** What a bridge's uplink had, and gets back: addresses and routes as the ops take them. */
  uplink: shape.optional(
    shape.object({
      up: shape.flag,
      addresses: shape.list(
        shape.object({
          address: shape.text,
          prefix: shape.integer,
          broadcast: shape.optional(shape.text),
          scope: shape.optional(shape.text),
          noPrefixRoute: shape.optional(shape.flag),
        }),
      ),
      routes: shape.list(
        shape.object({
          to: shape.text,
          family: shape.oneOf(4, 6),
          table: shape.integer,
          via: shape.optional(shape.text),
          source: shape.optional(shape.text),
          metric: shape.optional(shape.integer),
          scope: shape.optional(shape.text),
          onlink: shape.optional(shape.flag),
          mtu: shape.optional(shape.integer),
        }),
      ),
    }),
  ),
  macvlanMode: shape.optional(shape.oneOf('bridge', 'private', 'vepa', 'passthru')),
  ipvlanMode: shape.optional(shape.oneOf('l2', 'l3', 'l3s')),
  /** The device was there before, and stays: what it has to be given for the network, and how it was found. */
  adopted: shape.optional(adopted),
  mtu: shape.integer,
  subnets: shape.list(subnet),
  icc: shape.flag,
  internal: shape.flag,
  masquerade: shape.flag,
  /** Absent: true. */
  spoofCheck: shape.absentOr(shape.flag),
  /** Fixed outbound addresses. */
  snat: shape.optional(shape.list(shape.text)),
  /** Default addresses of published ports. */
  bindAddress: shape.optional(shape.list(shape.text)),
  ifnamePrefix: shape.optional(shape.text),
  /** Families that no rules are written for: nothing is published or led anywhere there. */
  withoutRules: shape.optional(shape.list(shape.oneOf(4, 6))),
  labels: shape.table(shape.text),
  /** ISO 8601 */
  created: shape.text,
})

const address = shape.object({ address: shape.text, prefix: shape.integer, gateway: shape.optional(shape.text) })

/** How a TAP is to be made. */
const tap = {
  owner: shape.optional(shape.integer),
  group: shape.optional(shape.integer),
  vnetHdr: shape.flag,
  multiQueue: shape.flag,
}

const endpoint = shape.object({
  network: shape.text,
  driver,
  networkId: shape.text,
  ifname: shape.text,
  /** Of the end that is on the host, where there is one. */
  hostIfname: shape.optional(shape.text),
  mac: shape.text,
  mtu: shape.integer,
  ipv4: shape.optional(address),
  ipv6: shape.optional(address),
  /** Is on the LAN itself: the gateway is the LAN's router, and no port of the host leads here. */
  lan: shape.optional(shape.flag),
  gatewayPriority: shape.number,
  aliases: shape.list(shape.text),
  /** The host's addresses that answer for names there. */
  nameServers: shape.optional(shape.list(shape.text)),
  /** Absent: true. */
  spoofCheck: shape.absentOr(shape.flag),
  /** Of its network: default addresses of published ports. */
  bindAddress: shape.optional(shape.list(shape.text)),
  /** It is a TAP on the host, called `hostIfname`, and `ifname` as well. */
  tap: shape.absentOr(shape.object(tap)),
})

const port = shape.object({
  hostIp: shape.text,
  hostPort: shape.integer,
  containerPort: shape.integer,
  protocol: shape.oneOf('tcp', 'udp', 'sctp'),
  /** Blocks that may connect, none inside another; absent: everyone. */
  allow: shape.absentOr(shape.list(shape.text)),
})

const bundle = shape.list(port)

/** Connections to one port outside (0: to all) that go to a proxy on the host. */
const redirect = shape.object({
  protocol: shape.oneOf('tcp', 'udp'),
  port: shape.integer,
  toPort: shape.integer,
  /** Absent: the host's address on the sandbox's own network. */
  toAddress: shape.absentOr(shape.text),
})

const guest = shape.object({
  tap: shape.text,
  address: shape.text,
  prefix: shape.integer,
  gateway: shape.text,
  ipv6: shape.absentOr(shape.object({ address: shape.text, prefix: shape.integer, gateway: shape.text })),
  mac: shape.text,
  gatewayMac: shape.text,
  mtu: shape.integer,
  ...tap,
})

const sandboxRecord = shape.object({
  version: shape.oneOf(1),
  id: shape.matching(/^[0-9a-f]{64}$/),
  name: shape.text,
  phase,
  mode: shape.oneOf('bridge', 'host', 'container', 'none'),
  /** `container` mode: whose namespace it is. */
  shares: shape.optional(shape.text),
  /**
   * owned: made by netmode and deleted with the sandbox. named: adopted, but its name in /run/netns is ours and goes with the sandbox.
   */
  netns: shape.object({ path: shape.text, owned: shape.flag, named: shape.optional(shape.flag), inode: shape.optional(shape.text) }),
  /** A virtual machine in the namespace. */
  guest: shape.optional(guest),
  endpoints: shape.list(endpoint),
  ports: shape.list(port),
  /** Files beside the record, with how many ports are in each: in memory these are the first of `ports`, on disk they are not in it. */
  shelved: shape.absentOr(shape.list(shape.object({ file: shape.matching(/^ports-\d+\.json$/), count: shape.integer }))),
  /** The highest number of such a file so far. None has the name of an earlier one: the same text in a record always means the same ports. */
  lastShelf: shape.absentOr(shape.integer),
  redirects: shape.absentOr(shape.list(redirect)),
  hostname: shape.text,
  files: shape.object({
    dns: shape.list(shape.text),
    dnsSearch: shape.list(shape.text),
    dnsOptions: shape.list(shape.text),
    addHosts: shape.list(shape.text),
  }),
  expose: shape.list(shape.text),
  labels: shape.table(shape.text),
  /** The process that has to be alive for an ephemeral sandbox to stay: pid and start time. */
  ephemeral: shape.optional(shape.object({ pid: shape.integer, started: shape.text })),
  created: shape.text,
})

export type AdoptedRecord = shape.Infer<typeof adopted>
export type SubnetRecord = shape.Infer<typeof subnet>
export type NetworkRecord = shape.Infer<typeof networkRecord>
export type EndpointRecord = shape.Infer<typeof endpoint>
export type GuestRecord = shape.Infer<typeof guest>
export type PortRecord = shape.Infer<typeof port>
export type RedirectRecord = shape.Infer<typeof redirect>
export type WrittenSandbox = shape.Infer<typeof sandboxRecord>
/** As it is written; or `changing`, with all that the sandbox had and may have by now (state/changing.ts). */
export type SandboxRecord = Omit<WrittenSandbox, 'phase'> & {
  readonly phase: WrittenSandbox['phase'] | 'changing'
  readonly pending?: Pending
}

/** What of a sandbox is to be taken away if its change breaks off: what was being added, and what was being removed. */
export interface Pending {
  readonly ports: readonly PortRecord[]
  /** By their networks' ids. */
  readonly endpoints: readonly string[]
  readonly redirects: readonly RedirectRecord[]
  /** The record as it is written, and what lies in `changes/`. */
  readonly before: SandboxRecord
  readonly text: string
}

/** undefined: not a record (torn, damaged, or of a later version). */
export function parseNetwork(text: string): NetworkRecord | undefined {
  return parse(networkRecord, text)
}

/** `shelf`: reads the files beside it; without one, the record has only those ports that are in it. undefined: not a record. */
export function parseSandbox(text: string, shelf?: (file: string) => string | undefined): WrittenSandbox | undefined {
  const record = parse(sandboxRecord, text)
  if (record?.shelved === undefined || shelf === undefined) return record
  const bundles = record.shelved.map(({ file, count }) => {
    const ports = parse(bundle, shelf(file) ?? '')
    return ports?.length === count ? ports : undefined
  })
  if (bundles.includes(undefined)) return undefined
  return { ...record, ports: [...bundles.flatMap(ports => ports ?? []), ...record.ports] }
}

/** Answers the object as it was written, not the schema's copy of it: `format` then gives the very same text again. */
function parse<T>(isOne: shape.Shape<T>, text: string): T | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isOne(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** A record of a sandbox that is still being made, from what `formatDraft` wrote. */
export function asDraft(record: SandboxRecord): SandboxRecord {
  return { ...record, phase: 'creating' }
}

/** The record of a sandbox that is being made, as it is to be read when it is ready: then only the file gets another name. */
export function formatDraft(record: SandboxRecord): string {
  return format({ ...record, phase: 'ready' })
}

/** The record of a sandbox that is being removed, with all that it may have if a change of it broke off. */
export function formatRemoval({ pending: _, ...record }: SandboxRecord): string {
  return format({ ...record, phase: 'removing' })
}

/** A record as it goes to disk. */
export function format(record: NetworkRecord | SandboxRecord): string {
  if (!('shelved' in record) || record.shelved === undefined) return `${JSON.stringify(record)}\n`
  const shelved = record.shelved.reduce((sum, { count }) => sum + count, 0)
  return `${JSON.stringify({ ...record, ports: record.ports.slice(shelved) })}\n`
}
