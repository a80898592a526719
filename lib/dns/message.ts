/** The wire (RFC 1035, RFC 6891): reading questions that may be hostile, writing answers. Pure. */
import packet, { type Answer } from 'dns-packet'

export type { Answer }

export const rcodes = { noError: 0, formatError: 1, serverFailure: 2, noName: 3, notImplemented: 4, refused: 5 } as const
export type Rcode = (typeof rcodes)[keyof typeof rcodes]

/** Types of records that are told apart here. */
export const types = { a: 1, ptr: 12, aaaa: 28, ixfr: 251, axfr: 252, any: 255 } as const

const headerBytes = 12
/** Questions are small; whatever is longer is not one. */
export const largestQuery = 4096
/** What fits into a datagram for a client that says nothing of it, and the most that is sent to one that does (of our own answers). */
const smallestDatagram = 512
const largestDatagram = 1232

// The second word of the header.
const isResponse = 0x8000
const isAuthoritative = 0x0400
const isTruncated = 0x0200
const wantsRecursion = 0x0100
const offersRecursion = 0x0080

/** One question. */
export interface Query {
  /** The packet as it came. */
  readonly packet: Buffer
  /** The question in it, byte by byte. */
  readonly question: Buffer
  /** In lower case, without the dot at its end. Bytes that no host name has are escaped, so that it equals none of ours. */
  readonly name: string
  readonly type: number
  /** bytes that the client takes in one datagram */
  readonly datagram: number
  readonly edns: boolean
}

/** A question, or the answer that a bad one gets. undefined: no answer at all, which would make us part of a loop or a flood. */
export type Reading = { readonly query: Query } | { readonly refusal: Buffer } | undefined

/**
 * Reads a packet. What would be expensive to take apart is refused by its header: so many questions, records that a question doesn't
 * have. A name that points elsewhere is not followed.
 */
export function readQuery(bytes: Buffer): Reading {
  if (bytes.length < headerBytes || bytes.length > largestQuery) return undefined
  const flags = bytes.readUInt16BE(2)
  if (flags & isResponse) return undefined
  if ((flags >> 11) & 0xf) return { refusal: headerOnly(bytes, rcodes.notImplemented) }
  const malformed = { refusal: headerOnly(bytes, rcodes.formatError) }
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map(offset => bytes.readUInt16BE(offset))
  // EDNS, and perhaps a signature of the transaction.
  if (questions !== 1 || answers !== 0 || authorities !== 0 || Number(additionals) > 2) return malformed
  const asked = readQuestion(bytes)
  if (asked === undefined) return malformed
  try {
    const opt = packet.decode(bytes).additionals?.find(record => record.type === 'OPT')
    const query: Query = {
      packet: bytes,
      ...asked,
      edns: opt !== undefined,
      datagram: Math.max(smallestDatagram, opt?.udpPayloadSize ?? smallestDatagram),
    }
    if (asked.isInternet && (opt?.ednsVersion ?? 0) === 0 && asked.type !== types.axfr && asked.type !== types.ixfr) return { query }
    return { refusal: (opt?.ednsVersion ?? 0) > 0 ? badVersion(query) : reply(query, rcodes.refused) }
  } catch {
    return malformed // dns-packet throws on whatever doesn't end where it should
  }
}

function readQuestion(bytes: Buffer) {
  const labels: string[] = []
  let at = headerBytes
  for (;;) {
    const length = bytes[at]
    if (length === undefined || length > 63) return undefined // 64 and more would be a pointer
    at += 1 + length
    if (at > bytes.length || at - headerBytes > 255) return undefined
    if (length === 0) break
    labels.push(bytes.toString('latin1', at - length, at).toLowerCase())
  }
  if (at + 4 > bytes.length) return undefined
  return {
    question: bytes.subarray(headerBytes, at + 4),
    name: labels.map(label => label.replace(/[^a-z0-9_-]/g, byte => `\\${byte.charCodeAt(0)}`)).join('.'),
    type: bytes.readUInt16BE(at),
    isInternet: bytes.readUInt16BE(at + 2) === 1,
  }
}

/** An answer of our own. */
export function reply(query: Query, rcode: Rcode, answers: Answer[] = []): Buffer {
  const flags = rcode === rcodes.noError || rcode === rcodes.noName ? isAuthoritative : 0
  return assembled(query, flags | rcode, answers)
}

/** The same with no more than the client takes in a datagram: a longer one says that it has to be asked for by TCP. */
export function datagramReply(query: Query, answer: Buffer, most = Math.min(query.datagram, largestDatagram)): Buffer {
  return answer.length <= most ? answer : assembled(query, isTruncated | (answer.readUInt16BE(2) & 0xf), [])
}

/** For an answer of somebody else's: the client has told its own limit to him. */
export function forwardedDatagram(query: Query, answer: Buffer): Buffer {
  return datagramReply(query, answer, query.datagram)
}

/** Is this what somebody answers to the question, when it was sent with that id? */
export function answersTo({ question }: Query, id: number, answer: Buffer): boolean {
  if (answer.length < headerBytes + question.length || answer.readUInt16BE(0) !== id) return false
  if (!(answer.readUInt16BE(2) & isResponse) || answer.readUInt16BE(4) !== 1) return false
  const echoed = answer.subarray(headerBytes, headerBytes + question.length)
  return echoed.equals(question) || echoed.toString('latin1').toLowerCase() === question.toString('latin1').toLowerCase()
}

/** The packet under another id. */
export function withId(bytes: Buffer, id: number): Buffer {
  const copy = Buffer.from(bytes)
  copy.writeUInt16BE(id, 0)
  return copy
}

export function idOf(bytes: Buffer): number {
  return bytes.readUInt16BE(0)
}

/** Has somebody answered that he can't or won't, so that another one is to be asked? */
export function isFailure(answer: Buffer): boolean {
  const rcode = answer.readUInt16BE(2) & 0xf
  return rcode === rcodes.serverFailure || rcode === rcodes.notImplemented || rcode === rcodes.refused
}

/** As TCP has it: its length in front. */
export function framed(bytes: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(bytes.length)
  return Buffer.concat([length, bytes])
}

function badVersion(query: Query): Buffer {
  return assembled(query, 0, [], 1)
}

/** dns-packet writes all but the question, which goes back as it came; it makes no pointers, so nothing moves by that. */
function assembled({ packet: asked, question, edns }: Query, flags: number, answers: Answer[], extendedRcode = 0): Buffer {
  const rest = packet.encode({
    type: 'response',
    id: idOf(asked),
    flags: flags | (asked.readUInt16BE(2) & wantsRecursion) | offersRecursion,
    answers,
    ...(edns && {
      additionals: [
        { type: 'OPT', name: '.', udpPayloadSize: largestDatagram, extendedRcode, ednsVersion: 0, flags: 0, flag_do: false, options: [] },
      ],
    }),
  })
  rest.writeUInt16BE(1, 4)
  return Buffer.concat([rest.subarray(0, headerBytes), question, rest.subarray(headerBytes)])
}

/** For what could not be taken apart. */
function headerOnly(asked: Buffer, rcode: Rcode): Buffer {
  const answer = Buffer.alloc(headerBytes)
  asked.copy(answer, 0, 0, 2)
  answer.writeUInt16BE(isResponse | (asked.readUInt16BE(2) & (0x7800 | wantsRecursion)) | rcode, 2)
  return answer
}
