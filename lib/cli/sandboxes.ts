/** `netmode create`, `ps`, `inspect` and `rm`. */
import type { Host, Op, PublishedPort, Sandbox, SandboxInfo, SandboxSummary } from '../contract.js'
import { fail, invalid } from '../errors.js'
import type { Fill } from './cli.js'
import { filter, repeat } from './flags.js'
import { addSandboxFlags, type SandboxFlags, sandboxOptions } from './sandbox-flags.js'
import { list, table } from './table.js'

/** `create [flags] [NAME]`: prints the name. */
export const create: Fill = (command, cli) => {
  addSandboxFlags(command)
    .argument('[name]', 'as --name')
    .action(async (name: string | undefined, flags: SandboxFlags) => {
      const options = sandboxOptions(named(name, flags))
      await cli.withHost(async (host, op) => {
        const sandbox = await host.sandboxes.create(options, op)
        cli.print(summary(sandbox), `${sandbox.name}\n`)
      })
    })
}

/** A name may stand on its own, or after --name; not two of them. */
export function named(name: string | undefined, flags: SandboxFlags): SandboxFlags {
  if (name === undefined) return flags
  if (flags.name !== undefined && flags.name !== name) throw invalid('--name', `no other name than ${name}`, flags.name)
  return { ...flags, name }
}

/** `ps`: what is there. */
export const ps: Fill = (command, cli) => {
  command
    .option('-f, --filter <key=value>', 'name, label, network or mode (repeatable)', repeat)
    .option('-q, --quiet', 'names only')
    .action(async (flags: { filter?: readonly string[]; quiet?: boolean }) => {
      const wanted = filter(flags.filter)
      const sandboxes = await cli.withHost((host, op) => host.sandboxes.summaries(wanted, op), { repair: false })
      const names = sandboxes.map(({ name }) => name)
      if (flags.quiet) cli.print(names, list(names))
      else cli.print(sandboxes, table(heading, sandboxes.map(row)))
    })
}

const heading = ['NAME', 'MODE', 'NETWORKS', 'IPV4', 'IPV6', 'PORTS']

function row({ name, mode, endpoints, ports }: SandboxSummary): readonly string[] {
  const networks = endpoints.map(({ network }) => network)
  const ipv4 = endpoints.flatMap(one => one.ipv4?.address ?? [])
  const ipv6 = endpoints.flatMap(one => one.ipv6?.address ?? [])
  return [name, mode, ...[networks, ipv4, ipv6].map(values => values.join(',')), ports.map(arrow).join(', ')]
}

/** As `docker ps`: `0.0.0.0:8080->80/tcp`. */
function arrow({ hostIp, hostPort, containerPort, protocol }: PublishedPort): string {
  return `${hostIp.includes(':') ? `[${hostIp}]` : hostIp}:${hostPort}->${containerPort}/${protocol}`
}

function summary({ id, name, mode, netns, labels, ephemeral, guest, endpoints, ports }: Sandbox): object {
  return { id, name, mode, netns, labels, ephemeral, ...(guest && { guest }), endpoints, ports }
}

/** `inspect NAME…`: an array in Docker's shape. */
export const inspect: Fill = (command, cli) => {
  command.argument('<name...>', 'sandboxes').action(async (names: readonly string[]) => {
    await cli.withHost(
      async (host, op) => {
        const { done, errors } = await each(names, name => host.sandboxes.inspect(name, op))
        cli.printJson(done satisfies readonly SandboxInfo[])
        throwAll(errors)
      },
      { repair: false },
    )
  })
}

/** `rm NAME…`: prints the names removed; goes on past failures. */
export const rm: Fill = (command, cli) => {
  command
    .argument('[name...]', 'sandboxes')
    .option('-a, --all', 'all there are')
    .option('-f, --force', 'one that is not there is fine')
    .action(async (names: readonly string[], flags: { all?: boolean; force?: boolean }) => {
      if (names.length === 0 && !flags.all) command.error("error: missing required argument 'name', or --all")
      await cli.withHost(async (host, op) => {
        const all = flags.all ? await host.sandboxes.list({}, op) : []
        const chosen = [...new Set([...names, ...all.map(({ name }) => name)])]
        const { done, errors } = await each(chosen, name => remove(host, name, flags.force ?? false, op))
        const removed = done.flat()
        cli.print(removed, list(removed))
        throwAll(errors)
      })
    })
}

async function remove(host: Host, name: string, force: boolean, op: Op): Promise<readonly string[]> {
  if (await host.sandboxes.remove(name, op)) return [name]
  if (force) return []
  throw fail('NOT_FOUND', `No sandbox called ${name}`, { subject: name })
}

/** Does the same for each name, all at once: what came of it, in their order, and what went wrong. */
export async function each<T>(names: readonly string[], work: (name: string) => Promise<T>): Promise<{ done: T[]; errors: unknown[] }> {
  const results = await Promise.allSettled(names.map(work))
  const done: T[] = []
  const errors: unknown[] = []
  for (const result of results) {
    if (result.status === 'fulfilled') done.push(result.value)
    else errors.push(result.reason)
  }
  return { done, errors }
}

/** Nothing for none, the error itself for one, an AggregateError for several. */
export function throwAll(errors: readonly unknown[]): void {
  if (errors.length === 1) throw errors[0]
  if (errors.length > 1) throw new AggregateError(errors)
}
