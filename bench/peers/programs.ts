/** Node that starts `ip` and `iptables`, as somebody without a library does it: one command after the other. */
import { clock } from '../alternate.js'
import { find, sh } from '../shell.js'
import { endpoint, Missing, type Peer, published, type Start } from './peer.js'

const { hostPort, containerPort } = published

/** The rules of one port: from outside, from the host, back to the sandbox itself, and through the firewall. */
function rules(address: string): readonly (readonly string[])[] {
  const dnat = [
    '-p',
    'tcp',
    '-m',
    'addrtype',
    '--dst-type',
    'LOCAL',
    '--dport',
    String(hostPort),
    '-j',
    'DNAT',
    '--to-destination',
    `${address}:${containerPort}`,
  ]
  return [
    ['nat', 'PREROUTING', ...dnat],
    ['nat', 'OUTPUT', ...dnat],
    ['nat', 'POSTROUTING', '-s', address, '-d', address, '-p', 'tcp', '--dport', String(containerPort), '-j', 'MASQUERADE'],
    ['filter', 'FORWARD', '-d', address, '-p', 'tcp', '--dport', String(containerPort), '-j', 'ACCEPT'],
  ]
}

const iptables = (verb: string, [table = '', chain = '', ...rule]: readonly string[]): Promise<string> =>
  sh('iptables', '-w', '-t', table, verb, chain, ...rule)

export const programs: Start = async ({ bridge, prefix, gateway }): Promise<Peer | Missing> => {
  if (!find('iptables') || !find('ip')) return new Missing('ip or iptables')
  let last = endpoint(0, 201)
  return {
    who: 'Node running ip and iptables',
    lacks: 'state, recovery',
    measure(n) {
      last = endpoint(n, 201)
      const { name, link, address } = last
      return clock(async () => {
        await sh('ip', 'netns', 'add', name)
        await sh('ip', 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name)
        await sh('ip', 'link', 'set', link, 'master', bridge)
        await sh('ip', 'link', 'set', link, 'up')
        await sh('ip', '-n', name, 'link', 'set', 'lo', 'up')
        await sh('ip', '-n', name, 'address', 'add', `${address}/${prefix}`, 'dev', 'eth0')
        await sh('ip', '-n', name, 'link', 'set', 'eth0', 'up')
        await sh('ip', '-n', name, 'route', 'add', 'default', 'via', gateway)
        for (const rule of rules(address)) {
          // Asked first, so that a rule isn't there twice.
          await iptables('-C', rule).catch(() => iptables('-A', rule))
        }
      })
    },
    async clear() {
      for (const rule of rules(last.address)) await iptables('-D', rule)
      await sh('ip', 'link', 'delete', last.link)
      await sh('ip', 'netns', 'delete', last.name)
    },
    async [Symbol.asyncDispose]() {},
  }
}
