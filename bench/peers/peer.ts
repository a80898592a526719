/** Another tool at the same work: one sandbox on the row's bridge, with an address, a default route and a published port. */
import type { Rival } from '../alternate.js'
import type { Ground } from '../ground.js'

export interface Peer extends Rival, AsyncDisposable {
  clear(): Promise<void>
}

/** Where all peers work: on netmode's bridge, beside netmode's sandboxes. */
export interface Site {
  readonly bridge: string
  readonly subnet: string
  readonly prefix: number
  readonly gateway: string
}

/** Sets a peer up, or tells what is missing. */
export type Start = (site: Site) => Promise<Peer | Missing>

export class Missing {
  readonly what: string

  constructor(what: string) {
    this.what = what
  }
}

export function siteOf({ network }: Ground): Site {
  const [subnet] = network.subnets
  if (network.device === undefined || subnet === undefined) throw new Error('the network has no bridge')
  return { bridge: network.device, subnet: subnet.subnet, prefix: 16, gateway: subnet.gateway }
}

/** The n-th endpoint of a peer that has the addresses 10.99.`third`.x: names that differ, an address that comes again after a while. */
export function endpoint(
  n: number,
  third: number,
): { readonly name: string; readonly link: string; readonly address: string; readonly mac: string } {
  const last = 2 + (n % 250)
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0')
  return {
    name: `peer-${third}-${n}`,
    link: `p${third}-${hex(n, 6)}`,
    address: `10.99.${third}.${last}`,
    mac: `02:44:0a:63:${hex(third, 2)}:${hex(last, 2)}`,
  }
}

/** The port that each of them publishes: no two live at the same time. */
export const published = { hostPort: 8090, containerPort: 80 } as const
