/** The flags that `run`, `create` and `explain create` have in common: `docker run`'s, as far as they are about networking. */
import type { Command } from 'commander'
import type { GuestOptions, SandboxOptions } from '../contract.js'
import { randomHex } from '../random.js'
import { attachment, type EndpointFlags, endpoint, given, labels, onOff, portInputs, repeat, wholeNumber } from './flags.js'
import { guestFlag, tapFlag } from './guest-flags.js'

export interface SandboxFlags extends EndpointFlags {
  readonly name?: string
  readonly network?: readonly string[]
  readonly netns?: string
  readonly guest?: GuestOptions
  readonly publish?: readonly string[]
  readonly publishAll?: boolean
  readonly allow?: readonly string[]
  readonly expose?: readonly string[]
  readonly hostname?: string
  readonly dns?: readonly string[]
  readonly dnsSearch?: readonly string[]
  readonly dnsOption?: readonly string[]
  readonly addHost?: readonly string[]
  readonly label?: readonly string[]
}

/** Flags of one endpoint, of `network connect` too. */
export function addEndpointFlags(command: Command): Command {
  return command
    .option('--ip <address>', 'IPv4 address (default: the next free one)')
    .option('--ip6 <address>', 'IPv6 address (default: the next free one)')
    .option('--mac <address>', 'MAC address (default: 02:42 and the IPv4 address)')
    .option('--ifname <name>', 'name of the interface inside (default: the lowest free ethN)')
    .option('--alias <name>', 'further name on the network (repeatable)', repeat)
    .option('--gw-priority <number>', 'the endpoint with the highest one gives the default route (default: 0)', wholeNumber)
    .option('--spoof-check <on|off>', 'may it send with its own addresses only? (default: as the network has it)', onOff)
    .option('--tap <on|keys>', 'a TAP on the bridge for a VMM on the host: on, or owner=,group=,vnet-hdr,multi-queue', tapFlag)
}

export function addSandboxFlags(command: Command): Command {
  command
    .option('--name <name>', 'name of the sandbox (default: a new one)')
    .option('--network <network>', 'bridge, host, none, container:NAME or a network (repeatable for networks)', repeat)
    .option('--netns <path>', 'use this network namespace instead of a new one')
    .option(
      '--guest <address/prefix|keys>',
      'hold a virtual machine behind a TAP: address=,address6=,tap=,gateway=,mac=,mtu=,owner=…',
      guestFlag,
    )
    .option('-p, --publish <port>', '[ip:][hostPort:]containerPort[/protocol] (repeatable)', repeat)
    .option('--allow <cidr>', 'only from there may the ports of -p be asked (repeatable)', repeat)
    .option('-P, --publish-all', 'publish all exposed ports on random host ports')
    .option('--expose <port>', 'port that -P publishes (repeatable)', repeat)
  return addEndpointFlags(command)
    .option('--hostname <name>', 'host name inside (default: the name)')
    .option('--dns <address>', 'name server (repeatable)', repeat)
    .option('--dns-search <domain>', 'search domain (repeatable)', repeat)
    .option('--dns-option <option>', 'option of resolv.conf (repeatable)', repeat)
    .option('--add-host <name:ip>', 'line for /etc/hosts (repeatable)', repeat)
    .option('-l, --label <key=value>', 'label (repeatable)', repeat)
}

/** The flags as `sandboxes.create` takes them. Several networks exclude the flags of a single endpoint; the library says so. */
export function sandboxOptions(flags: SandboxFlags): SandboxOptions {
  const attachments = (flags.network ?? []).map(attachment)
  return {
    name: flags.name ?? `sandbox-${randomHex(4)}`,
    ...(attachments.length > 1 ? { networks: attachments } : attachments[0]),
    ...endpoint(flags),
    ...given({
      netns: flags.netns,
      guest: flags.guest,
      publish: portInputs(flags.publish, flags.allow),
      publishAll: flags.publishAll,
      expose: flags.expose,
      hostname: flags.hostname,
      dns: flags.dns,
      dnsSearch: flags.dnsSearch,
      dnsOptions: flags.dnsOption,
      addHosts: flags.addHost,
      labels: labels(flags.label),
    }),
  }
}
