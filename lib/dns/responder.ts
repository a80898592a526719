/** From a packet to its answer: who asks, what is asked, who knows. */
import { isIP } from 'node:net'

import type { Mechanism } from '../plan/mechanism.js'
import { parseResolvConf } from '../sandbox/etc-files.js'
import type { HostResolver } from '../sandbox/files.js'
import type { Layout } from '../state/layout.js'
import type { SandboxRecord } from '../state/records.js'
import { verdict } from './answers.js'
import { Directory } from './directory.js'
import { Forwarder, type Transport } from './forwarder.js'
import { datagramReply, rcodes, readQuery, reply } from './message.js'

export class Responder {
  readonly #directory: Directory
  readonly #forwarder: Forwarder
  readonly #resolver: HostResolver

  constructor(layout: Layout, mechanism: Mechanism, resolver: HostResolver) {
    this.#directory = new Directory(layout)
    this.#forwarder = new Forwarder(mechanism)
    this.#resolver = resolver
  }

  /** Is it the address of a sandbox on that network? Others are not answered: they would be told what is not theirs to know. */
  knows(networkId: string, address: string): boolean {
    return this.#asker(networkId, address) !== undefined
  }

  /** Never rejects. undefined: no answer. */
  async respond(networkId: string, packet: Buffer, from: string, transport: Transport): Promise<Buffer | undefined> {
    const reading = readQuery(packet)
    if (reading === undefined) return undefined
    if ('refusal' in reading) return reading.refusal
    const { query } = reading
    try {
      const asker = this.#asker(networkId, from)
      if (asker === undefined) return undefined
      const found = verdict(query, asker, this.#directory)
      if ('answer' in found) return transport === 'udp' ? datagramReply(query, found.answer) : found.answer
      const forwarded = await this.#forwarder.ask({ query, asker: from, servers: this.#servers(asker), transport })
      return forwarded ?? reply(query, rcodes.serverFailure)
    } catch {
      return reply(query, rcodes.serverFailure) // the state folder is being removed, say
    }
  }

  /** Those that are not on any of these networks are forgotten. */
  forgetAllBut(networkIds: ReadonlySet<string>): void {
    this.#directory.forgetAllBut(networkIds)
  }

  close(): void {
    this.#forwarder.close()
  }

  #asker(networkId: string, address: string): SandboxRecord | undefined {
    if (isIP(address) === 0 || address.includes('%')) return undefined // link-local: nobody's lease
    try {
      return this.#directory.holder(networkId, address)
    } catch {
      return undefined
    }
  }

  /**
   * The sandbox's own servers, or the host's: those that only the host reaches, on its loopback, as well. A loopback address of the
   * sandbox's own would be another one there.
   */
  #servers({ files }: SandboxRecord): readonly string[] {
    if (files.dns.length > 0) return files.dns.filter(server => !isLoopback(server))
    return parseResolvConf(this.#resolver.text()).nameservers.filter(server => isIP(server) !== 0)
  }
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1'
}
