/** Random host ports: from the host's own range for them, going on after the last one given. */
import type { Protocol } from '../contract.js'
import { fail } from '../errors.js'
import type { Mechanism } from '../plan/mechanism.js'

/** Docker's, where the kernel's can't be read. */
const fallback = { first: 32_768, last: 60_999 }

export class RandomPorts {
  #first = fallback.first
  #last = fallback.last
  #reserved: ReadonlySet<number> = new Set()
  #next: number | undefined

  /** Reads `ip_local_port_range` and `ip_local_reserved_ports`, once. */
  async prepare(mechanism: Mechanism, signal?: AbortSignal): Promise<void> {
    if (this.#next !== undefined) return
    const [range, reserved] = (await mechanism.run(
      ['net/ipv4/ip_local_port_range', 'net/ipv4/ip_local_reserved_ports'].map(key => ({ apply: { op: 'sysctl.get', key } })),
      signal,
    )) as [string, string]
    const [first = fallback.first, last = fallback.last] = range.split(/\s+/).map(Number)
    this.#first = first
    this.#last = last
    this.#reserved = new Set(portList(reserved))
    // Processes that start at the same place would all run into each other's claims.
    this.#next ??= first + Math.floor(Math.random() * (last - first + 1))
  }

  /** The next port that `avoid` does not speak against. @throws EXHAUSTED */
  take(protocol: Protocol, avoid: (port: number) => boolean): number {
    const count = this.#last - this.#first + 1
    for (let tried = 0; tried < count; tried++) {
      const port = this.#next ?? this.#first
      this.#next = port >= this.#last ? this.#first : port + 1
      if (!this.#reserved.has(port) && !avoid(port)) return port
    }
    throw fail('EXHAUSTED', `No free ${protocol} port left in ${this.#first}-${this.#last} (net.ipv4.ip_local_port_range)`)
  }
}

/** `8080,9000-9002` */
function portList(text: string): number[] {
  return text
    .split(',')
    .filter(Boolean)
    .flatMap(part => {
      const [first = 0, last = first] = part.split('-').map(Number)
      return Array.from({ length: last - first + 1 }, (_, i) => first + i)
    })
}
