/** Checks the network keys of Docker's daemon.json, with Docker's names and meanings. Loaded where there are some. Pure: reading a file is the caller's. */
import * as z from 'zod/mini'
import type { HostConfig } from './config.js'
import { type ErrorFields, invalid } from './errors.js'
import { bitsOf, contains, containsBlock, formatCidr, networkOf, parseCidr, parseInterface, parseIp, usableOf } from './network/cidr.js'
import { defaultPools, type Pool } from './network/pools.js'
import { driverOptions } from './validate/driver-options.js'
import {
  bindIp,
  cidr,
  dnsOption,
  type Guard,
  hostIpv4,
  hostIpv6,
  integer,
  ip,
  newIfname,
  object,
  plainData,
  present,
  searchDomain,
} from './validate/guards.js'
import { type NetworkDefaults, networkDrivers } from './validate/network-options.js'

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

const interfaceOf =
  (family: 4 | 6, example: string): Guard<string> =>
  (value, field) => {
    if (typeof value !== 'string') throw invalid(field, 'an address with a prefix length', value)
    const address = parseInterface(value, field)
    const { first, last } = usableOf(networkOf(address))
    if (address.family !== family || address.value < first.value || address.value > last.value) {
      throw invalid(field, `a host's IPv${family} address with its prefix length, such as ${example},`, value)
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

/** Driver → what its networks are told, in Docker's words. */
const networkDefaults: Guard<NetworkDefaults> = (value, field) => {
  const fields = object(value, field, networkDrivers)
  return present(Object.fromEntries(networkDrivers.map(driver => [driver, fields.optional(driver, driverOptions)])))
}

const schema = z.strictObject({
  bip: z.optional(guarded(interfaceOf(4, '172.17.0.1/16'))),
  bip6: z.optional(guarded(interfaceOf(6, 'fd00::1/64'))),
  bridge: z.optional(guarded(newIfname)),
  'fixed-cidr': z.optional(guarded(cidrOf(4))),
  'default-gateway': z.optional(guarded(hostIpv4)),
  'default-gateway-v6': z.optional(guarded(hostIpv6)),
  mtu: z.optional(guarded(integer(68, 65_535))),
  ip: z.optional(guarded(bindIp)),
  icc: z._default(z.boolean(), true),
  'ip-forward': z._default(z.boolean(), true),
  'ip-masq': z._default(z.boolean(), true),
  iptables: z._default(z.boolean(), true),
  ip6tables: z.optional(z.boolean()),
  ipv6: z._default(z.boolean(), false),
  'fixed-cidr-v6': z.optional(guarded(cidrOf(6))),
  'default-address-pools': z.optional(z.array(guarded(pool))),
  'default-network-opts': z.optional(guarded(networkDefaults)),
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
    bip6: known.bip6,
    bridge: known.bridge,
    fixedCidr: known['fixed-cidr'],
    defaultGateway: known['default-gateway'],
    defaultGatewayV6: known['default-gateway-v6'],
    mtu: known.mtu,
    ip: known.ip,
    icc: known.icc,
    ipForward: known['ip-forward'],
    ipMasq: known['ip-masq'],
    iptables: known.iptables,
    ip6tables: known.ip6tables ?? known.iptables,
    ipv6: known.ipv6,
    fixedCidrV6: known['fixed-cidr-v6'],
    defaultAddressPools: known['default-address-pools'] ?? defaultPools,
    defaultNetworkOpts: known['default-network-opts'] ?? {},
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
  const { bip, bip6, bridge, fixedCidr, fixedCidrV6, defaultGateway, defaultGatewayV6, iptables, ip6tables } = config
  if (!iptables && ip6tables) throw invalid(`${field}.ip6tables`, 'false beside iptables: false', ip6tables)
  if (bip === undefined && fixedCidr === undefined && bridge === undefined && defaultGateway !== undefined)
    throw invalid(`${field}.default-gateway`, 'bip, fixed-cidr or bridge beside it', defaultGateway)
  if (bip6 === undefined && fixedCidrV6 === undefined && bridge === undefined && defaultGatewayV6 !== undefined)
    throw invalid(`${field}.default-gateway-v6`, 'bip6, fixed-cidr-v6 or bridge beside it', defaultGatewayV6)
  const families = [
    { key: 'bip', bridgeIp: bip, ranges: ['fixed-cidr', fixedCidr], gateways: ['default-gateway', defaultGateway] },
    { key: 'bip6', bridgeIp: bip6, ranges: ['fixed-cidr-v6', fixedCidrV6], gateways: ['default-gateway-v6', defaultGatewayV6] },
  ] as const
  for (const { key, bridgeIp, ranges, gateways } of families) {
    if (bridgeIp === undefined) continue
    if (bridge !== undefined) throw invalid(`${field}.${key}`, 'no value beside bridge (which has addresses of its own)', bridgeIp)
    const subnet = networkOf(parseInterface(bridgeIp))
    const [rangeKey, range] = ranges
    if (range !== undefined && !containsBlock(subnet, parseCidr(range))) {
      throw invalid(`${field}.${rangeKey}`, `a block inside ${key}'s ${formatCidr(subnet)}`, range, { range: true })
    }
    const [gatewayKey, gateway] = gateways
    if (gateway !== undefined && !contains(subnet, parseIp(gateway))) {
      throw invalid(`${field}.${gatewayKey}`, `an address inside ${key}'s ${formatCidr(subnet)}`, gateway, { range: true })
    }
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
