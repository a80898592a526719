/** Sysctls of an endpoint's link. They are in force before the link is up; where a namespace is made, they are its defaults. Pure. */
import type { Setting } from '../../plan/op.js'

/** Which families an endpoint has addresses of; the values don't matter. */
export interface Families {
  readonly ipv4?: unknown
  readonly ipv6?: unknown
}

/** A setting below `net/FAMILY/conf/LINK/`. */
interface LinkSetting {
  readonly family: 'ipv4' | 'ipv6'
  readonly name: string
  readonly value: string
}

/** The kernel announces the addresses; an endpoint without IPv6 keeps quiet in it (its multicast would flood every port of the bridge). */
function settingsOf({ ipv4, ipv6 }: Families): readonly LinkSetting[] {
  return [
    ...(ipv4 ? [{ family: 'ipv4', name: 'arp_notify', value: '1' } as const] : []),
    ...(ipv6
      ? ([
          { family: 'ipv6', name: 'disable_ipv6', value: '0' },
          { family: 'ipv6', name: 'ndisc_notify', value: '1' },
          { family: 'ipv6', name: 'accept_ra', value: '0' },
        ] as const)
      : [{ family: 'ipv6', name: 'disable_ipv6', value: '1' } as const]),
  ]
}

/** What all of these endpoints have in common: a link that is born where these are the defaults needs no writing of its own. */
export function commonSettings(endpoints: readonly Families[]): readonly Setting[] {
  const [first, ...others] = endpoints.map(settingsOf)
  return (first ?? []).filter(one => others.every(list => list.some(other => isSame(one, other)))).map(one => setting(one, 'default'))
}

/** What is to be written for a link whose namespace has these defaults. */
export function linkSettings(endpoint: Families, ifname: string, defaults: readonly Setting[] = []): readonly Setting[] {
  return settingsOf(endpoint)
    .filter(one => !defaults.some(({ key, value }) => key === keyOf(one, 'default') && value === one.value))
    .map(one => setting(one, ifname))
}

function isSame(a: LinkSetting, b: LinkSetting): boolean {
  return a.family === b.family && a.name === b.name && a.value === b.value
}

function setting(one: LinkSetting, link: string): Setting {
  return { key: keyOf(one, link), value: one.value }
}

function keyOf({ family, name }: LinkSetting, link: string): string {
  return `net/${family}/conf/${link}/${name}`
}
