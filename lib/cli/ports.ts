/** `netmode port`, `publish` and `unpublish`. */
import type { Host, Op, PublishedPort, Sandbox } from '../contract.js'
import { fail } from '../errors.js'
import { formatContainerPort, formatHostAddress, formatPublished, parseExpose } from '../sandbox/port-grammar.js'
import type { Fill } from './cli.js'
import { repeat } from './flags.js'
import { list } from './table.js'

/** `port NAME [PORT[/PROTOCOL]]`: `80/tcp -> 0.0.0.0:8080`; for a single port, as docker, only `0.0.0.0:8080`. */
export const port: Fill = (command, cli) => {
  command
    .argument('<name>', 'sandbox')
    .argument('[port]', 'PORT or PORT/PROTOCOL inside (default: all)')
    .action(async (name: string, wanted: string | undefined) => {
      const chosen = wanted === undefined ? undefined : parseExpose(wanted, 'port').map(formatContainerPort)
      const { ports } = await cli.withHost((host, op) => sandboxCalled(host, name, op), { repair: false })
      const found = chosen ? ports.filter(one => chosen.includes(formatContainerPort(one))) : ports
      if (chosen && found.length === 0) throw fail('NOT_FOUND', `No published port ${chosen.join(', ')} of ${name}`, { subject: name })
      cli.print(found, list(found.map(chosen ? formatHostAddress : formatPublished)))
    })
}

/** `publish NAME -p …`: prints what was published, the ports chosen included. */
export const publish: Fill = (command, cli) => {
  command
    .argument('<name>', 'sandbox')
    .requiredOption('-p, --publish <port>', '[ip:][hostPort:]containerPort[/protocol] (repeatable)', repeat)
    .action(async (name: string, flags: { publish: readonly string[] }) => {
      const ports = await cli.withHost(async (host, op) => (await sandboxCalled(host, name, op)).publish(flags.publish, op))
      cli.print(ports, lines(ports))
    })
}

/** `unpublish NAME -p …`: prints what was published until now. */
export const unpublish: Fill = (command, cli) => {
  command
    .argument('<name>', 'sandbox')
    .requiredOption('-p, --publish <port>', '[ip:]hostPort[:containerPort][/protocol] (repeatable)', repeat)
    .action(async (name: string, flags: { publish: readonly string[] }) => {
      const ports = await cli.withHost(async (host, op) => (await sandboxCalled(host, name, op)).unpublish(flags.publish, op))
      cli.print(ports, lines(ports))
    })
}

const lines = (ports: readonly PublishedPort[]): string => list(ports.map(formatPublished))

/** @throws NOT_FOUND */
export async function sandboxCalled(host: Host, name: string, op: Op): Promise<Sandbox> {
  const sandbox = await host.sandboxes.get(name, op)
  if (sandbox === undefined) throw fail('NOT_FOUND', `No sandbox called ${name}`, { subject: name })
  return sandbox
}
