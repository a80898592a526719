/** What `sandboxes.create` and `attach` take, checked and spelled out. */
import type { EndpointOptions, Labels, Mode, NamespaceRef, PoolOptions, SandboxOptions, TakeOptions } from '../contract.js'
import { invalid } from '../errors.js'
import { type ContainerPort, exposeInputs, type PortRequest, publishInputs } from '../sandbox/port-grammar.js'
import {
  type AddHost,
  addHost,
  array,
  boolean,
  dnsOption,
  type Fields,
  type Guard,
  hostIpv4,
  hostIpv6,
  hostname,
  integer,
  ip,
  labels,
  mac,
  namespaceRef,
  networkName,
  newIfname,
  object,
  present,
  sandboxName,
  searchDomain,
} from './guards.js'
import { guestOptions, tapOptions, type ValidGuest, type ValidTap } from './guest-options.js'

export interface ValidEndpointOptions {
  readonly ip?: string
  readonly ip6?: string
  readonly mac?: string
  readonly ifname?: string
  readonly gatewayPriority: number
  readonly aliases: readonly string[]
  /** Absent: as the network has it. */
  readonly spoofCheck?: boolean
  /** A TAP on the host instead of a link in the sandbox. */
  readonly tap?: ValidTap
}

/** One network to attach to. */
export interface Attachment extends ValidEndpointOptions {
  readonly network: string
}

export interface ValidSandboxOptions {
  readonly name: string
  readonly mode: Mode
  /** Mode `container`: the sandbox whose namespace is shared. */
  readonly joins?: string
  /** Mode `bridge`: one or more; else empty. */
  readonly attachments: readonly Attachment[]
  readonly netns?: NamespaceRef
  readonly guest?: ValidGuest
  readonly publish: readonly PortRequest[]
  readonly expose: readonly ContainerPort[]
  readonly publishAll: boolean
  readonly hostname?: string
  readonly dns: readonly string[]
  readonly dnsSearch: readonly string[]
  readonly dnsOptions: readonly string[]
  readonly addHosts: readonly AddHost[]
  readonly labels: Labels
  readonly ephemeral: boolean
}

// ---------------------------------------------------------------------------------------------------- endpoints

const endpointKeys = [
  'ip',
  'ip6',
  'mac',
  'ifname',
  'gatewayPriority',
  'aliases',
  'spoofCheck',
  'tap',
] as const satisfies readonly (keyof EndpointOptions)[]
type EndpointKey = (typeof endpointKeys)[number]

/** How to attach; absent means all defaults. Throws ERR_NETMODE_INVALID_ARGUMENT. */
export function endpointOptions(input: unknown = {}, field = ''): ValidEndpointOptions {
  return readEndpoint(object(input, field, endpointKeys))
}

function readEndpoint(fields: Fields<EndpointKey>): ValidEndpointOptions {
  if (fields.has('tap') && fields.has('ifname'))
    throw invalid(fields.path('ifname'), "no value beside tap (a TAP's name on the host is drawn by lot)", fields.raw('ifname'))
  return present({
    ip: fields.optional('ip', hostIpv4),
    ip6: fields.optional('ip6', hostIpv6),
    mac: fields.optional('mac', mac),
    ifname: fields.optional('ifname', newIfname),
    gatewayPriority: fields.optional('gatewayPriority', integer(-(2 ** 31), 2 ** 31 - 1)) ?? 0,
    aliases: [...new Set(fields.optional('aliases', array(hostname)) ?? [])],
    spoofCheck: fields.optional('spoofCheck', boolean),
    tap: fields.optional('tap', tapOptions),
  })
}

const attachment: Guard<Attachment> = (value, field) => {
  const fields = object(value, field, ['network', ...endpointKeys])
  return { network: fields.required('network', networkName), ...readEndpoint(fields) }
}

// ---------------------------------------------------------------------------------------------------- sandboxes

const sandboxKeys = [
  'name',
  'network',
  'networks',
  ...endpointKeys,
  'netns',
  'guest',
  'publish',
  'expose',
  'publishAll',
  'hostname',
  'dns',
  'dnsSearch',
  'dnsOptions',
  'addHosts',
  'labels',
  'ephemeral',
] as const satisfies readonly (keyof SandboxOptions)[]
type SandboxKey = (typeof sandboxKeys)[number]

const ips = array(ip)
const searchDomains = array(searchDomain)
const resolverOptions = array(dnsOption)
const hostLines = array(addHost)

/** All of `docker run`'s network options. Throws ERR_NETMODE_INVALID_ARGUMENT naming the field, conflicts included. */
export function sandboxOptions(input: unknown): ValidSandboxOptions {
  return readSandbox(object(input, '', sandboxKeys), targetOf)
}

function readSandbox(fields: Fields<SandboxKey>, targetOf: (fields: Fields<SandboxKey>) => Target): ValidSandboxOptions {
  const name = fields.required('name', sandboxName)
  const target = targetOf(fields)
  refuseInMode(fields, target.mode)
  if (target.joins === name) throw invalid('network', 'another sandbox than itself', fields.raw('network'))
  if (fields.has('guest') && fields.has('netns'))
    throw invalid('guest', 'no value beside netns (what a guest needs goes with a namespace of its own)', fields.raw('guest'))
  const guest = fields.optional('guest', guestOptions)
  if (target.attachments.some(({ ifname }) => ifname !== undefined && ifname === guest?.tap))
    throw invalid('guest.tap', 'another name than the interfaces have', guest?.tap)
  return present({
    name,
    ...target,
    netns: fields.optional('netns', namespaceRef),
    guest,
    publish: fields.optional('publish', publishList) ?? [],
    expose: fields.optional('expose', exposeInputs) ?? [],
    publishAll: fields.optional('publishAll', boolean) ?? false,
    hostname: fields.optional('hostname', hostname),
    dns: fields.optional('dns', ips) ?? [],
    dnsSearch: fields.optional('dnsSearch', searchDomains) ?? [],
    dnsOptions: fields.optional('dnsOptions', resolverOptions) ?? [],
    addHosts: fields.optional('addHosts', hostLines) ?? [],
    labels: fields.optional('labels', labels) ?? {},
    ephemeral: fields.optional('ephemeral', boolean) ?? false,
  })
}

const poolKeys = ['size', 'network'] as const satisfies readonly (keyof PoolOptions)[]

const pooledNetwork: Guard<string> = (value, field) => (value === 'none' ? value : networkName(value, field))

/** Throws ERR_NETMODE_INVALID_ARGUMENT. */
export function poolOptions(input: unknown): { readonly size: number; readonly network: string } {
  const fields = object(input, '', poolKeys)
  return { size: fields.required('size', integer(1, 1000)), network: fields.optional('network', pooledNetwork) ?? 'bridge' }
}

const takeKeys = [
  ...(['name', 'publish', 'expose', 'publishAll', 'hostname', 'dns', 'dnsSearch', 'dnsOptions', 'addHosts', 'labels'] as const),
  ...(['ephemeral', 'aliases'] as const),
] satisfies readonly (keyof TakeOptions)[]

/** What is taken from a pool on `network`, as `create` would be asked for it. */
export function takeOptions(input: unknown, network: string): ValidSandboxOptions {
  const target = (fields: Fields<SandboxKey>): Target =>
    network === 'none' ? { mode: 'none', attachments: [] } : { mode: 'bridge', attachments: [{ network, ...readEndpoint(fields) }] }
  return readSandbox(object<SandboxKey>(input, '', takeKeys), target)
}

const publishList: Guard<readonly PortRequest[]> = (value, field) => {
  if (!Array.isArray(value)) throw invalid(field, 'an array of ports', value)
  return publishInputs(value, field)
}

interface Target {
  readonly mode: Mode
  readonly joins?: string
  readonly attachments: readonly Attachment[]
}

/** `network` or `networks` as a mode and what to attach to. */
function targetOf(fields: Fields<SandboxKey>): Target {
  if (fields.has('networks')) {
    for (const key of ['network', ...endpointKeys] as const) {
      if (fields.has(key)) throw invalid(key, 'no value beside networks', fields.raw(key))
    }
    return { mode: 'bridge', attachments: fields.required('networks', attachmentList) }
  }
  const network = fields.optional('network', networkOrMode) ?? 'bridge'
  if (network === 'host' || network === 'none') return { mode: network, attachments: [] }
  if (network.startsWith('container:')) return { mode: 'container', joins: network.slice('container:'.length), attachments: [] }
  return { mode: 'bridge', attachments: [{ network, ...readEndpoint(fields) }] }
}

const networkOrMode: Guard<string> = (value, field) => {
  if (value === 'host' || value === 'none') return value
  if (typeof value !== 'string' || !value.startsWith('container:')) return networkName(value, field)
  sandboxName(value.slice('container:'.length), field)
  return value
}

const attachmentList: Guard<readonly Attachment[]> = (value, field) => {
  const list = array(attachment)(value, field)
  if (list.length === 0) throw invalid(field, "at least one network (network: 'none' for a sandbox without)", value)
  for (const key of ['network', 'ifname', 'mac'] as const) {
    const twice = list.findIndex((one, i) => one[key] !== undefined && list.findIndex(other => other[key] === one[key]) < i)
    if (twice >= 0) throw invalid(`${field}[${twice}].${key}`, `each ${key} once`, list[twice]?.[key])
  }
  return list
}

// ---------------------------------------------------------------------------------------------------- conflicts

const ofTheEndpoint = endpointKeys
const ofTheFiles = ['hostname', 'dns', 'dnsSearch', 'dnsOptions', 'addHosts'] as const
const ofThePorts = ['publish', 'expose', 'publishAll'] as const

/** Why an option means nothing in a mode. Docker warns about some of these and ignores them; a clear error is kinder. */
const refused: Readonly<Record<Mode, readonly { readonly keys: readonly SandboxKey[]; readonly why: string }[]>> = {
  bridge: [],
  none: [
    { keys: ofThePorts, why: 'network none: nothing reaches a sandbox that has only a loopback device' },
    { keys: ofTheEndpoint, why: 'network none: there is no endpoint to give it to' },
  ],
  host: [
    { keys: ofThePorts, why: "network host: the sandbox's ports are the host's own already" },
    { keys: ofTheEndpoint, why: "network host: interfaces and addresses are the host's own" },
    { keys: ofTheFiles, why: "network host: names and resolver are the host's own" },
    { keys: ['netns', 'guest'], why: "network host: the namespace is the host's own" },
  ],
  container: [
    { keys: ofThePorts, why: 'network container: publish on the sandbox whose namespace is shared' },
    { keys: ofTheEndpoint, why: 'network container: addresses belong to the sandbox whose namespace is shared' },
    { keys: ofTheFiles, why: 'network container: they belong to the sandbox whose namespace is shared' },
    { keys: ['netns', 'guest'], why: "network container: the namespace is the other sandbox's" },
  ],
}

function refuseInMode(fields: Fields<SandboxKey>, mode: Mode): void {
  for (const { keys, why } of refused[mode]) {
    const key = keys.find(one => fields.has(one) && !asksNothing(fields.raw(one)))
    if (key !== undefined) throw invalid(key, `no value (${why})`, fields.raw(key))
  }
}

/** `publish: []` and `publishAll: false` are what every mode does. Still checked by their guards afterwards. */
function asksNothing(value: unknown): boolean {
  return value === false || (Array.isArray(value) && value.length === 0)
}
