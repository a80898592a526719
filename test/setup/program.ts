/** Programs of a test: TypeScript that runs in processes of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Bundled programs with what they need beside them: a package like the one that is published, without touching dist/. */
export class Programs implements AsyncDisposable {
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** @param entries files, whose names tell them apart */
  static async bundle(...entries: string[]): Promise<Programs> {
    const folder = await mkdtemp(join(tmpdir(), 'netmode-programs-'))
    await Promise.all(['package.json', 'node_modules', 'build'].map(name => symlink(join(root, name), join(folder, name))))
    await build({
      absWorkingDir: root,
      entryPoints: entries,
      outdir: join(folder, 'dist'),
      entryNames: '[name]',
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node20.19',
      external: ['bindings'],
      banner: { js: "import { createRequire as netmodeRequire } from 'node:module'; const require = netmodeRequire(import.meta.url);" },
      logLevel: 'warning',
    })
    return new Programs(folder)
  }

  /** The file to give to node. */
  path(name: string): string {
    return join(this.#folder, 'dist', `${basename(name, '.ts')}.js`)
  }

  /** Starts one, in the namespaces of the test. */
  start(name: string, ...args: string[]): Program {
    return new Program(spawn(process.execPath, [this.path(name), ...args], { stdio: 'pipe' }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** A running program that is talked to in lines. */
export class Program {
  readonly process: ChildProcess
  readonly #lines: AsyncIterator<string>
  #errors = ''

  constructor(process: ChildProcess) {
    this.process = process
    const { stdout, stderr } = process
    if (!stdout || !stderr) throw new Error('needs pipes')
    this.#lines = createInterface(stdout)[Symbol.asyncIterator]()
    stderr.setEncoding('utf8').on('data', text => {
      this.#errors += text
    })
  }

  /** What it has written to stderr. */
  get errors(): string {
    return this.#errors
  }

  say(line: string): void {
    this.process.stdin?.write(`${line}\n`)
  }

  /** The next line of its stdout. */
  async hear(): Promise<string> {
    const { value, done } = await this.#lines.next()
    if (done) throw new Error(`the program ended: ${this.#errors}`)
    return value
  }

  /** Its exit status or the signal that ended it. */
  async end(): Promise<number | NodeJS.Signals> {
    const { exitCode, signalCode } = this.process
    if (exitCode !== null || signalCode !== null) return exitCode ?? (signalCode as NodeJS.Signals)
    const [code, signal] = (await once(this.process, 'exit')) as [number | null, NodeJS.Signals | null]
    return code ?? (signal as NodeJS.Signals)
  }
}
