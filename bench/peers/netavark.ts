/** Podman's network backend, called as Podman calls it: a process for each setup, JSON in and out. */
import { clock } from '../alternate.js'
import { feed, find, sh } from '../shell.js'
import { endpoint, Missing, type Peer, published, type Start } from './peer.js'

export const netavark: Start = async ({ bridge, subnet, gateway }): Promise<Peer | Missing> => {
  const program = find('/usr/lib/podman/netavark', '/usr/libexec/podman/netavark', 'netavark')
  if (program === undefined) return new Missing('netavark')
  let last = endpoint(0, 203)
  const call = (verb: 'setup' | 'teardown'): Promise<string> => {
    const { name, address } = last
    const request = {
      container_id: name,
      container_name: name,
      port_mappings: [{ container_port: published.containerPort, host_ip: '', host_port: published.hostPort, protocol: 'tcp', range: 1 }],
      networks: { bench: { interface_name: 'eth0', static_ips: [address] } },
      network_info: {
        bench: {
          name: 'bench',
          id: 'b'.repeat(64),
          driver: 'bridge',
          network_interface: bridge,
          subnets: [{ subnet, gateway }],
          ipv6_enabled: false,
          internal: false,
          dns_enabled: false,
          ipam_options: { driver: 'host-local' },
        },
      },
    }
    // Where there is firewalld it would be asked; here is none.
    const env = { NETAVARK_FW: 'iptables' }
    return feed(JSON.stringify(request), program, ['--config', '/run/bench-netavark', verb, `/run/netns/${name}`], env)
  }
  return {
    who: 'netavark',
    lacks: 'choosing the address (Podman does)',
    measure(n) {
      last = endpoint(n, 203)
      return clock(async () => {
        await sh('ip', 'netns', 'add', last.name)
        await call('setup')
      })
    },
    async clear() {
      await call('teardown')
      await sh('ip', 'netns', 'delete', last.name)
    },
    async [Symbol.asyncDispose]() {},
  }
}
