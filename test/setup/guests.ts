/** Fake virtual machines for the TAPs of sandboxes: see fake-guests.py. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { freshNamespace, type PrivateNamespace, run } from './namespace.js'
import { Peer } from './peers.js'

const kPump = fileURLToPath(new URL('fake-guests.py', import.meta.url))

/** Where a fake guest is plugged in, and what it is to be. */
export interface GuestSeat {
  /** Path of the namespace that has the TAP. */
  readonly netns: string
  readonly tap: string
  /** Each family that it has. */
  readonly addresses: readonly { readonly address: string; readonly prefix: number; readonly gateway?: string }[]
  readonly mac: string
}

/** Guests that run for as long as this is there; `at(i)` is the place in the ith. */
export class FakeGuests implements AsyncDisposable {
  readonly #pump: ChildProcess
  readonly #namespaces: readonly PrivateNamespace[]
  readonly #peers: readonly Peer[]

  private constructor(pump: ChildProcess, namespaces: readonly PrivateNamespace[]) {
    this.#pump = pump
    this.#namespaces = namespaces
    this.#peers = namespaces.map(({ netns }) => new Peer(netns))
  }

  static async start(...seats: readonly GuestSeat[]): Promise<FakeGuests> {
    const namespaces = await Promise.all(seats.map(() => freshNamespace()))
    const wires = seats.flatMap(({ netns, tap }, i) => [netns, tap, namespaces[i]?.netns ?? ''])
    const pump = spawn('python3', [kPump, ...wires], { stdio: ['ignore', 'pipe', 'inherit'] })
    const guests = new FakeGuests(pump, namespaces)
    const { done } = await createInterface(pump.stdout)[Symbol.asyncIterator]().next()
    if (done) throw new Error('the fake guests did not start')
    await run('sh', ['-euc', seats.flatMap((seat, i) => bootLines(namespaces[i]?.name ?? '', seat)).join('\n')])
    return guests
  }

  /** A guest's namespace, where its link is `eth0`. */
  namespaceOf(index: number): PrivateNamespace {
    const namespace = this.#namespaces[index]
    if (namespace === undefined) throw new Error(`there is no guest ${index}`)
    return namespace
  }

  /** The place in a guest. */
  at(index: number): Peer {
    const peer = this.#peers[index]
    if (peer === undefined) throw new Error(`there is no guest ${index}`)
    return peer
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.#peers) await peer[Symbol.asyncDispose]()
    if (this.#pump.exitCode === null && this.#pump.kill()) await once(this.#pump, 'exit')
    await Promise.all(this.#namespaces.map(namespace => namespace.remove()))
  }
}

/** What an image does at its boot. */
function bootLines(name: string, { addresses, mac }: GuestSeat): string[] {
  return [
    `ip -n ${name} link set eth0 address ${mac} up`,
    ...addresses.flatMap(({ address, prefix, gateway }) => [
      `ip -n ${name} address add ${address}/${prefix} dev eth0 ${address.includes(':') ? 'nodad' : ''}`,
      ...(gateway === undefined ? [] : [`ip -n ${name} route add default via ${gateway}`]),
    ]),
  ]
}
