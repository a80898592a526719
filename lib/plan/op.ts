/**
 * The ops: one kernel verb each, as plain data. Policy (the rest of lib/) writes them, the addon runs them,
 * `explain` prints them. Names follow iproute2 and nft; the native structs mirror these shapes field by field.
 */
import type { NftExpression } from '../firewall/expression.js'

/** Where an op runs: a slot that `netns.create`/`netns.open` filled earlier in the same plan. Absent: the host. */
export type Slot = string

/** A link by name; with `index` no look-up is needed, and a link that was replaced under the same name is not mistaken for it. */
export interface LinkRef {
  readonly name: string
  readonly index?: number
}

// ---------------------------------------------------------------------------------------------------- state folder

/** flock on a folder, held until the plan ends. Fails with ENOENT when the folder went away while waiting. */
export interface Lock {
  readonly op: 'lock'
  readonly path: string
  readonly mode: 'shared' | 'exclusive'
  /** Fail with EWOULDBLOCK at once instead of waiting. Default false. */
  readonly immediate?: boolean
  /**
   * A folder that is locked first: those who share let go of it as soon as they have the lock, those who want it alone keep it.
   * So whoever waits to be alone lets nobody new in, and a crowd that keeps sharing can't starve him.
   */
  readonly gate?: string
}
/** mkdir; EEXIST unless `ensure`. */
export interface FolderCreate {
  readonly op: 'folder.create'
  readonly path: string
  /** An existing folder is fine (and its undo must be left out). Default false. */
  readonly ensure?: boolean
}
/** Removes a folder with all it holds; absent is fine. */
export interface FolderRemove {
  readonly op: 'folder.remove'
  readonly path: string
}
/** Removes a file; absent is fine. */
export interface FileRemove {
  readonly op: 'file.remove'
  readonly path: string
}
/** Gives a file another name, or a folder, whose lock goes with it; a file that had that name is gone. */
export interface FileRename {
  readonly op: 'file.rename'
  readonly path: string
  readonly to: string
  /** Fails with EEXIST if anything has that name. Default false. */
  readonly exclusive?: boolean
}
/**
 * `create`: must be new. `replace`: temp file + rename. `overwrite`: in place, keeps the inode (bind mounts see it). `unseen`: where nobody
 * looks yet, at once, over whatever is there. `start`: at once too, and must be new; half of it means that what comes behind hasn't begun.
 * It answers the file's version, for `expect.version`.
 */
export interface FileWrite {
  readonly op: 'file.write'
  readonly path: string
  readonly text: string
  readonly how: 'create' | 'replace' | 'overwrite' | 'unseen' | 'start'
}
/**
 * What is at each of these paths: a version, which changes with whatever changes there, and with `known` (one version for each path, ''
 * where there is none) the texts of those files that have another one by now.
 */
export interface FileLook {
  readonly op: 'file.look'
  readonly paths: readonly string[]
  readonly known?: readonly string[]
}
/** What `file.look` answers: version and text of the first path, and so on. A version is missing where something has just been changed. */
export type Sights = readonly (string | undefined)[]
/**
 * How each item looks, as a short text that is another as soon as anything about it is: for who only has to know whether all is as it was. ''
 * where something isn't there, or has just been changed.
 */
export interface Survey {
  readonly op: 'survey'
  readonly items: readonly SurveyItem[]
  /** A line of a file, with items as JSON: those come first. None where there is no such line. */
  readonly from?: { readonly path: string; readonly line: number }
  /** Answers one text more: names, with blanks between them, of links on the host that are in this group and in no item. */
  readonly group?: number
}
export interface SurveyItem {
  /** Paths; a folder is another with the names in it. */
  readonly files?: readonly string[]
  /** Of the host. */
  readonly links?: readonly string[]
  /** Path of a namespace: its addresses and routes, and links of these names. */
  readonly netns?: string
  readonly inside?: readonly string[]
}
/** All claims `<path>/<group>/<name>`. */
export interface ClaimList {
  readonly op: 'claim.list'
  readonly path: string
}
/** What `claim.list` answers: of each group the names and holders, in turns. */
export type ClaimGroups = readonly { readonly group: string; readonly claims: readonly string[] }[]
/** Fails with EEXIST if there is anything at the path. */
export interface ExpectAbsent {
  readonly op: 'expect.absent'
  readonly path: string
}
/** Fails with ENODEV unless there is a link of that index and name. */
export interface ExpectLink {
  readonly op: 'expect.link'
  readonly ns?: Slot
  readonly link: LinkRef
}
/** Fails with ESTALE unless the folder holds exactly these names (hidden ones aside); an absent folder holds none. */
export interface ExpectNames {
  readonly op: 'expect.names'
  readonly path: string
  readonly names: readonly string[]
}
/** Fails with ESTALE unless the file holds exactly this text, with ENOENT when it is gone. Without a text: with ESTALE if there is one. */
export interface ExpectUnchanged {
  readonly op: 'expect.unchanged'
  readonly path: string
  readonly text?: string
  /** It may be a symbolic link to the file. */
  readonly follow?: boolean
}
/** Fails with ESTALE unless the file is the one that a `file.write` of `how: 'start'` has written, whatever its name was then. */
export interface ExpectVersion {
  readonly op: 'expect.version'
  readonly path: string
  /** What that one answered. */
  readonly version: string
}
/** A symbolic link whose target is the holder's name: created atomically with its content, EEXIST carries the holder. */
export interface Claim {
  readonly op: 'claim'
  readonly path: string
  readonly holder: string
  /** It is taken over from this holder instead, atomically too; ESTALE if it isn't that one's, ENOENT if it is nobody's. */
  readonly from?: string
}
/** Removes a claim if it is this holder's; absent or another's: nothing happens. */
export interface Release {
  readonly op: 'release'
  readonly path: string
  readonly holder: string
}
/**
 * Claims a host port among all processes of this host: `<folder>/<protocol>-<port>/<address>`, a wildcard
 * (`0.0.0.0`, `::`) and a specific address of one family exclude each other. EADDRINUSE carries the holder.
 * Before claiming, `probe` binds the address for an instant, so that a local listening socket is noticed as well.
 */
export interface PortClaim {
  readonly op: 'port.claim'
  readonly folder: string
  readonly protocol: 'tcp' | 'udp' | 'sctp'
  readonly address: string
  readonly port: number
  readonly holder: string
  readonly probe?: boolean
}
export interface PortRelease extends Omit<PortClaim, 'op' | 'probe'> {
  readonly op: 'port.release'
}

// ---------------------------------------------------------------------------------------------------- namespaces

/** Makes a network namespace, visible to `ip netns` as `name`, and opens it as `slot`. Without a name it ends with whoever holds it. */
export interface NetnsCreate {
  readonly op: 'netns.create'
  readonly name?: string
  readonly slot: Slot
  /** Sysctls, written before any link is in it; those that the kernel lacks are passed over. */
  readonly settings?: readonly Setting[]
}
/** A sysctl: its key in slashes, `net/ipv4/ip_forward`. */
export interface Setting {
  readonly key: string
  readonly value: string
}
/** Gives the namespace of `slot` a name that `ip netns` sees, as `ip netns attach`. */
export interface NetnsAttach {
  readonly op: 'netns.attach'
  readonly name: string
  readonly slot: Slot
}
/**
 * Holds the namespace of `slot` beyond the end of the plan, under a key of this host's, together with the lock that the plan took last. Both
 * end with the host or the process. The slot is empty afterwards.
 */
export interface NetnsKeep {
  readonly op: 'netns.keep'
  readonly key: string
  readonly slot: Slot
}
/** Takes back what `netns.keep` holds: the namespace as `slot`, the lock until the plan ends. ENOENT if there is nothing under the key. */
export interface NetnsTake extends Omit<NetnsKeep, 'op'> {
  readonly op: 'netns.take'
}
/**
 * Opens an existing namespace as `slot`; checked to be a network namespace, and (with `inode`) to be that very one. `missingOk`: if it is
 * gone, so is all that is looked for in it.
 */
export interface NetnsOpen {
  readonly op: 'netns.open'
  readonly slot: Slot
  readonly path?: string
  readonly pid?: number
  readonly fd?: number
  /** In decimal digits. */
  readonly inode?: string
  readonly missingOk?: boolean
}
/** Unmounts and unlinks /run/netns/NAME; with `inode` only if it is still that namespace. Absent: ENOENT unless `missingOk`. */
export interface NetnsDelete {
  readonly op: 'netns.delete'
  readonly name: string
  /** In decimal digits. */
  readonly inode?: string
  readonly missingOk?: boolean
}
/** Writes /proc/sys/KEY (slashes, `net/ipv4/ip_forward`) as that namespace sees it; equal already: not written. */
export interface SysctlSet {
  readonly op: 'sysctl.set'
  readonly ns?: Slot
  readonly key: string
  readonly value: string
  /** A missing key is fine (a kernel without that feature). Default false. */
  readonly missingOk?: boolean
}
/** As undo of a `sysctl.set` with the same key: puts the value back that it found. */
export interface SysctlRestore {
  readonly op: 'sysctl.restore'
  readonly ns?: Slot
  readonly key: string
}
export interface SysctlGet {
  readonly op: 'sysctl.get'
  readonly ns?: Slot
  readonly key: string
}
/** dev, inode and SO_NETNS_COOKIE of a namespace. */
export interface NetnsIdentify {
  readonly op: 'netns.identify'
  readonly ns?: Slot
}

/** Makes a socket in a namespace and answers its descriptor, which is kept until `Mechanism.socket` has it. With `port` it is bound, with `backlog` it listens. */
export interface SocketOpen {
  readonly op: 'socket.open'
  readonly ns?: Slot
  readonly family: 4 | 6
  readonly type: 'stream' | 'datagram'
  /** IP literal; default with a port: the wildcard. */
  readonly address?: string
  /** 0: a free one. */
  readonly port?: number
  readonly backlog?: number
  readonly ipv6Only?: boolean
  /** The address need not be there yet (IP_FREEBIND). Default false. */
  readonly freeBind?: boolean
}

/** `ip tuntap add mode tap`: EEXIST if the name is taken, EOPNOTSUPP where /dev/net/tun is missing. Goes as any link. */
export interface TapAdd {
  readonly op: 'tap.add'
  readonly ns?: Slot
  readonly name: string
  /** uid that may attach to it; absent: whoever has CAP_NET_ADMIN there. */
  readonly owner?: number
  /** gid, the same. */
  readonly group?: number
  readonly vnetHdr?: boolean
  readonly multiQueue?: boolean
  /** IFLA_GROUP; it has it before it can outlive the process that makes it. */
  readonly linkGroup?: number
}

// ---------------------------------------------------------------------------------------------------- rtnetlink

export interface BridgeOptions {
  readonly stp?: boolean
  readonly vlanFiltering?: boolean
  readonly multicastSnooping?: boolean
  /** seconds */
  readonly ageing?: number
  /** seconds */
  readonly forwardDelay?: number
}
export interface PortOptions {
  readonly hairpin?: boolean
  readonly isolated?: boolean
  readonly learning?: boolean
  readonly flood?: boolean
  readonly multicastFlood?: boolean
  readonly neighSuppress?: boolean
}
export type LinkKind = 'veth' | 'bridge' | 'macvlan' | 'ipvlan' | 'vlan' | 'dummy'
/** `ip link add`: EEXIST if the name is taken. All attributes go in the creating message, alias and port in a second one of the same send. */
export interface LinkAdd {
  readonly op: 'link.add'
  readonly ns?: Slot
  readonly name: string
  readonly kind: LinkKind
  readonly mac?: string
  readonly mtu?: number
  readonly master?: LinkRef
  readonly up?: boolean
  readonly group?: number
  /** IFLA_NUM_TX_QUEUES and IFLA_NUM_RX_QUEUES, of the peer too. */
  readonly queues?: number
  readonly alias?: string
  readonly port?: PortOptions
  /** veth only; born in `ns` (default: the namespace of the op) with its final name. */
  readonly peer?: { readonly ns?: Slot; readonly name: string; readonly mac?: string; readonly mtu?: number }
  readonly bridge?: BridgeOptions
  /** macvlan, ipvlan, vlan: the device underneath, in `parentNs` (default: the namespace of the op). */
  readonly parent?: LinkRef
  /** The link is born in this slot instead (IFLA_NET_NS_FD), `parent` being looked up where the op runs. */
  readonly bornIn?: Slot
  readonly macvlanMode?: 'private' | 'vepa' | 'bridge' | 'passthru'
  readonly ipvlanMode?: 'l2' | 'l3' | 'l3s'
  readonly vlanId?: number
}
/** `ip link set`. `master: null` releases the port. `moveTo`: to the namespace of that slot. */
export interface LinkSet {
  readonly op: 'link.set'
  readonly ns?: Slot
  readonly link: LinkRef
  readonly name?: string
  readonly mac?: string
  readonly mtu?: number
  readonly master?: LinkRef | null
  readonly up?: boolean
  readonly group?: number
  readonly alias?: string
  readonly port?: PortOptions
  readonly moveTo?: Slot
  /** Its IPv4 addresses are announced when it comes up or its MAC is set (arp_notify). */
  readonly arpNotify?: boolean
  /** `none`: no IPv6 address comes by itself when it comes up (IFLA_INET6_ADDR_GEN_MODE). EAFNOSUPPORT where the link has no IPv6. */
  readonly addrGenMode?: 'none' | 'eui64'
  /** A link that is gone is fine, or one that has no IPv6. Default false. */
  readonly missingOk?: boolean
}
/** What the kernel has put off about the link's carrier is done: after that the link really sends. */
export interface LinkSettle {
  readonly op: 'link.settle'
  readonly ns?: Slot
  readonly link: LinkRef
}
/** `ip link del`. Several `links`, or all of a `group`, go in one RTM_DELLINK and share one wait. */
export interface LinkDelete {
  readonly op: 'link.delete'
  readonly ns?: Slot
  readonly links?: readonly LinkRef[]
  readonly group?: number
  /** Of `links`: one that is in another group is not the one that is meant (ENODEV). */
  readonly onlyInGroup?: number
  readonly missingOk?: boolean
}
/** `ip -d link show`: all, or one by name, or those of a master. */
export interface LinkList {
  readonly op: 'link.list'
  readonly ns?: Slot
  readonly name?: string
  readonly master?: LinkRef
  /** Where links come and go all the while: the last list, which may lack some, instead of EINTR. */
  readonly partialOk?: boolean
}
export interface AddressVerb {
  readonly op: 'address.add' | 'address.replace' | 'address.delete'
  readonly ns?: Slot
  readonly link: LinkRef
  readonly address: string
  readonly prefix: number
  readonly broadcast?: string
  readonly noDad?: boolean
  readonly noPrefixRoute?: boolean
  readonly scope?: 'global' | 'link' | 'host'
  readonly missingOk?: boolean
}
export interface AddressList {
  readonly op: 'address.list'
  readonly ns?: Slot
  readonly link?: LinkRef
}
export type RouteType = 'unicast' | 'local' | 'blackhole' | 'unreachable' | 'prohibit'
export interface RouteVerb {
  readonly op: 'route.add' | 'route.replace' | 'route.delete'
  readonly ns?: Slot
  /** CIDR, or 'default' with `family` (or a gateway) telling which. */
  readonly to: string
  readonly family?: 4 | 6
  readonly via?: string
  readonly link?: LinkRef
  readonly source?: string
  readonly metric?: number
  /** Default: main; local for the type 'local'. */
  readonly table?: number
  readonly scope?: 'global' | 'link' | 'host'
  readonly type?: RouteType
  readonly onlink?: boolean
  readonly mtu?: number
  readonly missingOk?: boolean
}
export interface RouteList {
  readonly op: 'route.list'
  readonly ns?: Slot
  readonly family?: 4 | 6
  /** Default: main. 0: all tables. */
  readonly table?: number
}
export type NeighborState = 'permanent' | 'reachable' | 'stale' | 'noarp'
export interface NeighborVerb {
  readonly op: 'neighbor.add' | 'neighbor.replace' | 'neighbor.delete'
  readonly ns?: Slot
  readonly link: LinkRef
  readonly address: string
  readonly mac?: string
  readonly state?: NeighborState
  readonly proxy?: boolean
  readonly missingOk?: boolean
}
/** `bridge fdb replace … master dynamic`: the port `link` is the way to `mac`, as if its bridge had learned it. EPERM while it doesn't forward. */
export interface FdbReplace {
  readonly op: 'fdb.replace'
  readonly ns?: Slot
  readonly link: LinkRef
  readonly mac: string
}
export interface NeighborList {
  readonly op: 'neighbor.list'
  readonly ns?: Slot
  readonly link?: LinkRef
  readonly proxy?: boolean
}
/** How full the tables of neighbours are, as `ip -s ntable`. */
export interface NeighborTableList {
  readonly op: 'neighbor.tables'
  readonly ns?: Slot
}
/** `ip rule`. */
export interface RuleVerb {
  readonly op: 'rule.add' | 'rule.delete'
  readonly ns?: Slot
  readonly family: 4 | 6
  readonly priority: number
  readonly from?: string
  readonly to?: string
  readonly iif?: string
  readonly oif?: string
  readonly fwmark?: number
  readonly table: number
  readonly missingOk?: boolean
}
/** `ip rule show`. */
export interface RuleList {
  readonly op: 'rule.list'
  readonly ns?: Slot
  /** Default: both. */
  readonly family?: 4 | 6
}

// ---------------------------------------------------------------------------------------------------- nf_tables

export type NftFamily = 'inet' | 'bridge' | 'ip' | 'ip6' | 'netdev'
/** `nd_target`: what neighbour discovery asks for or announces, which nft before 1.0.7 knows by its place in the packet only. */
export type DataType = 'nd_target' | 'ipv4_addr' | 'ipv6_addr' | 'ether_addr' | 'inet_proto' | 'inet_service' | 'ifname' | 'mark'
/** One field of a set key or of map data. */
export type Datum =
  | { readonly ip4: string }
  | { readonly ip6: string }
  | { readonly ndTarget: string }
  | { readonly mac: string }
  | { readonly protocol: 'tcp' | 'udp' | 'sctp' | 'icmp' | 'icmpv6' }
  | { readonly port: number }
  | { readonly ifname: string }
  | { readonly mark: number }

/** `ns`, here and for chains and rules: sets and their elements are the host's only. */
export interface NftTableVerb {
  readonly op: 'nft.table.add' | 'nft.table.delete'
  readonly ns?: Slot
  readonly family: NftFamily
  readonly table: string
  /** Comment (user data) of the table. */
  readonly comment?: string
  /** add: EEXIST if it is there. Default false. */
  readonly exclusive?: boolean
  /** delete: absent is fine. */
  readonly missingOk?: boolean
}
export interface NftChainAdd {
  readonly op: 'nft.chain.add'
  readonly ns?: Slot
  readonly family: NftFamily
  readonly table: string
  readonly chain: string
  readonly base?: {
    readonly type: 'filter' | 'nat' | 'route'
    readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting' | 'ingress'
    readonly priority: number
    readonly policy?: 'accept' | 'drop'
    readonly device?: string
  }
}
export interface NftSetAdd {
  readonly op: 'nft.set.add'
  readonly family: NftFamily
  readonly table: string
  readonly set: string
  readonly key: readonly DataType[]
  /** A map from key to this. */
  readonly data?: readonly DataType[]
  readonly interval?: boolean
  readonly counter?: boolean
  readonly comment?: string
}
export interface NftRuleAdd {
  readonly op: 'nft.rule.add'
  readonly ns?: Slot
  readonly family: NftFamily
  readonly table: string
  readonly chain: string
  /** The rule as nft prints it; what `explain` shows. Made by lib/firewall together with `expressions`. */
  readonly text: string
  readonly expressions: readonly NftExpression[]
  readonly comment?: string
}
export interface NftElementVerb {
  readonly op: 'nft.element.add' | 'nft.element.delete'
  readonly family: NftFamily
  readonly table: string
  readonly set: string
  readonly key: readonly Datum[]
  /** Interval sets, where it can't be left out: the last key that belongs to it (inclusive). */
  readonly end?: readonly Datum[]
  readonly data?: readonly Datum[]
  readonly comment?: string
  /** add: NLM_F_EXCL, EEXIST if the key is there. */
  readonly exclusive?: boolean
  /** delete: absent is fine (it is left out then, and the rest of the batch sent again). */
  readonly missingOk?: boolean
}
/** All tables of a family by name and comment, or with `table` + `set`, the elements of one set. */
export interface NftList {
  readonly op: 'nft.list'
  readonly ns?: Slot
  readonly family: NftFamily
  readonly table?: string
  readonly set?: string
  /** Of a set, only what its elements have counted, if anything. Default false. */
  readonly counts?: boolean
}
/** `nft list ruleset`, as far as it decides about packets: chains and rules, of others too. Of one family, or one table. */
export interface NftRules {
  readonly op: 'nft.rules'
  readonly family?: NftFamily
  readonly table?: string
}
// ---------------------------------------------------------------------------------------------------- conntrack

/** Deletes the tracked flows that match (original direction). */
export interface ConntrackFlush {
  readonly op: 'conntrack.flush'
  readonly ns?: Slot
  readonly protocol: 'tcp' | 'udp' | 'sctp'
  /** Absent: every address of `family` that is the host's own. */
  readonly address?: string
  readonly family: 4 | 6
  readonly port: number
}

export type Op =
  | Lock
  | FolderCreate
  | FolderRemove
  | FileWrite
  | FileRemove
  | FileRename
  | FileLook
  | Survey
  | ClaimList
  | ExpectAbsent
  | ExpectLink
  | ExpectNames
  | ExpectUnchanged
  | ExpectVersion
  | Claim
  | Release
  | PortClaim
  | PortRelease
  | NetnsCreate
  | NetnsAttach
  | NetnsOpen
  | NetnsKeep
  | NetnsTake
  | NetnsDelete
  | NetnsIdentify
  | SysctlSet
  | SysctlRestore
  | SysctlGet
  | SocketOpen
  | TapAdd
  | LinkAdd
  | LinkSet
  | LinkSettle
  | LinkDelete
  | LinkList
  | AddressVerb
  | AddressList
  | RouteVerb
  | RouteList
  | NeighborVerb
  | FdbReplace
  | NeighborList
  | NeighborTableList
  | RuleVerb
  | RuleList
  | NftTableVerb
  | NftChainAdd
  | NftSetAdd
  | NftRuleAdd
  | NftElementVerb
  | NftList
  | NftRules
  | ConntrackFlush

/** One step of a plan: what to do, and what takes it back. */
export interface Step {
  readonly apply: Op
  readonly undo?: Op
  /** The undo takes the record away: left out while another undo has failed, so that recovery finds what is left to heal. */
  readonly journal?: boolean
  /**
   * `ahead`: it may be done before its turn, while the steps before it are, once the plan holds its first locks. Of the namespace that a
   * plan makes (but for its name) and of steps right behind it that nobody else notices.
   * `behind`: it is done when the plan has been answered for, and whatever comes of it. Default: in its turn.
   */
  readonly when?: 'ahead' | 'behind'
}
export type Plan = readonly Step[]
