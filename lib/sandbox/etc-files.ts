/** A sandbox's own /etc/hosts, /etc/hostname and /etc/resolv.conf, in Docker's layout and order. Text only; no I/O. */
import { invalid } from '../errors.js'
import { parseIp } from '../network/cidr.js'
import type { AddHost } from '../validate/guards.js'

/** What every hosts file begins with. */
const localNames = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`

/**
 * /etc/hosts: localhost, then the added hosts in their order, then one line for each of the sandbox's addresses with
 * its host name (`web.example.com` is also found as `web`). `hostGateway` is what `host-gateway` stands for;
 * without it such a line throws ERR_NETMODE_INVALID_ARGUMENT for `addHosts`.
 */
export function hostsFile(options: {
  readonly hostname: string
  readonly addresses: readonly string[]
  readonly addHosts?: readonly AddHost[]
  readonly hostGateway?: string
}): string {
  const { hostname, addresses, addHosts = [], hostGateway } = options
  const added = addHosts.map(({ name, ip }) => {
    const address = ip === 'host-gateway' ? hostGateway : ip
    if (address === undefined) throw invalid('addHosts', 'an address (no attached network gives a host-gateway)', `${name}:${ip}`)
    return `${address}\t${name}\n`
  })
  const dot = hostname.indexOf('.')
  const names = dot > 0 ? `${hostname} ${hostname.slice(0, dot)}` : hostname
  return [localNames, ...added, ...addresses.map(address => `${address}\t${names}\n`)].join('')
}

/** /etc/hostname */
export function hostnameFile(hostname: string): string {
  return `${hostname}\n`
}

/** What a resolv.conf says that a sandbox could use. */
export interface Resolver {
  readonly nameservers: readonly string[]
  readonly search: readonly string[]
  readonly options: readonly string[]
}

/** Reads resolv.conf(5): comments with # or ; at the line's start, the last of `search` and `domain` counts, unknown lines are skipped. */
export function parseResolvConf(text: string): Resolver {
  const nameservers: string[] = []
  const options: string[] = []
  let search: string[] = []
  for (const line of text.split('\n')) {
    const [keyword, ...words] = line.split(/\s+/)
    if (keyword === 'nameserver' && words[0]) nameservers.push(words[0])
    if (keyword === 'search' || keyword === 'domain') search = words.filter(Boolean)
    if (keyword === 'options') options.push(...words.filter(Boolean))
  }
  return { nameservers, search, options }
}

/**
 * /etc/resolv.conf of a sandbox. Each of `dns`, `dnsSearch`, `dnsOptions` that isn't empty replaces the host's own;
 * `dnsSearch: ['.']` means none. Name servers of the host that a sandbox can't reach are dropped: loopback ones
 * (they listen in another namespace) and those with a zone; IPv6 ones unless `ipv6`. If none is left, none is
 * written: no public server is made up.
 *
 * With a `nameServer` that one comes first, and names without a dot are asked for as they are (`ndots:0`, as Docker has it). The
 * others stay behind it: they are asked when nobody answers there.
 */
export function resolvConf(options: {
  /** Text of the host's resolv.conf; '' if it has none. */
  readonly host: string
  readonly dns?: readonly string[]
  readonly dnsSearch?: readonly string[]
  readonly dnsOptions?: readonly string[]
  /** Default true. */
  readonly ipv6?: boolean
  /** Address of the name service. */
  readonly nameServer?: string
  /** Whether the host's own servers can be reached. Default true. */
  readonly outside?: boolean
}): string {
  const { dns = [], dnsSearch = [], dnsOptions = [], ipv6 = true, nameServer, outside = true } = options
  const host = parseResolvConf(options.host)
  const others = dns.length > 0 ? dns : host.nameservers.filter(server => outside && reachable(server, ipv6))
  const nameservers = nameServer === undefined ? others : [nameServer, ...others.filter(server => server !== nameServer)]
  const search = (dnsSearch.length > 0 ? dnsSearch : host.search).filter(name => name !== '.')
  const wanted = dnsOptions.length > 0 ? dnsOptions : host.options
  const dots = nameServer !== undefined && !wanted.some(option => option.startsWith('ndots:'))
  const flags = dots ? [...wanted, 'ndots:0'] : wanted
  return [
    ...nameservers.map(server => `nameserver ${server}\n`),
    search.length > 0 ? `search ${search.join(' ')}\n` : '',
    flags.length > 0 ? `options ${flags.join(' ')}\n` : '',
  ].join('')
}

/**
 * Is the resolver of this text systemd's local stub and nothing else? Then its real servers are in
 * {@link stubResolvConf}, which is the file to read instead (as Docker does).
 */
export function isSystemdStub(text: string): boolean {
  const { nameservers } = parseResolvConf(text)
  return nameservers.length === 1 && nameservers[0] === '127.0.0.53'
}
export const stubResolvConf = '/run/systemd/resolve/resolv.conf'

function reachable(server: string, ipv6: boolean): boolean {
  try {
    const { family, value } = parseIp(server)
    return family === 4 ? value >> 24n !== 127n && value !== 0n : ipv6 && value > 1n
  } catch {
    return false // with a zone, or no address at all
  }
}
