/**
 * Which process serves: the one whose claim is in the state folder. The others keep a connection to it, which ends when it does,
 * however that comes; then one of them is next. By the same connection they ask it to take notice of what they have made.
 */
import { once } from 'node:events'
import { closeSync, openSync, readdirSync, rmSync } from 'node:fs'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { errnoName } from '../errors.js'
import { type Mechanism, PlanFailure } from '../plan/mechanism.js'
import { randomHex } from '../random.js'
import type { Layout } from '../state/layout.js'
import { lockRoot } from '../state/lock.js'
import { thisProcess } from '../state/process.js'
import { isAlive, readHolder } from './holder.js'

const ending = '.sock'

/** What the elected process answers the others with. */
export type Notice = () => Promise<void>

export class Election {
  readonly #mechanism: Mechanism
  readonly #layout: Layout

  constructor(mechanism: Mechanism, layout: Layout) {
    this.#mechanism = mechanism
    this.#layout = layout
  }

  /** Runs once: answers the claim, or a line to the process that has it. `notice`: called for the others' sake while we have it. */
  async run(notice: Notice): Promise<Claim | Line> {
    const folder = this.#layout.nameService
    for (;;) {
      const holder = readHolder(this.#layout.nameServiceClaim)
      const line = holder === undefined ? undefined : await Line.open(folder, holder)
      if (line !== undefined) return line
      const claim = await this.#claim(holder, notice)
      if (claim !== undefined) return claim
    }
  }

  /** undefined: another one was faster. */
  async #claim(dead: string | undefined, notice: Notice): Promise<Claim | undefined> {
    const { pid, started } = thisProcess()
    const name = `${pid}.${started}.${randomHex(4)}`
    // Listening before it has the claim: whoever finds the claim can tell whether its holder lives.
    const desk = await Desk.open(this.#layout.nameService, name, notice)
    const path = this.#layout.nameServiceClaim
    const take = { apply: { op: 'claim', path, holder: name } } as const
    try {
      await this.#mechanism.run(
        dead === undefined
          ? [take]
          : // Alone, so that nobody takes away the claim of one who was faster.
            [lockRoot(this.#layout, 'exclusive'), { apply: { op: 'release', path, holder: dead } }, take],
      )
    } catch (error) {
      desk.close()
      if (error instanceof PlanFailure && error.op.op === 'claim' && errnoName(error.errno) === 'EEXIST') return undefined
      throw error
    }
    sweep(this.#layout.nameService)
    return new Claim(desk, async () => {
      await this.#mechanism.run([{ apply: { op: 'release', path, holder: name } }])
    })
  }
}

/** This process serves. */
export class Claim {
  readonly #desk: Desk
  readonly #release: () => Promise<void>

  constructor(desk: Desk, release: () => Promise<void>) {
    this.#desk = desk
    this.#release = release
  }

  /** Gives it up; then the others are told. */
  async close(): Promise<void> {
    await this.#release().catch(() => {}) // a claim whose holder doesn't listen counts for nothing
    this.#desk.close()
  }
}

/** Where the others meet the process that serves. */
class Desk {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #folder: number

  private constructor(server: Server, folder: number) {
    this.#server = server
    this.#folder = folder
  }

  static async open(folder: string, name: string, notice: Notice): Promise<Desk> {
    const fd = openSync(folder, 'r')
    const server = createServer()
    const desk = new Desk(server, fd)
    server.on('connection', socket => {
      desk.#sockets.add(socket.unref())
      socket.on('error', () => {})
      socket.once('close', () => desk.#sockets.delete(socket))
      socket.on('data', async bytes => {
        await notice()
        if (!socket.destroyed) socket.write(Buffer.alloc(bytes.length))
      })
    })
    try {
      const listening = once(server, 'listening')
      server.listen(place(fd, name))
      await listening
      server.unref()
      return desk
    } catch (error) {
      closeSync(fd)
      throw error
    }
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    closeSync(this.#folder)
  }
}

/** Another process serves. */
export class Line {
  readonly #socket: Socket
  #awaited: (() => void)[] = []

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('error', () => {}) // as good as its end
    socket.on('data', bytes => {
      for (const done of this.#awaited.splice(0, bytes.length)) done()
    })
    socket.once('close', () => {
      for (const done of this.#awaited.splice(0)) done()
    })
  }

  /** undefined: nobody listens there, so the holder is dead, or it died before it answered. */
  static async open(folder: string, holder: string): Promise<Line | undefined> {
    const fd = openSync(folder, 'r')
    const socket = createConnection({ path: place(fd, holder) })
    try {
      await once(socket, 'connect')
      return new Line(socket.unref())
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ECONNREFUSED' || code === 'ENOENT' || code === 'ECONNRESET') return undefined
      throw error
    } finally {
      closeSync(fd)
    }
  }

  /** Resolves when the other process has looked at the networks once more, or has ended. */
  async notify(): Promise<void> {
    if (this.#socket.destroyed) return
    this.#socket.ref()
    await new Promise<void>(resolve => {
      this.#awaited.push(resolve)
      this.#socket.write('\n')
    })
    if (this.#awaited.length === 0) this.#socket.unref()
  }

  /** Resolves when the other process has ended or given up. */
  get ended(): Promise<void> {
    return new Promise(resolve => {
      if (this.#socket.destroyed) resolve()
      else this.#socket.once('close', () => resolve())
    })
  }

  close(): void {
    this.#socket.destroy()
  }
}

/** By the open folder: the path of a socket may have no more than 107 bytes, and that of a state folder is the user's. */
function place(folder: number, name: string): string {
  return `/proc/self/fd/${folder}/${name}${ending}`
}

/** Takes away sockets of processes that are dead. What can't be taken away now is left to the next. */
function sweep(folder: string): void {
  try {
    for (const file of readdirSync(folder).filter(name => name.endsWith(ending)))
      if (!isAlive(file)) rmSync(join(folder, file), { force: true })
  } catch {
    // The claim is ours all the same.
  }
}
