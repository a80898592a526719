/** Who is measured: netmode itself, and the two natively made attaches of floor.cc. All of them one at a time. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

import type { CreatedSandbox, Host, Network } from '../lib/index.js'

/** Makes a sample and takes it away again. */
export interface Rival {
  readonly name: string
  /** Makes the n-th sample; answers the nanoseconds that it took. */
  make(n: number): Promise<number>
  /** Takes away what `make` made last. */
  clear(): Promise<void>
  /** The sample made last, for looking at it. */
  readonly sample: Sample
}

export interface Sample {
  readonly name: string
  readonly hostIfname: string
  readonly mac: string
  readonly address: string
}

/** The host port that every sample publishes, and the sandbox's that it leads to. */
const published = { hostPort: 8080, containerPort: 80 } as const

/** `host.sandboxes.create` with a port, as a program would call it. */
export class Ours implements Rival {
  readonly name = 'ours'
  readonly #host: Host
  readonly #network: string
  #sandbox: CreatedSandbox | undefined

  constructor(host: Host, network: string) {
    this.#host = host
    this.#network = network
  }

  async make(n: number): Promise<number> {
    const start = process.hrtime.bigint()
    const sandbox = await this.#host.sandboxes.create({
      name: `ours-${n}`,
      network: this.#network,
      publish: [`${published.hostPort}:${published.containerPort}`],
    })
    const end = process.hrtime.bigint()
    this.#sandbox = sandbox
    return Number(end - start)
  }

  async clear(): Promise<void> {
    await this.#sandbox?.remove()
  }

  get sample(): Sample {
    const endpoint = this.#sandbox?.endpoints[0]
    if (this.#sandbox === undefined || endpoint?.ipv4 === undefined) throw new Error('nothing has been made')
    return { name: this.#sandbox.name, hostIfname: endpoint.hostIfname ?? '', mac: endpoint.mac, address: endpoint.ipv4.address }
  }
}

/** The floor's program, started once: it measures by itself and answers the time. */
export class Floor {
  readonly #child: ChildProcess
  readonly #answers: AsyncIterator<string>

  private constructor(child: ChildProcess) {
    this.#child = child
    if (child.stdout === null) throw new Error('floor has no stdout')
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  }

  /** Starts it for this network, of the /16 that `Ours` uses the lower half of. */
  static async start(program: string, network: Network, stateDir: string): Promise<Floor> {
    const floor = new Floor(spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] }))
    const device = network.device ?? ''
    const fact = (file: string): string => readFileSync(`/sys/class/net/${device}/${file}`, 'utf8').trim()
    const [subnet] = network.subnets
    if (subnet === undefined) throw new Error('the network has no subnet')
    const [net = '', prefix = ''] = subnet.subnet.split('/')
    const broadcast = net.replace(/\.0\.0$/, '.255.255')
    await floor.ask('ground', device, fact('ifindex'), fact('mtu'), prefix, broadcast, subnet.gateway, stateDir, network.name, network.id)
    return floor
  }

  /** Sends a command; answers the nanoseconds measured. */
  async ask(...fields: readonly string[]): Promise<number> {
    this.#child.stdin?.write(`${fields.join('\t')}\n`)
    const { value, done } = await this.#answers.next()
    if (done === true) throw new Error('floor has ended')
    if (value.startsWith('error')) throw new Error(`floor, ${fields[0]}: ${value}`)
    return Number(value)
  }

  close(): void {
    this.#child.stdin?.end()
  }
}

/** One of the floor's two ways to make a sample. */
export class Native implements Rival {
  readonly name: 'bare' | 'full'
  readonly #floor: Floor
  readonly #record: string
  readonly #model: Sample
  #sample: Sample | undefined

  /** `record` is a state.json that netmode wrote for `model`: what `full` writes is the same with other names. */
  constructor(name: 'bare' | 'full', floor: Floor, model: Sample, record: string) {
    this.name = name
    this.#floor = floor
    this.#model = model
    this.#record = record
  }

  async make(n: number): Promise<number> {
    const sample = sampleOf(this.name, n, this.#model.address)
    this.#sample = sample
    const fields = [sample.name, sample.hostIfname, sample.mac, sample.address]
    if (this.name === 'bare') return this.#floor.ask('bare', ...fields)
    const record = substitute(this.#record, this.#model, sample).replace('"phase":"ready"', '"phase":"creating"').trim()
    return this.#floor.ask('full', ...fields, String(published.hostPort), record)
  }

  async clear(): Promise<void> {
    await this.#floor.ask('clear')
  }

  get sample(): Sample {
    if (this.#sample === undefined) throw new Error('nothing has been made')
    return this.#sample
  }
}

/** Addresses from the upper half of the /16, so that netmode's own are never among them. */
function sampleOf(rival: 'bare' | 'full', n: number, neighbor: string): Sample {
  const [a = '', b = ''] = neighbor.split('.')
  const bytes = [Number(a), Number(b), 128 + (Math.floor(n / 250) % 100), 2 + (n % 250)]
  return {
    name: `${rival}-${n}`,
    hostIfname: `veth${rival[0]}${n.toString(16).padStart(6, '0')}`,
    mac: ['02', '42', ...bytes.map(byte => byte.toString(16).padStart(2, '0'))].join(':'),
    address: bytes.join('.'),
  }
}

/** A text about one sample as it would be about another. */
export function substitute(text: string, from: Sample, to: Sample): string {
  return (['name', 'hostIfname', 'mac', 'address'] as const).reduce((changed, key) => changed.replaceAll(from[key], to[key]), text)
}
