/** What routed networks put into the ruleset: each of their sandboxes has a link of its own, and the host is between them. Pure. */
import type { RouteVerb, Step, SysctlSet } from '../plan/op.js'
import { block, change, type FirewallSubnets, loopbackRoute, type NameServerAt, nameElements, setting, subnetElements } from './elements.js'

/** Brings a network into the ruleset; each step's undo takes its part out again, and an absent part is fine. */
export function routedNetworkElements(network: FirewallSubnets): Step[] {
  const { subnets4, subnets6, icc } = network
  const pairs = (set: string, subnets: readonly string[]) => subnets.flatMap(a => subnets.map(b => block(set, a, b)))
  return [...(icc ? [...pairs('same4', subnets4), ...pairs('same6', subnets6)] : []), ...subnetElements(network)].map(change)
}

/** Brings one of its links into the ruleset; to be there before the link is, which otherwise would let everything pass. */
export function linkElements(sandbox: string, device: string, internal: boolean, nameServers: readonly NameServerAt[]): Step[] {
  const key = [{ ifname: device }]
  const sets = ['bridges', 'routed', ...(internal ? ['internal'] : [])]
  const elements = [...sets.map(set => ({ set, key })), ...nameServers.flatMap(server => nameElements(device, server))]
  return elements.map(element => change({ ...element, comment: sandbox }))
}

/** Settings of a link, to be written before it is up. */
export function linkSysctls(device: string, families: readonly (4 | 6)[], internal: boolean): SysctlSet[] {
  const six = families.includes(6)
  return [
    // A sandbox must not be able to give routes to the host.
    { ...setting(`net/ipv6/conf/${device}/${six ? 'accept_ra' : 'disable_ipv6'}`, six ? '0' : '1'), missingOk: true },
    ...(internal || !families.includes(4) ? [] : [setting(`net/ipv4/conf/${device}/route_localnet`, '1')]),
  ]
}

/** Routes of a link, to be added when it is up; they go with it. */
export function linkRoutes(device: string, families: readonly (4 | 6)[], internal: boolean): RouteVerb[] {
  return internal || !families.includes(6) ? [] : [loopbackRoute(device)]
}
