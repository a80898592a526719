/** A native program of the benchmark's, talked to in lines of fields apart by tabs; each command is answered by one line. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import type { Ground } from './ground.js'

/** What run.mjs has built. This script runs from there. */
export const builds = fileURLToPath(new URL('.', import.meta.url))

export class LineProgram implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #answers: AsyncIterator<string>
  #waiting: Promise<unknown> = Promise.resolve()

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env })
    if (this.#child.stdout === null) throw new Error(`${command} has no stdout`)
    this.#child.on('error', () => {}) // seen as the end of its output
    this.#child.stdin?.on('error', () => {})
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  /** Sends a command; answers its number: nanoseconds, mostly. */
  ask(...fields: readonly (string | number)[]): Promise<number> {
    const answer = this.#waiting.then(async () => {
      this.#child.stdin?.write(`${fields.join('\t')}\n`)
      const { value, done } = await this.#answers.next()
      if (done === true) throw new Error(`${this.#child.spawnfile} ended at ${fields[0]}`)
      if (value.startsWith('error')) throw new Error(`${this.#child.spawnfile}, ${fields[0]}: ${value}`)
      return Number(value)
    })
    this.#waiting = answer.catch(() => {})
    return answer
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.stdin?.end()
    await ended
  }
}

/** yardstick.cc, in this process's network namespace or in another one. */
export class Yardstick extends LineProgram {
  constructor(place?: { readonly netns: string }) {
    const program = join(builds, 'yardstick')
    if (place) super('nsenter', [`--net=${place.netns}`, '--', program])
    else super(program, [])
  }

  /** Beside a host, ready to make bare attaches on its bridge. */
  static async on(ground: Ground): Promise<Yardstick> {
    const yardstick = new Yardstick()
    const { subnets } = ground.network
    await yardstick.ask('ground', ground.fact('ifindex'), ground.fact('mtu'), 16, '10.99.255.255', subnets[0]?.gateway ?? '')
    return yardstick
  }
}
