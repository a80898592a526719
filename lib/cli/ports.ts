/** `netmode port`, `publish` and `unpublish`. */
import type { Host, Op, PublishedPort, Redirect, RedirectOptions, Sandbox } from '../contract.js'
import { fail } from '../errors.js'
import { formatContainerPort, formatHostAddress, formatPublished, parseExpose } from '../sandbox/port-grammar.js'
import type { Fill } from './cli.js'
import { portInputs, repeat } from './flags.js'
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
    .option('--allow <cidr>', 'only from there may they be asked (repeatable)', repeat)
    .action(async (name: string, flags: { publish: readonly string[]; allow?: readonly string[] }) => {
      const inputs = portInputs(flags.publish, flags.allow) ?? []
      const ports = await cli.withHost(async (host, op) => (await sandboxCalled(host, name, op)).publish(inputs, op))
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

/** `redirect NAME --to PORT PORT…`: prints what is redirected. */
export const redirect: Fill = (command, cli) => {
  command
    .argument('<name>', 'sandbox')
    .argument('<port...>', 'ports outside, ranges of them, or all')
    .requiredOption('--to <[ip:]port>', 'where a proxy listens on this host')
    .option('--protocol <protocol>', 'tcp or udp (default: tcp)')
    .action(async (name: string, ports: readonly string[], { to, protocol }: { to: string; protocol?: 'tcp' | 'udp' }) => {
      const options = { ports: portsOf(ports), to, ...(protocol && { protocol }) } // checked by redirect()
      const redirects = await cli.withHost(async (host, op) => (await sandboxCalled(host, name, op)).redirect(options, op))
      cli.print(redirects, list(redirects.map(formatRedirect)))
    })
}

/** `unredirect NAME [PORT…]`: prints what was redirected until now. */
export const unredirect: Fill = (command, cli) => {
  command
    .argument('<name>', 'sandbox')
    .argument('[port...]', 'ports outside, ranges of them, or all (default: whatever is redirected)')
    .option('--protocol <protocol>', 'tcp or udp (default: both)')
    .action(async (name: string, ports: readonly string[], { protocol }: { protocol?: 'tcp' | 'udp' }) => {
      const options = { ...(ports.length > 0 && { ports: portsOf(ports) }), ...(protocol && { protocol }) } // checked by unredirect()
      const redirects = await cli.withHost(async (host, op) => (await sandboxCalled(host, name, op)).unredirect(options, op))
      cli.print(redirects, list(redirects.map(formatRedirect)))
    })
}

const portsOf = (texts: readonly string[]): RedirectOptions['ports'] => (texts.length === 1 && texts[0] === 'all' ? 'all' : texts)
const formatRedirect = ({ protocol, port, to }: Redirect): string => `${port}/${protocol} -> ${to}`

const lines = (ports: readonly PublishedPort[]): string => list(ports.map(formatPublished))

/** @throws NOT_FOUND */
export async function sandboxCalled(host: Host, name: string, op: Op): Promise<Sandbox> {
  const sandbox = await host.sandboxes.get(name, op)
  if (sandbox === undefined) throw fail('NOT_FOUND', `No sandbox called ${name}`, { subject: name })
  return sandbox
}
