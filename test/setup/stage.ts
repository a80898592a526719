/** What tests of traffic begin with: a host that is open, and places on it and outside of it. */
import { afterEach, beforeEach } from 'vitest'
import type { Host, Sandbox, SandboxOptions } from '../../lib/index.js'
import { type Opening, open } from './between.js'
import { freshHost, type PrivateHost } from './namespace.js'
import { addressOf, families, greet, Peer } from './peers.js'

export interface Stage {
  readonly machine: PrivateHost
  readonly host: Host
  /** On the host itself. */
  readonly self: Peer
  /** On its outside neighbour. */
  readonly outside: Peer
}

/** Every test of the file gets a stage of its own, from which all is cleared away afterwards. */
export function onStage(take: (stage: Stage) => void | Promise<void>, opening: Opening = {}): void {
  let stage: Stage
  beforeEach(async () => {
    const machine = await freshHost()
    stage = { machine, host: await open(machine, opening), self: new Peer(machine.netns), outside: new Peer(machine.outside.netns) }
    await take(stage)
  })
  afterEach(async () => {
    const { machine, host, self, outside } = stage
    await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
    for (const { name } of await host.networks.list()) await host.networks.remove(name)
    for (const peer of [self, outside]) await peer[Symbol.asyncDispose]()
    await host.close()
    await machine.remove()
  })
}

/** The LAN that the host of `freshHost` is on, for networks that put sandboxes there: the outside neighbour is the router. */
export const homeSubnets = [
  { subnet: '198.51.100.0/24', gateway: '198.51.100.2', reserved: { host: '198.51.100.1' } },
  { subnet: '2001:db8:100::/64', gateway: '2001:db8:100::2', reserved: { host: '2001:db8:100::1' } },
] as const

/** A sandbox on network `lan` with a server that tells whom it saw, at port 80 of each of its addresses. */
export async function serving(host: Host, name: string, options: Partial<SandboxOptions> = {}): Promise<Sandbox> {
  const sandbox = await host.sandboxes.create({ name, network: 'lan', ...options })
  for (const family of families) await greet(sandbox, addressOf(sandbox, family), 80)
  return sandbox
}
