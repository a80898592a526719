/**
 * Expressions: what a rule is made of, at the level of the kernel's registers, as `nft --debug=netlink` prints them. The union is
 * mirrored by native/nft/expression.h.
 */

/**
 * A register number as the kernel takes it: 1–4 are 16 bytes wide; 8–23 are the same 64 bytes in 4-byte pieces
 * (8 is the start of register 1, 9 its second word, 12 the start of register 2).
 */
export type Register = number
/** Register contents. Network order, except what the kernel keeps in its own order (marks, states, address types). */
export type Bytes = readonly number[]

export type MetaKey = 'protocol' | 'mark' | 'iifname' | 'oifname' | 'nfproto' | 'l4proto' | 'pkttype' | 'iifgroup' | 'oifgroup' | 'iifkind'
export type CtKey =
  | 'state'
  | 'direction'
  | 'status'
  | 'mark'
  | 'l3protocol'
  | 'src'
  | 'dst'
  | 'protocol'
  | 'proto-src'
  | 'proto-dst'
  | 'src-ip'
  | 'dst-ip'
  | 'src-ip6'
  | 'dst-ip6'
export type FibFlag = 'saddr' | 'daddr' | 'mark' | 'iif' | 'oif'

/** Reads a property of the packet. */
export interface MetaExpression {
  readonly expr: 'meta'
  readonly key: MetaKey
  readonly dreg: Register
}
/** Writes the packet's mark. */
export interface MetaSetExpression {
  readonly expr: 'meta.set'
  readonly key: 'mark'
  readonly sreg: Register
}
/** Reads `length` bytes at `offset` (bytes) of a header. */
export interface PayloadExpression {
  readonly expr: 'payload'
  readonly base: 'link' | 'network' | 'transport'
  readonly offset: number
  readonly length: number
  readonly dreg: Register
}
/** Goes on with the rule only if register and value compare so. */
export interface CmpExpression {
  readonly expr: 'cmp'
  readonly op: 'eq' | 'neq' | 'lt' | 'lte' | 'gt' | 'gte'
  readonly sreg: Register
  readonly data: Bytes
}
/** dreg = (sreg & mask) ^ xor; mask and xor are equally long. */
export interface BitwiseExpression {
  readonly expr: 'bitwise'
  readonly sreg: Register
  readonly dreg: Register
  readonly mask: Bytes
  readonly xor: Bytes
}
/** Goes on only if the key is in the set (not in it with `invert`); with `dreg` a map's value is fetched. */
export interface LookupExpression {
  readonly expr: 'lookup'
  readonly set: string
  readonly sreg: Register
  readonly dreg?: Register
  readonly invert?: boolean
}
/** Loads a constant. */
export interface ImmediateExpression {
  readonly expr: 'immediate'
  readonly dreg: Register
  readonly data: Bytes
}
/** Ends the rule: `chain` with jump and goto only. */
export interface VerdictExpression {
  readonly expr: 'verdict'
  readonly verdict: 'accept' | 'drop' | 'return' | 'continue' | 'jump' | 'goto'
  readonly chain?: string
}
/** Address and port come from registers; the `Max` ones end a range. */
export interface NatExpression {
  readonly expr: 'nat'
  readonly type: 'dnat' | 'snat'
  readonly family: 'ip' | 'ip6'
  readonly address?: Register
  readonly addressMax?: Register
  readonly port?: Register
  readonly portMax?: Register
  readonly random?: boolean
  readonly persistent?: boolean
}
/** Source NAT to the address of the outgoing link. */
export interface MasqueradeExpression {
  readonly expr: 'masquerade'
  readonly port?: Register
  readonly portMax?: Register
  readonly random?: boolean
}
/** Destination NAT to this machine. */
export interface RedirectExpression {
  readonly expr: 'redirect'
  readonly port?: Register
  readonly portMax?: Register
}
/** Asks the routing tables. */
export interface FibExpression {
  readonly expr: 'fib'
  readonly flags: readonly FibFlag[]
  readonly result: 'oif' | 'oifname' | 'type'
  readonly dreg: Register
}
/** Reads a property of the tracked flow; `direction` for addresses and ports. */
export interface CtExpression {
  readonly expr: 'ct'
  readonly key: CtKey
  readonly direction?: 'original' | 'reply'
  readonly dreg: Register
}
/** Writes the flow's mark. */
export interface CtSetExpression {
  readonly expr: 'ct.set'
  readonly key: 'mark'
  readonly sreg: Register
}
export interface CounterExpression {
  readonly expr: 'counter'
}
/** Drops and tells the sender: a TCP reset or an ICMP error. */
export interface RejectExpression {
  readonly expr: 'reject'
  readonly with: 'tcp-reset' | 'port-unreachable' | 'admin-prohibited' | 'host-unreachable' | 'no-route'
}

/** One expression of a rule. */
export type NftExpression =
  | MetaExpression
  | MetaSetExpression
  | PayloadExpression
  | CmpExpression
  | BitwiseExpression
  | LookupExpression
  | ImmediateExpression
  | VerdictExpression
  | NatExpression
  | MasqueradeExpression
  | RedirectExpression
  | FibExpression
  | CtExpression
  | CtSetExpression
  | CounterExpression
  | RejectExpression
