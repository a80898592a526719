/** Plans of creates that ask for nothing out of the ordinary: for each network they are written once, and filled in. */

import { toJson } from '../native.js'
import { formatIp, networkOf, parseInterface } from '../network/cidr.js'
import type { KnownNetwork } from '../network/known-network.js'
import { macOfIpv4 } from '../network/mac.js'
import { Form } from '../plan/form.js'
import type { WrittenPlan } from '../plan/mechanism.js'
import type { Plan } from '../plan/op.js'
import type { EndpointRecord, SandboxRecord } from '../state/records.js'
import type { Attachment, ValidSandboxOptions } from '../validate/sandbox-options.js'
import { createParts, type Ground } from './plans.js'

/** Of a network no more kinds of plans are kept than that. */
const mostKinds = 16
/** What publishes more ports is drawn up each time. */
const mostPorts = 4

/** `form`: none where the plans turned out to differ in more than words. */
interface Tried {
  readonly hostResolver: string
  readonly form?: Form<SandboxRecord>
}

export class CreateForms {
  readonly #ground: Ground
  /** By what is published. */
  readonly #tried = new WeakMap<KnownNetwork, Map<string, Tried>>()

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /** The plan of what was drafted on a network that is made, and has a table if it wants one; `draw` draws it up. */
  plan(options: ValidSandboxOptions, record: SandboxRecord, network: KnownNetwork, draw: () => Plan): Plan | WrittenPlan {
    if (!isOrdinary(options, record)) return draw()
    const kind = record.ports.map(({ protocol, hostIp }) => `${protocol} ${hostIp}`).join()
    const hostResolver = this.#ground.resolver.remembered()
    const kinds = this.#tried.get(network) ?? new Map<string, Tried>()
    const tried = kinds.get(kind)
    if (tried?.hostResolver === hostResolver && tried.form) return tried.form.fill(record)
    const plan = draw()
    if (tried?.hostResolver === hostResolver || (tried === undefined && kinds.size === mostKinds)) return plan
    const blank = blankOf(record)
    const form = blank && new Form(createParts(this.#ground, { networks: [network], networkSteps: [] }), wordsOf, blank)
    // What is worked out from a word, and not just said, shows here.
    const isTrue = form?.fill(record).text === toJson(plan)
    this.#tried.set(network, kinds.set(kind, { hostResolver, ...(isTrue && { form }) }))
    return plan
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
    ports.length <= mostPorts &&
    // Two that lead to one port share an element.
    ports.every((one, i) => one.allow === undefined && ports.findIndex(other => other.containerPort === one.containerPort) === i)
  )
}

function isPlain({ mac, ifname, spoofCheck, tap }: Attachment): boolean {
  return mac === undefined && ifname === undefined && spoofCheck === undefined && tap === undefined
}

/** What differs. */
function wordsOf({ name, endpoints: [endpoint], ports }: SandboxRecord): readonly string[] {
  const { hostIfname, mac, ipv4 } = endpoint as EndpointRecord
  const words = [name, hostIfname ?? '', mac, ipv4?.address ?? '']
  for (const { hostPort, containerPort } of ports) words.push(String(hostPort), String(containerPort))
  return words
}

/** Beyond what a port can be, with as many digits each. */
const noPort = 1_000_000_000

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
    ports: record.ports.map((port, i) => ({ ...port, hostPort: noPort + 2 * i, containerPort: noPort + 2 * i + 1 })),
  }
}
