/** IPv6 sysctls of an endpoint's link. They are in force before the link is up; where a namespace is made, they are its defaults. Pure. */
import type { Setting } from '../../plan/op.js'

/** Whether an endpoint has an IPv6 address; its value doesn't matter. */
export interface Families {
  readonly ipv6?: unknown
}

/** A setting below `net/ipv6/conf/LINK/`. */
interface LinkSetting {
  readonly name: string
  readonly value: string
}

/** The kernel announces the addresses, routers have no say; without an address the link keeps quiet (its multicast would go to every port). */
function settingsOf({ ipv6 }: Families): readonly LinkSetting[] {
  if (!ipv6) return [{ name: 'disable_ipv6', value: '1' }]
  return [
    { name: 'disable_ipv6', value: '0' },
    { name: 'ndisc_notify', value: '1' },
    { name: 'accept_ra', value: '0' },
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
  return a.name === b.name && a.value === b.value
}

function setting(one: LinkSetting, link: string): Setting {
  return { key: keyOf(one, link), value: one.value }
}

function keyOf({ name }: LinkSetting, link: string): string {
  return `net/ipv6/conf/${link}/${name}`
}
