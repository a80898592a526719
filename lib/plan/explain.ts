/**
 * Explain: a plan as the `ip`, `bridge`, `nft` and `sysctl` commands that do the same, to be run by `sh`. What those tools
 * can't say (the journal, claims, conntrack) is told in comments.
 */
import { nftText } from '../firewall/nft-text.js'
import type {
  AddressVerb,
  LinkAdd,
  LinkDelete,
  LinkSet,
  NeighborVerb,
  Op,
  Plan,
  PortOptions,
  RouteVerb,
  RuleVerb,
  Slot,
  TapAdd,
} from './op.js'

/** The text of a plan, one command a line. */
export function explain(plan: Plan): string {
  const slots = new Map<Slot, string>()
  const lines = plan.flatMap(({ apply }) => {
    if (apply.op === 'netns.create' && apply.name !== undefined) slots.set(apply.slot, apply.name)
    if (apply.op === 'netns.open') slots.set(apply.slot, nameOf(apply))
    return linesOf(apply, slot => slots.get(slot) ?? slot)
  })
  return `${lines.join('\n')}\n`
}

type NameOf = (slot: Slot) => string

function nameOf(op: Extract<Op, { op: 'netns.open' }>): string {
  const named = /^\/(?:var\/)?run\/netns\/([^/]+)$/.exec(op.path ?? '')?.[1]
  return named ?? op.path ?? (op.pid === undefined ? `/proc/self/fd/${op.fd}` : `/proc/${op.pid}/ns/net`)
}

function linesOf(op: Op, nsName: NameOf): string[] {
  const ip = (ns: Slot | undefined, ...words: readonly (string | undefined)[]) =>
    command('ip', ns === undefined ? undefined : `-n ${word(nsName(ns))}`, ...words)
  switch (op.op) {
    case 'netns.create':
      if (op.name === undefined) return [`# make a namespace without a name: ${op.slot}`]
      return [command('ip netns add', word(op.name)), ...(op.settings ?? []).map(({ key, value }) => sysctl(op.name, key, value))]
    case 'netns.attach':
      return [`# name the namespace ${nsName(op.slot)}: ${op.name}`]
    case 'netns.delete':
      return [command('ip netns delete', word(op.name))]
    case 'sysctl.set':
      return [sysctl(op.ns === undefined ? undefined : nsName(op.ns), op.key, op.value)]
    case 'link.add':
      return linkAdd(op, ip, nsName)
    case 'tap.add':
      return tapAdd(op, ip)
    case 'link.set':
      return linkSet(op, ip, nsName)
    case 'link.delete':
      return linkDelete(op, ip)
    case 'address.add':
    case 'address.replace':
    case 'address.delete':
      return [ip(op.ns, 'address', op.op.slice('address.'.length), ...address(op))]
    case 'route.add':
    case 'route.replace':
    case 'route.delete':
      return [route(op, ip)]
    case 'neighbor.add':
    case 'neighbor.replace':
    case 'neighbor.delete':
      return [neighbor(op, ip)]
    case 'fdb.replace':
      return [
        `${op.ns === undefined ? '' : `ip netns exec ${word(nsName(op.ns))} `}bridge fdb replace ${op.mac} dev ${word(op.link.name)} master dynamic`,
      ]
    case 'rule.add':
    case 'rule.delete':
      return [rule(op, ip)]
    case 'nft.table.add':
    case 'nft.table.delete':
    case 'nft.chain.add':
    case 'nft.set.add':
    case 'nft.rule.add':
    case 'nft.element.add':
    case 'nft.element.delete':
      return [`${'ns' in op && op.ns !== undefined ? `ip netns exec ${word(nsName(op.ns))} ` : ''}nft ${quote(nftText(op))}`]
    default:
      return comment(op)
  }
}

type Ip = (ns: Slot | undefined, ...words: readonly (string | undefined)[]) => string

function linkAdd(op: LinkAdd, ip: Ip, nsName: NameOf): string[] {
  const { name, kind, mac, mtu, master, up, group, queues, peer, bridge, parent, bornIn } = op
  const queueWords = queues === undefined ? [] : ['numtxqueues', `${queues}`, 'numrxqueues', `${queues}`]
  const words = [
    'link add',
    ...(parent ? ['link', word(parent.name)] : []),
    'name',
    word(name),
    ...(mac === undefined ? [] : ['address', mac]),
    ...(mtu === undefined ? [] : ['mtu', `${mtu}`]),
    ...queueWords,
    ...(master ? ['master', word(master.name)] : []),
    ...(group === undefined ? [] : ['group', `${group}`]),
    up ? 'up' : undefined,
    ...(bornIn === undefined ? [] : ['netns', word(nsName(bornIn))]),
    'type',
    kind,
    ...(peer
      ? [
          'peer',
          'name',
          word(peer.name),
          ...(peer.mac === undefined ? [] : ['address', peer.mac]),
          ...(peer.mtu === undefined ? [] : ['mtu', `${peer.mtu}`]),
          ...queueWords,
          ...(peer.ns === undefined ? [] : ['netns', word(nsName(peer.ns))]),
        ]
      : []),
    ...(bridge ? bridgeWords(bridge) : []),
    ...(op.macvlanMode === undefined ? [] : ['mode', op.macvlanMode]),
    ...(op.ipvlanMode === undefined ? [] : ['mode', op.ipvlanMode]),
    ...(op.vlanId === undefined ? [] : ['id', `${op.vlanId}`]),
  ]
  return [ip(op.ns, ...words)]
}

function tapAdd({ ns, name, owner, group, vnetHdr, multiQueue, linkGroup }: TapAdd, ip: Ip): string[] {
  const words = [
    ...(owner === undefined ? [] : ['user', `${owner}`]),
    ...(group === undefined ? [] : ['group', `${group}`]),
    vnetHdr ? 'vnet_hdr' : undefined,
    multiQueue ? 'multi_queue' : undefined,
  ]
  return [
    ip(ns, 'tuntap add dev', word(name), 'mode tap', ...words),
    ...(linkGroup === undefined ? [] : [ip(ns, 'link set dev', word(name), 'group', `${linkGroup}`)]),
  ]
}

function bridgeWords({ stp, vlanFiltering, multicastSnooping, ageing, forwardDelay }: NonNullable<LinkAdd['bridge']>): string[] {
  return [
    ...(stp === undefined ? [] : ['stp_state', flag(stp)]),
    ...(vlanFiltering === undefined ? [] : ['vlan_filtering', flag(vlanFiltering)]),
    ...(multicastSnooping === undefined ? [] : ['mcast_snooping', flag(multicastSnooping)]),
    ...(ageing === undefined ? [] : ['ageing_time', `${ageing * 100}`]),
    ...(forwardDelay === undefined ? [] : ['forward_delay', `${forwardDelay * 100}`]),
  ]
}

function linkSet(op: LinkSet, ip: Ip, nsName: NameOf): string[] {
  const { link, name, mac, mtu, master, up, group, alias, arpNotify, addrGenMode, port, moveTo } = op
  const words = [
    ...(name === undefined ? [] : ['name', word(name)]),
    ...(mac === undefined ? [] : ['address', mac]),
    ...(mtu === undefined ? [] : ['mtu', `${mtu}`]),
    ...(master === undefined ? [] : master === null ? ['nomaster'] : ['master', word(master.name)]),
    ...(group === undefined ? [] : ['group', `${group}`]),
    ...(alias === undefined ? [] : ['alias', word(alias)]),
    ...(addrGenMode === undefined ? [] : ['addrgenmode', addrGenMode]),
    ...(moveTo === undefined ? [] : ['netns', word(nsName(moveTo))]),
    ...(up === undefined ? [] : [up ? 'up' : 'down']),
  ]
  return [
    ...(words.length > 0 ? [ip(op.ns, 'link set dev', word(link.name), ...words)] : []),
    ...(arpNotify === undefined
      ? []
      : [sysctl(op.ns === undefined ? undefined : nsName(op.ns), `net/ipv4/conf/${link.name}/arp_notify`, flag(arpNotify))]),
    ...(port && Object.keys(port).length > 0 ? [ip(op.ns, 'link set dev', word(link.name), 'type bridge_slave', ...portWords(port))] : []),
  ]
}

function portWords({ hairpin, isolated, learning, flood, multicastFlood, neighSuppress }: PortOptions): string[] {
  return [
    ...(hairpin === undefined ? [] : ['hairpin', onOff(hairpin)]),
    ...(isolated === undefined ? [] : ['isolated', onOff(isolated)]),
    ...(learning === undefined ? [] : ['learning', onOff(learning)]),
    ...(flood === undefined ? [] : ['flood', onOff(flood)]),
    ...(multicastFlood === undefined ? [] : ['mcast_flood', onOff(multicastFlood)]),
    ...(neighSuppress === undefined ? [] : ['neigh_suppress', onOff(neighSuppress)]),
  ]
}

function linkDelete({ ns, links = [], group }: LinkDelete, ip: Ip): string[] {
  return [
    ...links.map(({ name }) => ip(ns, 'link delete dev', word(name))),
    ...(group === undefined ? [] : [ip(ns, 'link delete group', `${group}`)]),
  ]
}

function address({ address, prefix, broadcast, noDad, noPrefixRoute, scope, link }: AddressVerb): string[] {
  return [
    `${address}/${prefix}`,
    ...(broadcast === undefined ? [] : ['broadcast', broadcast]),
    ...(scope === undefined ? [] : ['scope', scope]),
    'dev',
    word(link.name),
    ...(noDad ? ['nodad'] : []),
    ...(noPrefixRoute ? ['noprefixroute'] : []),
  ]
}

function route(op: RouteVerb, ip: Ip): string {
  const family = op.family === 6 || (op.family === undefined && (op.via ?? op.to).includes(':')) ? '-6' : undefined
  return ip(
    op.ns,
    family,
    'route',
    op.op.slice('route.'.length),
    op.type,
    op.to,
    ...(op.via === undefined ? [] : ['via', op.via]),
    ...(op.link ? ['dev', word(op.link.name)] : []),
    ...(op.source === undefined ? [] : ['src', op.source]),
    ...(op.metric === undefined ? [] : ['metric', `${op.metric}`]),
    ...(op.table === undefined ? [] : ['table', `${op.table}`]),
    ...(op.scope === undefined ? [] : ['scope', op.scope]),
    ...(op.mtu === undefined ? [] : ['mtu', `${op.mtu}`]),
    op.onlink ? 'onlink' : undefined,
  )
}

function neighbor(op: NeighborVerb, ip: Ip): string {
  const verb = op.op.slice('neighbor.'.length)
  return ip(
    op.ns,
    'neighbour',
    verb,
    op.proxy ? 'proxy' : undefined,
    op.address,
    ...(op.mac === undefined ? [] : ['lladdr', op.mac]),
    'dev',
    word(op.link.name),
    ...(op.proxy ? [] : ['nud', op.state ?? 'permanent']),
  )
}

function rule(op: RuleVerb, ip: Ip): string {
  return ip(
    op.ns,
    op.family === 6 ? '-6' : undefined,
    'rule',
    op.op.slice('rule.'.length),
    'priority',
    `${op.priority}`,
    ...(op.from === undefined ? [] : ['from', op.from]),
    ...(op.to === undefined ? [] : ['to', op.to]),
    ...(op.iif === undefined ? [] : ['iif', word(op.iif)]),
    ...(op.oif === undefined ? [] : ['oif', word(op.oif)]),
    ...(op.fwmark === undefined ? [] : ['fwmark', `${op.fwmark}`]),
    'table',
    `${op.table}`,
  )
}

/** Ops that iproute2 and nft have no word for. */
function comment(op: Op): string[] {
  switch (op.op) {
    case 'netns.open':
    case 'link.settle':
      return []
    case 'netns.keep':
      return [`# keep the namespace ${op.slot} and the last lock as ${op.key}`]
    case 'netns.take':
      return [`# take the namespace and the lock that are kept as ${op.key}`]
    case 'lock':
      return [`# lock ${op.path} (${op.mode})`]
    case 'expect.link':
      return [`# go on if link ${op.link.name} is there`]
    case 'claim':
      return [`# claim ${op.path} for ${op.holder}${op.from === undefined ? '' : `, from ${op.from}`}`]
    case 'release':
      return [`# release ${op.path} if ${op.holder} holds it`]
    case 'port.claim':
      return [`# claim ${op.protocol} port ${op.port} on ${op.address} for ${op.holder}`]
    case 'port.release':
      return [`# release ${op.protocol} port ${op.port} on ${op.address} if ${op.holder} holds it`]
    case 'conntrack.flush':
      return [
        `# forget tracked ${op.protocol} flows to port ${op.port}${op.address === undefined ? '' : ` of ${op.address}`} (IPv${op.family})`,
      ]
    case 'file.write':
      return [`# write ${op.path}`]
    case 'folder.create':
      return [`# make folder ${op.path}`]
    case 'file.rename':
      return [`# rename ${op.path} to ${op.to}`]
    case 'folder.remove':
    case 'file.remove':
      return [`# remove ${op.path}`]
    default:
      return []
  }
}

/** Written by the shell itself: /proc/sys is that of the namespace the shell runs in. */
function sysctl(ns: string | undefined, key: string, value: string): string {
  const write = `sysctl -qw ${word(key)}=${word(value)}`
  return ns === undefined ? write : `ip netns exec ${word(ns)} ${write}`
}

function command(...words: readonly (string | undefined)[]): string {
  return words.filter(one => one !== undefined && one !== '').join(' ')
}

function flag(on: boolean): string {
  return on ? '1' : '0'
}

function onOff(on: boolean): string {
  return on ? 'on' : 'off'
}

/** Quoted for sh where needed. */
function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : quote(text)
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
