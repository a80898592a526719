/**
 * What the kernel holds, as the `*.list` ops answer it. Words are iproute2's in camelCase; a field that does not apply is absent,
 * never null. Links are told by index (`ip -j link`'s `ifindex`), because a name may change and an index does not.
 */

/** Operational state of a link (RFC 2863), as the kernel's IF_OPER_*. */
export type Operstate = 'unknown' | 'notpresent' | 'down' | 'lowerlayerdown' | 'testing' | 'dormant' | 'up'
/** How far an address or a route reaches (RT_SCOPE_*); an unknown one is its number as text. */
export type KernelScope = 'global' | 'site' | 'link' | 'host' | 'nowhere' | (string & {})

/** Counters of one direction since the link was made. Exact up to 2^53. */
export interface TrafficCounters {
  readonly bytes: number
  readonly packets: number
  readonly errors: number
  readonly dropped: number
}

/** Settings of a bridge, as `ip -d link show type bridge`. */
export interface BridgeState {
  readonly stp: boolean
  readonly vlanFiltering: boolean
  readonly multicastSnooping: boolean
  /** Seconds that a learned address is kept. */
  readonly ageing: number
  /** Seconds a port spends in each of listening and learning when spanning tree is on. */
  readonly forwardDelay: number
  /** Priority and MAC: `8000.02:00:00:00:00:01`. */
  readonly bridgeId?: string
}

/** A link as the port of a bridge, as `bridge -d link show`. */
export interface BridgePortState {
  /** Spanning tree state; with spanning tree off a port that is up forwards at once. */
  readonly state: 'disabled' | 'listening' | 'learning' | 'forwarding' | 'blocking' | (string & {})
  readonly hairpin: boolean
  readonly isolated: boolean
  readonly learning: boolean
  readonly flood: boolean
  readonly multicastFlood: boolean
  readonly neighSuppress: boolean
}

/** A network device, as `ip -d -s link show`. */
export interface Link {
  readonly index: number
  /** 1–15 bytes. */
  readonly name: string
  /** `veth`, `bridge`, …; absent for hardware and loopback. */
  readonly kind?: string
  /** Link-layer address, lower case; absent where there is none. */
  readonly mac?: string
  /** bytes */
  readonly mtu: number
  /** Administratively up (IFF_UP). */
  readonly up: boolean
  /** Operationally up (IFF_RUNNING). */
  readonly running: boolean
  /** Has a carrier (IFF_LOWER_UP). */
  readonly lowerUp: boolean
  readonly loopback: boolean
  readonly operstate: Operstate | (string & {})
  /** Index of the bridge (or other master) that this link belongs to. */
  readonly master?: number
  /** IFLA_IFALIAS, at most 255 bytes. */
  readonly alias?: string
  /** 0: the default group. */
  readonly group: number
  /** Index of a veth's other end or of the device underneath, in the namespace `linkNetnsid`. */
  readonly parent?: number
  /** Id by which this namespace knows that of `parent`; absent: the same namespace. */
  readonly linkNetnsid?: number
  readonly altnames: readonly string[]
  readonly numTxQueues: number
  readonly numRxQueues: number
  /** Bridges only. */
  readonly bridge?: BridgeState
  /** Ports of a bridge only. */
  readonly port?: BridgePortState
  readonly macvlanMode?: 'private' | 'vepa' | 'bridge' | 'passthru' | 'source' | (string & {})
  readonly ipvlanMode?: 'l2' | 'l3' | 'l3s' | (string & {})
  readonly vlanId?: number
  readonly stats?: { readonly rx: TrafficCounters; readonly tx: TrafficCounters }
}

/** An address of a link, as `ip -d address show`. */
export interface Address {
  /** Index of the link. */
  readonly link: number
  readonly family: 4 | 6
  readonly address: string
  /** bits */
  readonly prefix: number
  /** The other end of a point-to-point link, where it is another address. */
  readonly peer?: string
  readonly broadcast?: string
  readonly scope: KernelScope
  /** IPv4 only: the link's name, or an alias of it. */
  readonly label?: string
  /** Used without duplicate address detection. */
  readonly noDad: boolean
  /** Brought no route to its prefix along. */
  readonly noPrefixRoute: boolean
  /** Has no lifetime. */
  readonly permanent: boolean
  /** Duplicate address detection still runs: not usable yet. */
  readonly tentative: boolean
  /** Someone else has this address. */
  readonly dadFailed: boolean
  /** IPv4 only: not the first of its subnet on this link. */
  readonly secondary: boolean
}

/** One way of a multipath route. */
export interface NextHop {
  readonly via?: string
  /** Index of the link. */
  readonly link?: number
  readonly weight: number
}

/** A route, as `ip -d route show`. */
export interface Route {
  readonly family: 4 | 6
  /** CIDR, or `default`. */
  readonly to: string
  /** The gateway; of an IPv4 route it may be an IPv6 address. */
  readonly via?: string
  /** Index of the link. */
  readonly link?: number
  /** Preferred source address. */
  readonly source?: string
  readonly metric?: number
  /** 254: main, 255: local. */
  readonly table: number
  readonly scope: KernelScope
  readonly type:
    | 'unicast'
    | 'local'
    | 'broadcast'
    | 'anycast'
    | 'multicast'
    | 'blackhole'
    | 'unreachable'
    | 'prohibit'
    | 'throw'
    | (string & {})
  /** Who made it: `kernel`, `boot` (as `ip route add`), `static`, `ra`, …; an unknown one is its number as text. */
  readonly protocol: string
  readonly onlink: boolean
  /** Its link has no carrier. */
  readonly linkDown: boolean
  /** bytes */
  readonly mtu?: number
  /** Multipath routes only; then `via` and `link` are absent. */
  readonly nextHops?: readonly NextHop[]
}

/** An entry of the ARP or NDP table, as `ip neighbor show`. */
export interface Neighbor {
  /** Index of the link; 0 for a proxy entry of all links. */
  readonly link: number
  readonly family: 4 | 6
  readonly address: string
  /** Absent while it is not known, and for proxy entries. */
  readonly mac?: string
  readonly state: 'none' | 'incomplete' | 'reachable' | 'stale' | 'delay' | 'probe' | 'failed' | 'noarp' | 'permanent' | (string & {})
  /** This host answers for the address. */
  readonly proxy: boolean
  readonly router: boolean
}

/** How full the ARP or NDP table is: one for the whole machine, told in each namespace, as `ip -s ntable show`. */
export interface NeighborTable {
  readonly family: 4 | 6
  /** Of all namespaces; permanent ones too, for which the limit does not hold. */
  readonly entries: number
  /** gc_thresh3 */
  readonly limit: number
}

/** A rule of policy routing, as `ip rule show`. */
export interface Rule {
  readonly family: 4 | 6
  /** Lower is asked first. */
  readonly priority: number
  /** CIDR; absent: all. */
  readonly from?: string
  /** CIDR; absent: all. */
  readonly to?: string
  readonly iif?: string
  readonly oif?: string
  readonly fwmark?: number
  /** 254: main; 0 for actions other than `lookup`. */
  readonly table: number
  readonly action: 'lookup' | 'goto' | 'nop' | 'blackhole' | 'unreachable' | 'prohibit' | (string & {})
}

/** Packets that a rule or an element has met. Exact up to 2^53. */
export interface Counter {
  readonly packets: number
  readonly bytes: number
}

/** A chain of nf_tables; iptables' own are among them where it works through nf_tables (`ip filter FORWARD`). */
export interface Chain {
  readonly family: 'inet' | 'ip' | 'ip6' | 'arp' | 'bridge' | 'netdev' | (string & {})
  readonly table: string
  readonly chain: string
  /** Where it hangs in the packet's way; absent: others jump to it. */
  readonly base?: {
    readonly type: 'filter' | 'nat' | 'route' | (string & {})
    readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting' | 'ingress' | 'egress' | (string & {})
    /** Lower is asked first. */
    readonly priority: number
    readonly policy: 'accept' | 'drop'
    readonly device?: string
  }
}

/** A rule, as far as it can be told without taking its expressions apart. */
export interface RuleState extends Pick<Chain, 'family' | 'table' | 'chain'> {
  readonly handle: number
  /** Names of what it is made of, in order: `meta`, `cmp`, `counter`, `immediate`. */
  readonly expressions: readonly string[]
  /** How it ends, if by more than going on. */
  readonly verdict?: 'accept' | 'drop' | 'return' | 'jump' | 'goto' | 'continue' | 'queue' | 'reject'
  /** Of `jump` and `goto`. */
  readonly target?: string
  /** The device that it asks for, where it asks for exactly one. */
  readonly iifname?: string
  readonly oifname?: string
  readonly counter?: Counter
  readonly comment?: string
}

/** Chains and rules; those of one chain in the order in which they are asked. */
export interface Ruleset {
  readonly chains: readonly Chain[]
  readonly rules: readonly RuleState[]
}
