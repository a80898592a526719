/** What a new network has to know of the host: the routes it must not overlap, the MTU on the way out. */
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'

import type { Address, Link, Route } from '../plan/kernel-objects.js'
import type { Mechanism } from '../plan/mechanism.js'
import type { Plan } from '../plan/op.js'
import { translate } from '../plan/translate.js'
import type { NetworkRecord } from '../state/records.js'
import { bitsOf, formatCidr, networkOf, parseInterface, parseIp } from './cidr.js'
import type { Taken } from './pools.js'

/** Facts about the host, read in one trip. */
export interface HostFacts {
  /** MTU of the default route's device, 1500 without one. */
  readonly mtu: number
  /** Blocks that a new subnet must stay clear of. */
  readonly taken: readonly Taken[]
  /** Those among them that are other networks'. */
  readonly networks: readonly Taken[]
  readonly links: readonly Link[]
  readonly addresses: readonly Address[]
}

/** Reads routes, links and the resolver's name servers. */
export async function readHostFacts(mechanism: Mechanism, networks: readonly NetworkRecord[], signal?: AbortSignal): Promise<HostFacts> {
  const lists: Plan = [{ apply: { op: 'route.list', table: 0 } }, { apply: { op: 'link.list' } }, { apply: { op: 'address.list' } }]
  const [routes, links, addresses] = (await mechanism.run(lists, signal).catch(error => {
    throw translate(error, signal)
  })) as [Route[], Link[], Address[]]
  const names = new Map(links.map(link => [link.index, link]))
  const byNetworks = takenByNetworks(networks)
  return {
    links,
    networks: byNetworks,
    mtu: outwardMtu(routes, names),
    taken: [...byNetworks, ...takenByRoutes(routes, names), ...(await takenByResolvers())],
    addresses,
  }
}

function outwardMtu(routes: readonly Route[], links: ReadonlyMap<number, Link>): number {
  const out = routes
    .filter(route => route.to === 'default' && route.type === 'unicast' && route.table === 254 && linkOf(route) !== undefined)
    .sort((a, b) => a.family - b.family || (a.metric ?? 0) - (b.metric ?? 0))[0]
  return (out && links.get(linkOf(out) ?? 0)?.mtu) ?? 1500
}

function linkOf(route: Route): number | undefined {
  return route.link ?? route.nextHops?.[0]?.link
}

function takenByRoutes(routes: readonly Route[], links: ReadonlyMap<number, Link>): Taken[] {
  return routes
    .filter(route => route.to !== 'default' && ['unicast', 'local', 'blackhole', 'unreachable', 'prohibit'].includes(route.type))
    .filter(route => !isLocal(route.to))
    .map((route): Taken => {
      const device = links.get(linkOf(route) ?? 0)?.name
      const cidr = formatCidr(networkOf(parseInterface(route.to)))
      if (route.type !== 'unicast' && route.type !== 'local') return { cidr, why: `a route of type ${route.type}` }
      return device === undefined ? { cidr, why: 'a route' } : { cidr, why: `a route through ${device}`, device }
    })
}

/** Of loopback, link-local or multicast: no network is ever made there. */
function isLocal(address: string): boolean {
  return /^(127\.|::1(\/|$)|fe80:|ff00:|ff02:)/.test(address)
}

function takenByNetworks(networks: readonly NetworkRecord[]): Taken[] {
  return networks.flatMap(network => network.subnets.map(({ subnet }) => ({ cidr: subnet, why: `network ${network.name}` })))
}

/** systemd's stub names no server that is far away; its own file does. */
const resolverFiles = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf']

async function takenByResolvers(): Promise<Taken[]> {
  const found = await Promise.all(
    resolverFiles.map(async file => {
      const text = await readFile(file, 'utf8').catch(() => '')
      return [...text.matchAll(/^nameserver[ \t]+([\d.]+|[\da-fA-F:.]*:[\da-fA-F:.]*)[ \t]*$/gm)]
        .map(([, address = '']) => address)
        .filter(address => isIP(address) !== 0 && !isLocal(address))
        .map(address => ({ cidr: blockOf(address), why: `a name server of ${file}` }))
    }),
  )
  return found.flat()
}

/** An address as a block of its own. */
function blockOf(address: string): string {
  const ip = parseIp(address)
  return formatCidr({ ...ip, prefix: bitsOf(ip.family) })
}
