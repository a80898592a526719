/** The command `netmode`, bundled as it is published, and what it says. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { PrivateHost } from './namespace.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** How a program ended, and all that it wrote. */
export async function outcome(child: ChildProcess): Promise<Outcome> {
  const { stdout, stderr } = child
  if (!stdout || !stderr) throw new Error('needs pipes')
  const [out, err, [status]] = await Promise.all([text(stdout), text(stderr), once(child, 'close') as Promise<[number | null]>])
  return { status, stdout: out, stderr: err }
}

/** A package like the one that is published, without touching dist/: the bundle, and links to what it needs beside it. */
export class Command implements AsyncDisposable {
  readonly folder: string

  private constructor(folder: string) {
    this.folder = folder
  }

  static async bundle(): Promise<Command> {
    const folder = await mkdtemp(join(tmpdir(), 'netmode-cli-'))
    await Promise.all(['package.json', 'node_modules', 'build'].map(name => symlink(join(root, name), join(folder, name))))
    await build({
      absWorkingDir: root,
      entryPoints: { index: 'lib/index.ts', 'cli/main': 'lib/cli/main.ts' },
      outdir: join(folder, 'dist'),
      bundle: true,
      splitting: true,
      format: 'esm',
      platform: 'node',
      target: 'node20.19',
      external: ['bindings'],
      banner: { js: "import { createRequire as netmodeRequire } from 'node:module'; const require = netmodeRequire(import.meta.url);" },
    })
    return new Command(folder)
  }

  /** The file to give to node. */
  get main(): string {
    return join(this.folder, 'dist/cli/main.js')
  }

  /** Starts it on a host of a test's. */
  start(host: PrivateHost, ...args: string[]): ChildProcess {
    return host.spawn(process.execPath, [this.main, '--state-dir', host.stateDir, ...args], { env: process.env })
  }

  /** Its stdout; what it writes to stderr, or another status than 0, is an error. */
  async ok(host: PrivateHost, ...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await outcome(this.start(host, ...args))
    if (status !== 0 || stderr !== '') throw new Error(`netmode ${args.join(' ')}: status ${status}: ${stderr}`)
    return stdout
  }

  /** The same with `--format json`. */
  async json(host: PrivateHost, ...args: string[]): Promise<unknown> {
    return JSON.parse(await this.ok(host, '--format', 'json', ...args))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true })
  }
}
