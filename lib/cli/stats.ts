/** `netmode stats`: traffic of each endpoint, and how full each subnet is. */
import type { EndpointStats, SubnetStats, Traffic } from '../contract.js'
import type { Fill } from './cli.js'
import { table } from './table.js'

export const stats: Fill = (command, cli) => {
  command.argument('[name...]', 'sandboxes (default: all)').action(async (names: readonly string[]) => {
    const all = await cli.withHost((host, op) => host.stats(op), { repair: false })
    const endpoints = names.length === 0 ? all.endpoints : all.endpoints.filter(({ sandbox }) => names.includes(sandbox))
    const subnets = names.length === 0 ? all.subnets : all.subnets.filter(({ network }) => endpoints.some(one => one.network === network))
    cli.print({ endpoints, subnets }, `${endpointTable(endpoints)}\n${subnetTable(subnets)}`)
  })
}

/** As docker stats: `1.23kB`, three digits and powers of a thousand. */
export function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
  let value = bytes
  while (value >= 1000 && units.length > 1) {
    value /= 1000
    units.shift()
  }
  return `${Number(value.toPrecision(3))}${units[0]}`
}

const lost = ({ errors, dropped }: Traffic): number => errors + dropped

function endpointTable(endpoints: readonly EndpointStats[]): string {
  const rows = endpoints.map(({ sandbox, network, ifname, received, sent }) => [
    sandbox,
    network,
    ifname,
    `${size(received.bytes)} / ${size(sent.bytes)}`,
    `${received.packets} / ${sent.packets}`,
    `${lost(received)} / ${lost(sent)}`,
  ])
  return table(['NAME', 'NETWORK', 'INTERFACE', 'NET I/O', 'PACKETS I/O', 'LOST I/O'], rows)
}

function subnetTable(subnets: readonly SubnetStats[]): string {
  return table(
    ['NETWORK', 'SUBNET', 'LEASES', 'FREE'],
    subnets.map(({ network, subnet, used, free }) => [network, subnet, String(used), String(free)]),
  )
}
