/** Plans of creates that ask for nothing out of the ordinary: for each network they are written once, and filled in. */

import type { KnownNetwork } from '../network/known-network.js'
import { Form, Forms, type Part } from '../plan/form.js'
import type { WrittenPlan } from '../plan/mechanism.js'
import type { Plan } from '../plan/op.js'
import type { SandboxRecord } from '../state/records.js'
import type { Attachment, ValidSandboxOptions } from '../validate/sandbox-options.js'
import { createParts, type Ground } from './plans.js'
import { areOrdinary, blankOf, hasOneEndpoint, hasWordsOnly, kindOf, wordsOf } from './record-words.js'

export class CreateForms {
  readonly #ground: Ground
  readonly #forms = new WeakMap<KnownNetwork, Forms<SandboxRecord>>()

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /** The plan of what was drafted on a network that is made, and has a table if it wants one; `draw` draws it up. */
  plan(options: ValidSandboxOptions, record: SandboxRecord, network: KnownNetwork, draw: () => Plan): Plan | WrittenPlan {
    if (!isOrdinary(options, record, network)) return draw()
    const forms = this.#forms.get(network) ?? new Forms()
    this.#forms.set(network, forms)
    const isPlain = options.attachments[0]?.gatewayPriority === 0 && hasWordsOnly(record)
    const form = () => {
      const one = blankOf(record)
      const parts = createParts(this.#ground, { networks: [network], networkSteps: [] })
      return one && new Form(isPlain ? parts.map(allAlike) : parts, wordsOf, one)
    }
    const manner = isPlain ? `plain ${record.ephemeral?.pid ?? ''}` : 'with a record of its own'
    return forms.plan(`${kindOf(record.ports)} ${manner}`, this.#ground.resolver.edition(), record, draw, form)
  }
}

/** An IPv4 endpoint on one network, with a few ports for everybody, and all else as the network and the host's configuration have it. */
function isOrdinary(
  { mode, netns, guest, attachments, dns, dnsSearch, dnsOptions }: ValidSandboxOptions,
  record: SandboxRecord,
  network: KnownNetwork,
) {
  const [attachment] = attachments
  return (
    // Of two, one or the other gives prefix, gateway and broadcast address.
    network.record.subnets.length === 1 &&
    mode === 'bridge' &&
    netns === undefined &&
    guest === undefined &&
    attachments.length === 1 &&
    dns.length + dnsSearch.length + dnsOptions.length === 0 &&
    attachment !== undefined &&
    isLeftToUs(attachment) &&
    hasOneEndpoint(record) &&
    areOrdinary(record.ports)
  )
}

function isLeftToUs({ mac, ifname, spoofCheck, tap }: Attachment): boolean {
  return mac === undefined && ifname === undefined && spoofCheck === undefined && tap === undefined
}

function allAlike<T>(part: Part<T>): Part<T> {
  return 'own' in part ? { alike: part.own } : part
}
