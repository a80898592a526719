/** `netmode events`: what happens, line by line, until a signal comes. */
import type { HostEvent } from '../contract.js'
import { invalid } from '../errors.js'
import type { Fill } from './cli.js'
import { pair, repeat } from './flags.js'

interface EventFlags {
  readonly filter?: readonly string[]
}

export const events: Fill = (command, cli) => {
  command
    .option('-f, --filter <key=value>', 'type, event, container or network (repeatable)', repeat)
    .action(async ({ filter }: EventFlags) => {
      const wanted = filters(filter)
      await cli.withHost(
        async (host, op) => {
          for await (const event of host.events(op)) {
            const told = inDockersWords(event)
            if (!wanted(told)) continue
            if (cli.format === 'json') process.stdout.write(`${JSON.stringify(told)}\n`)
            else process.stdout.write(line(told))
          }
        },
        { repair: false },
      )
    })
}

/** As `docker events --format json`; what Docker has no word for is told in ours. */
export interface Told {
  readonly Type: string
  readonly Action: string
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> }
  readonly scope: 'local'
  /** seconds */
  readonly time: number
  readonly timeNano: number
}

export function inDockersWords(event: HostEvent): Told {
  const told = (Type: string, Action: string, ID: string, Attributes: Readonly<Record<string, string>> = {}): Told => ({
    Type,
    Action,
    Actor: { ID, Attributes },
    scope: 'local',
    time: Math.floor(event.time / 1000),
    timeNano: event.time * 1_000_000,
  })
  switch (event.type) {
    case 'sandbox.created':
    case 'sandbox.removed':
    case 'sandbox.drifted':
    case 'sandbox.repaired': {
      const action = {
        'sandbox.created': 'create',
        'sandbox.removed': 'destroy',
        'sandbox.drifted': 'drift',
        'sandbox.repaired': 'repair',
      }[event.type]
      return told('container', action, event.sandbox, { name: event.sandbox })
    }
    case 'endpoint.attached':
    case 'endpoint.detached': {
      const { network, ifname, ipv4, ipv6 } = event.endpoint
      const addresses = { ...(ipv4 && { ip: ipv4.address }), ...(ipv6 && { ip6: ipv6.address }) }
      return told('network', event.type === 'endpoint.attached' ? 'connect' : 'disconnect', network, {
        container: event.sandbox,
        name: network,
        ifname,
        ...addresses,
      })
    }
    case 'port.published':
    case 'port.unpublished': {
      const { hostIp, hostPort, containerPort, protocol } = event.port
      return told('container', event.type === 'port.published' ? 'publish' : 'unpublish', event.sandbox, {
        name: event.sandbox,
        hostIp,
        hostPort: String(hostPort),
        port: `${containerPort}/${protocol}`,
      })
    }
    case 'network.created':
    case 'network.removed':
      return told('network', event.type === 'network.created' ? 'create' : 'destroy', event.network, { name: event.network })
    case 'overrun':
      return told('daemon', 'overrun', '', {})
    default:
      return told(event.type, event.action, '', attributes(event.object))
  }
}

/** What of a kernel object is a word or a number. */
function attributes(object: object): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(object).flatMap(([key, value]) => (typeof value === 'object' ? [] : [[key, String(value)]])))
}

/** `2026-11-26T04:02:57.813Z container create web (name=web)` */
function line({ Type, Action, Actor: { ID, Attributes }, timeNano }: Told): string {
  const details = Object.entries(Attributes).map(([key, value]) => `${key}=${value}`)
  return `${[new Date(timeNano / 1_000_000).toISOString(), Type, Action, ID, `(${details.join(', ')})`].filter(Boolean).join(' ')}\n`
}

const keys = ['type', 'event', 'container', 'network'] as const

/** As Docker: of one key any value will do, of several keys all must fit. */
function filters(texts: readonly string[] = []): (event: Told) => boolean {
  const wanted = new Map<string, string[]>()
  for (const text of texts) {
    const [key, value] = pair(text)
    if (!keys.some(known => known === key) || value === '') throw invalid('--filter', `key=value with one of ${keys.join(', ')}`, text)
    wanted.set(key, [...(wanted.get(key) ?? []), value])
  }
  return ({ Type, Action, Actor: { ID, Attributes } }) => {
    const values: Readonly<Record<string, string | undefined>> = {
      type: Type,
      event: Action,
      container: Type === 'container' ? ID : Attributes.container,
      network: Type === 'network' ? ID : undefined,
    }
    return [...wanted].every(([key, any]) => any.includes(values[key] ?? ''))
  }
}
