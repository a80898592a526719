/** The host's device that a network on the LAN hangs on. Pure. */
import { fail, invalid } from '../errors.js'
import type { Link } from '../plan/kernel-objects.js'
import type { NetworkRecord } from '../state/records.js'

export interface Parent {
  /** Its MAC address. */
  readonly mac: string
  /** bytes */
  readonly mtu: number
  /** What has to be made of it. */
  readonly vlan?: NonNullable<NetworkRecord['vlan']>
}

/**
 * The device by its name; `eth0.10`, where there is none but an `eth0`, is VLAN 10 on it, as with Docker.
 * @throws NOT_FOUND, INVALID_ARGUMENT, BUSY for a port of a bridge
 */
export function findParent(name: string, links: readonly Link[], networks: readonly NetworkRecord[]): Parent {
  const found = links.find(link => link.name === name)
  if (found !== undefined) {
    const owner = networks.find(({ parent, vlan }) => parent === name && vlan !== undefined)
    if (owner) throw busy(name, `was made for network ${owner.name} and goes with it`, owner.name)
    return asParent(found, links)
  }
  const [, base = '', digits = ''] = /^(.+)\.(\d{1,4})$/.exec(name) ?? []
  const link = links.find(one => one.name === base)
  if (link === undefined)
    throw fail('NOT_FOUND', `No link called ${name} to be the parent of a network`, { field: 'parent', subject: name })
  const id = Number(digits)
  if (id < 1 || id > 4094) throw invalid('parent', 'a VLAN from 1 to 4094 behind the dot', name, { range: true })
  return { ...asParent(link, links), vlan: { link: base, id } }
}

function asParent({ name, loopback, mac, mtu, master }: Link, links: readonly Link[]): Parent {
  if (loopback || mac === undefined) throw invalid('parent', 'a link with a MAC address', name)
  if (master !== undefined) {
    const holder = links.find(({ index }) => index === master)?.name ?? `link ${master}`
    throw busy(name, `is a port of ${holder}`, holder)
  }
  return { mac, mtu }
}

function busy(name: string, why: string, holder: string): Error {
  return fail('BUSY', `Link ${name} can't be the parent of a network: it ${why}`, { field: 'parent', subject: name, holder })
}
