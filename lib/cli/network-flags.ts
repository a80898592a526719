/** The flags of `network create` and `explain network-create`: Docker's, as the library's options. */
import type { Command } from 'commander'
import type { NetworkOptions, Subnet } from '../contract.js'
import { invalid } from '../errors.js'
import { contains, containsBlock, parseCidr, parseIp } from '../network/cidr.js'
import { driverOptions } from '../validate/driver-options.js'
import { given, labels, onOff, pair, repeat, wholeNumber } from './flags.js'

export interface NetworkFlags {
  readonly driver?: string
  readonly subnet?: readonly string[]
  readonly ipRange?: readonly string[]
  readonly gateway?: readonly string[]
  readonly auxAddress?: readonly string[]
  readonly internal?: boolean
  readonly icc?: boolean
  readonly masquerade?: boolean
  readonly ipv6?: boolean
  readonly spoofCheck?: boolean
  readonly opt?: readonly string[]
  readonly mtu?: number
  readonly label?: readonly string[]
}

export function addNetworkFlags(command: Command): Command {
  return command
    .argument('<network>', 'name of the network')
    .option('-d, --driver <driver>', 'bridge, macvlan, ipvlan or ptp (default: bridge)')
    .option('--subnet <cidr>', 'subnet (repeatable; default: a free one)', repeat)
    .option('--ip-range <cidr>', 'block inside of a subnet that addresses come from (repeatable)', repeat)
    .option('--gateway <address>', 'gateway of a subnet (repeatable; default: its first address)', repeat)
    .option('--aux-address <name=address>', 'address that is never given out (repeatable)', repeat)
    .option('--internal', 'no way out, and nothing published')
    .option('--icc', 'sandboxes reach each other (default)')
    .option('--no-icc', 'sandboxes do not reach each other')
    .option('--masquerade', "hide sandboxes behind the host's address on the way out (default)")
    .option('--no-masquerade', "keep the sandboxes' own addresses on the way out")
    .option('--spoof-check <on|off>', 'may sandboxes send with their own addresses only? (default: on)', onOff)
    .option('--ipv6', 'an IPv6 subnet as well')
    .option('-o, --opt <key=value>', "one of Docker's driver options (repeatable)", repeat)
    .option('--mtu <bytes>', "default: that of the default route's device", wholeNumber)
    .option('--label <key=value>', 'label (repeatable)', repeat)
}

/** The flags as `networks.create` takes them. A flag stands over what `--opt` says of the same thing. */
export function networkOptions(name: string, flags: NetworkFlags): NetworkOptions {
  const { driver, internal, icc, masquerade, ipv6, mtu, spoofCheck } = flags
  const subnets = subnetsOf(flags)
  return {
    ...driverOptions(labels(flags.opt) ?? {}, '--opt'),
    ...given({ internal, icc, masquerade, ipv6, mtu, spoofCheck, labels: labels(flags.label) }),
    name,
    ...(driver !== undefined && { driver: driver as NonNullable<NetworkOptions['driver']> }), // checked by create()
    ...(subnets.length > 0 && { subnets }),
  }
}

/** Each gateway, range and reserved address belongs to the one subnet that it lies in. */
function subnetsOf({ subnet = [], ipRange = [], gateway = [], auxAddress = [] }: NetworkFlags): readonly Subnet[] {
  const subnets = subnet.map(text => ({ block: parseCidr(text, '--subnet'), options: { subnet: text } as Subnet }))
  const home = (flag: string, text: string, holds: (block: (typeof subnets)[number]['block']) => boolean): Subnet => {
    const found = subnets.find(({ block }) => holds(block))
    if (!found) throw invalid(flag, 'something inside of a --subnet', text)
    return found.options
  }
  const once = (flag: string, key: 'gateway' | 'range', options: Subnet, text: string): void => {
    if (options[key] !== undefined) throw invalid(flag, `one value for ${options.subnet}`, text)
    options[key] = text
  }
  for (const text of gateway)
    once(
      '--gateway',
      'gateway',
      home('--gateway', text, block => contains(block, parseIp(text, '--gateway'))),
      text,
    )
  for (const text of ipRange)
    once(
      '--ip-range',
      'range',
      home('--ip-range', text, block => containsBlock(block, parseCidr(text, '--ip-range'))),
      text,
    )
  for (const text of auxAddress) {
    const [name, address] = pair(text)
    const options = home('--aux-address', text, block => contains(block, parseIp(address, '--aux-address')))
    options.reserved = { ...options.reserved, [name]: address }
  }
  return subnets.map(({ options }) => options)
}
