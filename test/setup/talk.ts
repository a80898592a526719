/** Servers that tell at which of their addresses they were met, and a client that keeps its port. */
import type { RemoteInfo, Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Place } from './peers.js'

/** Answers every TCP client with `SAW at ADDRESS`: whom it saw, and the address that it was met at. */
export async function answer(place: Place, address: string, port: number): Promise<void> {
  const server = createServer(socket => {
    socket.on('error', () => {}) // the client may be gone already
    socket.end(`${socket.remoteAddress} at ${address}`)
  })
  await place.listen(server, { host: address, port })
}

/** The same for datagrams. */
export async function answerUdp(place: Place, address: string, port: number): Promise<UdpSocket> {
  const socket = await place.udp({ host: address, port })
  return socket.on('message', (_, { address: saw, port: from }) => socket.send(`${saw} at ${address}`, from, saw))
}

/** One UDP client that goes on sending from the same port: to the kernel one flow. */
export class Talk implements Disposable {
  readonly #socket: UdpSocket
  readonly #to: readonly [port: number, host: string]

  private constructor(socket: UdpSocket, to: readonly [port: number, host: string]) {
    this.#socket = socket
    this.#to = to
    socket.on('error', () => {}) // nobody listens there, at times
  }

  static async begin(place: Place, host: string, port: number): Promise<Talk> {
    return new Talk(await place.udp({ type: host.includes(':') ? 'udp6' : 'udp4' }), [port, host])
  }

  /** The port that it sends from. */
  get port(): number {
    return this.#socket.address().port
  }

  /** Sends one datagram; the answer to it, or `silent` when none comes. */
  async say(quiet = false): Promise<string> {
    this.#socket.send('?', ...this.#to)
    try {
      const [message] = (await once(this.#socket, 'message', quiet ? { signal: AbortSignal.timeout(300) } : {})) as [Buffer, RemoteInfo]
      return message.toString()
    } catch (error) {
      if ((error as Error).name === 'AbortError') return 'silent'
      throw error
    }
  }

  [Symbol.dispose](): void {
    this.#socket.close()
  }
}
