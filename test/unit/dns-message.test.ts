import type { Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import packet from 'dns-packet'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { answersTo, datagramReply, framed, isFailure, type Query, rcodes, readQuery, reply, withId } from '../../lib/dns/message.js'
import { frames } from '../../lib/dns/stream.js'

const encode = (name: string, more: object = {}) =>
  packet.encode({ type: 'query', id: 7, flags: packet.RECURSION_DESIRED, questions: [{ type: 'A', name }], ...more })
const opt = (udpPayloadSize: number, ednsVersion = 0) => ({
  additionals: [
    { type: 'OPT' as const, name: '.' as const, udpPayloadSize, extendedRcode: 0, ednsVersion, flags: 0, flag_do: false, options: [] },
  ],
})

function query(bytes: Buffer): Query {
  const reading = readQuery(bytes)
  if (reading === undefined || !('query' in reading)) throw new Error('not a question')
  return reading.query
}

/** The status of the refusal; undefined: none. */
function refusal(bytes: Buffer): number | undefined {
  const reading = readQuery(bytes)
  if (reading === undefined || !('refusal' in reading)) throw new Error('not refused')
  expect(reading.refusal.readUInt16BE(0)).toBe(bytes.readUInt16BE(0))
  return reading.refusal.readUInt16BE(2) & 0xf
}

function header(counts: readonly number[], rest: Buffer = Buffer.alloc(0), flags = 0x0100): Buffer {
  const bytes = Buffer.alloc(12)
  for (const [i, value] of [7, flags, ...counts].entries()) bytes.writeUInt16BE(value, i * 2)
  return Buffer.concat([bytes, rest])
}

describe('a question', () => {
  it('is read', () => {
    expect(query(encode('WwW.Example.com'))).toMatchObject({ name: 'www.example.com', type: 1, edns: false, datagram: 512 })
    expect(query(encode('web', opt(4096)))).toMatchObject({ edns: true, datagram: 4096 })
    expect(query(encode('web', opt(12)))).toMatchObject({ edns: true, datagram: 512 })
    expect(query(encode('.')).name).toBe('')
  })

  it('has a name that equals none of ours if it holds what no name of ours does', () => {
    const odd = header([1, 0, 0, 0], Buffer.from([4, 0x61, 0x2e, 0x62, 0x00, 0, 0, 1, 0, 1])) // one label: a . b NUL
    expect(query(odd).name).toBe('a\\46b\\0')
  })

  it.each<[what: string, bytes: Buffer, rcode: number]>([
    ['no question', header([0, 0, 0, 0]), rcodes.formatError],
    ['two questions', header([2, 0, 0, 0], Buffer.from([0, 0, 1, 0, 1, 0, 0, 1, 0, 1])), rcodes.formatError],
    ['65,535 questions', header([0xffff, 0, 0, 0], Buffer.alloc(2000)), rcodes.formatError],
    ['answers', header([1, 9, 0, 0], Buffer.from([0, 0, 1, 0, 1])), rcodes.formatError],
    ['thousands of additional records', header([1, 0, 0, 5000], Buffer.alloc(2000)), rcodes.formatError],
    ['a pointer to itself', header([1, 0, 0, 0], Buffer.from([0xc0, 12, 0, 1, 0, 1])), rcodes.formatError],
    ['a label of an unknown kind', header([1, 0, 0, 0], Buffer.from([0x80, 0, 0, 1, 0, 1])), rcodes.formatError],
    ['a name that does not end', header([1, 0, 0, 0], Buffer.from([3, 1, 1])), rcodes.formatError],
    [
      'a name of more than 255 bytes',
      header([1, 0, 0, 0], Buffer.concat([Buffer.alloc(300, Buffer.from([1, 0x61])), Buffer.from([0, 0, 1, 0, 1])])),
      rcodes.formatError,
    ],
    ['no class', header([1, 0, 0, 0], Buffer.from([0, 0, 1, 0])), rcodes.formatError],
    ['an additional record that is cut off', header([1, 0, 0, 1], Buffer.from([0, 0, 1, 0, 1, 0, 0, 41])), rcodes.formatError],
    ['the class CHAOS', header([1, 0, 0, 0], Buffer.from([0, 0, 16, 0, 3])), rcodes.refused],
    ['a transfer', header([1, 0, 0, 0], Buffer.from([0, 0, 252, 0, 1])), rcodes.refused],
    ['an update', header([1, 0, 0, 0], Buffer.from([0, 0, 1, 0, 1]), 5 << 11), rcodes.notImplemented],
  ])('with %s is refused', (_, bytes, rcode) => {
    expect(refusal(bytes)).toBe(rcode)
  })

  it('is not answered at all if it is an answer itself, too short or too long', () => {
    expect(readQuery(header([1, 0, 0, 0], Buffer.from([0, 0, 1, 0, 1]), 0x8000))).toBeUndefined()
    expect(readQuery(Buffer.alloc(11))).toBeUndefined()
    expect(readQuery(header([1, 0, 0, 0], Buffer.alloc(4096)))).toBeUndefined()
  })

  it('of whatever bytes throws nothing, and its refusal has its id', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 4200 }),
          fc
            .tuple(fc.uint8Array({ minLength: 12, maxLength: 12 }), fc.uint8Array({ maxLength: 99 }))
            .map(([head, rest]) =>
              Buffer.concat([Buffer.from([head[0] ?? 0, head[1] ?? 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, (head[2] ?? 0) % 3]), rest]),
            ),
        ),
        bytes => {
          const reading = readQuery(Buffer.from(bytes))
          if (reading && 'refusal' in reading) expect([reading.refusal[0], reading.refusal[1]]).toEqual([bytes[0], bytes[1]])
          if (reading && 'query' in reading) expect(packet.decode(reply(reading.query, rcodes.noName))).toMatchObject({ rcode: 'NXDOMAIN' })
        },
      ),
      { numRuns: 10_000 },
    )
  })
})

describe('an answer', () => {
  const a = (data: string) => ({ type: 'A' as const, name: 'web', ttl: 5, data })

  it('has the question as it was asked, and says what it is', () => {
    const decoded = packet.decode(reply(query(encode('WEB')), rcodes.noError, [a('10.0.0.2')]))
    expect(decoded).toMatchObject({
      id: 7,
      type: 'response',
      rcode: 'NOERROR',
      flag_aa: true,
      flag_rd: true,
      flag_ra: true,
      flag_tc: false,
    })
    expect(decoded.questions).toEqual([expect.objectContaining({ name: 'WEB', type: 'A' })])
    expect(decoded.answers).toEqual([expect.objectContaining({ name: 'web', data: '10.0.0.2', ttl: 5 })])
    expect(decoded.additionals).toEqual([])
    expect(packet.decode(reply(query(encode('web', opt(4096))), rcodes.noError)).additionals).toEqual([
      expect.objectContaining({ type: 'OPT' }),
    ])
  })

  it('that is too long for a datagram is cut off and says so', () => {
    const many = Array.from({ length: 100 }, (_, i) => a(`10.0.0.${i}`))
    for (const [asked, most] of [
      [encode('web'), 512],
      [encode('web', opt(900)), 900],
      [encode('web', opt(9000)), 1232],
    ] as const) {
      const whole = reply(query(asked), rcodes.noError, many)
      const cut = datagramReply(query(asked), whole)
      expect(whole.length).toBeGreaterThan(most)
      expect(cut.length).toBeLessThanOrEqual(most)
      expect(packet.decode(cut)).toMatchObject({ flag_tc: true, answers: [], rcode: 'NOERROR' })
    }
    const short = reply(query(encode('web')), rcodes.noError, many.slice(0, 3))
    expect(datagramReply(query(encode('web')), short)).toBe(short)
  })

  it('of somebody else is one to the question under its id, and nothing else', () => {
    const asked = query(encode('web.test'))
    const answer = withId(reply(asked, rcodes.noError), 99)
    expect(answersTo(asked, 99, answer)).toBe(true)
    expect(answersTo(asked, 98, answer)).toBe(false)
    expect(answersTo(asked, 7, asked.packet)).toBe(false) // the question itself
    expect(answersTo(asked, 99, answer.subarray(0, 20))).toBe(false)
    expect(answersTo(query(encode('wob.test')), 99, answer)).toBe(false)
    expect(answersTo(query(encode('WEB.test')), 99, answer)).toBe(true) // servers may change the letters' case
  })

  it('is a failure if another server should be asked', () => {
    const asked = query(encode('web'))
    for (const [rcode, failure] of [
      [rcodes.serverFailure, true],
      [rcodes.refused, true],
      [rcodes.noError, false],
      [rcodes.noName, false],
    ] as const)
      expect(isFailure(reply(asked, rcode))).toBe(failure)
  })
})

describe('a stream', () => {
  async function read(chunks: readonly Uint8Array[], most?: number): Promise<Buffer[]> {
    const stream = new PassThrough()
    for (const chunk of chunks) stream.write(chunk)
    stream.end()
    const messages: Buffer[] = []
    for await (const message of frames(stream as unknown as Socket, most)) messages.push(message)
    return messages
  }

  it('is taken apart the same however it comes in pieces', async () => {
    const messages = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(messages, fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1 }), async (wanted, sizes) => {
        const bytes = Buffer.concat(wanted.map(one => framed(Buffer.from(one))))
        const chunks: Buffer[] = []
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const size = sizes[i % sizes.length] as number
          chunks.push(bytes.subarray(at, at + size))
          at += size
        }
        expect((await read(chunks)).map(one => [...one])).toEqual(wanted.map(one => [...one]))
      }),
    )
  })

  it('ends at a message that is empty or too long', async () => {
    const good = framed(Buffer.from('good'))
    expect((await read([good, Buffer.alloc(2), good])).length).toBe(1)
    expect((await read([good, framed(Buffer.alloc(11)), good], 10)).length).toBe(1)
  })
})
