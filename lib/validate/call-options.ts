/** What the other calls of the front door take: `openHost` and the filters of `list` and `prune`. */
import { types } from 'node:util'
import type { Filter, HostEvent, Labels, Mode, NamespaceRef, OpenHostOptions } from '../contract.js'
import { invalid } from '../errors.js'
import {
  absolutePath,
  array,
  boolean,
  type Guard,
  line,
  namespaceRef,
  networkName,
  object,
  oneOf,
  plainData,
  present,
  signal,
} from './guards.js'

export interface ValidFilter {
  readonly name?: string
  /** All must be there; without `value` the key alone. */
  readonly labels: readonly { readonly key: string; readonly value?: string }[]
  readonly network?: string
  readonly mode?: Mode
}

const labelFilter: Guard<{ readonly key: string; readonly value?: string }> = (value, field) => {
  const [, key = '', text] = /^([^=]*)(?:=(.*))?$/.exec(line(value, field)) ?? []
  return present({ key: line(key, field), value: text })
}

const filterKeys = ['name', 'label', 'network', 'mode'] as const satisfies readonly (keyof Filter)[]

/** Absent means everything. Throws ERR_NETMODE_INVALID_ARGUMENT. */
export function filter(input: unknown = {}): ValidFilter {
  const fields = object(input, '', filterKeys)
  const label = fields.raw('label')
  const many = Array.isArray(label) && !types.isProxy(label)
  return present({
    name: fields.optional('name', line),
    labels: label === undefined ? [] : many ? fields.required('label', array(labelFilter)) : [fields.required('label', labelFilter)],
    network: fields.optional('network', networkName),
    mode: fields.optional('mode', oneOf('bridge', 'host', 'container', 'none')),
  })
}

/** Do labels have all that a filter asks for? */
export function hasLabels(labels: Labels, wanted: ValidFilter['labels']): boolean {
  return wanted.every(({ key, value }) => Object.hasOwn(labels, key) && (value === undefined || labels[key] === value))
}

export interface ValidOpenOptions {
  readonly stateDir?: string
  readonly netns?: NamespaceRef
  /** Plain data, its keys unchecked; or the path of a file. */
  readonly config?: object | string
  readonly repair: boolean
  readonly nameService: boolean
  readonly signal?: AbortSignal
}

const openKeys = ['stateDir', 'netns', 'config', 'repair', 'nameService', 'signal'] as const satisfies readonly (keyof OpenHostOptions)[]

const configOrFile: Guard<object | string> = (value, field) => {
  if (typeof value === 'string') return absolutePath(value, field)
  const data = plainData(value, field)
  if (typeof data !== 'object' || data === null || Array.isArray(data)) throw invalid(field, 'a plain object', value)
  return data
}

/** Throws ERR_NETMODE_INVALID_ARGUMENT. */
export function openOptions(input: unknown = {}): ValidOpenOptions {
  const fields = object(input, '', openKeys)
  return present({
    stateDir: fields.optional('stateDir', absolutePath),
    netns: fields.optional('netns', namespaceRef),
    config: fields.optional('config', configOrFile),
    repair: fields.optional('repair', boolean) ?? true,
    nameService: fields.optional('nameService', boolean) ?? true,
    signal: fields.optional('signal', signal),
  })
}

export interface ValidEventOptions {
  /** undefined: all. */
  readonly types?: readonly HostEvent['type'][]
  readonly signal?: AbortSignal
}

const eventTypes = [
  ...(['sandbox.created', 'sandbox.removed', 'sandbox.drifted', 'sandbox.repaired'] as const),
  ...(['endpoint.attached', 'endpoint.detached', 'port.published', 'port.unpublished', 'network.created', 'network.removed'] as const),
  ...(['link', 'address', 'route', 'neighbor', 'ruleset', 'overrun'] as const),
] satisfies readonly HostEvent['type'][]

/** Throws ERR_NETMODE_INVALID_ARGUMENT. */
export function eventOptions(input: unknown = {}): ValidEventOptions {
  const fields = object(input, '', ['types', 'signal'])
  return present({ types: fields.optional('types', array(oneOf(...eventTypes))), signal: fields.optional('signal', signal) })
}
