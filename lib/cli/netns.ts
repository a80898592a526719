/** `netmode netns …`: the named namespaces of this machine, the same that `ip netns` sees. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { errnoName, fail, invalid } from '../errors.js'
import { programPath } from '../native.js'
import { spawnIn } from '../sandbox/spawn.js'
import type { Cli, Fill } from './cli.js'
import { attend } from './run.js'
import { list, table } from './table.js'

/** Where iproute2 keeps names: bind mounts of namespaces. */
const folder = '/run/netns'
/** Files here are found under /etc by a command in the namespace (ip-netns(8)). */
const configFolder = '/etc/netns'

export const netns: Fill = (command, cli) => {
  command.enablePositionalOptions() // for exec, whose command has options of its own
  ls(command.command('ls').alias('list').description('List named network namespaces'), cli)
  exec(command.command('exec').description('Run a command in a named network namespace'), cli)
  identify(command.command('identify').description('Name the network namespace of a process'), cli)
  pids(command.command('pids').description('List the processes in a named network namespace'), cli)
}

function ls(command: Command, cli: Cli): void {
  command.option('-q, --quiet', 'names only').action(async (flags: { quiet?: boolean }) => {
    const namespaces = await named()
    const names = namespaces.map(({ name }) => name)
    if (flags.quiet) cli.print(names, list(names))
    else
      cli.print(
        namespaces.map(({ name, inode }) => ({ name, path: join(folder, name), inode: Number(inode) })),
        table(
          ['NAME', 'INODE'],
          namespaces.map(({ name, inode }) => [name, String(inode)]),
        ),
      )
  })
}

function exec(command: Command, cli: Cli): void {
  command
    .argument('<name>', 'namespace')
    .argument('<command...>', 'command and its arguments; -- may stand before it')
    .passThroughOptions()
    .action(async (name: string, words: readonly string[]) => {
      await identityOf(name)
      const place = { program: programPath('netmode-exec'), netnsPath: pathOf(name), files: await configFiles(name) }
      cli.signals.signal.throwIfAborted()
      process.exitCode = await attend(cli, words, (file, args) => spawnIn(place, file, args, { stdio: 'inherit' }))
    })
}

function identify(command: Command, cli: Cli): void {
  command.argument('[pid]', 'process (default: this one)').action(async (pid: string | undefined) => {
    if (pid !== undefined && !/^\d{1,10}$/.test(pid)) throw invalid('pid', "a process's number", pid)
    const own = await identity(`/proc/${pid ?? 'self'}/ns/net`)
    if (own === undefined) throw fail('NOT_FOUND', `No process ${pid}`, { subject: pid ?? '' })
    const names = (await named()).filter(one => one.dev === own.dev && one.inode === own.inode).map(({ name }) => name)
    cli.print(names, list(names))
  })
}

function pids(command: Command, cli: Cli): void {
  command.argument('<name>', 'namespace').action(async (name: string) => {
    const wanted = await identityOf(name)
    const numbers = (await readdir('/proc')).filter(entry => /^\d+$/.test(entry)).sort((a, b) => Number(a) - Number(b))
    // Those that end meanwhile, and those that we may not look at, have none.
    const identities = await Promise.all(
      numbers.map(async pid => [pid, await identity(`/proc/${pid}/ns/net`).catch(() => undefined)] as const),
    )
    const found = identities.filter(([, one]) => one?.dev === wanted.dev && one.inode === wanted.inode).map(([pid]) => pid)
    cli.print(found.map(Number), list(found))
  })
}

interface Identity {
  readonly dev: bigint
  readonly inode: bigint
}

/** undefined: nothing there. */
async function identity(path: string): Promise<Identity | undefined> {
  try {
    const { dev, ino } = await stat(path, { bigint: true })
    return { dev, inode: ino }
  } catch (error) {
    const { errno = 0 } = error as NodeJS.ErrnoException
    if (['ENOENT', 'ESRCH'].includes(errnoName(errno))) return undefined
    throw error
  }
}

/** @throws NOT_FOUND */
async function identityOf(name: string): Promise<Identity> {
  const found = await identity(pathOf(name))
  if (found === undefined) throw fail('NOT_FOUND', `No network namespace called ${name}`, { subject: name })
  return found
}

function pathOf(name: string): string {
  if (['', '.', '..'].includes(name) || /[/\0]/.test(name)) throw invalid('name', "a network namespace's name", name)
  return join(folder, name)
}

/** Sorted by name. */
async function named(): Promise<readonly (Identity & { readonly name: string })[]> {
  const names = await entriesOf(folder)
  const found = await Promise.all(names.map(async name => ({ name, ...(await identity(join(folder, name))) })))
  return found.filter((one): one is Identity & { name: string } => one.inode !== undefined)
}

async function configFiles(name: string): Promise<readonly { readonly source: string; readonly target: string }[]> {
  const names = await entriesOf(join(configFolder, name))
  return names.map(file => ({ source: join(configFolder, name, file), target: join('/etc', file) }))
}

/** Sorted; none if there is no such folder. */
async function entriesOf(path: string): Promise<readonly string[]> {
  try {
    return (await readdir(path)).sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
