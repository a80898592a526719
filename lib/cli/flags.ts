/** How flags are read: Docker's ways of writing lists, labels and filters, as the library's options. */
import { InvalidArgumentError } from 'commander'
import type { EndpointOptions, Filter, Labels, Mode, PortInput, SandboxOptions, TapOptions } from '../contract.js'
import { invalid } from '../errors.js'
import { parsePublish } from '../sandbox/port-grammar.js'

/** For an option that may be given several times. */
export function repeat(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}

/** For an option that is a whole number; whether it is in range is the library's to say. */
export function wholeNumber(value: string): number {
  if (!/^-?\d{1,15}$/.test(value)) throw new InvalidArgumentError('Not a whole number.')
  return Number(value)
}

/** The keys that have a value. */
export function given<T extends object>(object: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}

/** `key=value`, or `key` for an empty value, as `docker --label`. */
export function labels(texts: readonly string[] | undefined): Labels | undefined {
  return texts && Object.fromEntries(texts.map(text => pair(text)))
}

/** Text before and after the first `=`; '' if there is none. */
export function pair(text: string): readonly [key: string, value: string] {
  const at = text.indexOf('=')
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

/** `--filter key=value`: every one must match, labels may be several. */
export function filter(texts: readonly string[] = [], keys: readonly (keyof Filter)[] = ['name', 'label', 'network', 'mode']): Filter {
  const wanted: Filter = {}
  const all: string[] = []
  for (const text of texts) {
    const [key, value] = pair(text)
    if (!keys.some(known => known === key) || value === '') throw invalid('--filter', `key=value with one of ${keys.join(', ')}`, text)
    if (key === 'label') all.push(value)
    else if (key === 'mode')
      wanted.mode = value as Mode // checked by list()
    else wanted[key as 'name' | 'network'] = value
  }
  return all.length > 0 ? { ...wanted, label: all } : wanted
}

/** `on` or `off`, as iproute2's `spoofchk`. */
export function onOff(value: string): boolean {
  if (value !== 'on' && value !== 'off') throw new InvalidArgumentError('Allowed choices are on, off.')
  return value === 'on'
}

/** `-p` texts; with `--allow`, each spelled out with who may connect. */
export function portInputs(texts: readonly string[] | undefined, allow: readonly string[] | undefined): readonly PortInput[] | undefined {
  if (allow === undefined) return texts
  if (texts === undefined) throw invalid('--allow', 'a --publish beside it', allow.join(', '))
  return texts
    .flatMap(text => parsePublish(text, '--publish'))
    .map(({ hostPortEnd, ...port }) => {
      if (hostPortEnd !== undefined)
        throw invalid('--publish', 'one host port for each port, beside --allow,', `${port.hostPort}-${hostPortEnd}`)
      return { ...port, allow }
    })
}

/** An endpoint's options under Docker's names. */
export interface EndpointFlags {
  readonly ip?: string
  readonly ip6?: string
  readonly mac?: string
  readonly ifname?: string
  readonly alias?: readonly string[]
  readonly gwPriority?: number
  readonly spoofCheck?: boolean
  readonly tap?: TapOptions
}

/** As the library names them. */
export function endpoint({ ip, ip6, mac, ifname, alias, gwPriority, spoofCheck, tap }: EndpointFlags): EndpointOptions {
  return given({ ip, ip6, mac, ifname, aliases: alias, gatewayPriority: gwPriority, spoofCheck, tap })
}

/** `--network NAME`, or Docker's long form `name=NAME,ip=…,ip6=…,mac-address=…,alias=…,gw-priority=…`. */
export function attachment(text: string): Pick<SandboxOptions, 'network'> & { network: string } & EndpointOptions {
  if (!text.includes('=')) return { network: text }
  const aliases: string[] = []
  const found: Record<string, string | number> = {}
  for (const part of text.split(',')) {
    const [key, value] = pair(part)
    const option = Object.hasOwn(attachmentKeys, key) ? attachmentKeys[key] : undefined
    if (option === undefined || value === '')
      throw invalid('--network', `a name, or keys (${Object.keys(attachmentKeys).join(', ')}) with values,`, text)
    if (option === 'aliases') aliases.push(value)
    else found[option] = option === 'gatewayPriority' ? Number(value) : value
  }
  const { network, ...rest } = found
  if (typeof network !== 'string') throw invalid('--network', 'name=NAME among its keys', text)
  return { network, ...rest, ...(aliases.length > 0 && { aliases }) }
}

const attachmentKeys: Readonly<Record<string, 'network' | keyof EndpointOptions>> = {
  name: 'network',
  ip: 'ip',
  ip6: 'ip6',
  'mac-address': 'mac',
  ifname: 'ifname',
  alias: 'aliases',
  'gw-priority': 'gatewayPriority',
}
