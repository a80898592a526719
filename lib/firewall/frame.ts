/** What the rules of the bridge family look at: frames, ARP, and neighbour discovery (RFC 4861). */
import type { Bytes, NftExpression } from './expression.js'
import { etherTypes, type Field, hostInteger, isNotValue, isValue, type Part } from './rule.js'

export const etherSource: Field = {
  text: 'ether saddr',
  size: 6,
  load: dreg => ({ expr: 'payload', base: 'link', offset: 6, length: 6, dreg }),
}
/** Of the sender; only after `isEtherType('arp')`. */
export const arpMac: Field = { ...raw('network', 8, 6), text: 'arp saddr ether' }
/** Of the sender; only after `isEtherType('arp')`. */
export const arpAddress: Field = { ...raw('network', 14, 4), text: 'arp saddr ip' }
/** What a neighbour solicitation asks for, or an advertisement announces. nft had no word for it before 1.0.7. */
export const ndTarget = raw('transport', 8, 16)

/** Bytes of a header by their place, as `@th,64,128` (in bits). */
export function raw(base: 'network' | 'transport', offset: number, size: number): Field {
  return {
    text: `@${base === 'network' ? 'nh' : 'th'},${offset * 8},${size * 8}`,
    size,
    load: dreg => ({ expr: 'payload', base, offset, length: size, dreg }),
  }
}

/** `0x…`, as nft writes what has no type. */
export function hex(bytes: Bytes): string {
  return `0x${bytes.map(byte => byte.toString(16).padStart(2, '0')).join('')}`
}

const iifgroup: Field = { text: 'iifgroup', size: 4, load: dreg => ({ expr: 'meta', key: 'iifgroup', dreg }) }

/** `iifgroup 28269` */
export function isOfGroup(group: number): Part {
  return isValue(iifgroup, `${group}`, hostInteger(group))
}

/** `iifgroup != 28269` */
export function isNotOfGroup(group: number): Part {
  return isNotValue(iifgroup, `${group}`, hostInteger(group))
}

/** `ether type arp`. A frame with a VLAN tag says `vlan` there, and so is none of the three. */
export function isEtherType(type: keyof typeof etherTypes): Part {
  return {
    text: `ether type ${type}`,
    compile: known => {
      if (type !== 'arp') known.version = type
      return checkEtherType(type, 'eq')
    },
  }
}

/** `ether type != ip6` */
export function isNotEtherType(type: keyof typeof etherTypes): Part {
  return { text: `ether type != ${type}`, compile: () => checkEtherType(type, 'neq') }
}

function checkEtherType(type: keyof typeof etherTypes, op: 'eq' | 'neq'): NftExpression[] {
  return [
    { expr: 'payload', base: 'link', offset: 12, length: 2, dreg: 1 },
    { expr: 'cmp', op, sreg: 1, data: etherTypes[type] },
  ]
}

const messages = { 'nd-router-advert': 134, 'nd-neighbor-solicit': 135, 'nd-neighbor-advert': 136, 'nd-redirect': 137 } as const

/** `icmpv6 type nd-router-advert`, behind whatever extension headers. */
export function isIcmp6(type: keyof typeof messages): Part {
  return {
    text: `icmpv6 type ${type}`,
    compile: known => {
      const checked = known.version === 'ip6'
      known.version = 'ip6'
      return [
        ...(checked ? [] : checkEtherType('ip6', 'eq')),
        { expr: 'meta', key: 'l4proto', dreg: 1 },
        { expr: 'cmp', op: 'eq', sreg: 1, data: [58] },
        { expr: 'payload', base: 'transport', offset: 0, length: 1, dreg: 1 },
        { expr: 'cmp', op: 'eq', sreg: 1, data: [messages[type]] },
      ]
    },
  }
}
