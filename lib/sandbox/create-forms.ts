/** Plans of creates that ask for nothing out of the ordinary: for each network they are written once, and filled in. */

import { formatIp, networkOf, parseInterface } from '../network/cidr.js'
import type { KnownNetwork } from '../network/known-network.js'
import { macOfIpv4 } from '../network/mac.js'
import { Form, Forms } from '../plan/form.js'
import type { WrittenPlan } from '../plan/mechanism.js'
import type { Plan } from '../plan/op.js'
import type { EndpointRecord, SandboxRecord } from '../state/records.js'
import type { Attachment, ValidSandboxOptions } from '../validate/sandbox-options.js'
import { createParts, type Ground } from './plans.js'
import { areOrdinary, blankPorts, kindOf, wordsOfPorts } from './port-words.js'

export class CreateForms {
  readonly #ground: Ground
  readonly #forms = new WeakMap<KnownNetwork, Forms<SandboxRecord>>()

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /** The plan of what was drafted on a network that is made, and has a table if it wants one; `draw` draws it up. */
  plan(options: ValidSandboxOptions, record: SandboxRecord, network: KnownNetwork, draw: () => Plan): Plan | WrittenPlan {
    if (!isOrdinary(options, record)) return draw()
    const forms = this.#forms.get(network) ?? new Forms()
    this.#forms.set(network, forms)
    const blank = () => {
      const one = blankOf(record)
      return one && new Form(createParts(this.#ground, { networks: [network], networkSteps: [] }), wordsOf, one)
    }
    return forms.plan(kindOf(record.ports), this.#ground.resolver.remembered(), record, draw, blank)
  }
}

/** An IPv4 endpoint on one network, with a few ports for everybody, and all else as the network and the host's configuration have it. */
function isOrdinary({ mode, netns, guest, attachments, dns, dnsSearch, dnsOptions }: ValidSandboxOptions, record: SandboxRecord) {
  const { endpoints, ports } = record
  const [attachment] = attachments
  const [endpoint] = endpoints
  return (
    mode === 'bridge' &&
    netns === undefined &&
    guest === undefined &&
    attachments.length === 1 &&
    dns.length + dnsSearch.length + dnsOptions.length === 0 &&
    attachment !== undefined &&
    isPlain(attachment) &&
    endpoint?.ipv4 !== undefined &&
    endpoint.ipv6 === undefined &&
    areOrdinary(ports)
  )
}

function isPlain({ mac, ifname, spoofCheck, tap }: Attachment): boolean {
  return mac === undefined && ifname === undefined && spoofCheck === undefined && tap === undefined
}

/** What differs. */
function wordsOf({ name, endpoints: [endpoint], ports }: SandboxRecord): readonly string[] {
  const { hostIfname, mac, ipv4 } = endpoint as EndpointRecord
  return [name, hostIfname ?? '', mac, ipv4?.address ?? '', ...wordsOfPorts(ports)]
}

/** One with names and ports that no text has, and an address that no sandbox has; undefined where there is no such address. */
function blankOf(record: SandboxRecord): SandboxRecord | undefined {
  const [endpoint] = record.endpoints
  const ipv4 = endpoint?.ipv4
  if (endpoint?.hostIfname === undefined || ipv4 === undefined) return undefined
  const address = formatIp(networkOf(parseInterface(`${ipv4.address}/${ipv4.prefix}`)))
  if (address === ipv4.address || address === ipv4.gateway) return undefined
  const name = '\u0001'
  return {
    ...record,
    name,
    netns: { path: `/run/netns/${name}`, owned: true },
    endpoints: [{ ...endpoint, hostIfname: '\u0002', mac: macOfIpv4(address), ipv4: { ...ipv4, address } }],
    ports: blankPorts(record.ports),
  }
}
