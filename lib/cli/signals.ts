/** SIGINT, SIGTERM and SIGHUP: each ends what is being done in an orderly way. */
import type { ChildProcess } from 'node:child_process'
import { setMaxListeners } from 'node:events'
import { constants } from 'node:os'
import { isatty } from 'node:tty'

const watched = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Why a call was given up. Not said on stderr: whoever sent the signal knows. */
export class Interrupted extends Error {
  readonly status: number

  constructor(name: NodeJS.Signals) {
    super(`interrupted by ${name}`)
    this.status = signalStatus(name)
  }
}

/** The exit status that shells give to an end by signal: 128 and its number. */
export function signalStatus(name: NodeJS.Signals): number {
  return 128 + constants.signals[name]
}

/**
 * From its making to `close()`, none of the signals ends the process. Each aborts `signal`, so that what is under way is taken back;
 * while a command runs, the command gets them instead.
 */
export class Signals {
  readonly #controller = new AbortController()
  #child: ChildProcess | undefined

  constructor() {
    // As many as there are calls under way.
    setMaxListeners(0, this.#controller.signal)
    for (const name of watched) process.on(name, this.#receive)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Hands the signals to a command until it has ended. */
  forwardTo(child: ChildProcess): void {
    this.#child = child
    child.once('close', () => {
      this.#child = undefined
    })
  }

  close(): void {
    for (const name of watched) process.off(name, this.#receive)
  }

  readonly #receive = (name: NodeJS.Signals): void => {
    if (this.#child === undefined) this.#controller.abort(new Interrupted(name))
    else if (name !== 'SIGINT' || !atTerminal()) this.#child.kill(name)
  }
}

/** At a terminal, Ctrl-C reaches the command as well as us: passed on, it would count twice, which many programs take for "at once". */
function atTerminal(): boolean {
  return isatty(0) || isatty(1) || isatty(2)
}
