/** The network keys of Docker's daemon.json, with Docker's names, meanings and defaults. Pure: reading a file is the caller's. */
import * as z from 'zod/mini'
import { type ErrorFields, invalid } from './errors.js'
import { bitsOf, contains, containsBlock, formatCidr, networkOf, parseCidr, parseInterface, parseIp, usableOf } from './network/cidr.js'
import { defaultPools, type Pool } from './network/pools.js'
import {
  bindIp,
  cidr,
  dnsOption,
  type Guard,
  hostIpv4,
  integer,
  ip,
  newIfname,
  object,
  plainData,
  present,
  searchDomain,
} from './validate/guards.js'

/** daemon.json's keys in camelCase. What is absent is the library's to choose. */
export interface HostConfig {
  /** Address and prefix of the default network's bridge: `172.17.0.1/16`. */
  readonly bip?: string
  /** An existing bridge for the default network; `none`: there is no default network. */
  readonly bridge?: string
  /** Block that the default network's leases come from. */
  readonly fixedCidr?: string
  readonly defaultGateway?: string
  /** bytes; absent: that of the default route's device */
  readonly mtu?: number
  /** Default address that ports are published on (daemon.json's `ip`); absent: all. */
  readonly ip?: string
  readonly icc: boolean
  readonly ipForward: boolean
  readonly ipMasq: boolean
  readonly iptables: boolean
  readonly ipv6: boolean
  readonly fixedCidrV6?: string
  readonly defaultAddressPools: readonly Pool[]
  readonly dns: readonly string[]
  readonly dnsSearch: readonly string[]
  readonly dnsOpts: readonly string[]
}

/** A schema of one of our guards. It leaves the guard in the issue, to be asked again once the field's name is known. */
function guarded<T>(guard: Guard<T>) {
  return z.pipe(
    z.unknown(),
    z.transform((input, ctx): T => {
      try {
        return guard(input, '')
      } catch {
        ctx.issues.push({ code: 'custom', input, params: { guard } })
        return z.NEVER
      }
    }),
  )
}

const interfaceV4: Guard<string> = (value, field) => {
  if (typeof value !== 'string') throw invalid(field, 'an address with a prefix length', value)
  const address = parseInterface(value, field)
  const { first, last } = usableOf(networkOf(address))
  if (address.family !== 4 || address.value < first.value || address.value > last.value) {
    throw invalid(field, "a host's IPv4 address with its prefix length, such as 172.17.0.1/16,", value)
  }
  return formatCidr(address)
}

const cidrOf =
  (family: 4 | 6): Guard<string> =>
  (value, field) => {
    const text = cidr(value, field)
    if (parseCidr(text).family !== family) throw invalid(field, `an IPv${family} block`, value)
    return text
  }

const pool: Guard<Pool> = (value, field) => {
  const fields = object(value, field, ['base', 'size'])
  const base = fields.required('base', cidr)
  const { family, prefix } = parseCidr(base)
  // A subnet of one or two addresses has no room for a gateway and a sandbox.
  return { base, size: fields.required('size', integer(prefix, bitsOf(family) - 2)) }
}

const schema = z.strictObject({
  bip: z.optional(guarded(interfaceV4)),
  bridge: z.optional(guarded(newIfname)),
  'fixed-cidr': z.optional(guarded(cidrOf(4))),
  'default-gateway': z.optional(guarded(hostIpv4)),
  mtu: z.optional(guarded(integer(68, 65_535))),
  ip: z.optional(guarded(bindIp)),
  icc: z._default(z.boolean(), true),
  'ip-forward': z._default(z.boolean(), true),
  'ip-masq': z._default(z.boolean(), true),
  iptables: z._default(z.boolean(), true),
  ipv6: z._default(z.boolean(), false),
  'fixed-cidr-v6': z.optional(guarded(cidrOf(6))),
  'default-address-pools': z.optional(z.array(guarded(pool))),
  dns: z._default(z.array(guarded(ip)), []),
  'dns-search': z._default(z.array(guarded(searchDomain)), []),
  'dns-opts': z._default(z.array(guarded(dnsOption)), []),
})

/**
 * Checks the object of a daemon.json. '' and an mtu of 0 mean "not set", as in Docker's own sample.
 * Throws ERR_NETMODE_INVALID_ARGUMENT naming the key (`config.mtu`), unknown keys included.
 */
export function hostConfig(input: unknown, field = 'config'): HostConfig {
  const data = plainData(input, field)
  const set = typeof data === 'object' && data !== null && !Array.isArray(data) ? withoutUnset(data) : data
  const parsed = schema.safeParse(set)
  if (!parsed.success) throw worded(parsed.error.issues[0], set, field)
  const known = parsed.data
  const config: HostConfig = present({
    bip: known.bip,
    bridge: known.bridge,
    fixedCidr: known['fixed-cidr'],
    defaultGateway: known['default-gateway'],
    mtu: known.mtu,
    ip: known.ip,
    icc: known.icc,
    ipForward: known['ip-forward'],
    ipMasq: known['ip-masq'],
    iptables: known.iptables,
    ipv6: known.ipv6,
    fixedCidrV6: known['fixed-cidr-v6'],
    defaultAddressPools: known['default-address-pools'] ?? defaultPools,
    dns: known.dns,
    dnsSearch: known['dns-search'],
    dnsOpts: known['dns-opts'],
  })
  refuseConflicts(config, field)
  return config
}

function withoutUnset(data: object): object {
  return Object.fromEntries(Object.entries(data).filter(([key, value]) => value !== '' && !(key === 'mtu' && value === 0)))
}

function refuseConflicts(config: HostConfig, field: string): void {
  const { bip, bridge, fixedCidr, defaultGateway } = config
  if (bip === undefined) return
  if (bridge !== undefined) throw invalid(`${field}.bip`, 'no value beside bridge (which has addresses of its own)', bip)
  const subnet = networkOf(parseInterface(bip))
  if (fixedCidr !== undefined && !containsBlock(subnet, parseCidr(fixedCidr))) {
    throw invalid(`${field}.fixed-cidr`, `a block inside bip's ${formatCidr(subnet)}`, fixedCidr, { range: true })
  }
  if (defaultGateway !== undefined && !contains(subnet, parseIp(defaultGateway))) {
    throw invalid(`${field}.default-gateway`, `an address inside bip's ${formatCidr(subnet)}`, defaultGateway, { range: true })
  }
}

/** An issue of zod in the words of our guards: field, expected, received. */
function worded(issue: z.core.$ZodIssue | undefined, input: unknown, root: string): Error & ErrorFields {
  if (!issue) return invalid(root, 'a valid configuration', input)
  const received = issue.path.reduce<unknown>((value, key) => (value as Readonly<Record<PropertyKey, unknown>>)?.[key], input)
  const field = issue.path.reduce<string>((name, key) => (typeof key === 'number' ? `${name}[${key}]` : `${name}.${String(key)}`), root)
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? ''
    return invalid(`${field}.${key}`, `a known key (${Object.keys(schema.shape).join(', ')})`, key)
  }
  const guard: unknown = issue.code === 'custom' ? issue.params?.guard : undefined
  if (typeof guard === 'function') {
    try {
      guard(received, field)
    } catch (error) {
      return error as Error & ErrorFields
    }
  }
  const expected = issue.code === 'invalid_type' ? issue.expected : 'valid'
  return invalid(field, articles[expected] ?? expected, received)
}

const articles: Readonly<Record<string, string>> = {
  boolean: 'true or false',
  number: 'a number',
  array: 'an array',
  object: 'a plain object',
  string: 'a string',
}
