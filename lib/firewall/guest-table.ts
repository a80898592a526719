/**
 * The ruleset inside a sandbox that holds a guest behind a TAP. The guest takes the place of the sandbox: what comes to any of the sandbox's
 * addresses goes to the guest, and what the guest sends leaves with the sandbox's address. So every guest may have the same address.
 * No port is named: what is published is the host's matter. Pure.
 */
import type { Slot, Step } from '../plan/op.js'
import {
  dnatTo,
  drop,
  iifname,
  ipSource,
  isAddress,
  isAddressType,
  isDevice,
  isNotDevice,
  isVersion,
  masquerade,
  oifname,
  rule,
} from './rule.js'
import { behind, place } from './table.js'

/** Makes the table in the namespace `ns`; it goes with that. Replaces one that is there. */
export function guestTable(ns: Slot, tap: string, address: string): Step[] {
  const here = { ...place, ns }
  const table = { op: 'nft.table.add', ...here } as const
  const chains = [
    {
      chain: 'guard',
      base: { type: 'filter', hook: 'prerouting', priority: behind.raw },
      // Else a guest could send with addresses that are not hidden behind the sandbox's.
      rule: rule(isDevice(iifname, tap), isAddress(ipSource, address, 'neq'), drop),
    },
    {
      chain: 'prerouting',
      base: { type: 'nat', hook: 'prerouting', priority: behind.dstnat },
      rule: rule(isNotDevice(iifname, tap), isVersion('ip'), isAddressType('daddr', 'local'), dnatTo('ip', address)),
    },
    {
      chain: 'postrouting',
      base: { type: 'nat', hook: 'postrouting', priority: behind.srcnat },
      rule: rule(isNotDevice(oifname, tap), isAddress(ipSource, address), masquerade),
    },
  ] as const
  return [
    { apply: table },
    { apply: { ...table, op: 'nft.table.delete' } },
    { apply: table },
    ...chains.map(({ chain, base }): Step => ({ apply: { op: 'nft.chain.add', ...here, chain, base } })),
    ...chains.map(({ chain, rule }): Step => ({ apply: { op: 'nft.rule.add', ...here, chain, ...rule } })),
  ]
}
