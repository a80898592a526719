/** The CNI plugins bridge (with host-local) and portmap, as a container runtime calls them: a process for each, JSON in and out. */
import { clock } from '../alternate.js'
import { feed, find, sh } from '../shell.js'
import { endpoint, Missing, type Peer, published, type Start } from './peer.js'

const folders = ['/usr/lib/cni', '/opt/cni/bin', '/usr/libexec/cni']

export const cni: Start = async ({ bridge, subnet, gateway }): Promise<Peer | Missing> => {
  const path = folders.find(folder => find(`${folder}/bridge`) && find(`${folder}/portmap`))
  if (path === undefined) return new Missing('the CNI plugins')
  const base = { cniVersion: '0.4.0', name: 'bench' }
  const ranges = [[{ subnet, gateway, rangeStart: '10.99.202.2', rangeEnd: '10.99.202.250' }]]
  const bridgeConfig = {
    ...base,
    type: 'bridge',
    bridge,
    isGateway: true,
    ipam: { type: 'host-local', dataDir: '/run/bench-cni', ranges, routes: [{ dst: '0.0.0.0/0' }] },
  }
  const portmapConfig = {
    ...base,
    type: 'portmap',
    capabilities: { portMappings: true },
    runtimeConfig: { portMappings: [{ ...published, protocol: 'tcp' }] },
  }
  let last = { name: '', result: '' }
  const call = (command: 'ADD' | 'DEL', config: { readonly type: string }, name: string): Promise<string> =>
    feed(JSON.stringify(config), `${path}/${config.type}`, [], {
      CNI_COMMAND: command,
      CNI_CONTAINERID: name,
      CNI_NETNS: `/run/netns/${name}`,
      CNI_IFNAME: 'eth0',
      CNI_PATH: path,
    })
  return {
    who: 'CNI bridge, host-local, portmap',
    measure(n) {
      const { name } = endpoint(n, 202)
      return clock(async () => {
        await sh('ip', 'netns', 'add', name)
        const result = await call('ADD', bridgeConfig, name)
        await call('ADD', { ...portmapConfig, prevResult: JSON.parse(result) } as typeof portmapConfig, name)
        last = { name, result }
      })
    },
    async clear() {
      const prevResult = JSON.parse(last.result) as unknown
      await call('DEL', { ...portmapConfig, prevResult } as typeof portmapConfig, last.name)
      await call('DEL', { ...bridgeConfig, prevResult } as typeof bridgeConfig, last.name)
      await sh('ip', 'netns', 'delete', last.name)
    },
    async [Symbol.asyncDispose]() {},
  }
}
