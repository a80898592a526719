/** A name server of the world outside, that remembers what it was asked. */
import { createServer, type Socket } from 'node:net'
import packet, { type Answer, type Packet } from 'dns-packet'
import { Peer } from './peers.js'

/** What it knows: names, and records for them. Everything else does not exist. */
export type Zone = Readonly<Record<string, readonly Answer[]>>

export class Upstream implements AsyncDisposable {
  /** `udp upstream.test A`, in the order of their coming. */
  readonly asked: string[] = []
  /** Changes what goes back by UDP; null: nothing does. */
  tamper: (answer: Buffer) => readonly Buffer[] = answer => [answer]
  readonly #zone: Zone
  readonly #peer: Peer

  private constructor(netns: string, zone: Zone) {
    this.#peer = new Peer(netns)
    this.#zone = zone
  }

  static async open(netns: string, address: string, zone: Zone): Promise<Upstream> {
    const upstream = new Upstream(netns, zone)
    const udp = await upstream.#peer.udp({ host: address, port: 53 })
    udp.on('message', (question, { address: to, port }) => {
      for (const answer of upstream.tamper(packet.encode(upstream.#answer(question, 'udp')))) udp.send(answer, port, to)
    })
    const server = createServer(socket => upstream.#serve(socket))
    await upstream.#peer.listen(server, { host: address, port: 53 })
    return upstream
  }

  #serve(socket: Socket): void {
    let bytes = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('data', chunk => {
      bytes = Buffer.concat([bytes, chunk])
      if (bytes.length < 2 || bytes.length < 2 + bytes.readUInt16BE(0)) return
      socket.end(packet.streamEncode(this.#answer(bytes.subarray(2), 'tcp')))
    })
  }

  #answer(bytes: Buffer, transport: 'udp' | 'tcp'): Packet {
    const { id, questions = [] } = packet.decode(bytes)
    const [question] = questions
    this.asked.push(`${transport} ${question?.name} ${question?.type}`)
    const known = this.#zone[question?.name ?? '']
    const answers = (known ?? []).filter(({ type }) => type === question?.type)
    const whole: Packet = { type: 'response', id: id ?? 0, flags: packet.RECURSION_AVAILABLE | (known ? 0 : 3), questions, answers }
    if (transport === 'tcp' || packet.encodingLength(whole) <= 1232) return whole
    return { ...whole, flags: packet.RECURSION_AVAILABLE | packet.TRUNCATED_RESPONSE, answers: [] }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#peer[Symbol.asyncDispose]()
  }
}
