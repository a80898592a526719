/** The public shapes of netmode. Everything a user types against is here; behaviour is elsewhere. */
import type { ChildProcess, SpawnOptions } from 'node:child_process'
import type { Socket as UdpSocket } from 'node:dgram'
import type { Agent } from 'node:http'
import type { Server, Socket } from 'node:net'

import type { Address as KernelAddress, Link, Neighbor, Route } from './plan/kernel-objects.js'
import type { AddressVerb, LinkAdd, LinkRef, LinkSet, NeighborVerb, RouteVerb } from './plan/op.js'

/** Docker's four network modes, as asked for at creation; `bridge` stands for "attached to networks", of any driver. */
export type Mode = 'bridge' | 'host' | 'container' | 'none'

/** Protocols that a port can be published for. */
export type Protocol = 'tcp' | 'udp' | 'sctp'

/** A network namespace: an absolute path (`/run/netns/x`), the process that lives in it, or an open file descriptor. */
export type NamespaceRef = string | { readonly pid: number } | { readonly fd: number }

/** Free-form metadata, as `docker … --label key=value`. */
export type Labels = Readonly<Record<string, string>>

/** Last parameter of every call that can wait. An abort rejects with `signal.reason`, after what was done is rolled back. */
export interface Op {
  readonly signal?: AbortSignal
}

/** A port to publish, spelled out; the string form is Docker's `-p`. */
export interface PortMapping {
  /** 1–65535 */
  containerPort: number
  /** 1–65535; absent: a free one from the host's `ip_local_port_range`. */
  hostPort?: number
  /** Address of the host that takes the connections. Default: every IPv4 and IPv6 address. */
  hostIp?: string
  /** Default `tcp`. */
  protocol?: Protocol
  /**
   * Source addresses or ranges (CIDR) that may connect, as seen before any NAT: clients outside, sandboxes, and the host itself, whose
   * own address (`127.0.0.1` to `127.0.0.1`) has to be among them. Everyone else finds the port unpublished. Absent: everyone. Where
   * the port is published in both families, one without any of its ranges is open to nobody.
   */
  allow?: readonly string[]
}

/** A port that is published. */
export interface PublishedPort {
  readonly hostIp: string
  readonly hostPort: number
  readonly containerPort: number
  readonly protocol: Protocol
  /** Who may connect, where that is not everyone. */
  readonly allow?: readonly string[]
}

/** A published port and how much it was used. */
export interface PortCounter extends PublishedPort {
  /** Connections (for UDP: flows) that were let in by this port, the host's own included. */
  readonly connections: number
  /**
   * What was forwarded to and from the sandbox's side of it, in packets and bytes (IP headers included); what the host itself sends
   * is not. Ports that lead to the same port of the sandbox are counted together.
   */
  readonly packets: number
  readonly bytes: number
}

/** What `redirect` takes. */
export interface RedirectOptions {
  /** Ports outside: numbers, or ranges as `8000-8010`; `all`: every port. */
  ports: 'all' | readonly (number | string)[]
  /**
   * Where the proxy listens: a port, or `address:port` with an address of the host. With a port alone it is met at the host's address
   * on the sandbox's network (so it listens on that or on all), in each family; with an address, that family only is redirected.
   */
  to: number | string
  /** Default `tcp`. */
  protocol?: 'tcp' | 'udp'
}

/** One port outside whose connections go to a proxy. */
export interface Redirect {
  readonly protocol: 'tcp' | 'udp'
  readonly port: number | 'all'
  /** As in `RedirectOptions`. */
  readonly to: number | string
}

/** Docker's `-p` grammar, `[ip:][hostPort[-range]:]containerPort[-range][/tcp|udp|sctp]`, or a mapping. */
export type PortInput = string | PortMapping

/** The host side of a published port: `[ip:]hostPort[-range][:containerPort…][/protocol]`, never a container port alone. */
export type PortRef = string | PublishedPort

/** An address of an endpoint. */
export interface Address {
  readonly address: string
  /** bits */
  readonly prefix: number
  readonly gateway?: string
}

/** One attachment of a sandbox to a network. */
export interface Endpoint {
  readonly network: string
  /** Name inside the sandbox: `eth0`, … */
  readonly ifname: string
  /** Name of the host's end of the veth pair, where there is one. */
  readonly hostIfname?: string
  readonly mac: string
  /** bytes */
  readonly mtu: number
  readonly ipv4?: Address
  readonly ipv6?: Address
  /** A TAP on the host: `ifname` and `hostIfname` are its name there, `mac` and the addresses are for the guest that the VMM runs. */
  readonly tap?: Readonly<TapOptions>
}

/** How a sandbox attaches to a network; all optional. */
export interface EndpointOptions {
  /** Fixed IPv4 address (`docker --ip`); default: the next free one. */
  ip?: string
  /** Fixed IPv6 address (`docker --ip6`). */
  ip6?: string
  /** Default `02:42:` + the IPv4 address. */
  mac?: string
  /** Name in the sandbox; default the lowest free `ethN`. Not with `tap`. */
  ifname?: string
  /** The endpoint with the highest one gives the default route. Default 0. */
  gatewayPriority?: number
  /** Further names for the name service of user-defined networks. @throws UNSUPPORTED on a LAN (`parent`), where nobody serves names */
  aliases?: readonly string[]
  /**
   * The sandbox may send with its own MAC and IP addresses only, and may not announce itself as a router (libvirt's clean-traffic,
   * SR-IOV's `spoofchk`). false for what has more of them behind one port: nested bridges, microVMs. Default: the network's.
   */
  spoofCheck?: boolean
  /**
   * A TAP on the network's bridge, where a VMM on the host plugs its guest in, instead of a link in the sandbox; `{}` for one with all
   * defaults (`ip tuntap add mode tap`, `ip link set master`). MAC and addresses are leased for the guest, which has to be told them;
   * published ports lead to it. Its name is drawn by lot: `endpoint.ifname`. Only where the network has a bridge. Default: none.
   */
  tap?: TapOptions
}

/** A TAP device, for QEMU, Firecracker and their like (as `ip tuntap add mode tap`). */
export interface TapOptions {
  /** uid that may attach to it without CAP_NET_ADMIN: the one that the VMM runs as. Default: nobody in particular. */
  owner?: number
  /** gid, the same. */
  group?: number
  /** With virtio-net headers (`IFF_VNET_HDR`), for offloads. A VMM that attaches says so itself in any case. Default false. */
  vnetHdr?: boolean
  /** Several queues: the VMM attaches once for each (`IFF_MULTI_QUEUE`; QEMU's `queues=`), and has to ask for it. Default false. */
  multiQueue?: boolean
}

/**
 * A virtual machine in a sandbox, which takes the sandbox's place on its networks: what reaches the sandbox's addresses (published
 * ports, its neighbours) reaches the guest, and the guest goes out with the sandbox's address. Inside it has always the same address and
 * MAC, and so has its gateway, so that any number of sandboxes hold guests that were restored from one snapshot.
 */
export interface GuestOptions extends TapOptions {
  /** The guest's IPv4 address and the block that it shares with its gateway: `172.16.0.2/30`. Overlaps no network of the sandbox. */
  address: string
  /** The same in IPv6: `fd00::2/126`. Default: the guest has no IPv6, and its link carries none. */
  address6?: string
  /** Name of the TAP in the sandbox, for QEMU's `ifname` or Firecracker's `host_dev_name`. Default `tap0`. */
  tap?: string
  /** The TAP's address, the guest's default gateway. Default: the first of the block that isn't the guest's. */
  gateway?: string
  /** The same in IPv6; only with `address6`. */
  gateway6?: string
  /** The guest's MAC, to be given to the VMM. Default `06:00:` + the address. */
  mac?: string
  /** The TAP's MAC, which a snapshot of the guest remembers. Default `02:42:` + the gateway. */
  gatewayMac?: string
  /** bytes; the guest has to have the same. Default 1500; with `address6` at least 1280 (RFC 8200). */
  mtu?: number
}

/** The guest of a sandbox. */
export interface Guest {
  /** Name of the TAP in the sandbox. */
  readonly tap: string
  readonly address: string
  /** bits */
  readonly prefix: number
  readonly gateway: string
  readonly ipv6?: Required<Address>
  readonly mac: string
  readonly gatewayMac: string
  /** bytes */
  readonly mtu: number
}

/** What `sandboxes.create` takes. A key with the value `undefined` counts as absent; an unknown key is an error. */
export interface SandboxOptions extends EndpointOptions {
  /** `[A-Za-z0-9][A-Za-z0-9_.-]*`, at most 63 characters; also the namespace's name for `ip netns`. */
  name: string
  /** Default `bridge`. */
  network?: 'bridge' | 'host' | 'none' | `container:${string}` | (string & {})
  /** Several networks instead of `network` and of the endpoint options. */
  networks?: readonly ({ network: string } & EndpointOptions)[]
  /**
   * Adopt this namespace; it is never deleted. Absent: one is made. A descriptor may be closed afterwards: what it leads to gets the
   * sandbox's name in /run/netns (as `ip netns attach`), and that name goes with the sandbox.
   */
  netns?: NamespaceRef
  /** Holds a virtual machine behind a TAP; not with `netns`, nor in a namespace that is not the sandbox's own. Run the VMM inside. */
  guest?: GuestOptions
  publish?: readonly PortInput[]
  /** `80`, `80/udp`, `8000-8010/tcp`: what `publishAll` publishes. */
  expose?: readonly string[]
  /** `docker -P`. Default false. */
  publishAll?: boolean
  /** Default: the name. */
  hostname?: string
  dns?: readonly string[]
  dnsSearch?: readonly string[]
  dnsOptions?: readonly string[]
  /** `name:ip`, `name:host-gateway`. */
  addHosts?: readonly string[]
  labels?: Labels
  /** Default false: outlives this process. true: removed on `host.close()`, and by the next `openHost()` if this process died. */
  ephemeral?: boolean
}

/** What `sandboxes.pool` takes. */
export interface PoolOptions {
  /** How many are kept ready: 1 to 1000. Each holds an address of the network, and a port of its bridge. */
  size: number
  /** Where they are attached. Default `bridge`; `none`: namespaces with a loopback device. */
  network?: 'bridge' | 'none' | (string & {})
}

/** What `take` can still decide: all of `create`'s options but what the pool has decided beforehand. */
export interface TakeOptions
  extends Pick<
      SandboxOptions,
      'name' | 'publish' | 'expose' | 'publishAll' | 'hostname' | 'dns' | 'dnsSearch' | 'dnsOptions' | 'addHosts' | 'labels' | 'ephemeral'
    >,
    Pick<EndpointOptions, 'aliases'> {}

/**
 * Sandboxes that are all but made: namespace, link, addresses and routes are there, in nobody's name. They end with the pool, or with its
 * process, however that ends; the next `openHost()` gives their addresses back. What is taken is a sandbox as any other, and stays.
 */
export interface SandboxPool extends AsyncDisposable {
  readonly size: number
  readonly network: string
  /** How many could be taken this moment. */
  readonly ready: number
  /**
   * A sandbox as `create` makes it, in a fraction of the time; the pool fills up again behind it. With none ready it is made as `create`
   * does. @throws as create, CLOSED
   */
  take(options: TakeOptions, op?: Op): Promise<CreatedSandbox>
  /**
   * Removes a sandbox and fills up. Nothing of it comes back: whatever was done in a namespace can't be known, so another one is made.
   * false: was not there.
   */
  giveBack(sandbox: Sandbox, op?: Op): Promise<boolean>
  /** Removes those that are ready; taken ones stay. Idempotent; `host.close()` does it too. */
  close(): Promise<void>
}

/** A sandbox: a network namespace that holds one workload. */
export interface Sandbox {
  /** 64 hex digits */
  readonly id: string
  readonly name: string
  readonly mode: Mode
  /** Path of the namespace: `/run/netns/NAME`, that of the adopted one, `/proc/PID/ns/net` if adopted by pid. */
  readonly netns: string
  readonly labels: Labels
  readonly ephemeral: boolean
  /** As of this handle's last call; `refresh()` re-reads. */
  readonly endpoints: readonly Endpoint[]
  /** As of this handle's last call; `refresh()` re-reads. */
  readonly ports: readonly PublishedPort[]
  /** The virtual machine's place, where `guest` was asked for. */
  readonly guest?: Guest | undefined
  /** As of this handle's last call; `refresh()` re-reads. */
  readonly redirects: readonly Redirect[]
  readonly namespace: Namespace
  /** Re-reads the record. @throws NAMESPACE_GONE or NOT_FOUND when it was removed. */
  refresh(op?: Op): Promise<this>
  /** Publishes ports on the live sandbox; answers the ports chosen. @throws PORT_IN_USE with the holder. */
  publish(ports: PortInput | readonly PortInput[], op?: Op): Promise<readonly PublishedPort[]>
  /** Answers those that were published. */
  unpublish(ports: PortRef | readonly PortRef[], op?: Op): Promise<readonly PublishedPort[]>
  /**
   * Brings what the sandbox sends to these ports of others outside to a proxy on the host, for new connections from now on. The
   * proxy sees the sandbox's address, and for TCP where it wanted to go by `SO_ORIGINAL_DST`. A port that is redirected already
   * goes to the new place. What goes to the host itself or to other sandboxes is left alone.
   */
  redirect(options: RedirectOptions, op?: Op): Promise<readonly Redirect[]>
  /** Ends redirects, for new connections; absent: all. Answers those that were there. */
  unredirect(options?: Partial<Pick<RedirectOptions, 'ports' | 'protocol'>>, op?: Op): Promise<readonly Redirect[]>
  /** How much published ports have been used since the ruleset was made. */
  counters(op?: Op): Promise<readonly PortCounter[]>
  /** `docker network connect`. */
  attach(network: string, options?: EndpointOptions, op?: Op): Promise<Endpoint>
  /** `docker network disconnect`; false: was not attached. */
  detach(network: string, op?: Op): Promise<boolean>
  /** In Docker's JSON shape. */
  inspect(op?: Op): Promise<SandboxInfo>
  /** Removes links, addresses, rules and, if netmode made it, the namespace. false: was not there, whoever has its name by now. Destroys every socket that listen/dial/udp handed out. */
  remove(op?: Op): Promise<boolean>
  /** As `child_process.spawn`, inside the sandbox. */
  spawn(command: string, args?: readonly string[], options?: SpawnInOptions): ChildProcess
  /** `server.listen`, inside the sandbox. */
  listen<S extends Server>(server: S, options: { port: number; host?: string; backlog?: number; ipv6Only?: boolean }, op?: Op): Promise<S>
  /** Connects from inside the sandbox; `host` is an IP literal, `timeout` in ms. */
  dial(options: { port: number; host: string; localAddress?: string; timeout?: number }, op?: Op): Promise<Socket>
  /** A bound UDP socket inside the sandbox. */
  udp(options?: { port?: number; host?: string; type?: 'udp4' | 'udp6' }, op?: Op): Promise<UdpSocket>
  /** An HTTP agent whose connections start inside the sandbox. */
  agent(options?: { keepAlive?: boolean }): Agent
}

/** What `create()` answers: disposing it removes it. `get()` and `list()` give no disposable. */
export interface CreatedSandbox extends Sandbox, AsyncDisposable {}

/** Options of `spawn`, beyond Node's own. */
export interface SpawnInOptions extends SpawnOptions {
  /** The sandbox's own hosts, hostname and resolv.conf as /etc files. Default true. */
  files?: boolean
  /** `CAP_NET_RAW`, … */
  dropCapabilities?: readonly string[]
}

type Verb<T extends { readonly op: string }> = Omit<T, 'op' | 'ns' | 'missingOk'>
/** A link, as a name or `{ name, index }`. */
export type LinkName = string | LinkRef

/** A network namespace and the verbs of iproute2 on it. */
export interface Namespace {
  readonly path: string
  readonly inode: bigint
  readonly cookie: bigint
  /** `ip link` */
  readonly links: {
    list(filter?: { name?: string; master?: string }, op?: Op): Promise<readonly Link[]>
    add(
      options: Omit<Verb<LinkAdd>, 'peer' | 'bornIn' | 'group' | 'master' | 'parent'> & {
        peer?: { name: string; mac?: string; mtu?: number }
        master?: LinkName
        parent?: LinkName
      },
      op?: Op,
    ): Promise<Link>
    /** `master: null` releases a port, an empty alias takes it away. */
    set(
      options: Omit<Verb<LinkSet>, 'link' | 'moveTo' | 'name' | 'master'> & { link: LinkName; master?: LinkName | null; rename?: string },
      op?: Op,
    ): Promise<Link>
    /** `ip link set … netns …`, optionally under a new name. The kernel takes its addresses and brings it down. @throws EXISTS */
    move(options: { link: LinkName; to: NamespaceRef; rename?: string }, op?: Op): Promise<void>
    /** false: was not there. */
    delete(options: { link: LinkName }, op?: Op): Promise<boolean>
  }
  /** `ip address` */
  readonly addresses: {
    list(filter?: { link?: LinkName }, op?: Op): Promise<readonly KernelAddress[]>
    add(options: Omit<Verb<AddressVerb>, 'link'> & { link: LinkName }, op?: Op): Promise<void>
    replace(options: Omit<Verb<AddressVerb>, 'link'> & { link: LinkName }, op?: Op): Promise<void>
    delete(options: Omit<Verb<AddressVerb>, 'link'> & { link: LinkName }, op?: Op): Promise<boolean>
  }
  /** `ip route` */
  readonly routes: {
    list(filter?: { family?: 4 | 6; table?: number }, op?: Op): Promise<readonly Route[]>
    add(options: Omit<Verb<RouteVerb>, 'link'> & { link?: LinkName }, op?: Op): Promise<void>
    replace(options: Omit<Verb<RouteVerb>, 'link'> & { link?: LinkName }, op?: Op): Promise<void>
    delete(options: Omit<Verb<RouteVerb>, 'link'> & { link?: LinkName }, op?: Op): Promise<boolean>
  }
  /** `ip neighbour` */
  readonly neighbors: {
    list(filter?: { link?: LinkName; proxy?: boolean }, op?: Op): Promise<readonly Neighbor[]>
    add(options: Omit<Verb<NeighborVerb>, 'link'> & { link: LinkName }, op?: Op): Promise<void>
    replace(options: Omit<Verb<NeighborVerb>, 'link'> & { link: LinkName }, op?: Op): Promise<void>
    delete(options: Omit<Verb<NeighborVerb>, 'link'> & { link: LinkName }, op?: Op): Promise<boolean>
  }
  /** `sysctl`, keys as `net.ipv4.ip_forward` or with slashes. */
  readonly sysctls: { get(key: string, op?: Op): Promise<string>; set(key: string, value: string, op?: Op): Promise<void> }
}

/** One subnet of a network. */
export interface Subnet {
  /** CIDR */
  subnet: string
  /** Default: the first usable address. */
  gateway?: string
  /** CIDR inside `subnet` that leases come from (`--ip-range`). */
  range?: string
  /** name → address, never leased (`--aux-address`). */
  reserved?: Readonly<Record<string, string>>
}

/** What `networks.create` takes. An unknown key is an error. */
export interface NetworkOptions {
  /** `[A-Za-z0-9][A-Za-z0-9_.-]*`, at most 63 characters. */
  name: string
  /** Default `bridge`. */
  driver?: 'bridge' | 'macvlan' | 'ipvlan' | 'ptp'
  /** CIDRs or objects; default: the first pool that overlaps nothing here. */
  subnets?: readonly (string | Subnet)[]
  /** Gateway of the only IPv4 subnet; default its first usable address. */
  gateway?: string
  /** Name of the bridge device; default `br-` + 12 digits of the id. */
  bridge?: string
  /**
   * macvlan, ipvlan: the host's device underneath, which they need. bridge: the host's device that becomes its uplink and hands it its
   * addresses and routes until the network is removed. `eth0.10`, where there is none, is made as VLAN 10 on `eth0` and goes with the network.
   */
  parent?: string
  /** How macvlan sandboxes reach each other: directly, not at all, by way of the switch; or one sandbox has the device. Default `bridge`. */
  macvlanMode?: 'bridge' | 'private' | 'vepa' | 'passthru'
  /** Whether ipvlan sandboxes are switched, routed, or routed through the host's netfilter. Default `l2`. */
  ipvlanMode?: 'l2' | 'l3' | 'l3s'
  /** bytes; default: that of the parent, or without one of the default route's device. */
  mtu?: number
  /** May sandboxes of this network reach each other? Default true. */
  icc?: boolean
  /** No way out and nothing published. Default false. */
  internal?: boolean
  /** Hide the sandboxes behind the host's address on the way out. Default true. */
  masquerade?: boolean
  /** Default of the endpoints' `spoofCheck`. Default true. */
  spoofCheck?: boolean
  /** Add a ULA /64 when no IPv6 subnet is given. Default false. */
  ipv6?: boolean
  /**
   * Fixed address that connections go out with, one of each family, instead of the outgoing link's own; also where it is not an address
   * of this host (Docker's `com.docker.network.host_ipv4` and `host_ipv6`). Default: masquerade.
   */
  snat?: string | readonly string[]
  /**
   * Host address of published ports that name none, one of each family; `0.0.0.0` alone means all of both
   * (`com.docker.network.bridge.host_binding_ipv4`). Default: `ip` of the host's configuration, else all.
   */
  bindAddress?: string | readonly string[]
  /** Sandboxes call their links to this network so, with the lowest free number (`com.docker.network.container_iface_prefix`). Default `eth`. */
  ifnamePrefix?: string
  /** The same in Docker's words, as `docker network create -o`: `{ 'com.docker.network.bridge.name': 'br7' }`. An unknown one is an error. */
  options?: Readonly<Record<string, string>>
  labels?: Labels
}

/** A network: something that a sandbox attaches to. */
export interface Network {
  /** 64 hex digits */
  readonly id: string
  readonly name: string
  readonly driver: string
  /** Name of the bridge, or for macvlan and ipvlan of the device underneath. */
  readonly device?: string
  readonly subnets: readonly Required<Pick<Subnet, 'subnet' | 'gateway'>>[]
  readonly labels: Labels
  inspect(op?: Op): Promise<NetworkInfo>
  /** false: was not there. @throws BUSY naming the endpoints that live. */
  remove(op?: Op): Promise<boolean>
}

/** `docker network inspect`, one element of its array. */
export interface NetworkInfo {
  readonly Name: string
  readonly Id: string
  readonly Driver: string
  readonly [dockerKey: string]: unknown
}

/** `docker inspect`, one element of its array. What is inside is shared by many inspections, and frozen. */
export interface SandboxInfo {
  readonly Name: string
  readonly Id: string
  readonly NetworkSettings: object
  readonly [dockerKey: string]: unknown
}

/** Every key given must match. `label`: `key` or `key=value`, all of a list. */
export interface Filter {
  name?: string
  label?: string | readonly string[]
  network?: string
  mode?: Mode
}

/** What networks and sandboxes have in common. */
export interface Collection<T, Info> {
  /** undefined: there is none. */
  get(name: string, op?: Op): Promise<T | undefined>
  /** Sorted by name. */
  list(filter?: Filter, op?: Op): Promise<readonly T[]>
  /** @throws NOT_FOUND */
  inspect(name: string, op?: Op): Promise<Info>
  /** false: was not there. */
  remove(name: string, op?: Op): Promise<boolean>
}

/** The arguments of what `explain` can explain. */
export interface Operations {
  'sandboxes.create': [SandboxOptions]
  'sandboxes.remove': [name: string]
  'networks.create': [NetworkOptions]
  'networks.remove': [name: string]
  publish: [sandbox: string, ports: readonly PortInput[]]
}

/** What `events` yields; `time` in ms since the epoch. */
export type HostEvent = { readonly time: number } & (
  | { type: 'sandbox.created' | 'sandbox.removed' | 'sandbox.drifted' | 'sandbox.repaired'; sandbox: string }
  | { type: 'endpoint.attached' | 'endpoint.detached'; sandbox: string; endpoint: Endpoint }
  | { type: 'port.published' | 'port.unpublished'; sandbox: string; port: PublishedPort }
  | { type: 'network.created' | 'network.removed'; network: string }
  | { type: 'link' | 'address' | 'route' | 'neighbor' | 'ruleset'; action: 'new' | 'delete'; object: object }
  /** Events were lost; state has been re-read. */
  | { type: 'overrun' }
)

/** The named namespaces of the machine, as `ip netns` has them. */
export interface Namespaces {
  /** Names in /run/netns, sorted. */
  list(op?: Op): Promise<readonly NamedNamespace[]>
  /** undefined: there is none of that name. */
  get(name: string, op?: Op): Promise<NamedNamespace | undefined>
  /** `ip netns add`: its loopback device is down. @throws EXISTS */
  add(name: string, op?: Op): Promise<NamedNamespace>
  /** `ip netns attach`: gives a namespace a name. @throws EXISTS, NOT_A_NAMESPACE, NAMESPACE_GONE */
  attach(name: string, netns: NamespaceRef, op?: Op): Promise<NamedNamespace>
  /** `ip netns delete`; false: was not there. The namespace lives on for as long as something is in it. */
  delete(name: string, op?: Op): Promise<boolean>
  /** `ip netns identify`: the names of a process's namespace. Default: this process. */
  identify(pid?: number): Promise<readonly string[]>
  /** `ip netns pids`. @throws NOT_FOUND */
  pids(name: string): Promise<readonly number[]>
}

/** A namespace with a name. */
export interface NamedNamespace {
  readonly name: string
  /** `/run/netns/NAME` */
  readonly path: string
  readonly inode: bigint
}

/** What recovery did. */
export interface Recovery {
  /** Sandboxes and networks whose creation or removal had not finished, taken back. */
  readonly rolledBack: readonly string[]
  /** What was put right: `ruleset`, names of sandboxes. */
  readonly repaired: readonly string[]
  /** Records that could not be read, set aside. */
  readonly damaged: readonly string[]
}

/** What has passed in one direction since the link was made. Exact up to 2^53. */
export interface Traffic {
  readonly bytes: number
  readonly packets: number
  readonly errors: number
  readonly dropped: number
}

/** Traffic of one endpoint, as its sandbox sees it. */
export interface EndpointStats {
  readonly sandbox: string
  readonly network: string
  readonly ifname: string
  readonly received: Traffic
  readonly sent: Traffic
}

/** Leases of one subnet. */
export interface SubnetStats {
  readonly network: string
  readonly subnet: string
  readonly used: number
  /** Those that an endpoint could still get without naming one. Exact up to 2^53. */
  readonly free: number
}

/** A published port and what has come to it: connections' first packets, and datagrams' flows. */
export interface PortStats {
  readonly sandbox: string
  readonly port: PublishedPort
  /** Of the sandbox, where it leads. */
  readonly address: string
  /** Absent where the ruleset doesn't count them. */
  readonly packets?: number
  readonly bytes?: number
}

/** A chain of netmode's tables, as `iptables -vnL`. */
export interface ChainStats {
  /** `bridge`: it looks at frames. */
  readonly family: 'inet' | 'bridge'
  readonly chain: string
  /** Absent: other chains jump to it. */
  readonly hook?: string
  readonly priority?: number
  readonly policy?: string
  readonly rules: readonly {
    readonly handle: number
    /** As nft writes it. */
    readonly rule: string
    /** Absent: not counted, as with translations by a map. */
    readonly packets?: number
    readonly bytes?: number
  }[]
}

/** What `stats` answers. */
export interface HostStats {
  readonly endpoints: readonly EndpointStats[]
  readonly subnets: readonly SubnetStats[]
  readonly ports: readonly PortStats[]
  readonly chains: readonly ChainStats[]
}

/** One finding of `doctor`. */
export interface Finding {
  readonly id: string
  readonly severity: 'error' | 'warning'
  readonly message: string
  readonly remedy: string
}

/**
 * Names on user-defined networks: sandboxes find each other by name, alias, host name and id, and by address; all else is asked of
 * the host's servers or of the sandbox's own `dns`. One of the processes that have the host open serves, in its event loop; when it
 * ends, another one does.
 */
export interface NameService {
  /** `serving`: this process does. `waiting`: another one does. `idle`: not started yet, since no network needs it, or switched off. */
  readonly role: 'idle' | 'waiting' | 'serving'
  /** While `serving`: the networks, and the addresses that their sandboxes ask. `error`: why one can't be served. */
  readonly networks: readonly { readonly network: string; readonly addresses: readonly string[]; readonly error?: Error }[]
  /** Starts it even with `nameService: false`, or before there is a network. Resolves when this process serves. @throws UNSUPPORTED in a cluster worker */
  serve(op?: Op): Promise<void>
}

/** The front door: one network namespace that sandboxes hang on. Never keeps the process alive. */
export interface Host extends AsyncDisposable {
  readonly namespace: Namespace
  readonly namespaces: Namespaces
  readonly networks: Collection<Network, NetworkInfo> & {
    /** @throws EXISTS, SUBNET_OVERLAP, EXHAUSTED (no pool is free: each skipped one is explained) */
    create(options: NetworkOptions, op?: Op): Promise<Network>
    /** As create, but an equal one that exists is fine. @throws MISMATCH naming the keys that differ */
    ensure(options: NetworkOptions, op?: Op): Promise<Network>
    /** Removes networks without endpoints; answers their names. */
    prune(filter?: Filter, op?: Op): Promise<readonly string[]>
  }
  readonly sandboxes: Collection<Sandbox, SandboxInfo> & {
    /** All or nothing. @throws EXISTS, NOT_FOUND (the network), ADDRESS_IN_USE, PORT_IN_USE, EXHAUSTED, CAPACITY */
    create(options: SandboxOptions, op?: Op): Promise<CreatedSandbox>
    /** What there is, as plain data: as `list`, for who only wants to show it. Nothing is asked of the kernel. */
    summaries(filter?: Filter, op?: Op): Promise<readonly SandboxSummary[]>
    /** Makes sandboxes beforehand, to be taken later; answers when all are ready. @throws as create */
    pool(options: PoolOptions, op?: Op): Promise<SandboxPool>
    /** Answers the names removed; goes on past failures, then throws an AggregateError of them. */
    removeAll(names: readonly string[], op?: Op): Promise<readonly string[]>
  }
  readonly nameService: NameService
  /** Subscribed when it returns. */
  events(options?: Op & { types?: readonly HostEvent['type'][] }): AsyncIterableIterator<HostEvent>
  /** The `ip`, `nft` and `sysctl` commands that would do the same, one a line, runnable by `sh`. */
  explain<K extends keyof Operations>(operation: K, ...args: Operations[K]): Promise<string>
  /** Traffic of endpoints, ports and rules, and the use of leases. */
  stats(op?: Op): Promise<HostStats>
  doctor(op?: Op): Promise<readonly Finding[]>
  recover(op?: Op): Promise<Recovery>
  /** Waits for calls in flight and removes ephemeral sandboxes, nothing else. It holds no descriptor any more then. Idempotent. */
  close(): Promise<void>
}

/** A sandbox as it was when it was looked at. */
export type SandboxSummary = Pick<Sandbox, 'id' | 'name' | 'mode' | 'netns' | 'labels' | 'ephemeral' | 'guest' | 'endpoints' | 'ports'>

/** What `openHost` takes. */
export interface OpenHostOptions extends Op {
  /** Default `/run/netmode/<namespace>`, without root `$XDG_RUNTIME_DIR/netmode/<namespace>`. */
  stateDir?: string
  /** Default: the calling process's own. */
  netns?: NamespaceRef
  /** Network keys of Docker's daemon.json, or the absolute path of a file with them. Default: what `/etc/netmode/config.json` says, if it is there. */
  config?: object | string
  /** Put right what a dead process or others left behind. Default true. */
  repair?: boolean
  /** Serve names on user-defined networks, or wait to. Default true; false is for processes that end soon. */
  nameService?: boolean
}
