/** Drift: what links, addresses and routes have lost of what a plan once gave them. Reads the plan's own steps. Pure. */
import { containsBlock, familyOf, parseCidr } from '../network/cidr.js'
import type { Address, Link, Route } from '../plan/kernel-objects.js'
import { linkGroup } from '../plan/link-group.js'
import type { AddressVerb, LinkAdd, LinkRef, LinkSet, Op, PortOptions, RouteVerb, Slot, Step } from '../plan/op.js'

/** What one namespace holds. */
export interface Facts {
  readonly links: readonly Link[]
  readonly addresses: readonly Address[]
  readonly routes: readonly Route[]
}

/** Of the host (undefined), and of the sandbox's slot. */
export type Seen = (ns: Slot | undefined) => Facts

/** Is the result of each step there? Settings and the ruleset are not looked at. */
export function isWhole(steps: readonly Step[], seen: Seen): boolean {
  return steps.every(({ apply }) => isThere(apply, seen))
}

/** Are the links there that the steps make, whatever may be wrong with them? */
export function hasLinks(steps: readonly Step[], seen: Seen): boolean {
  return steps.every(({ apply }) => {
    if (apply.op === 'tap.add') return isOurs(find(seen(apply.ns), apply))
    if (apply.op === 'link.add') return apply.bornIn !== undefined || isMade(apply, seen)
    // One that is born elsewhere gets its name afterwards.
    return apply.op !== 'link.set' || apply.name === undefined || find(seen(apply.ns), { name: apply.name }) !== undefined
  })
}

/** The same steps, so that they add what is missing and leave alone what is there. `made`: their links are there. */
export function again(steps: readonly Step[], made: boolean): Step[] {
  return steps.flatMap(({ apply }): Step[] => {
    switch (apply.op) {
      case 'link.add':
        return made ? rejoin(apply) : [{ apply }]
      case 'tap.add':
        return made ? [] : [{ apply }]
      case 'link.set': {
        if (!made) return [{ apply }]
        const { name, addrGenMode, ...rest } = apply
        const { op, ns, link } = apply
        return [
          { apply: name === undefined ? rest : { ...rest, link: { name } } },
          // Where others have made it so narrow that it has no IPv6 any more there is nothing to set.
          ...(addrGenMode ? [{ apply: { op, ...(ns !== undefined && { ns }), link, addrGenMode, missingOk: true } }] : []),
        ]
      }
      case 'address.add':
        return [{ apply: { ...apply, op: 'address.replace' } }]
      case 'route.add':
        return [{ apply: { ...apply, op: 'route.replace' } }]
      case 'fdb.replace':
        return [{ apply, when: 'behind' }]
      case 'address.delete':
      case 'route.delete':
        return [{ apply: { ...apply, missingOk: true } }]
      default:
        return [{ apply }]
    }
  })
}

/** What a link's creation gave it besides being there. Its bridge may be another by now, of the same name. */
function rejoin({ ns, name, master, up }: LinkAdd): Step[] {
  if (master === undefined) return []
  const own = { op: 'link.set', link: { name }, master: { name: master.name }, ...(ns !== undefined && { ns }), ...(up && { up }) } as const
  return [{ apply: own }]
}

function isThere(op: Op, seen: Seen): boolean {
  switch (op.op) {
    case 'link.add':
      return op.bornIn !== undefined || (isMade(op, seen) && isJoined(op, seen))
    case 'tap.add':
      return isOurs(find(seen(op.ns), op))
    case 'link.set':
      return isSet(op, seen)
    case 'address.add':
      return hasAddress(op, seen(op.ns))
    case 'route.add':
      return hasRoute(op, seen(op.ns))
    default:
      return true
  }
}

/** Of a host's links, of which there may be a thousand. */
const byName = new WeakMap<readonly Link[], ReadonlyMap<string, Link>>()

function find({ links }: Facts, { name }: Pick<LinkRef, 'name'>): Link | undefined {
  const known = byName.get(links) ?? new Map(links.map(link => [link.name, link]))
  byName.set(links, known)
  return known.get(name)
}

function isMade({ ns, name, peer }: LinkAdd, seen: Seen): boolean {
  const link = find(seen(ns), { name })
  return isOurs(link) && (peer === undefined || find(seen(peer.ns), peer)?.index === link?.parent)
}

function isOurs(link: Link | undefined): boolean {
  return link?.group === linkGroup
}

function isJoined({ ns, name, master, up }: LinkAdd, seen: Seen): boolean {
  const link = find(seen(ns), { name })
  return (!up || link?.up === true) && (master === undefined || link?.master === find(seen(ns), master)?.index)
}

function isSet({ ns, link, name, up, mac, alias, master, port }: LinkSet, seen: Seen): boolean {
  const found = find(seen(ns), { name: name ?? link.name })
  if (found === undefined || (up && !found.up)) return false
  if (master && found.master !== find(seen(ns), master)?.index) return false
  if (port && !hasOptions(found, port)) return false
  return (mac === undefined || found.mac === mac) && (alias === undefined || found.alias === alias)
}

function hasOptions({ port }: Link, wanted: PortOptions): boolean {
  return (Object.keys(wanted) as (keyof PortOptions)[]).every(key => port?.[key] === wanted[key])
}

function hasAddress({ link, address, prefix }: AddressVerb, facts: Facts): boolean {
  const index = find(facts, link)?.index
  return facts.addresses.some(one => one.link === index && one.address === address && one.prefix === prefix)
}

/** Any default route will do: who has put another in its place had reasons. */
function hasRoute({ to, via, link, family, type = 'unicast' }: RouteVerb, facts: Facts): boolean {
  const wanted = family ?? familyOf(via ?? to)
  const routes = facts.routes.filter(route => route.family === wanted)
  if (to === 'default') return routes.some(route => isDefault(route.to))
  const index = link && find(facts, link)?.index
  return routes.some(
    route => !isDefault(route.to) && isSameBlock(route.to, to) && route.type === type && (link === undefined || route.link === index),
  )
}

function isDefault(to: string): boolean {
  return to === 'default' || to.endsWith('/0')
}

function isSameBlock(a: string, b: string): boolean {
  const [one, other] = [parseCidr(a), parseCidr(b)]
  return containsBlock(one, other) && containsBlock(other, one)
}
