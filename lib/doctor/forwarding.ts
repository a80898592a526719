/** Settings of the kernel that packets of sandboxes run into. Pure. */
import { type Check, type Facts, outgoing } from './facts.js'

const has = (facts: Facts, family: 4 | 6): boolean =>
  outgoing(facts).some(({ subnets }) => subnets.some(({ subnet }) => subnet.includes(':') === (family === 6)))

/** Without forwarding no sandbox reaches anything beyond its bridge. */
export const forwardingOff: Check = facts =>
  (
    [
      [4, 'net/ipv4/ip_forward'],
      [6, 'net/ipv6/conf/all/forwarding'],
    ] as const
  )
    .filter(([family, key]) => has(facts, family) && facts.sysctls[key] === '0')
    .map(([family, key]) => ({
      id: `forwarding-off-ipv${family}`,
      severity: 'error',
      message: `The host doesn't forward IPv${family} (${dotted(key)} is 0): sandboxes reach nothing beyond their bridge, and published ports lead nowhere`,
      remedy: `sysctl -w ${dotted(key)}=1`,
    }))

/** One device may forward less than all do. */
export const forwardingOffOnDevice: Check = facts =>
  facts.networks
    .filter(({ phase, internal }) => phase === 'ready' && !internal)
    .map(({ device }) => [device, `net/ipv4/conf/${device}/forwarding`] as const)
    .filter(([, key]) => facts.sysctls['net/ipv4/ip_forward'] === '1' && facts.sysctls[key] === '0')
    .map(([device, key]) => ({
      id: 'forwarding-off-on-device',
      severity: 'error',
      message: `${device} doesn't forward IPv4 (${dotted(key)} is 0), though the host does`,
      remedy: `sysctl -w ${dotted(key)}=1`,
    }))

/** Strict filtering drops what comes in where answers would not go out: with several ways out, that is what should come. */
export const strictReversePath: Check = facts => {
  const ways = new Set(facts.routes.filter(({ to, family }) => to === 'default' && family === 4).map(({ link }) => link))
  const several = ways.size > 1
  return facts.links
    .filter(({ index, name }) => ways.has(index) || facts.networks.some(({ device }) => device === name))
    .filter(({ name }) => effective(facts, name) === 1)
    .filter(({ index }) => (ways.has(index) ? several : facts.networks.length > 1 && hasTwoHomes(facts)))
    .map(({ name }) => ({
      id: 'rp-filter-strict',
      severity: 'warning',
      message: `${name} drops packets whose answers would take another way (rp_filter is 1, strict), and there are several ways here: connections may hang`,
      remedy: `sysctl -w net.ipv4.conf.${name}.rp_filter=2${facts.sysctls['net/ipv4/conf/all/rp_filter'] === '1' ? ' net.ipv4.conf.all.rp_filter=2' : ''}`,
    }))
}

/** The kernel takes the higher of both; 2 is loose. */
function effective({ sysctls }: Facts, device: string): number {
  return Math.max(Number(sysctls['net/ipv4/conf/all/rp_filter'] ?? 0), Number(sysctls[`net/ipv4/conf/${device}/rp_filter`] ?? 0))
}

/** Does a sandbox sit on more than one network? Its answers may leave by another than they were asked on. */
function hasTwoHomes({ sandboxes }: Facts): boolean {
  return sandboxes.some(({ endpoints }) => endpoints.length > 1)
}

/** With it bridged frames pass through iptables, which weren't written for them. */
export const bridgeFilter: Check = facts => {
  if (facts.networks.length === 0) return []
  const keys = ['net/bridge/bridge-nf-call-iptables', 'net/bridge/bridge-nf-call-ip6tables'].filter(key => facts.sysctls[key] === '1')
  if (keys.length === 0) return []
  return [
    {
      id: 'bridge-nf-call',
      severity: 'warning',
      message: `Frames between sandboxes of one network pass through the rules of iptables (${keys.map(dotted).join(' and ')} is 1): rules for routed traffic may drop them, and a port published on ::1 is closed`,
      remedy: `sysctl -w ${keys.map(key => `${dotted(key)}=0`).join(' ')}`,
    },
  ]
}

/** Above this share of a table, the next burst fills it. */
const near = 0.9

/** A full table drops new connections of everybody. */
export const conntrackFull: Check = ({ sysctls }) => {
  const count = Number(sysctls['net/netfilter/nf_conntrack_count'] ?? 0)
  const most = Number(sysctls['net/netfilter/nf_conntrack_max'] ?? 0)
  if (most === 0 || count < most * near) return []
  // At the limit the kernel throws out what was never answered, some at a time: the count stays just below.
  const full = count >= most * 0.99
  return [
    {
      id: full ? 'conntrack-full' : 'conntrack-near-full',
      severity: full ? 'error' : 'warning',
      message: `${count} of ${most} connections are tracked${full ? ': new ones are dropped, or take the place of others' : ': soon new ones will be dropped'}`,
      remedy: `sysctl -w net.netfilter.nf_conntrack_max=${Math.max(most * 4, 262_144)}`,
    },
  ]
}

/**
 * The kernel refuses new neighbours at gc_thresh3. The table is the machine's: entries in sandboxes count too, and its limits are set in the
 * first namespace.
 */
export const neighborTableFull: Check = ({ sysctls, neighborTables }) =>
  neighborTables
    .filter(({ entries, limit }) => entries >= limit * near)
    .map(({ family, entries, limit }) => {
      const most = Math.max(limit * 4, 65_536)
      const settings = [most / 16, most / 4, most].map((value, n) => `net.ipv${family}.neigh.default.gc_thresh${n + 1}=${Math.ceil(value)}`)
      const there = sysctls['net/ipv4/neigh/default/gc_thresh3'] === undefined ? 'nsenter --target 1 --net ' : ''
      return {
        id: `neighbor-table-full-ipv${family}`,
        severity: entries >= limit ? 'error' : 'warning',
        message: `${entries} of ${limit} entries of the machine's IPv${family} neighbour table are used, those of sandboxes included: beyond it addresses are not resolved, and sandboxes are not reached`,
        remedy: `${there}sysctl -w ${settings.join(' ')}`,
      }
    })

function dotted(key: string): string {
  return key.replaceAll('/', '.')
}
