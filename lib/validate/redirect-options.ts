/** What `redirect` and `unredirect` take, checked and spelled out. */
import type { RedirectOptions } from '../contract.js'
import { invalid } from '../errors.js'
import { port, portsOfRange, splitAddress } from '../sandbox/port-grammar.js'
import { array, bindIp, type Guard, object, oneOf, present } from './guards.js'

export interface ValidRedirect {
  readonly protocol: 'tcp' | 'udp'
  /** Each once; 0: all. */
  readonly ports: readonly number[]
  readonly toPort: number
  readonly toAddress?: string
}

export interface RedirectSelector {
  /** Absent: both. */
  readonly protocol?: 'tcp' | 'udp'
  /** Absent: those of all ports too. */
  readonly ports?: readonly number[]
}

const protocol = oneOf('tcp', 'udp')
const keys = ['ports', 'to', 'protocol'] as const satisfies readonly (keyof RedirectOptions)[]
/** Each takes an element of the ruleset. */
const mostPorts = 1024

/** Throws ERR_NETMODE_INVALID_ARGUMENT. */
export function redirectOptions(input: unknown): ValidRedirect {
  const fields = object(input, '', keys)
  return {
    ports: fields.required('ports', portList),
    ...fields.required('to', destination),
    protocol: fields.optional('protocol', protocol) ?? 'tcp',
  }
}

/** Throws ERR_NETMODE_INVALID_ARGUMENT. */
export function redirectSelector(input: unknown = {}): RedirectSelector {
  const fields = object(input, '', ['ports', 'protocol'])
  return present({ ports: fields.optional('ports', portList), protocol: fields.optional('protocol', protocol) })
}

const portList: Guard<readonly number[]> = (value, field) => {
  if (value === 'all') return [0]
  const ports = new Set(array<readonly number[]>(onePort)(value, field).flat())
  if (ports.size === 0 || ports.size > mostPorts) throw invalid(field, `1 to ${mostPorts} ports, or 'all'`, value)
  return [...ports]
}

const onePort: Guard<readonly number[]> = (value, field) => (typeof value === 'string' ? portsOfRange(value, field) : [port(value, field)])

const destination: Guard<Pick<ValidRedirect, 'toPort' | 'toAddress'>> = (value, field) => {
  if (typeof value !== 'string') return { toPort: port(value, field) }
  const { hostIp, rest } = splitAddress(value, field)
  if (!/^[1-9]\d{0,4}$/.test(rest)) throw invalid(field, 'a port, or address:port with IPv6 in brackets,', value)
  const toPort = port(Number(rest), field)
  if (hostIp === undefined) return { toPort }
  if (hostIp === bindIp('0.0.0.0', field) || hostIp === '::') throw invalid(field, 'one address of the host', value)
  return { toPort, toAddress: hostIp }
}
