/** What this process may do, and what this kernel can. Pure. */
import type { Finding } from '../contract.js'
import type { Check, Facts } from './facts.js'

const needed = [
  [12n, 'CAP_NET_ADMIN', 'links, addresses and rules'],
  [21n, 'CAP_SYS_ADMIN', 'network namespaces'],
] as const

export const missingCapabilities = ({ capabilities }: Pick<Facts, 'capabilities'>): readonly Finding[] =>
  needed
    .filter(([bit]) => ((capabilities >> bit) & 1n) === 0n)
    .map(([, name, what]) => ({
      id: `missing-${name.toLowerCase().replaceAll('_', '-')}`,
      severity: 'error',
      message: `This process lacks ${name}, which ${what} need`,
      remedy: `run as root, with --cap-add ${name.slice('CAP_'.length)} in a container, or in a user namespace: unshare -Urnm`,
    }))

const modules: Readonly<Record<string, string>> = {
  nf_tables: 'nf_tables',
  'nf_tables with NAT, maps and fib': 'nft_chain_nat nft_fib_inet nft_masq nft_ct',
  'bridge links': 'bridge',
  'veth links': 'veth',
}

export const missingFeatures: Check = ({ missing }) =>
  Object.entries(missing).map(([feature, why]) => ({
    id: 'missing-kernel-feature',
    severity: 'error',
    message: `${feature} can't be made here (${why})`,
    remedy:
      modules[feature] === undefined
        ? 'a kernel with CONFIG_NET_NS, and the right to make namespaces (user.max_net_namespaces above 0)'
        : `modprobe -a ${modules[feature]}, or a kernel that has them${feature.startsWith('nf_tables') ? '; apt-get install libnftnl11' : ''}`,
  }))
