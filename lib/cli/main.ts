/** The command `netmode`. A group of commands is loaded when one of its own is asked for. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, CommanderError } from 'commander'

import { packageFolder } from '../package-folder.js'
import { Cli, type Fill } from './cli.js'
import { exitStatus, failureText } from './failure.js'

interface Entry {
  readonly name: string
  readonly summary: string
  readonly load: () => Promise<Fill>
}

const sandboxes = () => import('./sandboxes.js')
const ports = () => import('./ports.js')

const entries: readonly Entry[] = [
  {
    name: 'run',
    summary: 'Run a command in a new sandbox, and remove the sandbox afterwards',
    load: async () => (await import('./run.js')).run,
  },
  { name: 'create', summary: 'Make a sandbox, and print its name', load: async () => (await sandboxes()).create },
  { name: 'exec', summary: 'Run a command in a sandbox', load: async () => (await import('./run.js')).exec },
  { name: 'ps', summary: 'List sandboxes', load: async () => (await sandboxes()).ps },
  { name: 'inspect', summary: 'Show sandboxes, as docker inspect', load: async () => (await sandboxes()).inspect },
  { name: 'rm', summary: 'Remove sandboxes', load: async () => (await sandboxes()).rm },
  { name: 'port', summary: 'List the published ports of a sandbox', load: async () => (await ports()).port },
  { name: 'publish', summary: 'Publish ports of a sandbox', load: async () => (await ports()).publish },
  { name: 'unpublish', summary: 'Take published ports back', load: async () => (await ports()).unpublish },
  { name: 'redirect', summary: 'Bring what a sandbox sends outside to a proxy', load: async () => (await ports()).redirect },
  { name: 'unredirect', summary: 'End that', load: async () => (await ports()).unredirect },
  { name: 'network', summary: 'Networks', load: async () => (await import('./networks.js')).network },
  { name: 'netns', summary: 'Named network namespaces', load: async () => (await import('./netns.js')).netns },
  { name: 'events', summary: 'Tell what happens, as docker events', load: async () => (await import('./events.js')).events },
  { name: 'bridge', summary: 'Bridges and their ports, as brctl show', load: async () => (await import('./bridge.js')).bridge },
  { name: 'rules', summary: 'The ruleset and its counters, as iptables -vnL', load: async () => (await import('./rules.js')).rules },
  { name: 'stats', summary: 'Traffic of sandboxes, and use of addresses', load: async () => (await import('./stats.js')).stats },
  { name: 'graph', summary: 'Draw the host, its networks and sandboxes', load: async () => (await import('./graph.js')).graph },
  {
    name: 'explain',
    summary: 'Print the ip, nft and sysctl commands that would do the same',
    load: async () => (await import('./explain.js')).explain,
  },
  { name: 'dns', summary: 'Serve names on user-defined networks, until it is ended', load: async () => (await import('./dns.js')).dns },
  {
    name: 'doctor',
    summary: 'Find what breaks networking here, and what mends it',
    load: async () => (await import('./doctor.js')).doctor,
  },
  { name: 'recover', summary: 'Put right what a dead process left behind', load: async () => (await import('./recover.js')).recover },
]

function version(): string {
  const { version } = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8')) as { version: string }
  return version
}

/** Runs one command line; never rejects, and leaves the status in process.exitCode. */
async function main(words: readonly string[]): Promise<void> {
  const cli = new Cli()
  let runsCommand = false
  const note = (_: Command, command: Command): void => {
    runsCommand ||= command.name() === 'run' || command.name() === 'exec'
  }
  const program = new Command('netmode')
    .description("Docker's network modes: sandboxes, networks and published ports")
    .version(version(), '-V, --version', 'print the version')
    .helpCommand('help [command]', 'show help for a command')
    .exitOverride()
    .configureOutput({ outputError: () => {} }) // told below, in our form
    .enablePositionalOptions()
    .hook('preSubcommand', async (_, command) => {
      note(program, command)
      const fill = await entries.find(({ name }) => name === command.name())?.load()
      fill?.(command, cli)
      cli.addGlobals(command)
    })
    .hook('preAction', note)
  cli.addGlobals(program)
  for (const { name, summary } of entries) program.command(name).description(summary)
  try {
    await program.parseAsync(words[0] === 'help' && words.length > 1 ? [...words.slice(1), '--help'] : [...words], { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return // --help, --version
    const isHelp = error instanceof CommanderError && error.code === 'commander.help' // has gone to stderr: there was no command
    if (!isHelp) process.stderr.write(failureText(error, cli.format))
    process.exitCode = exitStatus(error, runsCommand)
  } finally {
    cli.signals.close()
  }
}

// `netmode ps | head -1` is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})

/** Settles when the command has ended. */
export const ended: Promise<void> = main(process.argv.slice(2))
