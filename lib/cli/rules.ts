/** `netmode rules`: what the ruleset does and how often it has, for those who read `iptables -vnL`. */
import type { ChainStats, Network, PortStats } from '../contract.js'
import type { Fill } from './cli.js'
import { repeat } from './flags.js'

interface RuleFlags {
  readonly exact?: boolean
  readonly chain?: readonly string[]
}

export const rules: Fill = (command, cli) => {
  command
    .option('-x, --exact', 'counters in full, as iptables -x')
    .option('--chain <name>', 'only this chain of the table (repeatable)', repeat)
    .action(async ({ exact = false, chain }: RuleFlags) => {
      const { stats, networks } = await cli.withHost(
        async (host, op) => ({ stats: await host.stats(op), networks: await host.networks.list({}, op) }),
        { repair: false },
      )
      const chains = chain ? stats.chains.filter(one => chain.includes(one.chain)) : stats.chains
      const amount = exact ? String : short
      const rest = chain ? '' : portText(stats.ports, amount) + networkText(networks)
      cli.print({ chains, ports: stats.ports }, chains.map(one => `${chainText(one, amount)}\n`).join('') + rest)
    })
}

type Amount = (count: number) => string

/** As iptables: from 100,000 on in thousands, then millions. */
export function short(count: number): string {
  if (count < 100_000) return String(count)
  const units = ['K', 'M', 'G', 'T']
  let value = count / 1000
  while (units.length > 1 && value >= 10_000) {
    value /= 1000
    units.shift()
  }
  return `${Math.round(value)}${units[0]}`
}

/** `accept` → `ACCEPT`, and what it asks before; a jump or a goto is named by its chain. */
function parts(rule: string): readonly [target: string, match: string] {
  const words = rule.replace(/(^| )counter /, '$1')
  const jump = /^(.*?) ?(?:jump|goto) (\S+)$/.exec(words)
  if (jump) return [jump[2] ?? '', jump[1] ?? '']
  const translation = /^(.*?) ?dnat ip6? to (.*)$/.exec(words)
  if (translation) return ['DNAT', `${translation[1] ? `${translation[1]} ` : ''}to ${translation[2]}`]
  const at = words.lastIndexOf(' ')
  return words.endsWith(')') ? ['', words] : [words.slice(at + 1).toUpperCase(), words.slice(0, Math.max(at, 0))]
}

function columns(packets: string, bytes: string, target: string, rest: string): string {
  return `${`${packets.padStart(5)} ${bytes.padStart(5)} ${target.padEnd(10)} ${rest}`.trimEnd()}\n`
}

function chainText({ family, chain, hook, priority, policy, rules: found }: ChainStats, amount: Amount): string {
  const where = hook === undefined ? 'jumped to' : `hook ${hook}, priority ${priority}, policy ${policy?.toUpperCase()}`
  const rows = found.map(({ rule, packets, bytes }) => {
    const [target, match] = parts(rule)
    return columns(packets === undefined ? '-' : amount(packets), bytes === undefined ? '-' : amount(bytes), target, match)
  })
  return `Chain ${family === 'bridge' ? 'bridge ' : ''}${chain} (${where})\n${columns('pkts', 'bytes', 'target', 'match')}${rows.join('')}`
}

function portText(ports: readonly PortStats[], amount: Amount): string {
  const row = (packets: string, bytes: string, prot: string, destination: string, rest: string): string =>
    columns(packets, bytes, 'DNAT', `${prot.padEnd(4)} ${destination.padEnd(20)} ${rest}`)
  const rows = ports.map(({ sandbox, port, address, packets, bytes }) =>
    row(
      packets === undefined ? '-' : amount(packets),
      bytes === undefined ? '-' : amount(bytes),
      port.protocol,
      anywhere(port.hostIp),
      `dpt:${port.hostPort} to:${address.includes(':') ? `[${address}]` : address}:${port.containerPort} /* ${sandbox} */`,
    ),
  )
  return `Published ports\n${columns('pkts', 'bytes', 'target', `${'prot'.padEnd(4)} ${'destination'.padEnd(20)}`)}${rows.join('')}\n`
}

/** All addresses as iptables writes them. */
function anywhere(hostIp: string): string {
  return hostIp === '0.0.0.0' ? '0.0.0.0/0' : hostIp === '::' ? '::/0' : hostIp
}

function networkText(networks: readonly Network[]): string {
  const rows = networks.map(
    ({ name, device, subnets }) => `${name.padEnd(15)} ${(device ?? '').padEnd(15)} ${subnets.map(one => one.subnet).join(', ')}\n`,
  )
  return `Networks\n${'network'.padEnd(15)} ${'in, out'.padEnd(15)} source, destination\n${rows.join('')}`
}
