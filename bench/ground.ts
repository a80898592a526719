/** What most rows stand on: an open host with one bridge network, and as many sandboxes on it as a row wants. */
import { readFileSync } from 'node:fs'

import { type Host, type Network, openHost } from '../lib/index.js'
import { benchNetwork } from './rivals.js'

/** Made at once: enough to keep all threads busy. */
const atOnce = 32

export class Ground implements AsyncDisposable {
  readonly host: Host
  readonly network: Network
  #crowd = 0

  private constructor(host: Host, network: Network) {
    this.host = host
    this.network = network
  }

  static async open(): Promise<Ground> {
    const host = await openHost()
    return new Ground(host, await host.networks.create(benchNetwork))
  }

  /** As many creates as it takes until JavaScript is compiled, as in a process that has run for a while; nothing of them is left. */
  async warmUp(count: number): Promise<void> {
    for (let n = 0; n < count; n += atOnce) {
      const names = Array.from({ length: Math.min(atOnce, count - n) }, (_, i) => `warm-${i}`)
      for (const [i, name] of names.entries())
        await this.host.sandboxes.create({ name, network: this.network.name, publish: [`${20_000 + i}:80`] })
      await this.host.sandboxes.removeAll(names)
    }
  }

  /** Sees to it that there are `count` sandboxes, each with a published port; never takes any away. */
  async crowd(count: number): Promise<void> {
    while (this.#crowd < count) {
      const from = this.#crowd
      this.#crowd = Math.min(count, from + atOnce)
      await Promise.all(Array.from({ length: this.#crowd - from }, (_, i) => this.make(from + i)))
    }
  }

  /** The n-th of the crowd. */
  make(n: number) {
    return this.host.sandboxes.create({ name: Ground.nameOf(n), network: this.network.name, publish: [`${10_000 + n}:80`] })
  }

  static nameOf(n: number): string {
    return `crowd-${n}`
  }

  /** Names of the crowd, which is no longer reckoned with: the caller removes it. */
  release(): string[] {
    const names = Array.from({ length: this.#crowd }, (_, n) => Ground.nameOf(n))
    this.#crowd = 0
    return names
  }

  /** A file of the bridge's in /sys. */
  fact(file: string, network = this.network): string {
    return readFileSync(`/sys/class/net/${network.device ?? ''}/${file}`, 'utf8').trim()
  }

  /** Nothing is taken down: all of it ends with the row's namespaces. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.host.close()
  }
}
