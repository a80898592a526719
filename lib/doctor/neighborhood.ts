/** What lies about on the machine: routes in the way, records without a kernel object. Pure. */
import type { Finding } from '../contract.js'
import { overlaps, parseCidr } from '../network/cidr.js'
import type { Check } from './facts.js'

/** A route of somebody else into a subnet of ours leads answers astray. */
export const overlappingRoutes: Check = ({ networks, routes, links }) =>
  networks
    .filter(({ phase }) => phase === 'ready')
    .flatMap(({ name, device, subnets }) =>
      subnets.flatMap(({ subnet }) => {
        const own = links.find(link => link.name === device)?.index
        return routes
          .filter(({ to, table, type, link }) => to.includes('/') && table === 254 && type === 'unicast' && link !== own)
          .filter(({ to, family }) => (family === 6) === subnet.includes(':') && overlaps(parseCidr(to), parseCidr(subnet)))
          .map(({ to, via, link }): Finding => {
            const where = links.find(({ index }) => index === link)?.name ?? 'another device'
            return {
              id: 'overlapping-route',
              severity: 'warning',
              message: `A route to ${to}${via === undefined ? '' : ` via ${via}`} on ${where} overlaps ${subnet} of network ${name}: some of its addresses are looked for there`,
              remedy: `ip route delete ${to}${via === undefined ? '' : ` via ${via}`} dev ${where}, or: netmode network rm ${name}, and make it anew with another --subnet`,
            }
          })
      }),
    )

/** Records that speak of what isn't there. */
export const staleRecords: Check = ({ networks, sandboxes, links, namespaces, adopted, damaged }) => {
  const stale = (what: string, why: string): Finding => ({
    id: 'stale-record',
    severity: 'warning',
    message: `The record of ${what} is stale: ${why}`,
    remedy: 'netmode recover',
  })
  return [
    ...networks
      .filter(({ phase, device }) => phase === 'ready' && !links.some(({ name }) => name === device))
      .map(
        ({ name, device }): Finding => ({
          id: 'bridge-gone',
          severity: 'error',
          message: `The bridge ${device} of network ${name} is gone: its sandboxes reach nobody`,
          remedy: `remove its sandboxes, then: netmode network rm ${name}, and make it anew`,
        }),
      ),
    ...sandboxes
      .filter(
        ({ phase, mode, netns, name }) =>
          phase !== 'pooled' && mode !== 'host' && (netns.owned ? !namespaces.includes(name) : isGone(adopted[netns.path], netns.inode)),
      )
      .map(({ name }) => stale(`sandbox ${name}`, 'its namespace is gone')),
    ...damaged.map(record => stale(record, 'it can not be read')),
  ]
}

function isGone(found: string | undefined, recorded: string | undefined): boolean {
  return found === undefined || (recorded !== undefined && found !== recorded)
}
