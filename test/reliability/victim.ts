/** A program with a meddler at its side. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { PrivateHost } from '../setup/namespace.js'
import { Program, type Programs } from '../setup/program.js'
import type { ActName, RepairName } from './acts.js'
import type { Answer, Descriptors } from './programs/victim.js'

const source = fileURLToPath(new URL('meddler.cc', import.meta.url))

/** The meddler, built beside the native tests when it is not there or older than its source. */
function meddler(): string {
  const folder = fileURLToPath(new URL('../../build', import.meta.url))
  const program = join(folder, 'meddler')
  if (existsSync(program) && statSync(program).mtimeMs > statSync(source).mtimeMs) return program
  const own = `${program}.${process.pid}`
  const built = spawnSync('sh', ['-c', `g++ -std=c++23 -O1 -Wall -Wextra -Werror -o "$1" "$2" && mv "$1" "$3"`, 'sh', own, source, program])
  if (built.status !== 0) throw new Error(`the meddler can't be built: ${built.stderr}`)
  return program
}

/** What became of an act that was meddled with. */
export type Outcome = Answer & {
  /** How many calls counted. */
  readonly calls: number
  /** The call that was meddled with. */
  readonly where: string
}

export class Victim implements AsyncDisposable {
  readonly #program: Program
  readonly #meddler: Program
  /** What it had open before the host was. */
  readonly before: Descriptors

  private constructor(program: Program, meddler: Program, before: Descriptors) {
    this.#program = program
    this.#meddler = meddler
    this.before = before
  }

  /** Starts one that has opened the host. */
  static async start(programs: Programs, machine: PrivateHost, ...more: readonly 'guard'[]): Promise<Victim> {
    const program = programs.start('victim', machine.netns, machine.stateDir, ...more)
    const before = JSON.parse(await program.hear()) as Descriptors
    const { LD_PRELOAD: _, ...env } = process.env
    const child: ChildProcess = spawn(meddler(), [String(program.process.pid), machine.stateDir], { stdio: 'pipe', env })
    const beside = new Program(child)
    await beside.hear()
    return new Victim(program, beside, before)
  }

  /** Lets it do something while nobody disturbs it, or with one call failing (or all from there on). */
  async act(act: ActName | RepairName, order = 'fail/-1/0'): Promise<Outcome> {
    this.#program.say(JSON.stringify({ act, order }))
    return this.#outcome()
  }

  /** Lets it close the host; answers what is open then. */
  async close(): Promise<Descriptors> {
    this.#program.say(JSON.stringify({ act: 'close', order: 'fail/-1/0' }))
    return (await this.#outcome()).open
  }

  async #outcome(): Promise<Outcome> {
    let line = await this.#program.hear()
    // What the last pause of a guard was for may be tried just when the next fault comes: twice is told of.
    while (line.startsWith('NetmodeWarning ')) line = await this.#program.hear()
    const answer = JSON.parse(line) as Answer
    const [calls = '', ...where] = (await this.#meddler.hear()).split(' ')
    return { ...answer, calls: Number(calls), where: where.join(' ') }
  }

  /** Kills it before a call of the act; answers which one that was, or undefined if it came to its end. `cause`: what a guard waits for. */
  async killIn(act: ActName | RepairName, at: number, cause?: () => Promise<unknown>): Promise<string | undefined> {
    this.#program.say(JSON.stringify({ act, order: `kill/${at}/0` }))
    // It may be killed before it has said so.
    if (cause && (await this.#program.hear().catch(() => undefined)) !== undefined) await cause()
    const word = await this.#meddler.hear()
    if (!word.startsWith('killed ')) return undefined
    await this.#program.end()
    return word.slice('killed '.length)
  }

  /** Lets its guard meet an error, or more of them; `put` resolves when things are right again. */
  async guard(order: string, cause: () => Promise<unknown>, put: () => Promise<unknown>): Promise<Outcome> {
    this.#program.say(JSON.stringify({ act: 'long guard', order }))
    await this.#program.hear()
    await cause()
    await put()
    this.#program.process.kill('SIGUSR2')
    return this.#outcome()
  }

  /** Its guard meets nothing but errors until it has told of them. Answers what it said. */
  async warned(order: string, cause: () => Promise<unknown>): Promise<string> {
    this.#program.say(JSON.stringify({ act: 'long guard', order }))
    await this.#program.hear()
    await cause()
    const warning = await this.#program.hear()
    this.#program.process.kill('SIGUSR2')
    await this.#outcome()
    return warning
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#program.process.kill('SIGKILL')
    await this.#program.end()
    await this.#meddler.end()
  }
}
