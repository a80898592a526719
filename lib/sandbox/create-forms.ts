/** Plans of creates that ask for nothing out of the ordinary: for each network they are written once, and filled in. */

import { formatIp, networkOf, parseInterface } from '../network/cidr.js'
import type { KnownNetwork } from '../network/known-network.js'
import { macOfIpv4 } from '../network/mac.js'
import { Form, Forms, type Part } from '../plan/form.js'
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
    const hasWordsOnly = isPlain(options, record)
    const form = () => {
      const blank = blankOf(record)
      const parts = createParts(this.#ground, { networks: [network], networkSteps: [] })
      return blank && new Form(hasWordsOnly ? parts.map(allAlike) : parts, wordsOf, blank)
    }
    const manner = hasWordsOnly ? `plain ${record.ephemeral?.pid ?? ''}` : 'with a record of its own'
    return forms.plan(`${kindOf(record.ports)} ${manner}`, this.#ground.resolver.remembered(), record, draw, form)
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
    isLeftToUs(attachment) &&
    endpoint?.ipv4 !== undefined &&
    endpoint.ipv6 === undefined &&
    areOrdinary(ports)
  )
}

function isLeftToUs({ mac, ifname, spoofCheck, tap }: Attachment): boolean {
  return mac === undefined && ifname === undefined && spoofCheck === undefined && tap === undefined
}

/** Has its record, too, nothing but words of its own? Of `web.example.com` the hosts file says more. */
function isPlain({ attachments: [attachment] }: ValidSandboxOptions, { name, hostname, files, expose, labels }: SandboxRecord): boolean {
  return (
    attachment?.aliases.length === 0 &&
    attachment.gatewayPriority === 0 &&
    hostname === name &&
    !name.includes('.') &&
    files.addHosts.length === 0 &&
    expose.length === 0 &&
    Object.keys(labels).length === 0
  )
}

function allAlike<T>(part: Part<T>): Part<T> {
  return 'own' in part ? { alike: part.own } : part
}

/** What differs. */
function wordsOf({ id, name, created, endpoints: [endpoint], ports }: SandboxRecord): readonly string[] {
  const { hostIfname, mac, ipv4 } = endpoint as EndpointRecord
  return [id, name, created, hostIfname ?? '', mac, ipv4?.address ?? '', ...wordsOfPorts(ports)]
}

/** Characters that have no meaning: no text has them, and JSON writes them as they are. */
const [blankId, blankName, blankTime, blankLink] = ['\ue000', '\ue001', '\ue002', '\ue003'] as const

/** One with names and ports that no text has, and an address that no sandbox has; undefined where there is no such address. */
function blankOf(record: SandboxRecord): SandboxRecord | undefined {
  const [endpoint] = record.endpoints
  const ipv4 = endpoint?.ipv4
  if (endpoint?.hostIfname === undefined || ipv4 === undefined) return undefined
  const address = formatIp(networkOf(parseInterface(`${ipv4.address}/${ipv4.prefix}`)))
  if (address === ipv4.address || address === ipv4.gateway) return undefined
  return {
    ...record,
    id: blankId,
    name: blankName,
    created: blankTime,
    ...(record.hostname === record.name && { hostname: blankName }),
    netns: { path: `/run/netns/${blankName}`, owned: true },
    endpoints: [{ ...endpoint, hostIfname: blankLink, mac: macOfIpv4(address), ipv4: { ...ipv4, address } }],
    ports: blankPorts(record.ports),
  }
}
