/** What all commands share: the global options, the host, and the way out for data. */
import { resolve } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Host, Op } from '../contract.js'
import { Signals } from './signals.js'

/** Fills in a command: its arguments, options, action or subcommands. */
export type Fill = (command: Command, cli: Cli) => void

/** One run of the program. */
export class Cli {
  readonly signals = new Signals()
  /** Known as soon as the option was read, so that errors in what follows it have the right form. */
  format: 'table' | 'json' = 'table'
  #stateDir: string | undefined
  #netns: string | undefined
  #config: string | undefined

  /** Gives a command and those below it the global options, so that they may stand anywhere. */
  addGlobals(command: Command): void {
    const options = [
      new Option('--format <form>', 'table or json').argParser((value: string) => {
        if (value !== 'table' && value !== 'json') throw new InvalidArgumentError('Allowed choices are table, json.')
        this.format = value
        return value
      }),
      new Option('--state-dir <path>', 'where intent is kept (default: /run/netmode/<namespace>)').argParser((value: string) => {
        this.#stateDir = value
        return value
      }),
      new Option('--host-netns <path>', 'network namespace to work from (default: this one)').argParser((value: string) => {
        this.#netns = value
        return value
      }),
      new Option('--config <file>', 'network keys of a daemon.json (default: /etc/netmode/config.json)').argParser((value: string) => {
        this.#config = resolve(value)
        return value
      }),
    ]
    for (const option of options) command.addOption(option.helpGroup('Global options:'))
    for (const below of command.commands) this.addGlobals(below)
  }

  /**
   * Opens the host for `work`, whose calls a signal aborts. `repair: false` is for commands that only look: they change nothing, not
   * even what a dead process left behind. `nameService` is for those that go on for a while: who ends at once serves nobody.
   */
  async withHost<T>(
    work: (host: Host, op: Op) => Promise<T>,
    { repair = true, nameService = false }: { readonly repair?: boolean; readonly nameService?: boolean } = {},
  ): Promise<T> {
    const { openHost } = await import('../index.js')
    const op = { signal: this.signals.signal }
    const where = {
      ...(this.#stateDir !== undefined && { stateDir: this.#stateDir }),
      ...(this.#netns !== undefined && { netns: this.#netns }),
      ...(this.#config !== undefined && { config: this.#config }),
    }
    const host = await openHost({ ...where, repair, nameService, ...op })
    try {
      return await work(host, op)
    } finally {
      await host.close()
    }
  }

  /** Data on stdout, in the form that was asked for. */
  print(json: unknown, text: string): void {
    if (this.format === 'json') this.printJson(json)
    else process.stdout.write(text)
  }

  /** For what is JSON in every form, as `docker inspect`. */
  printJson(json: unknown): void {
    process.stdout.write(`${JSON.stringify(json, null, 2)}\n`)
  }
}
