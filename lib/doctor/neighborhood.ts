/** Others on the machine, and what they left: programs that claim links, routes in the way, records without a kernel object. Pure. */
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

interface Manager {
  /** The program's name in /proc/PID/comm (15 bytes). */
  readonly program: string
  readonly name: string
  /** Whether its configuration leaves our links alone. */
  readonly leavesAlone: (configuration: Readonly<Record<string, string>>) => boolean
  readonly remedy: string
}

const all = (configuration: Readonly<Record<string, string>>, folder: RegExp): readonly string[] =>
  Object.entries(configuration).flatMap(([path, text]) => (folder.test(path) ? [text] : []))

const managers: readonly Manager[] = [
  {
    program: 'systemd-network',
    name: 'systemd-networkd',
    // Without a file that matches them, networkd leaves links alone: but one that matches everything is common.
    leavesAlone: configuration => {
      const files = all(configuration, /\/systemd\/network\/[^/]*\.network$/)
      const claims = files.filter(
        text => /^\s*Name\s*=.*(\*|veth|br-|netmode)/m.test(text) && !/^\s*Unmanaged\s*=\s*(yes|true|1)/m.test(text),
      )
      return claims.length === 0 || files.some(text => /Unmanaged\s*=\s*(yes|true|1)/.test(text) && /veth\*/.test(text))
    },
    remedy:
      "printf '[Match]\\nName=veth* br-* netmode*\\n\\n[Link]\\nUnmanaged=yes\\n' > /etc/systemd/network/00-netmode.network && networkctl reload",
  },
  {
    program: 'NetworkManager',
    name: 'NetworkManager',
    leavesAlone: configuration =>
      all(configuration, /\/NetworkManager\//).some(text => /^\s*unmanaged-devices\s*=.*(veth|interface-name:br-)/m.test(text)),
    remedy:
      "printf '[keyfile]\\nunmanaged-devices=interface-name:veth*;interface-name:br-*;interface-name:netmode*\\n' > /etc/NetworkManager/conf.d/netmode.conf && nmcli general reload",
  },
  {
    program: 'firewalld',
    name: 'firewalld',
    leavesAlone: configuration => all(configuration, /\/firewalld\/zones\//).some(text => /<interface name="(netmode0|br-)/.test(text)),
    remedy: '', // names the bridges: below
  },
]

/** Programs that take links for theirs: addresses and masters that we set are taken away again. */
export const claimedLinks: Check = ({ managers: running, configuration, networks }) =>
  networks.length === 0
    ? []
    : managers
        .filter(({ program, leavesAlone }) => running.includes(program) && !leavesAlone(configuration))
        .map(({ name, remedy }) => ({
          id: `claimed-by-${name.toLowerCase()}`,
          severity: 'warning',
          message:
            name === 'firewalld'
              ? 'firewalld is running, and puts bridges that it has no zone for into its default zone, which may drop what sandboxes send'
              : `${name} is running, and may take netmode's links for its own: addresses and masters would be taken away again`,
          remedy:
            remedy ||
            networks
              .map(({ device }) => `firewall-cmd --permanent --zone=trusted --add-interface=${device}`)
              .join(' && ')
              .concat(' && firewall-cmd --reload'),
        }))

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
