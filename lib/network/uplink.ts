/** What the host has on a device that is to become the uplink of a bridge. */
import { fail } from '../errors.js'
import type { Address, Link, Route } from '../plan/kernel-objects.js'
import type { Mechanism } from '../plan/mechanism.js'
import type { NetworkRecord } from '../state/records.js'

const localTable = 255

/** Addresses and routes that have to go on by the bridge. @throws UNSUPPORTED for what can't be moved */
export async function readUplink(mechanism: Mechanism, name: string, signal?: AbortSignal): Promise<NonNullable<NetworkRecord['uplink']>> {
  const [links, addresses, routes] = (await mechanism.run(
    [{ apply: { op: 'link.list', name } }, { apply: { op: 'address.list', link: { name } } }, { apply: { op: 'route.list', table: 0 } }],
    signal,
  )) as [Link[], Address[], Route[]]
  const index = links[0]?.index
  const through = routes.filter(one => one.link === index && one.protocol !== 'kernel' && one.table !== localTable)
  if (addresses.some(({ peer }) => peer !== undefined) || routes.some(({ nextHops }) => nextHops?.some(({ link }) => link === index)))
    throw fail('UNSUPPORTED', `Link ${name} can't be an uplink: it is the end of a point-to-point line, or one way of a multipath route`, {
      field: 'parent',
      subject: name,
    })
  return {
    up: links[0]?.up ?? true,
    // The kernel's own link-local addresses come and go with the link.
    addresses: addresses.filter(({ family, scope }) => family === 4 || scope !== 'link').map(moved),
    // Those that others lead over come first.
    routes: through
      .filter(({ type }) => type === 'unicast')
      .map(movedRoute)
      .toSorted((a, b) => Number('via' in a) - Number('via' in b)),
  }
}

function moved({ address, prefix, broadcast, scope, noPrefixRoute }: Address) {
  return {
    address,
    prefix,
    ...(broadcast !== undefined && { broadcast }),
    ...(scope !== 'global' && { scope }),
    ...(noPrefixRoute && { noPrefixRoute }),
  }
}

function movedRoute({ to, family, via, source, metric, table, scope, onlink, mtu }: Route) {
  return {
    to,
    family,
    table,
    ...(via !== undefined && { via }),
    ...(source !== undefined && { source }),
    ...(metric !== undefined && { metric }),
    ...(scope !== 'global' && { scope }),
    ...(onlink && { onlink }),
    ...(mtu !== undefined && { mtu }),
  }
}
