/**
 * The ruleset inside a sandbox that holds a guest behind a TAP. The guest takes the place of the sandbox: what comes to any of the sandbox's
 * addresses goes to the guest, and what the guest sends leaves with the sandbox's address. So every guest may have the same address.
 * No port is named: what is published is the host's matter. Pure.
 */
import type { Slot, Step } from '../plan/op.js'
import {
  accept,
  dnatTo,
  drop,
  iifname,
  ip6Source,
  ipSource,
  isAddress,
  isAddressType,
  isDevice,
  isNotDevice,
  isVersion,
  masquerade,
  oifname,
  type Rule,
  rule,
  startsWith,
} from './rule.js'
import { behind, place } from './table.js'

/** Whom the table is about. */
export interface TableGuest {
  readonly tap: string
  readonly address: string
  readonly ipv6?: { readonly address: string }
}

/** Makes the table in the namespace `ns`; it goes with that. Replaces one that is there. */
export function guestTable(ns: Slot, { tap, address, ipv6 }: TableGuest): Step[] {
  const here = { ...place, ns }
  const table = { op: 'nft.table.add', ...here } as const
  const families = [
    { version: 'ip', source: ipSource, own: address } as const,
    ...(ipv6 ? [{ version: 'ip6', source: ip6Source, own: ipv6.address } as const] : []),
  ]
  const chains = [
    {
      chain: 'guard',
      base: { type: 'filter', hook: 'prerouting', priority: behind.raw },
      // Else a guest could send with addresses that are not hidden behind the sandbox's.
      rules: [rule(isDevice(iifname, tap), isAddress(ipSource, address, 'neq'), drop), ...(ipv6 ? ownSource6(tap, ipv6.address) : [])],
    },
    {
      chain: 'prerouting',
      base: { type: 'nat', hook: 'prerouting', priority: behind.dstnat },
      rules: families.map(({ version, own }) =>
        rule(isNotDevice(iifname, tap), isVersion(version), isAddressType('daddr', 'local'), dnatTo(version, own)),
      ),
    },
    {
      chain: 'postrouting',
      base: { type: 'nat', hook: 'postrouting', priority: behind.srcnat },
      rules: families.map(({ source, own }) => rule(isNotDevice(oifname, tap), isAddress(source, own), masquerade)),
    },
  ] as const
  return [
    { apply: table },
    { apply: { ...table, op: 'nft.table.delete' } },
    { apply: table },
    ...chains.map(({ chain, base }): Step => ({ apply: { op: 'nft.chain.add', ...here, chain, base } })),
    ...chains.flatMap(({ chain, rules }) =>
      rules.map(({ text, expressions }): Step => ({ apply: { op: 'nft.rule.add', ...here, chain, text, expressions } })),
    ),
  ]
}

/** With its own address, and to its gateway also link-local or from none (neighbour discovery): such packets the kernel doesn't forward. */
function ownSource6(tap: string, address: string): Rule[] {
  const fromTap = isDevice(iifname, tap)
  return [
    rule(fromTap, isAddress(ip6Source, address), accept),
    rule(fromTap, startsWith(ip6Source, 'fe80::/64', [0xfe, 0x80, 0, 0, 0, 0, 0, 0]), accept),
    rule(fromTap, isAddress(ip6Source, '::'), accept),
    rule(fromTap, isVersion('ip6'), drop),
  ]
}
