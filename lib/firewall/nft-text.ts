/** nf_tables ops as nft's own language: what `nft` is to be given as its one argument. */
import { type Cidr, formatCidr, formatIp, lastOf, networkOf, parseIp } from '../network/cidr.js'
import type { DataType, Datum, NftChainAdd, NftElementVerb, NftRuleAdd, NftSetAdd, NftTableVerb } from '../plan/op.js'

export type NftVerb = NftTableVerb | NftChainAdd | NftSetAdd | NftRuleAdd | NftElementVerb

/**
 * The command that does the same, as `add element inet netmode bridges { "br0" }`. `missingOk` can't be said before nft 1.0.7:
 * such a delete is printed as a plain one. nft's strings have no escapes: a `"` in a comment is printed as `'`.
 */
export function nftText(op: NftVerb): string {
  switch (op.op) {
    case 'nft.table.add':
      return `${op.exclusive ? 'create' : 'add'} table ${op.family} ${op.table}${op.comment === undefined ? '' : ` { ${comment(op.comment)}; }`}`
    case 'nft.table.delete':
      return `delete table ${op.family} ${op.table}`
    case 'nft.chain.add':
      return `add chain ${op.family} ${op.table} ${op.chain}${base(op.base)}`
    case 'nft.set.add':
      return `add ${op.data ? 'map' : 'set'} ${op.family} ${op.table} ${op.set} { ${setBody(op)} }`
    case 'nft.rule.add':
      return `add rule ${op.family} ${op.table} ${op.chain} ${op.text}${op.comment === undefined ? '' : ` ${comment(op.comment)}`}`
    case 'nft.element.add':
      return `${op.exclusive ? 'create' : 'add'} element ${op.family} ${op.table} ${op.set} { ${element(op)} }`
    case 'nft.element.delete':
      return `delete element ${op.family} ${op.table} ${op.set} { ${key(op)} }`
  }
}

function comment(text: string): string {
  return `comment "${text.replaceAll('"', "'")}"`
}

function base(chain: NftChainAdd['base']): string {
  if (!chain) return ''
  const device = chain.device === undefined ? '' : ` device "${chain.device}"`
  return ` { type ${chain.type} hook ${chain.hook}${device} priority ${chain.priority}; policy ${chain.policy ?? 'accept'}; }`
}

/** How a field is read, for a set of fields that have no type in common with nft. */
const fields: Readonly<Partial<Record<DataType, string>>> = { ifname: 'iifname', ether_addr: 'ether saddr', nd_target: '@th,64,128' }

function setBody({ key, data, interval, counter, comment: words }: NftSetAdd): string {
  const keyText = key.includes('nd_target') ? `typeof ${key.map(type => fields[type]).join(' . ')}` : `type ${key.join(' . ')}`
  const types = keyText + (data ? ` : ${data.join(' . ')}` : '')
  const rest = [
    ...(interval ? ['flags interval;'] : []),
    ...(counter ? ['counter;'] : []),
    ...(words === undefined ? [] : [`${comment(words)};`]),
  ]
  return [`${types};`, ...rest].join(' ')
}

function element(op: NftElementVerb): string {
  return [key(op), ...(op.comment === undefined ? [] : [comment(op.comment)]), ...(op.data ? [`: ${tuple(op.data)}`] : [])].join(' ')
}

function key({ key: from, end }: NftElementVerb): string {
  return end ? from.map((datum, i) => range(datum, end[i] ?? datum)).join(' . ') : tuple(from)
}

function tuple(data: readonly Datum[]): string {
  return data.map(datumText).join(' . ')
}

function datumText(datum: Datum): string {
  if ('ip4' in datum) return datum.ip4
  if ('ip6' in datum) return datum.ip6
  if ('ndTarget' in datum) return `0x${parseIp(datum.ndTarget).value.toString(16).padStart(32, '0')}`
  if ('mac' in datum) return datum.mac
  if ('protocol' in datum) return datum.protocol === 'icmpv6' ? 'ipv6-icmp' : datum.protocol
  if ('port' in datum) return `${datum.port}`
  if ('ifname' in datum) return `"${datum.ifname}"`
  return `0x${datum.mark.toString(16).padStart(8, '0')}`
}

/** `10.0.0.0/8` where the range is one block, else `10.0.0.1-10.0.0.9`. */
function range(from: Datum, to: Datum): string {
  const [first, last] = [datumText(from), datumText(to)]
  if (first === last) return first
  return ('ip4' in from || 'ip6' in from ? block(first, last) : undefined) ?? `${first}-${last}`
}

function block(first: string, last: string): string | undefined {
  const [from, to] = [parseIp(first), parseIp(last)]
  const bits = (to.value - from.value).toString(2).length
  const whole: Cidr = { ...from, prefix: (from.family === 4 ? 32 : 128) - bits }
  return networkOf(whole).value === from.value && formatIp(lastOf(whole)) === formatIp(to) ? formatCidr(whole) : undefined
}
