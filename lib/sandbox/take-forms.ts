/** Plans of takes that ask for a name and a few ports: for each pool they are written once, and filled in. */
import { Form, Forms } from '../plan/form.js'
import type { WrittenPlan } from '../plan/mechanism.js'
import type { Plan } from '../plan/op.js'
import type { EndpointRecord, SandboxRecord } from '../state/records.js'
import type { Ground } from './plans.js'
import { keepsResolver, type Taking, takePlan } from './pool-plans.js'
import { areOrdinary, blankPorts, kindOf, wordsOfPorts } from './port-words.js'

export class TakeForms {
  readonly #ground: Ground
  readonly #forms = new Forms<Taking>()

  constructor(ground: Ground) {
    this.#ground = ground
  }

  plan(taking: Taking): Plan | WrittenPlan {
    const draw = () => takePlan(this.#ground, taking)
    const hostResolver = this.#ground.resolver.text()
    if (!isOrdinary(taking) || !keepsResolver(taking, hostResolver)) return draw()
    const { reserved, record } = taking
    const kind = `${kindOf(record.ports)} ${record.ephemeral === undefined} ${reserved.likeness}`
    const form = () => new Form([{ alike: (one: Taking) => takePlan(this.#ground, one) }], wordsOf, blankOf(taking))
    return this.#forms.plan(kind, hostResolver, taking, draw, form)
  }
}

/** The same for those that differ in words only. */
export function likenessOf(record: SandboxRecord): string {
  const { endpoints, files } = blankRecord(record)
  return JSON.stringify({ endpoints, files })
}

/** An IPv4 endpoint and a few ports for everybody, and nothing else that the pool does not give to all. */
function isOrdinary({ reserved, record }: Taking): boolean {
  const { name, hostname, endpoints, ports, files, expose, labels } = record
  const [endpoint] = endpoints
  return (
    reserved.linkIndex !== undefined &&
    endpoints.length === 1 &&
    endpoint?.hostIfname !== undefined &&
    endpoint.ipv4 !== undefined &&
    endpoint.ipv6 === undefined &&
    endpoint.aliases.length === 0 &&
    // Of `web.example.com` the hosts file says more.
    hostname === name &&
    !name.includes('.') &&
    files.addHosts.length === 0 &&
    expose.length === 0 &&
    Object.keys(labels).length === 0 &&
    areOrdinary(ports)
  )
}

/** What differs. */
function wordsOf({ reserved, record }: Taking): readonly string[] {
  const { id, name, created, endpoints, ports } = record
  const { hostIfname, mac, ipv4 } = endpoints[0] as EndpointRecord
  const words = [name, reserved.record.name, String(reserved.linkIndex), id, created, hostIfname ?? '', mac, ipv4?.address ?? '']
  return [...words, ...wordsOfPorts(ports)]
}

/** Characters that have no meaning, and a number that no link has: no text has them, and JSON writes them as they are. */
const blanks = ['\ue000', '\ue001', '\ue002', '\ue003', '\ue004', '\ue005', '\ue006'] as const
const [blankName, blankOld, blankId, blankTime, blankLink, blankMac, blankAddress] = blanks
const noLink = 4_000_000_000

function blankOf({ reserved, record }: Taking): Taking {
  return {
    reserved: { ...reserved, linkIndex: noLink, record: { ...blankRecord(reserved.record), name: blankOld } },
    record: blankRecord(record),
  }
}

function blankRecord(record: SandboxRecord): SandboxRecord {
  return {
    ...record,
    id: blankId,
    name: blankName,
    hostname: blankName,
    created: blankTime,
    netns: { path: `/run/netns/${blankName}`, owned: true },
    endpoints: record.endpoints.map(endpoint => ({
      ...endpoint,
      hostIfname: blankLink,
      mac: blankMac,
      ...(endpoint.ipv4 && { ipv4: { ...endpoint.ipv4, address: blankAddress } }),
    })),
    ports: blankPorts(record.ports),
  }
}
