/** The flags of `network create` and `explain network-create`: Docker's, as the library's options. */
import type { Command } from 'commander'
import type { NetworkOptions, Subnet } from '../contract.js'
import { invalid } from '../errors.js'
import { contains, containsBlock, parseCidr, parseIp } from '../network/cidr.js'
import { given, labels, pair, repeat, wholeNumber } from './flags.js'

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
    .option('--ipv6', 'an IPv6 subnet as well')
    .option('-o, --opt <key=value>', "one of Docker's driver options (repeatable)", repeat)
    .option('--mtu <bytes>', "default: that of the default route's device", wholeNumber)
    .option('--label <key=value>', 'label (repeatable)', repeat)
}

/** The flags as `networks.create` takes them. A flag stands over what `--opt` says of the same thing. */
export function networkOptions(name: string, flags: NetworkFlags): NetworkOptions {
  const { driver, internal, icc, masquerade, ipv6, mtu } = flags
  const subnets = subnetsOf(flags)
  return {
    ...Object.assign({}, ...(flags.opt ?? []).map(driverOption)),
    ...given({ internal, icc, masquerade, ipv6, mtu, labels: labels(flags.label) }),
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

type Reader = (value: string, key: string) => Partial<NetworkOptions>

const truth = (value: string, key: string): boolean => {
  if (value !== 'true' && value !== 'false' && value !== '1' && value !== '0') throw invalid(`--opt ${key}`, 'true or false', value)
  return value === 'true' || value === '1'
}

/** Docker's names for what a network can be told. */
const driverOptions: Readonly<Record<string, Reader>> = {
  'com.docker.network.bridge.name': bridge => ({ bridge }),
  'com.docker.network.bridge.enable_icc': (value, key) => ({ icc: truth(value, key) }),
  'com.docker.network.bridge.enable_ip_masquerade': (value, key) => ({ masquerade: truth(value, key) }),
  'com.docker.network.driver.mtu': (value, key) => {
    if (!/^\d{1,9}$/.test(value)) throw invalid(`--opt ${key}`, 'a whole number', value)
    return { mtu: Number(value) }
  },
  parent: parent => ({ parent }),
  macvlan_mode: mode => ({ macvlanMode: mode as NonNullable<NetworkOptions['macvlanMode']> }), // checked by create(), as the next one
  ipvlan_mode: mode => ({ ipvlanMode: mode as NonNullable<NetworkOptions['ipvlanMode']> }),
}

function driverOption(text: string): Partial<NetworkOptions> {
  const [key, value] = pair(text)
  const read = Object.hasOwn(driverOptions, key) ? driverOptions[key] : undefined
  if (!read) throw invalid('--opt', `one of ${Object.keys(driverOptions).join(', ')}`, key)
  return read(value, key)
}
