/**
 * What the README shows is what happens. Each block of JavaScript marked `runnable` is saved to a file and run as it stands, with
 * `netmode` installed beside it; each `console` block is typed into a shell. Both run in a network namespace of their own, and what
 * they print is compared with what the README says they print. There, `…` stands for what differs from run to run.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, test as plainTest } from 'vitest'
import { requires } from '../setup/privilege.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const { test } = requires('root', 'program:ip')

interface Block {
  /** What follows the three backticks: `js runnable`. */
  readonly kind: string
  readonly body: string
  /** The heading that it stands under. */
  readonly heading: string
}

const blocks: readonly Block[] = [...readme.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map(({ index, 1: kind = '', 2: body = '' }) => ({
  kind,
  body,
  heading: [...readme.slice(0, index).matchAll(/^#+ (.*)$/gm)].at(-1)?.[1] ?? '',
}))

/** The examples, each with what the next block says that it prints. */
const examples = blocks.flatMap(({ kind, body, heading }, i) => {
  if (kind !== 'js runnable') return []
  const next = blocks[i + 1]
  return [{ heading, code: body, prints: next?.kind === 'text' ? next.body : undefined }]
})
const sessions = blocks.filter(({ kind }) => kind === 'console').map(({ heading, body }) => ({ heading, body }))

/** A folder with `node_modules/netmode` as an installation has it, and the command in `bin`. */
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netmode-readme-'))
  const installed = join(folder, 'node_modules/netmode')
  await mkdir(installed, { recursive: true })
  await mkdir(join(folder, 'bin'))
  await Promise.all(['package.json', 'node_modules', 'build'].map(name => symlink(join(root, name), join(installed, name))))
  await build({
    absWorkingDir: root,
    entryPoints: { index: 'lib/index.ts', 'cli/main': 'lib/cli/main.ts' },
    outdir: join(installed, 'dist'),
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    external: ['bindings'],
    banner: { js: "import { createRequire as netmodeRequire } from 'node:module'; const require = netmodeRequire(import.meta.url);" },
  })
  const command = join(folder, 'bin/netmode')
  await writeFile(command, `#!/bin/sh\nexec '${process.execPath}' '${installed}/dist/cli/main.js' "$@"\n`)
  await chmod(command, 0o755)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** ms; what takes longer hangs, and is shown with what it has printed until then. */
const kPatience = 40_000

/** Runs a command on a host of its own, and answers what it wrote, on stdout and stderr as they came. */
async function onFreshHost(...command: string[]): Promise<string> {
  const { LD_PRELOAD, ...inherited } = process.env
  const child = spawn('sh', ['-c', 'exec "$0" "$@" 2>&1', join(root, 'scripts/in-namespace.sh'), ...command], {
    cwd: folder,
    env: {
      ...inherited,
      PATH: `${join(folder, 'bin')}${delimiter}${inherited.PATH ?? ''}`,
      ...(LD_PRELOAD && { NETMODE_TEST_PRELOAD: LD_PRELOAD }),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true, // a process group of its own, so that one that hangs can be ended with all that it has started
  })
  const limit = setTimeout(() => process.kill(-(child.pid ?? 0), 'SIGKILL'), kPatience)
  const [output] = await Promise.all([text(child.stdout), once(child, 'close')])
  clearTimeout(limit)
  return output
}

/** Lines without what is blank at their end, and without blank lines at the end of all. */
function tidy(output: string): string {
  return output.replace(/[ \t]+$/gm, '').trimEnd()
}

/** Equal, with `…` for anything on a line; where they differ, the failure shows both whole. */
function expectOutput(actual: string, expected: string): void {
  const pattern = tidy(expected)
    .split('…')
    .map(part => part.replace(/[$()*+.?[\\\]^{|}]/g, '\\$&'))
    .join('.*')
  if (!new RegExp(`^${pattern}$`).test(tidy(actual))) expect(tidy(actual)).toBe(tidy(expected))
}

plainTest('there are examples of everything that matters', () => {
  expect(examples.map(({ heading }) => heading)).toEqual(
    expect.arrayContaining(['bridge', 'host', 'container:NAME', 'none', 'Publishing ports']),
  )
  expect(examples.filter(({ prints }) => prints === undefined).map(({ heading }) => heading)).toEqual([])
  expect(sessions.length).toBeGreaterThan(2)
})

test.each(examples)('example under $heading', async ({ code, prints = '' }) => {
  const file = join(folder, 'example.mjs')
  await writeFile(file, code)
  // Every example tidies up after itself: no namespace is left, and no link but the loopback and bridges.
  const script = `"$0" "$1"; ls /run/netns; ip -brief link show | grep -v -e '^lo ' -e '^netmode0 '`
  expectOutput(await onFreshHost('sh', '-c', script, process.execPath, file), prints)
})

test.each(sessions)('session under $heading', async ({ body }) => {
  const script = body
    .split('\n')
    .flatMap(line => (line.startsWith('$ ') ? [`printf '%s\\n' '${line.replaceAll("'", `'\\''`)}'`, line.slice(2)] : []))
    .join('\n')
  expectOutput(await onFreshHost('sh', '-c', script), body)
})

plainTest('the table of codes is complete', () => {
  const known = /export type ShortCode =([^/]*)/.exec(readFileSync(join(root, 'lib/errors.ts'), 'utf8'))?.[1] ?? ''
  const codes = [...known.matchAll(/'([A-Z_]+)'/g)].map(([, code]) => code)
  const table = [...readme.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, code]) => code)
  expect(codes.length).toBeGreaterThan(10)
  expect(table.sort()).toEqual(codes.sort())
})

test('the table of commands is complete', async () => {
  const help = await onFreshHost('netmode', '--help')
  const commands = [...(help.split('Commands:')[1] ?? '').matchAll(/^ {2}([a-z]+) /gm)]
    .map(([, name]) => name)
    .filter(name => name !== 'help')
  const table = [...readme.matchAll(/^\| `netmode ([a-z]+)\b/gm)].map(([, name]) => name)
  expect(commands.length).toBeGreaterThan(10)
  expect([...new Set(table)].sort()).toEqual(commands.sort())
})

plainTest.each(['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'docs/firewall.md'])('the links of %s lead somewhere', page => {
  const links = [...readFileSync(join(root, page), 'utf8').matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map(([, path = '']) => path)
  const base = join(root, page, '..')
  expect(links.filter(path => !existsSync(join(base, path)))).toEqual([])
})
