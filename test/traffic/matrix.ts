/** Who reaches whom: every case of the reachability matrix, and what has to come of it. Pure. */

/** Where a client is. */
export const vantages = ['host', 'loopback', 'outside', 'sibling', 'self', 'stranger'] as const
export type Vantage = (typeof vantages)[number]

/** What a client asks, and by which address. */
export const targets = [
  'sandbox',
  'all',
  'allByBridge',
  'allByLoopback',
  'one',
  'oneByBridge',
  'loopback',
  'loopbackByHost',
  'outside',
  'strangerSandbox',
  'strangerPublished',
] as const
export type Target = (typeof targets)[number]

/** How the network of the sandbox is made, and what of the host matters beside it. */
export interface Configuration {
  readonly icc: boolean
  readonly internal: boolean
  readonly masquerade: boolean
  /** bridge-nf-call-iptables and bridge-nf-call-ip6tables. */
  readonly bridgeNf: boolean
}

/** One client, one server, one way between them. */
export interface Case extends Configuration {
  readonly from: Vantage
  readonly to: Target
  readonly protocol: 'tcp' | 'udp'
  readonly family: 4 | 6
}

/**
 * What a client sees. Reached: as whom the server saw it, by its own address (`itself`), by that of the server's bridge (`bridge`), by that
 * of the host's outer device (`host`). Not reached: `refused` by somebody, `silent`, or `unreachable`: its own kernel knows no way. `heard`:
 * the datagram came through and its answer didn't (of TCP, such a connection is just silent).
 */
export type Answer = 'itself' | 'bridge' | 'host' | 'refused' | 'silent' | 'heard' | 'unreachable'

const both = [false, true] as const
const sandboxes: readonly Vantage[] = ['sibling', 'self', 'stranger']
const everywhere: readonly Vantage[] = vantages

/** From where a target is asked: the last three are about ways out of the network. */
const askedFrom: Readonly<Record<Target, readonly Vantage[]>> = {
  sandbox: everywhere,
  all: everywhere,
  allByBridge: everywhere,
  allByLoopback: everywhere,
  one: everywhere,
  oneByBridge: everywhere,
  loopback: everywhere,
  loopbackByHost: everywhere,
  outside: ['host', 'self'],
  strangerSandbox: ['self'],
  strangerPublished: ['self'],
}

/** The eight ways to make a network. */
export const shapes = both.flatMap(internal =>
  both.flatMap(notIcc => both.map(notMasquerade => ({ icc: !notIcc, internal, masquerade: !notMasquerade }))),
)

/** Every case on such a network. */
export function casesOf(configuration: Configuration): Case[] {
  return targets.flatMap(to =>
    askedFrom[to].flatMap(from =>
      ([4, 6] as const).flatMap(family => (['tcp', 'udp'] as const).map(protocol => ({ ...configuration, from, to, protocol, family }))),
    ),
  )
}

/** A case as one line of text. */
export function describeCase({ from, to, protocol, family, ...configuration }: Case): string {
  return `${from} -> ${to}, ${protocol} IPv${family}, ${describeConfiguration(configuration)}`
}

export function describeConfiguration({ icc, internal, masquerade, bridgeNf }: Configuration): string {
  return `icc ${onOff(icc)}, internal ${onOff(internal)}, masquerade ${onOff(masquerade)}, bridge-nf ${Number(bridgeNf)}`
}

function onOff(value: boolean): string {
  return value ? 'on' : 'off'
}

/** Cases that are alike: each key that is there must be equal, or one of those listed. */
export type Pattern = { readonly [K in keyof Case]?: Case[K] | readonly Case[K][] }

export function matches(pattern: Pattern, one: Case): boolean {
  return Object.entries(pattern).every(([key, wanted]) => {
    const value = one[key as keyof Case]
    return Array.isArray(wanted) ? wanted.includes(value) : wanted === value
  })
}

/** What has to come of the cases of a pattern, and why. */
export interface Rule {
  readonly cases: Pattern
  readonly answer: Answer
  readonly because: string
}

const byLoopback: readonly Target[] = ['allByLoopback', 'loopback']
const elsewhere: readonly Target[] = ['oneByBridge', 'loopbackByHost']
const beyondLoopback: readonly Target[] = ['all', 'allByBridge', 'one']
const published: readonly Target[] = [...beyondLoopback, ...byLoopback, ...elsewhere]

const resetTo6 = 'A closed port, but the kernel takes no TCP reset that comes to ::1 from another address (with or without netmode).'

/** The first rule that matches a case decides. */
export const rules: readonly Rule[] = [
  {
    cases: { to: byLoopback, from: 'self' },
    answer: 'refused',
    because: 'In a sandbox 127.0.0.1 and ::1 are its own, and nothing listens there.',
  },
  {
    cases: { to: byLoopback, from: ['outside', 'sibling', 'stranger'] },
    answer: 'silent',
    because: 'Packets for 127.0.0.1 or ::1 that come over a wire are dropped by the chain `guard`.',
  },
  {
    cases: { from: 'loopback', to: [...beyondLoopback, ...elsewhere], internal: true, family: 6, protocol: 'tcp' },
    answer: 'silent',
    because: resetTo6,
  },
  {
    cases: { from: 'loopback', to: 'loopbackByHost', family: 6, protocol: 'tcp' },
    answer: 'silent',
    because: resetTo6,
  },
  {
    cases: { to: published, internal: true },
    answer: 'refused',
    because: 'A sandbox that is only on internal networks publishes nothing (netmode refuses to), so the host answers for a closed port.',
  },
  {
    cases: { to: elsewhere },
    answer: 'refused',
    because: 'Published on another address: on this one the port is closed.',
  },
  {
    cases: { to: byLoopback, family: 6, bridgeNf: true },
    answer: 'refused',
    because: 'Answers to ::1 are lost in br_netfilter, so published ports are closed there rather than mute.',
  },
  {
    cases: { from: 'loopback', to: 'sandbox', internal: true, family: 6, protocol: 'udp' },
    answer: 'heard',
    because: "On an internal network's bridge ::1 is no local address: the answer isn't taken in.",
  },
  {
    cases: { from: 'loopback', family: 6, bridgeNf: true, protocol: 'tcp' },
    answer: 'silent',
    because: 'Answers to a client that binds to ::1 are lost in br_netfilter.',
  },
  {
    cases: { from: 'loopback', family: 6, bridgeNf: true, protocol: 'udp' },
    answer: 'heard',
    because: 'Answers to a client that binds to ::1 are lost in br_netfilter.',
  },
  {
    cases: { from: 'loopback', to: 'sandbox', internal: true, family: 4 },
    answer: 'unreachable',
    because: "An internal network's bridge has no route_localnet: the kernel takes no packet from 127.0.0.1 to it.",
  },
  {
    cases: { from: 'loopback', to: 'sandbox', internal: true, family: 6 },
    answer: 'silent',
    because: "On an internal network's bridge ::1 is no local address: the answer isn't taken in.",
  },
  {
    cases: { from: ['host', 'loopback'], to: [...byLoopback, 'allByBridge'] },
    answer: 'bridge',
    because: 'The host reaches what it publishes by any of its addresses; a loopback address becomes that of the bridge on the way.',
  },
  {
    cases: { from: 'loopback', to: ['sandbox', ...published] },
    answer: 'bridge',
    because: 'A loopback address becomes that of the bridge on the way.',
  },
  {
    cases: { from: 'host', to: 'sandbox' },
    answer: 'bridge',
    because: 'The host has an address on every bridge, and sandboxes see it.',
  },
  {
    cases: { from: 'host', to: published },
    answer: 'host',
    because: "The host talks to itself from the address that it asks for, and that isn't changed.",
  },
  {
    cases: { from: 'sibling', to: 'sandbox', icc: false },
    answer: 'silent',
    because: 'With icc off the ports of the bridge are isolated from each other.',
  },
  {
    cases: { from: ['sibling', 'self'], to: beyondLoopback, icc: false, bridgeNf: true },
    answer: 'silent',
    because: 'br_netfilter sends the translated frame from bridge port to bridge port, and isolated ports stay isolated.',
  },
  {
    cases: { from: ['sibling', 'self'], to: 'sandbox' },
    answer: 'itself',
    because: 'One network, no translation.',
  },
  {
    cases: { from: ['outside', 'stranger'], to: 'sandbox' },
    answer: 'silent',
    because: "What isn't published is not reached from beyond the network, even by those who know the way.",
  },
  {
    cases: { from: 'outside', to: beyondLoopback },
    answer: 'itself',
    because: "The client's address is kept.",
  },
  {
    cases: { from: sandboxes, to: beyondLoopback },
    answer: 'bridge',
    because:
      'From inside, published ports are reached through the host, which stands in for the client so that the answer comes back its way.',
  },
  {
    cases: { from: 'host', to: 'outside' },
    answer: 'host',
    because: "The host's own traffic is left alone.",
  },
  {
    cases: { to: ['outside', 'strangerSandbox', 'strangerPublished'], internal: true },
    answer: 'silent',
    because: 'No way leads out of an internal network, though this sandbox has given itself a default route.',
  },
  {
    cases: { to: 'outside', masquerade: true },
    answer: 'host',
    because: 'Outgoing connections get the address of the host.',
  },
  {
    cases: { to: 'outside', masquerade: false },
    answer: 'itself',
    because: 'Without masquerade the address is kept (here the outside has a route back).',
  },
  {
    cases: { to: 'strangerSandbox' },
    answer: 'silent',
    because: 'Networks are isolated from each other.',
  },
  {
    cases: { to: 'strangerPublished' },
    answer: 'bridge',
    because:
      'From inside, published ports are reached through the host, which stands in for the client so that the answer comes back its way.',
  },
]

/** The rule for a case. */
export function ruleOf(one: Case): Rule {
  const rule = rules.find(({ cases }) => matches(cases, one))
  if (rule === undefined) throw new Error(`no rule says what comes of ${describeCase(one)}`)
  return rule
}
