/** Hostile questions: none of them makes the name service spin, stop, or keep more than it should. */
import type { Socket } from 'node:net'
import packet from 'dns-packet'
import fc from 'fast-check'
import { afterAll, beforeAll, expect } from 'vitest'
import { framed } from '../../lib/dns/message.js'
import { frames } from '../../lib/dns/stream.js'
import type { Host, Sandbox } from '../../lib/index.js'
import { open } from '../setup/between.js'
import { dig, dug } from '../setup/dig.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { Upstream } from '../setup/upstream.js'

const { test } = requires('root', 'program:dig')

let machine: PrivateHost
let host: Host
let upstream: Upstream
let web: Sandbox
let db: Sandbox
beforeAll(async () => {
  machine = await freshHost()
  upstream = await Upstream.open(machine.outside.netns, '198.51.100.2', {
    'upstream.test': [{ type: 'A', name: 'upstream.test', ttl: 60, data: '192.0.2.7' }],
  })
  host = await open(machine)
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
  web = await host.sandboxes.create({ name: 'web', network: 'lan', dns: ['198.51.100.2'] })
  db = await host.sandboxes.create({ name: 'db', network: 'lan', dns: ['198.51.100.2'] })
})
afterAll(async () => {
  await host.sandboxes.removeAll(['web', 'db'])
  await host.close()
  await upstream[Symbol.asyncDispose]()
  await machine.remove()
})

const question = (name: string, id = 1) =>
  packet.encode({ type: 'query', id, flags: packet.RECURSION_DESIRED, questions: [{ type: 'A', name }] })

const byte = fc.integer({ min: 0, max: 255 })
const valid = fc.constantFrom('db', 'web', 'nowhere.test', '3.0.9.10.in-addr.arpa').map(name => question(name))
/** A good question with some bytes changed, cut off, or more behind it. */
const mutated = fc
  .tuple(valid, fc.array(fc.tuple(fc.nat(40), byte), { maxLength: 6 }), fc.nat(40), fc.uint8Array({ maxLength: 40 }))
  .map(([bytes, changes, cut, more]) => {
    const copy = Buffer.from(bytes)
    for (const [at, value] of changes) copy[at % copy.length] = value
    return Buffer.concat([copy.subarray(0, Math.max(0, copy.length - (cut > 20 ? 0 : cut))), more])
  })
/** A header that promises anything, with anything behind it. */
const promising = fc
  .tuple(fc.uint8Array({ minLength: 12, maxLength: 12 }), fc.uint8Array({ maxLength: 700 }))
  .map(parts => Buffer.concat(parts))
const pointers = fc.array(fc.nat(0x3fff), { minLength: 1, maxLength: 200 }).map(targets => {
  const names = targets.map(target => Buffer.from([0xc0 | (target >> 8), target & 0xff, 0, 1, 0, 1]))
  return Buffer.concat([Buffer.from([0, 9, 1, 0, 0, targets.length, 0, 0, 0, 0, 0, 0]), ...names])
})
const hostile = fc.oneof(
  fc.uint8Array({ maxLength: 700 }).map(bytes => Buffer.from(bytes)),
  mutated,
  promising,
  pointers,
)

test('ten thousand datagrams, random and mutated, and it answers after each fifty', async () => {
  upstream.tamper = () => []
  const socket = await web.udp()
  await fc.assert(
    fc.asyncProperty(fc.array(hostile, { minLength: 50, maxLength: 50 }), async batch => {
      for (const bytes of batch) socket.send(bytes, 53, '10.9.0.1')
      const answered = new Promise<void>(resolve => {
        socket.on('message', function hear(message: Buffer) {
          if (message.readUInt16BE(0) !== 0xbeef || message.readUInt16BE(6) !== 1) return
          socket.off('message', hear)
          resolve()
        })
      })
      socket.send(question('db', 0xbeef), 53, '10.9.0.1')
      await answered
    }),
    { numRuns: 200, endOnFailure: true },
  )
  socket.close()
  upstream.tamper = answer => [answer]
  expect(await dug(web, 'db')).toEqual(['10.9.0.3'])
})

const connect = (from: Sandbox): Promise<Socket> => from.dial({ host: '10.9.0.1', port: 53 })

test.each<[what: string, bytes: Buffer]>([
  ['a message of no length', Buffer.alloc(2)],
  ['a message of 64 KiB', Buffer.concat([Buffer.from([0xff, 0xff]), Buffer.alloc(0xffff)])],
  ['one that is no question', framed(Buffer.alloc(11))],
  ['an answer', framed(packet.encode({ type: 'response', id: 1, questions: [{ type: 'A', name: 'db' }] }))],
])('a connection with %s is closed', async (_, bytes) => {
  const socket = await connect(web)
  socket.on('error', () => {}) // what was not read is answered by a reset
  socket.write(bytes)
  socket.resume()
  await new Promise(resolve => socket.once('close', resolve))
  expect(await dug(web, '+tcp', 'db')).toEqual(['10.9.0.3'])
})

test('connections that are reset in the middle of a question, and of an answer, leave nothing', async () => {
  for (let i = 0; i < 50; i++) {
    const socket = await connect(web)
    socket.on('error', () => {})
    socket.write(framed(question('db')).subarray(0, i % 2 ? 7 : undefined))
    socket.resetAndDestroy()
  }
  expect(await dug(web, '+tcp', 'db')).toEqual(['10.9.0.3'])
})

test('many questions in one connection, in pieces of any size, are answered in their order', async () => {
  const socket = await connect(web)
  const all = Buffer.concat(Array.from({ length: 200 }, (_, i) => framed(question(i % 2 ? 'db' : 'web', i))))
  for (let at = 0; at < all.length; at += 1 + (at % 50)) socket.write(all.subarray(at, at + 1 + (at % 50)))
  const ids: number[] = []
  for await (const answer of frames(socket)) {
    ids.push(answer.readUInt16BE(0))
    if (ids.length === 200) break
  }
  expect(ids).toEqual(Array.from({ length: 200 }, (_, i) => i))
})

test('one who holds connections without asking keeps only himself out', async () => {
  const held = await Promise.all(Array.from({ length: 16 }, () => connect(web)))
  for (const socket of held) socket.write(Buffer.from([0])) // half a length
  const one = await connect(web)
  one.on('error', () => {})
  one.resume()
  await new Promise(resolve => one.once('close', resolve))
  expect(await dug(db, '+tcp', 'web')).toEqual(['10.9.0.2'])
  expect(await dug(web, 'db')).toEqual(['10.9.0.3'])
  for (const socket of held) socket.destroy()
})

test('one who floods with questions for outside has an answer to each, and others are served meanwhile', async () => {
  upstream.tamper = () => [] // each would wait for as long as a server may take
  const socket = await web.udp()
  let refused = 0
  const full = new Promise<void>(resolve => {
    socket.on('message', message => {
      if ((message.readUInt16BE(2) & 0xf) === 2 && ++refused === 100) resolve()
    })
  })
  for (let i = 0; i < 300; i++) socket.send(question(`q${i}.test`, i), 53, '10.9.0.1')
  await full // more than 64 are under way: the rest is told SERVFAIL at once
  expect(await dug(db, 'web')).toEqual(['10.9.0.2'])
  expect(await dug(web, 'db')).toEqual(['10.9.0.3'])
  expect(await dug(db, '+tcp', 'upstream.test')).toEqual(['192.0.2.7'])
  socket.close()
  upstream.tamper = answer => [answer]
})

test.each<[what: string, status: string, words: readonly string[]]>([
  ['another opcode', 'NOTIMP', ['+opcode=notify', 'db']],
  ['another class', 'REFUSED', ['db', 'CH', 'TXT']],
  ['a later version of EDNS', 'BADVERS', ['+edns=7', '+noednsnegotiation', 'db']],
])('%s gets %s', async (_, status, words) => {
  expect((await dig(web, ...words)).all).toContain(`status: ${status}`)
})
