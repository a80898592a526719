/** What a new network has to know of the host: the routes it must not overlap, the MTU on the way out. */
import { readFile } from 'node:fs/promises'

import type { Link, Route } from '../plan/kernel-objects.js'
import type { Mechanism } from '../plan/mechanism.js'
import type { Plan } from '../plan/op.js'
import { translate } from '../plan/translate.js'
import type { NetworkRecord } from '../state/records.js'
import { formatCidr, networkOf, parseInterface } from './cidr.js'
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
}

/** Reads routes, links and the resolver's name servers. */
export async function readHostFacts(mechanism: Mechanism, networks: readonly NetworkRecord[], signal?: AbortSignal): Promise<HostFacts> {
  const lists: Plan = [{ apply: { op: 'route.list', table: 0 } }, { apply: { op: 'link.list' } }]
  const [routes, links] = (await mechanism.run(lists, signal).catch(error => {
    throw translate(error, signal)
  })) as [Route[], Link[]]
  const names = new Map(links.map(link => [link.index, link]))
  const byNetworks = takenByNetworks(networks)
  return {
    links,
    networks: byNetworks,
    mtu: outwardMtu(routes, names),
    taken: [...byNetworks, ...takenByRoutes(routes, names), ...(await takenByResolvers())],
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
    .filter(
      route =>
        route.to !== 'default' &&
        (route.type === 'unicast' || route.type === 'local' || route.type === 'blackhole' || route.type === 'unreachable'),
    )
    .filter(route => !/^(127\.|::1\/|fe80:|ff00:|ff02:)/.test(route.to))
    .map(route => {
      const device = links.get(linkOf(route) ?? 0)?.name
      return { cidr: formatCidr(networkOf(parseInterface(route.to))), why: `a route${device === undefined ? '' : ` through ${device}`}` }
    })
}

function takenByNetworks(networks: readonly NetworkRecord[]): Taken[] {
  return networks.flatMap(network => network.subnets.map(({ subnet }) => ({ cidr: subnet, why: `network ${network.name}` })))
}

async function takenByResolvers(): Promise<Taken[]> {
  const text = await readFile('/etc/resolv.conf', 'utf8').catch(() => '')
  return [...text.matchAll(/^nameserver[ \t]+(\d+\.\d+\.\d+\.\d+)[ \t]*$/gm)]
    .map(([, address]) => ({ cidr: `${address}/32`, why: 'a name server of /etc/resolv.conf' }))
    .filter(({ cidr }) => !cidr.startsWith('127.'))
}
