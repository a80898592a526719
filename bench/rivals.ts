/** Who is measured: netmode itself, and the two native attaches of floor.cc. All of them one at a time. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import type { Host, Network, SandboxOptions } from '../lib/index.js'
import type { Plan } from '../lib/plan/op.js'

/** The project's folder: benchmarks run from build-bench. */
export const root = join(dirname(fileURLToPath(import.meta.url)), '..')
export const stateDir = '/run/netmode-bench'

/** What one turn of a rival has left behind: a sandbox, or a bare namespace with the host's end of its link. */
export type Sample = { readonly sandbox: string } | { readonly namespace: string; readonly link: string }

export interface Rival {
  readonly name: 'bare' | 'full' | 'ours'
  /** Makes the n-th sample; answers the nanoseconds that it took, and what is to be cleared away. */
  make(n: number): Promise<{ readonly time: number; readonly sample: Sample }>
}

/** A sandbox on one network with one published port. Samples live side by side, so each has a port of its own. */
function sandboxOptions(name: string, port: number): SandboxOptions {
  return { name, network: benchNetwork.name, publish: [`${port}:80`] }
}

/** `host.sandboxes.create`, from the call to the answer. */
export class Ours implements Rival {
  readonly name = 'ours'
  readonly #host: Host

  constructor(host: Host) {
    this.#host = host
  }

  async make(n: number) {
    const sandbox = `ours-${n}`
    const options = sandboxOptions(sandbox, 10_000 + (n % 10_000))
    const start = process.hrtime.bigint()
    await this.#host.sandboxes.create(options)
    const end = process.hrtime.bigint()
    return { time: Number(end - start), sample: { sandbox } }
  }
}

/** The plan that `create` would run, run by the same native code in the floor's program. It leaves a sandbox like any other. */
export class Full implements Rival {
  readonly name = 'full'
  readonly #floor: Floor
  readonly #host: Host

  constructor(floor: Floor, host: Host) {
    this.#floor = floor
    this.#host = host
  }

  async make(n: number) {
    const sandbox = `full-${n}`
    const plan = await createPlanOf(this.#host, sandboxOptions(sandbox, 20_000 + (n % 10_000)))
    return { time: await this.#floor.ask('full', JSON.stringify(plan)), sample: { sandbox } }
  }
}

/** What `explain` prints the plan of; not part of the public contract. */
export function createPlanOf(host: Host, options: SandboxOptions): Promise<Plan> {
  const planner = host.sandboxes as unknown as { createPlan(options: SandboxOptions): Promise<Plan> }
  return planner.createPlan(options)
}

/** The least that the kernel can be asked for. */
export class Bare implements Rival {
  readonly name = 'bare'
  readonly #floor: Floor

  constructor(floor: Floor) {
    this.#floor = floor
  }

  async make(n: number) {
    const bytes = [10, 99, 128 + (Math.floor(n / 250) % 100), 2 + (n % 250)]
    const mac = ['02', '42', ...bytes.map(byte => byte.toString(16).padStart(2, '0'))].join(':')
    const sample = { namespace: `bare-${n}`, link: `veth${n.toString(16).padStart(7, '0')}` }
    return { time: await this.#floor.ask('bare', sample.namespace, sample.link, mac, bytes.join('.')), sample }
  }
}

/** The network that all are attached to. `Bare` takes addresses from the upper half, which netmode does not reach in a run. */
export const benchNetwork = { name: 'bench', subnets: ['10.99.0.0/16'] } as const
const broadcast = '10.99.255.255'
const prefix = '16'

/** The floor's program, started once: it measures by itself and answers the time. */
export class Floor implements Disposable {
  readonly #child: ChildProcess
  readonly #answers: AsyncIterator<string>

  private constructor(child: ChildProcess) {
    this.#child = child
    if (child.stdout === null) throw new Error('floor has no stdout')
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  }

  /** Starts it in this process's namespaces. */
  static async start(network: Network): Promise<Floor> {
    const floor = new Floor(spawn(join(root, 'build-bench/floor'), { stdio: ['pipe', 'pipe', 'inherit'] }))
    const fact = (file: string): string => readFileSync(`/sys/class/net/${network.device ?? ''}/${file}`, 'utf8').trim()
    await floor.ask('ground', fact('ifindex'), fact('mtu'), prefix, broadcast, network.subnets[0]?.gateway ?? '')
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

  [Symbol.dispose](): void {
    this.#child.stdin?.end()
  }
}
