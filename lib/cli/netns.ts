/** `netmode netns …`: the named namespaces of this machine, the same that `ip netns` sees. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { fail, invalid } from '../errors.js'
import { programPath } from '../native.js'
import { spawnIn } from '../sandbox/spawn.js'
import type { Cli, Fill } from './cli.js'
import { attend } from './run.js'
import { list, table } from './table.js'

/** Files here are found under /etc by a command in the namespace (ip-netns(8)). */
const configFolder = '/etc/netns'

export const netns: Fill = (command, cli) => {
  command.enablePositionalOptions() // for exec, whose command has options of its own
  ls(command.command('ls').alias('list').description('List named network namespaces'), cli)
  add(command.command('add').description('Make a named network namespace'), cli)
  attach(command.command('attach').description("Give a process's network namespace a name"), cli)
  del(command.command('del').alias('delete').description('Delete the name of a network namespace'), cli)
  exec(command.command('exec').description('Run a command in a named network namespace'), cli)
  identify(command.command('identify').description('Name the network namespace of a process'), cli)
  pids(command.command('pids').description('List the processes in a named network namespace'), cli)
}

/** These look at names only; nothing of the host has to be put right for them. */
const only = { repair: false }

function ls(command: Command, cli: Cli): void {
  command.option('-q, --quiet', 'names only').action(async (flags: { quiet?: boolean }) => {
    const namespaces = await cli.withHost((host, op) => host.namespaces.list(op), only)
    const names = namespaces.map(({ name }) => name)
    if (flags.quiet) return cli.print(names, list(names))
    const rows = namespaces.map(({ name, inode }) => [name, String(inode)])
    cli.print(
      namespaces.map(({ name, path, inode }) => ({ name, path, inode: Number(inode) })),
      table(['NAME', 'INODE'], rows),
    )
  })
}

function add(command: Command, cli: Cli): void {
  command.argument('<name>', 'namespace').action(async (name: string) => {
    await cli.withHost((host, op) => host.namespaces.add(name, op), only)
  })
}

function attach(command: Command, cli: Cli): void {
  command
    .argument('<name>', 'namespace')
    .argument('<pid>', 'process', processNumber)
    .action(async (name: string, pid: number) => {
      await cli.withHost((host, op) => host.namespaces.attach(name, { pid }, op), only)
    })
}

function del(command: Command, cli: Cli): void {
  command.argument('<name...>', 'namespaces').action(async (names: readonly string[]) => {
    await cli.withHost(async (host, op) => {
      for (const name of names) {
        if (!(await host.namespaces.delete(name, op))) throw fail('NOT_FOUND', `No network namespace called ${name}`, { subject: name })
      }
    }, only)
  })
}

function exec(command: Command, cli: Cli): void {
  command
    .argument('<name>', 'namespace')
    .argument('<command...>', 'command and its arguments; -- may stand before it')
    .passThroughOptions()
    .action(async (name: string, words: readonly string[]) => {
      const namespace = await cli.withHost((host, op) => host.namespaces.get(name, op), only)
      if (namespace === undefined) throw fail('NOT_FOUND', `No network namespace called ${name}`, { subject: name })
      const place = { program: programPath('netmode-exec'), netnsPath: namespace.path, files: await configFiles(name) }
      cli.signals.signal.throwIfAborted()
      process.exitCode = await attend(cli, words, (file, args) => spawnIn(place, file, args, { stdio: 'inherit' }))
    })
}

function identify(command: Command, cli: Cli): void {
  command.argument('[pid]', 'process (default: this one)', processNumber).action(async (pid: number | undefined) => {
    const names = await cli.withHost(host => host.namespaces.identify(pid), only)
    cli.print(names, list(names))
  })
}

function pids(command: Command, cli: Cli): void {
  command.argument('<name>', 'namespace').action(async (name: string) => {
    const found = await cli.withHost(host => host.namespaces.pids(name), only)
    cli.print(found, list(found.map(String)))
  })
}

function processNumber(text: string): number {
  if (!/^[1-9]\d{0,9}$/.test(text)) throw invalid('pid', "a process's number", text)
  return Number(text)
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
