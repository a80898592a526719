/** A network as this process knows it: its record, the device's index, a hint of free addresses. */
import { fail, invalid } from '../errors.js'
import type { NetworkRecord } from '../state/records.js'
import { Addresses } from './addresses.js'
import { familyOf } from './cidr.js'

/** An address chosen for an endpoint; `subnet` tells its prefix and gateway. */
export interface Choice {
  readonly address: string
  readonly subnet: NetworkRecord['subnets'][number]
}

interface SubnetHint {
  readonly subnet: NetworkRecord['subnets'][number]
  readonly family: 4 | 6
  readonly addresses: Addresses
}

/** The kernel decides who holds an address; what is kept here saves asking it in vain. */
export class KnownNetwork {
  readonly record: NetworkRecord
  /** Index of the bridge; undefined while it isn't made yet. */
  readonly deviceIndex: number | undefined
  readonly #subnets: readonly SubnetHint[]

  constructor(record: NetworkRecord, deviceIndex: number | undefined, leased: readonly string[]) {
    this.record = record
    this.deviceIndex = deviceIndex
    this.#subnets = record.subnets.map(subnet => ({ subnet, family: familyOf(subnet.subnet), addresses: free(subnet) }))
    this.relearn(leased)
  }

  /** The same network, made. */
  ready(deviceIndex: number | undefined): KnownNetwork {
    const leased = this.#subnets.flatMap(({ addresses }) => [...addresses.taken()])
    return new KnownNetwork({ ...this.record, phase: 'ready' }, deviceIndex, leased)
  }

  /** Does it have subnets of that family? */
  has(family: 4 | 6): boolean {
    return this.#subnets.some(one => one.family === family)
  }

  /** Takes an address of that family for an endpoint: the one asked for, or the next free one. undefined: no subnet of the family. */
  take(family: 4 | 6, wanted: string | undefined, field: string): Choice | undefined {
    const subnets = this.#subnets.filter(one => one.family === family)
    if (wanted !== undefined) return this.#takeThis(subnets, wanted, field)
    let full: unknown
    for (const { subnet, addresses } of subnets) {
      try {
        return { address: addresses.take(), subnet }
      } catch (error) {
        full = error // try the next subnet
      }
    }
    if (full !== undefined)
      throw fail('EXHAUSTED', `No free IPv${family} address in network ${this.record.name}: ${(full as Error).message}`, {
        subject: this.record.name,
      })
    return undefined
  }

  #takeThis(subnets: readonly SubnetHint[], wanted: string, field: string): Choice {
    for (const { subnet, addresses } of subnets) {
      if (!addresses.covers(wanted)) continue
      const reserved = { [subnet.gateway]: 'the gateway', ...reservedOf(subnet) }[wanted]
      if (reserved !== undefined)
        throw fail('ADDRESS_IN_USE', `${wanted} is reserved in network ${this.record.name} (${reserved})`, {
          field,
          subject: wanted,
          holder: reserved,
        })
      addresses.mark(wanted, field) // also checks that a host can have it; whether it is held is the kernel's to say
      return { address: wanted, subnet }
    }
    const known = subnets.map(({ subnet }) => subnet.subnet).join(', ') || 'none of that family'
    throw invalid(field, `an address inside the subnets of network ${this.record.name} (${known})`, wanted, { range: true })
  }

  /** Gives an address back to the hint. */
  release(address: string): void {
    for (const { addresses } of this.#subnets) if (addresses.covers(address)) addresses.release(address)
  }

  /** Starts the hint over from the leases on disk. */
  relearn(leased: readonly string[]): void {
    for (const { addresses } of this.#subnets) {
      for (const address of leased) if (addresses.covers(address) && !addresses.has(address)) addresses.mark(address)
    }
  }
}

function free(subnet: NetworkRecord['subnets'][number]): Addresses {
  const { range } = subnet
  return new Addresses({
    subnet: subnet.subnet,
    ...(range !== undefined && { range }),
    reserved: { [subnet.gateway]: 'gateway', ...reservedOf(subnet) },
  })
}

/** address → name */
function reservedOf(subnet: NetworkRecord['subnets'][number]): Record<string, string> {
  return Object.fromEntries(Object.entries(subnet.reserved ?? {}).map(([name, address]) => [address, name]))
}
