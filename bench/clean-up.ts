/** Taking samples away again: none of it is measured, but what the kernel does meanwhile and afterwards is felt by all rivals. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'

import { type Host, openHost } from '../lib/index.js'
import { benchNetwork, Floor, type Sample, stateDir } from './rivals.js'

/** Links deleted together, as netmode itself deletes them. */
const groupSize = 32

export interface CleanUp {
  /** Takes a sample over. Resolves when the next one may be made. */
  take(sample: Sample): Promise<void>
  /** Resolves when nothing is left. */
  finish(): Promise<void>
}

/** Takes away what is given, of both kinds, all links of a kind in one group. */
class Sweeper {
  readonly #host: Host
  readonly #floor: Floor

  constructor(host: Host, floor: Floor) {
    this.#host = host
    this.#floor = floor
  }

  async sweep(samples: readonly Sample[]): Promise<void> {
    const bare = samples.flatMap(sample => ('namespace' in sample ? [sample.namespace, sample.link] : []))
    if (bare.length > 0) await this.#floor.ask('clear', ...bare)
    await this.#host.sandboxes.removeAll(samples.flatMap(sample => ('sandbox' in sample ? sample.sandbox : [])))
  }
}

/** Each sample by itself and at once, then a rest in which the kernel takes the namespace apart: everybody finds cold caches. */
export class Alone implements CleanUp {
  readonly #sweeper: Sweeper
  readonly #rest: number

  constructor(host: Host, floor: Floor, rest: number) {
    this.#sweeper = new Sweeper(host, floor)
    this.#rest = rest
  }

  async take(sample: Sample): Promise<void> {
    await this.#sweeper.sweep([sample])
    await pause(this.#rest)
  }

  async finish(): Promise<void> {}
}

/** In groups, between bursts of samples; the kernel goes on taking their namespaces apart while the next ones are made. */
export class Between implements CleanUp {
  readonly #sweeper: Sweeper
  readonly #burst: number
  #samples: Sample[] = []

  /** `burst`: samples made one after the other */
  constructor(host: Host, floor: Floor, burst: number) {
    this.#sweeper = new Sweeper(host, floor)
    this.#burst = burst
  }

  async take(sample: Sample): Promise<void> {
    this.#samples.push(sample)
    if (this.#samples.length >= this.#burst) await this.finish()
  }

  async finish(): Promise<void> {
    while (this.#samples.length > 0) await this.#sweeper.sweep(this.#samples.splice(0, groupSize))
  }
}

/** By another process, in groups, all the time: rivals wait for the kernel's locks as they would on a busy machine. */
export class Behind implements CleanUp {
  readonly #janitor: ChildProcess
  /** Beyond it samples wait: the janitor can't keep up, and a bridge takes 1,023 ports. */
  readonly #limit: number
  #left = 0

  private constructor(janitor: ChildProcess, limit: number) {
    this.#janitor = janitor
    this.#limit = limit
    janitor.on('message', removed => {
      this.#left -= Number(removed)
    })
  }

  static async start(limit: number): Promise<Behind> {
    const janitor = fork(process.argv[1] ?? '', ['--janitor'], { serialization: 'json' })
    await once(janitor, 'message')
    return new Behind(janitor, limit)
  }

  async take(sample: Sample): Promise<void> {
    this.#left++
    this.#janitor.send(sample)
    while (this.#left > this.#limit) await once(this.#janitor, 'message')
  }

  async finish(): Promise<void> {
    const ended = once(this.#janitor, 'exit')
    this.#janitor.send('finish')
    const [status] = await ended
    if (status !== 0) throw new Error(`the janitor ended with status ${status}`)
  }
}

/** The other process's work. */
export async function serveJanitor(): Promise<void> {
  const host = await openHost({ stateDir })
  const network = await host.networks.get(benchNetwork.name)
  if (!network) throw new Error('no network to clean up on')
  const floor = await Floor.start(network)
  const sweeper = new Sweeper(host, floor)
  const waiting: Sample[] = []
  let sweeping = Promise.resolve()
  const sweep = async () => {
    const group = waiting.splice(0, groupSize)
    await sweeper.sweep(group)
    process.send?.(group.length)
  }
  process.on('message', async (message: Sample | 'finish') => {
    if (message !== 'finish') {
      waiting.push(message)
      if (waiting.length % groupSize === 0) sweeping = sweeping.then(sweep)
      return
    }
    await sweeping
    while (waiting.length > 0) await sweep()
    floor[Symbol.dispose]()
    await host.close()
    process.disconnect()
  })
  process.send?.(0)
}
