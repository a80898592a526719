/** `netmode network …`: Docker's subcommands. */
import type { Command } from 'commander'
import type { Host, Labels, Network, NetworkInfo, Op } from '../contract.js'
import { fail } from '../errors.js'
import type { Cli, Fill } from './cli.js'
import { type EndpointFlags, endpoint, filter, repeat } from './flags.js'
import { addNetworkFlags, type NetworkFlags, networkOptions } from './network-flags.js'
import { sandboxCalled } from './ports.js'
import { addEndpointFlags } from './sandbox-flags.js'
import { each, throwAll } from './sandboxes.js'
import { list, shortId, table } from './table.js'

export const network: Fill = (command, cli) => {
  create(command.command('create').description('Make a network, and print its id'), cli)
  ls(command.command('ls').alias('list').description('List networks'), cli)
  inspect(command.command('inspect').description('Show networks, as docker network inspect'), cli)
  rm(command.command('rm').alias('remove').description('Remove networks without endpoints'), cli)
  connect(command.command('connect').description('Attach a sandbox to a network'), cli)
  disconnect(command.command('disconnect').description('Detach a sandbox from a network'), cli)
  prune(command.command('prune').description('Remove all networks without endpoints'), cli)
}

function create(command: Command, cli: Cli): void {
  addNetworkFlags(command).action(async (name: string, flags: NetworkFlags) => {
    const options = networkOptions(name, flags)
    await cli.withHost(async (host, op) => {
      const made = await host.networks.create(options, op)
      cli.print(summary(made), `${made.id}\n`)
    })
  })
}

interface ListFlags {
  readonly filter?: readonly string[]
  readonly quiet?: boolean
  readonly trunc?: boolean
}

function ls(command: Command, cli: Cli): void {
  command
    .option('-f, --filter <key=value>', 'name or label (repeatable)', repeat)
    .option('-q, --quiet', 'ids only')
    .option('--no-trunc', 'whole ids')
    .action(async (flags: ListFlags) => {
      const wanted = filter(flags.filter, ['name', 'label'])
      const look = async (host: Host, op: Op) => Promise.all((await host.networks.list(wanted, op)).map(one => one.inspect(op)))
      const networks = await cli.withHost(look, { repair: false })
      const idOf = ({ Id }: NetworkInfo): string => (flags.trunc === false ? Id : shortId(Id))
      const rows = networks.map(one => [idOf(one), one.Name, one.Driver, 'local'])
      if (flags.quiet) cli.print(networks.map(idOf), list(networks.map(idOf)))
      else
        cli.print(
          networks.map(one => line(one, idOf(one))),
          table(['NETWORK ID', 'NAME', 'DRIVER', 'SCOPE'], rows),
        )
    })
}

/** As `docker network ls --format json`, where all is text. */
function line({ Created, Driver, EnableIPv6, Internal, Labels, Name, Scope }: NetworkInfo, ID: string): object {
  return {
    CreatedAt: String(Created).replace('T', ' ').replace('Z', ' +0000 UTC'),
    Driver,
    ID,
    IPv6: String(EnableIPv6),
    Internal: String(Internal),
    Labels: Object.entries(Labels as Labels)
      .map(pair => pair.join('='))
      .join(','),
    Name,
    Scope,
  }
}

function summary({ id, name, driver, device, subnets, labels }: Network): object {
  return { id, name, driver, scope: 'local', device, subnets, labels }
}

function inspect(command: Command, cli: Cli): void {
  command.argument('<network...>', 'names').action(async (names: readonly string[]) => {
    await cli.withHost(
      async (host, op) => {
        const { done, errors } = await each(names, name => host.networks.inspect(name, op))
        cli.printJson(done satisfies readonly NetworkInfo[])
        throwAll(errors)
      },
      { repair: false },
    )
  })
}

function rm(command: Command, cli: Cli): void {
  command
    .argument('<network...>', 'names')
    .option('-f, --force', 'one that is not there is fine')
    .action(async (names: readonly string[], flags: { force?: boolean }) => {
      await cli.withHost(async (host, op) => {
        const { done, errors } = await each([...new Set(names)], name => remove(host, name, flags.force ?? false, op))
        const removed = done.flat()
        cli.print(removed, list(removed))
        throwAll(errors)
      })
    })
}

async function remove(host: Host, name: string, force: boolean, op: Op): Promise<readonly string[]> {
  if (await host.networks.remove(name, op)) return [name]
  if (force) return []
  throw fail('NOT_FOUND', `No network called ${name}`, { subject: name })
}

function connect(command: Command, cli: Cli): void {
  command.argument('<network>', 'network').argument('<name>', 'sandbox')
  addEndpointFlags(command).action(async (to: string, name: string, flags: EndpointFlags) => {
    const made = await cli.withHost(async (host, op) => (await sandboxCalled(host, name, op)).attach(to, endpoint(flags), op))
    cli.print(made, '')
  })
}

function disconnect(command: Command, cli: Cli): void {
  command
    .argument('<network>', 'network')
    .argument('<name>', 'sandbox')
    .action(async (from: string, name: string) => {
      await cli.withHost(async (host, op) => {
        const detached = await (await sandboxCalled(host, name, op)).detach(from, op)
        if (!detached) throw fail('NOT_FOUND', `${name} is not attached to ${from}`, { subject: name })
      })
    })
}

function prune(command: Command, cli: Cli): void {
  command
    .option('--filter <key=value>', 'name or label (repeatable)', repeat)
    .option('-f, --force', 'as docker has it; nothing is ever asked here')
    .action(async (flags: ListFlags) => {
      const wanted = filter(flags.filter, ['name', 'label'])
      const removed = await cli.withHost((host, op) => host.networks.prune(wanted, op))
      cli.print(removed, list(removed))
    })
}
