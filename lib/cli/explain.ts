/** `netmode explain …`: the commands that would do the same. Nothing is changed. */
import type { Command } from 'commander'
import type { Operations } from '../contract.js'
import type { Cli, Fill } from './cli.js'
import { repeat } from './flags.js'
import { addNetworkFlags, type NetworkFlags, networkOptions } from './network-flags.js'
import { addSandboxFlags, type SandboxFlags, sandboxOptions } from './sandbox-flags.js'
import { named } from './sandboxes.js'

export const explain: Fill = (command, cli) => {
  create(command.command('create').description('What create would do'), cli)
  command
    .command('remove')
    .alias('rm')
    .description('What rm would do')
    .argument('<name>', 'sandbox')
    .action((name: string) => print(cli, 'sandboxes.remove', name))
  addNetworkFlags(command.command('network-create').description('What network create would do')).action(
    (name: string, flags: NetworkFlags) => print(cli, 'networks.create', networkOptions(name, flags)),
  )
  command
    .command('network-remove')
    .alias('network-rm')
    .description('What network rm would do')
    .argument('<network>', 'name')
    .action((name: string) => print(cli, 'networks.remove', name))
  publish(command.command('publish').description('What publish would do'), cli)
}

function create(command: Command, cli: Cli): void {
  addSandboxFlags(command)
    .argument('[name]', 'as --name')
    .action((name: string | undefined, flags: SandboxFlags) => print(cli, 'sandboxes.create', sandboxOptions(named(name, flags))))
}

function publish(command: Command, cli: Cli): void {
  command
    .argument('<name>', 'sandbox')
    .requiredOption('-p, --publish <port>', '[ip:][hostPort:]containerPort[/protocol] (repeatable)', repeat)
    .action((name: string, flags: { publish: readonly string[] }) => print(cli, 'publish', name, flags.publish))
}

async function print<K extends keyof Operations>(cli: Cli, operation: K, ...args: Operations[K]): Promise<void> {
  const text = await cli.withHost(host => host.explain(operation, ...args), { repair: false })
  const whole = text === '' || text.endsWith('\n') ? text : `${text}\n`
  cli.print({ operation, script: whole }, whole)
}
