/** `netmode run` and `netmode exec`: commands inside of sandboxes. */
import type { ChildProcess } from 'node:child_process'
import { Option } from 'commander'
import type { Host, Op, Sandbox, SpawnInOptions } from '../contract.js'
import type { Cli, Fill } from './cli.js'
import { NotStarted, ownFailure } from './failure.js'
import { repeat } from './flags.js'
import { sandboxCalled } from './ports.js'
import { addSandboxFlags, type SandboxFlags, sandboxOptions } from './sandbox-flags.js'
import { signalStatus } from './signals.js'

interface CommandFlags {
  readonly capDrop?: readonly string[]
}

/** `run [flags] -- COMMAND…`: a sandbox for the time of one command. */
export const run: Fill = (command, cli) => {
  addSandboxFlags(command)
    .option('--cap-drop <capability>', 'capability that the command does without (repeatable)', repeat)
    .option('--rm', 'remove the sandbox afterwards; what happens anyway')
    .addOption(new Option('--keep', 'leave the sandbox when the command has ended').conflicts('rm'))
    .argument('<command...>', 'command and its arguments; -- may stand before it')
    .passThroughOptions()
    .action(async (words: readonly string[], flags: SandboxFlags & CommandFlags & { keep?: boolean }) => {
      process.exitCode = await runOnce(cli, words, flags, flags.keep ?? false)
    })
}

function runOnce(cli: Cli, words: readonly string[], flags: SandboxFlags & CommandFlags, keep: boolean): Promise<number> {
  const once = async (host: Host, op: Op) => {
    // Ephemeral: should this process be killed, the next one removes it.
    const sandbox = await host.sandboxes.create({ ...sandboxOptions(flags), ephemeral: !keep }, op)
    try {
      op.signal?.throwIfAborted()
      return await runIn(cli, sandbox, words, flags)
    } finally {
      if (!keep) await sandbox.remove()
    }
  }
  return cli.withHost(once, { nameService: true })
}

/** `exec NAME COMMAND…`: one more command in a sandbox that is there. */
export const exec: Fill = (command, cli) => {
  command
    .option('--cap-drop <capability>', 'capability that the command does without (repeatable)', repeat)
    .argument('<name>', 'sandbox')
    .argument('<command...>', 'command and its arguments; -- may stand before it')
    .passThroughOptions()
    .action(async (name: string, words: readonly string[], flags: CommandFlags) => {
      process.exitCode = await cli.withHost(
        async (host, op) => {
          const sandbox = await sandboxCalled(host, name, op)
          op.signal?.throwIfAborted()
          return runIn(cli, sandbox, words, flags)
        },
        { repair: false, nameService: true },
      )
    })
}

function runIn(cli: Cli, sandbox: Sandbox, words: readonly string[], { capDrop }: CommandFlags): Promise<number> {
  const options: SpawnInOptions = { stdio: 'inherit', ...(capDrop && { dropCapabilities: capDrop }) }
  return attend(cli, words, (file, args) => sandbox.spawn(file, args, options))
}

/**
 * Starts a command, hands it the signals, and answers the status to exit with: its own, or 128 + n if a signal ended it. One that
 * can't be started is told of on stderr and gives 127 (not found) or 126 (not executable), as the shell does.
 */
export function attend(
  cli: Cli,
  words: readonly string[],
  start: (file: string, args: readonly string[]) => ChildProcess,
): Promise<number> {
  // With passThroughOptions a `--` after the first argument is left where it was.
  const [file = '', ...args] = words[0] === '--' ? words.slice(1) : words
  const child = start(file, args)
  cli.signals.forwardTo(child)
  return new Promise((resolve, reject) => {
    child.once('exit', (status, signal) => resolve(signal === null ? (status ?? ownFailure) : signalStatus(signal)))
    // Of netmode-exec itself, or with a stage: the surroundings could not be made.
    child.once('error', (error: NodeJS.ErrnoException) =>
      reject(error.path === file && !('stage' in error) ? new NotStarted(file, error) : error),
    )
  })
}
