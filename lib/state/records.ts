/** Records: what is written down of networks and sandboxes, and checked when it is read back. */
import * as z from 'zod/mini'

/** `creating`, `removing` and `pooled` are rolled back (or forth) by recovery when nobody holds the record's lock. */
const phase = z.enum(['creating', 'ready', 'changing', 'removing', 'pooled'])

const driver = z.enum(['bridge', 'macvlan', 'ipvlan', 'ptp'])

const subnet = z.object({
  subnet: z.string(),
  gateway: z.string(),
  range: z.optional(z.string()),
  reserved: z.optional(z.record(z.string(), z.string())),
})

const adopted = z.object({
  /** Files of the networks that were there when the device was looked at. None of them has it; another one since then might. */
  beside: z.array(z.string()),
  up: z.boolean(),
  /** It has no port, and so no MAC of its own: the one it shows has to be fixed. */
  lonely: z.boolean(),
  /** Addresses that it hasn't yet. */
  addresses: z.array(z.object({ address: z.string(), prefix: z.int() })),
  /** Settings as they were. */
  sysctls: z.record(z.string(), z.string()),
})

const networkRecord = z.object({
  version: z.literal(1),
  id: z.string().check(z.regex(/^[0-9a-f]{64}$/)),
  name: z.string(),
  phase,
  driver,
  /** The bridge, or for macvlan and ipvlan the device underneath; empty for ptp, which has none. */
  device: z.string(),
  /** The device's. */
  mac: z.string(),
  /** The host's device that leads to the LAN, where the network is one with it. */
  parent: z.optional(z.string()),
  /** `parent` is a VLAN that was made for the network, on that link of the host. */
  vlan: z.optional(z.object({ link: z.string(), id: z.int() })),
  /** What a bridge's uplink had, and gets back: addresses and routes as the ops take them. */
  uplink: z.optional(
    z.object({
      up: z.boolean(),
      addresses: z.array(
        z.object({
          address: z.string(),
          prefix: z.int(),
          broadcast: z.optional(z.string()),
          scope: z.optional(z.string()),
          noPrefixRoute: z.optional(z.boolean()),
        }),
      ),
      routes: z.array(
        z.object({
          to: z.string(),
          family: z.literal([4, 6]),
          table: z.int(),
          via: z.optional(z.string()),
          source: z.optional(z.string()),
          metric: z.optional(z.int()),
          scope: z.optional(z.string()),
          onlink: z.optional(z.boolean()),
          mtu: z.optional(z.int()),
        }),
      ),
    }),
  ),
  macvlanMode: z.optional(z.enum(['bridge', 'private', 'vepa', 'passthru'])),
  ipvlanMode: z.optional(z.enum(['l2', 'l3', 'l3s'])),
  /** The device was there before, and stays: what it has to be given for the network, and how it was found. */
  adopted: z.optional(adopted),
  mtu: z.int(),
  subnets: z.array(subnet),
  icc: z.boolean(),
  internal: z.boolean(),
  masquerade: z.boolean(),
  /** Absent: true. */
  spoofCheck: z.exactOptional(z.boolean()),
  /** Fixed outbound addresses. */
  snat: z.optional(z.array(z.string())),
  /** Default addresses of published ports. */
  bindAddress: z.optional(z.array(z.string())),
  ifnamePrefix: z.optional(z.string()),
  /** Families that no rules are written for: nothing is published or led anywhere there. */
  withoutRules: z.optional(z.array(z.union([z.literal(4), z.literal(6)]))),
  labels: z.record(z.string(), z.string()),
  /** ISO 8601 */
  created: z.string(),
})

const address = z.object({ address: z.string(), prefix: z.int(), gateway: z.optional(z.string()) })

/** How a TAP is to be made. */
const tap = {
  owner: z.optional(z.int()),
  group: z.optional(z.int()),
  vnetHdr: z.boolean(),
  multiQueue: z.boolean(),
}

const endpoint = z.object({
  network: z.string(),
  driver,
  networkId: z.string(),
  ifname: z.string(),
  /** Of the end that is on the host, where there is one. */
  hostIfname: z.optional(z.string()),
  mac: z.string(),
  mtu: z.int(),
  ipv4: z.optional(address),
  ipv6: z.optional(address),
  /** Is on the LAN itself: the gateway is the LAN's router, and no port of the host leads here. */
  lan: z.optional(z.boolean()),
  gatewayPriority: z.number(),
  aliases: z.array(z.string()),
  /** The host's addresses that answer for names there. */
  nameServers: z.optional(z.array(z.string())),
  /** Absent: true. */
  spoofCheck: z.exactOptional(z.boolean()),
  /** Of its network: default addresses of published ports. */
  bindAddress: z.optional(z.array(z.string())),
  /** It is a TAP on the host, called `hostIfname`, and `ifname` as well. */
  tap: z.exactOptional(z.object(tap)),
})

const port = z.object({
  hostIp: z.string(),
  hostPort: z.int(),
  containerPort: z.int(),
  protocol: z.enum(['tcp', 'udp', 'sctp']),
  /** Blocks that may connect, none inside another; absent: everyone. */
  allow: z.exactOptional(z.array(z.string())),
})

const bundle = z.array(port)

/** Connections to one port outside (0: to all) that go to a proxy on the host. */
const redirect = z.object({
  protocol: z.enum(['tcp', 'udp']),
  port: z.int(),
  toPort: z.int(),
  /** Absent: the host's address on the sandbox's own network. */
  toAddress: z.exactOptional(z.string()),
})

const guest = z.object({
  tap: z.string(),
  address: z.string(),
  prefix: z.int(),
  gateway: z.string(),
  ipv6: z.exactOptional(z.object({ address: z.string(), prefix: z.int(), gateway: z.string() })),
  mac: z.string(),
  gatewayMac: z.string(),
  mtu: z.int(),
  ...tap,
})

const sandboxRecord = z.object({
  version: z.literal(1),
  id: z.string().check(z.regex(/^[0-9a-f]{64}$/)),
  name: z.string(),
  phase,
  mode: z.enum(['bridge', 'host', 'container', 'none']),
  /** `container` mode: whose namespace it is. */
  shares: z.optional(z.string()),
  /**
   * owned: made by netmode and deleted with the sandbox. named: adopted, but its name in /run/netns is ours and goes with the sandbox.
   */
  netns: z.object({ path: z.string(), owned: z.boolean(), named: z.optional(z.boolean()), inode: z.optional(z.string()) }),
  /** A virtual machine in the namespace. */
  guest: z.optional(guest),
  endpoints: z.array(endpoint),
  ports: z.array(port),
  /** Files beside the record, with how many ports are in each: in memory these are the first of `ports`, on disk they are not in it. */
  shelved: z.exactOptional(z.array(z.object({ file: z.string().check(z.regex(/^ports-\d+\.json$/)), count: z.int() }))),
  redirects: z.exactOptional(z.array(redirect)),
  /** While `changing`: ports, redirects, and endpoints by their `networkId`, to be taken away if the change breaks off. */
  pending: z.optional(z.object({ ports: z.array(port), endpoints: z.array(z.string()), redirects: z.exactOptional(z.array(redirect)) })),
  hostname: z.string(),
  files: z.object({
    dns: z.array(z.string()),
    dnsSearch: z.array(z.string()),
    dnsOptions: z.array(z.string()),
    addHosts: z.array(z.string()),
  }),
  expose: z.array(z.string()),
  labels: z.record(z.string(), z.string()),
  /** The process that has to be alive for an ephemeral sandbox to stay: pid and start time. */
  ephemeral: z.optional(z.object({ pid: z.int(), started: z.string() })),
  created: z.string(),
})

export type AdoptedRecord = z.infer<typeof adopted>
export type SubnetRecord = z.infer<typeof subnet>
export type NetworkRecord = z.infer<typeof networkRecord>
export type EndpointRecord = z.infer<typeof endpoint>
export type GuestRecord = z.infer<typeof guest>
export type PortRecord = z.infer<typeof port>
export type RedirectRecord = z.infer<typeof redirect>
export type SandboxRecord = z.infer<typeof sandboxRecord>
export type Phase = z.infer<typeof phase>

/** undefined: not a record (torn, damaged, or of a later version). */
export function parseNetwork(text: string): NetworkRecord | undefined {
  return parse(networkRecord, text)
}

/** `shelf`: reads the files beside it; without one, the record has only those ports that are in it. undefined: not a record. */
export function parseSandbox(text: string, shelf?: (file: string) => string | undefined): SandboxRecord | undefined {
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
function parse<T>(schema: z.ZodMiniType<T>, text: string): T | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return schema.safeParse(value).success ? (value as T) : undefined
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

/** A record as it goes to disk. */
export function format(record: NetworkRecord | SandboxRecord): string {
  if (!('shelved' in record) || record.shelved === undefined) return `${JSON.stringify(record)}\n`
  const shelved = record.shelved.reduce((sum, { count }) => sum + count, 0)
  return `${JSON.stringify({ ...record, ports: record.ports.slice(shelved) })}\n`
}
