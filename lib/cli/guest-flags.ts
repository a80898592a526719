/** `--guest` and `--tap`: places for virtual machines, as keys with values like Docker's long forms. */
import { InvalidArgumentError } from 'commander'
import type { GuestOptions, TapOptions } from '../contract.js'
import { pair, wholeNumber } from './flags.js'

/** How the text behind a key becomes an option's value; whether that makes sense is the library's to say. */
type Read = (text: string) => string | number | boolean
const word: Read = text => text
/** `vnet-hdr` alone, or `vnet-hdr=on`. */
const flag: Read = text => {
  if (text !== '' && text !== 'on' && text !== 'off') throw new InvalidArgumentError('Allowed choices are on, off.')
  return text !== 'off'
}

type Keys<T> = Readonly<Record<string, readonly [option: keyof T, read: Read]>>

const tapKeys: Keys<TapOptions> = {
  owner: ['owner', wholeNumber],
  group: ['group', wholeNumber],
  'vnet-hdr': ['vnetHdr', flag],
  'multi-queue': ['multiQueue', flag],
}

const guestKeys: Keys<GuestOptions> = {
  address: ['address', word],
  address6: ['address6', word],
  gateway: ['gateway', word],
  gateway6: ['gateway6', word],
  mac: ['mac', word],
  'gateway-mac': ['gatewayMac', word],
  mtu: ['mtu', wholeNumber],
  tap: ['tap', word],
  ...tapKeys,
}

/** `on`, or `owner=UID,group=GID,vnet-hdr,multi-queue`. */
export function tapFlag(text: string): TapOptions {
  return text === 'on' ? {} : keyed(text, tapKeys)
}

/** `ADDRESS/PREFIX`, or `address=ADDRESS/PREFIX,address6=…,tap=…` and so on. */
export function guestFlag(text: string): GuestOptions {
  return (text.includes('=') ? keyed(text, guestKeys) : { address: text }) as GuestOptions
}

function keyed<T extends object>(text: string, keys: Keys<T>): Partial<T> {
  const found: Partial<Record<keyof T, string | number | boolean>> = {}
  for (const part of text.split(',')) {
    const [key, value] = pair(part)
    const [option, read] = (Object.hasOwn(keys, key) ? keys[key] : undefined) ?? []
    if (option === undefined || read === undefined) throw new InvalidArgumentError(`Allowed keys are ${Object.keys(keys).join(', ')}.`)
    if (value === '' && read !== flag) throw new InvalidArgumentError(`${key} needs a value.`)
    found[option] = read(value)
  }
  return found as Partial<T>
}
