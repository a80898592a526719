import { type ChildProcess, execFile, type SpawnOptions, spawn } from 'node:child_process'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** The environment for tools: without a sanitizer's preload, which is meant for Node alone. */
function toolEnvironment(): NodeJS.ProcessEnv {
  const { LD_PRELOAD: _, ...rest } = process.env
  return rest
}

/** Runs a tool and answers its stdout; a failure rejects with the command and what it wrote to stderr. */
export async function run(command: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await execute(command, [...args], { env: toolEnvironment(), maxBuffer: 1 << 28 })
    return stdout
  } catch (error) {
    const { stderr = '', code } = error as { stderr?: string; code?: unknown }
    throw new Error(`${command} ${args.join(' ')} failed (${String(code)}): ${stderr.trim()}`, { cause: error })
  }
}

/** All that netmode may change, in a form in which equal means unchanged: no counters, timers, indexes or handles. */
export interface Dump {
  readonly links: readonly unknown[]
  readonly addresses: readonly unknown[]
  readonly routes: readonly unknown[]
  readonly rules: readonly unknown[]
  readonly neighbors: readonly unknown[]
  readonly ruleset: readonly unknown[]
  /** Names in /run/netns. */
  readonly namespaces: readonly string[]
  /** Path below the state folder → content. Empty without a state folder. */
  readonly state: Readonly<Record<string, string>>
}

/** A namespace of a test, with the tools to look at it and to use it. Made by `freshNamespace` and `freshHost`. */
export class PrivateNamespace {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }

  /** For `openHost({ netns })` and `sandboxes.create({ netns })`. */
  get netns(): string {
    return `/run/netns/${this.name}`
  }

  /** Runs a command in this namespace (the file system stays the test's) and answers its stdout. */
  run(command: string, ...args: string[]): Promise<string> {
    return run('nsenter', [`--net=${this.netns}`, '--', command, ...args])
  }

  /** True when the command ends with status 0: for what may be refused, such as `ping` and `nc`. */
  async succeeds(command: string, ...args: string[]): Promise<boolean> {
    return this.run(command, ...args).then(
      () => true,
      () => false,
    )
  }

  /** Starts a command in this namespace; the caller ends it. */
  spawn(command: string, args: readonly string[] = [], options: SpawnOptions = {}): ChildProcess {
    return spawn('nsenter', [`--net=${this.netns}`, '--', command, ...args], { env: toolEnvironment(), ...options })
  }

  /** `ip -n NAME …`; answers stdout. */
  ip(...args: string[]): Promise<string> {
    return run('ip', ['-n', this.name, ...args])
  }

  /** `ip -n NAME -j …`, parsed. */
  async ipJson(...args: string[]): Promise<readonly Record<string, unknown>[]> {
    return parseList(await run('ip', ['-n', this.name, '-j', ...args]))
  }

  /** `nft …` in this namespace; answers stdout. */
  nft(...args: string[]): Promise<string> {
    return this.run('nft', ...args)
  }

  /** The sysctl's value, for instance `net.ipv4.ip_forward`. */
  async sysctl(key: string): Promise<string> {
    return (await this.run('cat', `/proc/sys/${key.replaceAll('.', '/')}`)).trim()
  }

  /** Deletes the namespace's name; the namespace goes when nothing else holds it. */
  async remove(): Promise<void> {
    await run('ip', ['netns', 'delete', this.name])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove()
  }
}

/**
 * A host for a test and its outside world:
 *
 *     host eth0 198.51.100.1/24, 2001:db8:100::1/64 ── veth ── eth0 of `outside` 198.51.100.2/24, 2001:db8:100::2/64
 *
 * The host's default routes go through `outside`, which itself has no route back to sandboxes, as a neighbour on a LAN.
 */
export class PrivateHost extends PrivateNamespace {
  readonly outside: PrivateNamespace
  /** For `openHost({ stateDir })`. */
  readonly stateDir: string

  constructor(name: string) {
    super(name)
    this.outside = new PrivateNamespace(`${name}-outside`)
    this.stateDir = `/run/test-state/${name}`
  }

  /** What the host holds now; `expect(await host.dump()).toEqual(before)`. */
  dump(): Promise<Dump> {
    return dump(this, this.stateDir)
  }

  override async remove(): Promise<void> {
    await Promise.all([super.remove(), this.outside.remove(), rm(this.stateDir, { recursive: true, force: true })])
  }
}

let made = 0

/** An empty namespace with lo up. The name is unique in this test file. */
export async function freshNamespace(name = `ns${++made}`): Promise<PrivateNamespace> {
  if (process.env.NETMODE_PRIVATE !== '1') throw new Error("tests change networking only in a private namespace: requires('root')")
  await run('ip', ['netns', 'add', name])
  const namespace = new PrivateNamespace(name)
  await namespace.ip('link', 'set', 'lo', 'up')
  return namespace
}

/** A new host with its outside neighbour, both empty of any ruleset; see `PrivateHost`. The caller disposes of it. */
export async function freshHost(name = `host${++made}`): Promise<PrivateHost> {
  const host = new PrivateHost(name)
  await freshNamespace(name)
  await freshNamespace(host.outside.name)
  await mkdir(host.stateDir, { recursive: true, mode: 0o700 })
  await host.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', host.outside.name)
  for (const [side, last] of [[host, 1] as const, [host.outside, 2] as const]) {
    await side.ip('link', 'set', 'eth0', 'up')
    await side.ip('address', 'add', `198.51.100.${last}/24`, 'dev', 'eth0')
    await side.ip('address', 'add', `2001:db8:100::${last}/64`, 'dev', 'eth0', 'nodad')
  }
  await host.ip('route', 'add', 'default', 'via', '198.51.100.2')
  await host.ip('-6', 'route', 'add', 'default', 'via', '2001:db8:100::2')
  // Until then a neighbour is not answered, and who asks takes it for unreachable.
  await Promise.all([inUse(host), inUse(host.outside)])
  return host
}

/** One shell for all of them: tests look often, and starting a program takes longer than what it does. */
const kLook = [
  'ip -j -d link show',
  'ip -j address show',
  'ip -j -4 route show table all',
  'ip -j -6 route show table all',
  'ip -j -4 rule show',
  'ip -j -6 rule show',
  'ip -j neighbor show nud permanent',
  'nft -j list ruleset',
]
const kDivider = '--- next ---'

/** The kernel puts an IPv6 address to use on a work queue, and only then has routes for it: resolves when that is over. */
async function inUse(namespace: PrivateNamespace): Promise<void> {
  for (;;) {
    const links = await namespace.ipJson('-6', 'address', 'show', 'up', '-tentative')
    const routes = await namespace.ipJson('-6', 'route', 'show', 'table', 'local', 'type', 'local')
    const routed = new Set(routes.map(({ dst, dev }) => `${String(dst)} ${String(dev)}`))
    // What is filtered out leaves an empty object: an address, and as well a link that is down but has one.
    const own = ({ ifname, addr_info = [] }: (typeof links)[number]): string[] =>
      (addr_info as { local?: string }[]).flatMap(({ local }) => (local ? `${local} ${String(ifname)}` : []))
    if (links.flatMap(own).every(one => routed.has(one))) return
  }
}

/** What this namespace (and the state folder) holds; see `Dump`. */
export async function dump(namespace: PrivateNamespace, stateDir?: string): Promise<Dump> {
  await inUse(namespace)
  const [looked, namespaces, state] = await Promise.all([
    namespace.run('sh', '-ec', kLook.join(`; echo '${kDivider}'; `)),
    readdir('/run/netns'),
    stateDir ? readTree(stateDir) : {},
  ])
  const [links = [], addresses = [], routes4 = [], routes6 = [], rules4 = [], rules6 = [], neighbors = []] = looked
    .split(kDivider)
    .slice(0, -1)
    .map(parseList)
  const ruleset = looked.slice(looked.lastIndexOf(kDivider) + kDivider.length)
  return {
    links: sorted(links.map(link => without(link, [...kLinkNoise, ...kTimers]))),
    addresses: sorted(addresses.flatMap(addressesOf)),
    routes: sorted([...routes4, ...routes6].filter(route => !isKernelRoute(route)).map(route => without(route, []))),
    rules: sorted([...rules4, ...rules6]),
    neighbors: sorted(neighbors),
    ruleset: rulesetOf(ruleset),
    namespaces: namespaces.sort(),
    state,
  }
}

// Indexes, states and timers: they change by themselves or with each creation. A bridge keeps the limits of a port that it has had.
const kLinkNoise = ['ifindex', 'link_index', 'link_netnsid', 'operstate', 'state', 'no', 'id', 'designated_port', 'tso_max_size']
const kTimers = ['hello_timer', 'tcn_timer', 'topology_change_timer', 'gc_timer', 'message_age_timer', 'forward_delay_timer', 'hold_timer']
// The flags that are configuration; the others tell of carrier and neighbours.
const kKeptFlags: readonly unknown[] = ['UP', 'onlink']

function parseList(json: string): readonly Record<string, unknown>[] {
  return json.trim() === '' ? [] : (JSON.parse(json) as Record<string, unknown>[])
}

/** A copy without these keys, at any depth, and with only those flags that are configuration. */
function without(value: unknown, keys: readonly string[]): unknown {
  if (Array.isArray(value)) return value.map(item => without(item, keys))
  if (value === null || typeof value !== 'object') return value
  const kept = Object.entries(value).filter(([key]) => !keys.includes(key))
  return Object.fromEntries(
    kept.map(([key, item]: [string, unknown]) => [
      key,
      key === 'flags' && Array.isArray(item) ? item.filter(flag => kKeptFlags.includes(flag)) : without(item, keys),
    ]),
  )
}

function addressesOf(link: Record<string, unknown>): unknown[] {
  const infos = (link.addr_info ?? []) as Record<string, unknown>[]
  // Link-local addresses come and go with the carrier.
  return infos
    .filter(info => !(info.family === 'inet6' && info.scope === 'link'))
    .map(({ family, local, prefixlen, scope, broadcast, address }) => ({
      ifname: link.ifname,
      family,
      local,
      prefixlen,
      scope,
      broadcast,
      address,
    }))
}

/** Routes that the kernel keeps by itself for link-local and multicast addresses. */
function isKernelRoute({ dst }: Record<string, unknown>): boolean {
  return typeof dst === 'string' && (dst.startsWith('fe80:') || dst === 'ff00::/8' || dst === 'multicast')
}

/** Tables, chains and sets in an order of their own; the rules of a chain as they stand, since there the order has a meaning. */
function rulesetOf(json: string): unknown[] {
  const { nftables } = JSON.parse(json) as { nftables: Record<string, unknown>[] }
  const entries = nftables
    .filter(entry => !('metainfo' in entry))
    .map(entry => sortElements(without(entry, ['handle', 'packets', 'bytes'])))
  const isRule = (entry: unknown): boolean => Object.hasOwn(entry as object, 'rule')
  const chainOf = (entry: unknown): string => {
    const { family, table, chain } = (entry as { rule: Record<string, string> }).rule
    return `${family} ${table} ${chain}`
  }
  const rules = entries.filter(isRule).sort((a, b) => (chainOf(a) < chainOf(b) ? -1 : chainOf(a) > chainOf(b) ? 1 : 0))
  return [...sorted(entries.filter(entry => !isRule(entry))), ...rules]
}

/** Sets and maps list their elements in no given order. */
function sortElements(entry: unknown): unknown {
  for (const object of Object.values(entry as Record<string, { elem?: unknown[] }>)) {
    if (Array.isArray(object.elem)) object.elem = sorted(object.elem)
  }
  return entry
}

function sorted<T>(items: readonly T[]): T[] {
  const keyed = items.map(item => [JSON.stringify(item), item] as const)
  return keyed.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, item]) => item)
}

/** What was found whole at the last opening: it describes nothing, and may be of sandboxes that are gone. */
export const kSeals = 'whole.json'

async function readTree(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  const files = entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name))
  const kept = files.filter(file => file !== join(folder, kSeals))
  const contents = await Promise.all(kept.sort().map(async file => [file.slice(folder.length + 1), await readFile(file, 'utf8')] as const))
  return Object.fromEntries(contents)
}
