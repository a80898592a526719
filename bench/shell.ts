/** Programs that are started for one piece of work, as somebody without a library does it. */
import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** Runs a program; answers its stdout. */
export async function sh(program: string, ...args: readonly (string | number)[]): Promise<string> {
  const { stdout } = await execute(program, args.map(String), { maxBuffer: 1 << 28 })
  return stdout
}

/** Runs a program with text on its stdin; answers its stdout. */
export async function feed(text: string, program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const running = execute(program, [...args], { env: { ...process.env, ...env }, maxBuffer: 1 << 28 })
  running.child.stdin?.end(text)
  try {
    return (await running).stdout
  } catch (error) {
    // CNI plugins and netavark tell on stdout what went wrong.
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    throw new Error(`${program} failed: ${stderr.trim()} ${stdout.trim()}`)
  }
}

/** The first of these programs that is there; a name without a slash is looked for in PATH and where root's programs are. */
export function find(...programs: readonly string[]): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin']
  const paths = programs.flatMap(program => (program.includes('/') ? [program] : folders.map(folder => join(folder, program))))
  return paths.find(path => {
    try {
      accessSync(path, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
