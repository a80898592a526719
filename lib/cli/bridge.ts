/** `netmode bridge show`: every bridge of the host and what hangs on it, netmode's and others', as `brctl show`. */
import type { Link } from '../plan/kernel-objects.js'
import type { Cli, Fill } from './cli.js'

export const bridge: Fill = (command, cli) => {
  command
    .command('show')
    .alias('ls')
    .description('Bridges and their ports, as brctl show')
    .argument('[bridge...]', 'names (default: all)')
    .action((names: readonly string[]) => show(cli, names))
}

interface Bridge {
  readonly name: string
  /** `8000.0242ac110001`: priority and MAC, as brctl writes it. */
  readonly id: string
  readonly stp: boolean
  readonly interfaces: readonly string[]
}

async function show(cli: Cli, names: readonly string[]): Promise<void> {
  const links = await cli.withHost((host, op) => host.namespace.links.list({}, op), { repair: false })
  const all = bridgesOf(links)
  const bridges = names.length === 0 ? all : all.filter(({ name }) => names.includes(name))
  cli.print(bridges, bridgeTable(bridges))
}

/** In the order of their names. */
export function bridgesOf(links: readonly Link[]): readonly Bridge[] {
  const sorted = links.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  return sorted.flatMap(({ name, index, bridge }) =>
    bridge === undefined
      ? []
      : {
          name,
          id: bridge.bridgeId?.replaceAll(':', '') ?? '',
          stp: bridge.stp,
          interfaces: sorted.filter(({ master }) => master === index).map(port => port.name),
        },
  )
}

const heading = 'bridge name\tbridge id\t\tSTP enabled\tinterfaces\n'

/** Tabs and all, since people cut its columns; nothing at all without a bridge. */
export function bridgeTable(bridges: readonly Bridge[]): string {
  const rows = bridges.map(
    ({ name, id, stp, interfaces }) => `${name}\t\t${id}\t${stp ? 'yes' : 'no'}\t\t${interfaces.join('\n\t\t\t\t\t\t\t')}\n`,
  )
  return rows.length === 0 ? '' : heading + rows.join('')
}
