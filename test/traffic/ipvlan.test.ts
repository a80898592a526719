/** ipvlan networks: sandboxes on the LAN with the MAC address of the host's device, switched or routed. */
import { expect } from 'vitest'
import type { Host, NetworkOptions } from '../../lib/index.js'
import { type PrivateHost, PrivateNamespace } from '../setup/namespace.js'
import { addressOf, ask, families, greet, type Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'
import { homeSubnets, onStage } from '../setup/stage.js'

const { describe, test } = requires('root', 'link:ipvlan')
const { describe: describeAnywhere, test: testAnywhere } = requires('root')

let machine: PrivateHost
let host: Host
let outside: Peer
onStage(stage => {
  ;({ machine, host, outside } = stage)
})

const lan = (ipvlanMode: NonNullable<NetworkOptions['ipvlanMode']>): NetworkOptions => ({
  name: 'lan',
  driver: 'ipvlan',
  parent: 'eth0',
  ipvlanMode,
  subnets: homeSubnets,
})

describe('an ipvlan network', () => {
  test.each(['l2', 'l3', 'l3s'] as const)('in mode %s: siblings and the LAN are reached, and nothing is left', async mode => {
    const before = await machine.dump()
    await host.networks.create(lan(mode))
    const [device] = await machine.ipJson('link', 'show', 'eth0')
    const [a, b] = await Promise.all(['a', 'b'].map(name => host.sandboxes.create({ name, network: 'lan' })))
    if (!a || !b) throw new Error('not made')
    expect(a.endpoints).toMatchObject([{ mac: device?.address, mtu: 1500 }])
    expect(await new PrivateNamespace('a').ipJson('-d', 'link', 'show', 'eth0')).toMatchObject([
      { address: device?.address, ifalias: 'netmode:a/lan', linkinfo: { info_kind: 'ipvlan', info_data: { mode } } },
    ])
    expect(await a.namespace.links.list({ name: 'eth0' })).toMatchObject([{ kind: 'ipvlan', ipvlanMode: mode }])
    // A routed child doesn't answer for its addresses: the router has to know the way.
    if (mode !== 'l2')
      for (const one of [a, b]) {
        const mac = String(device?.address)
        for (const family of families)
          await machine.outside.ip('neighbor', 'replace', addressOf(one, family), 'lladdr', mac, 'dev', 'eth0', 'nud', 'permanent')
      }
    for (const family of families) {
      await greet(a, addressOf(a, family), 80)
      expect(await ask(b, addressOf(a, family), 80)).toBe(addressOf(b, family))
      expect(await ask(outside, addressOf(a, family), 80)).toBe(family.outside)
      await greet(outside, family.outside, 8000)
      expect(await ask(a, family.outside, 8000)).toBe(addressOf(a, family))
    }
    await host.sandboxes.removeAll(['a', 'b'])
    await host.networks.remove('lan')
    expect(await machine.dump()).toEqual(before)
  })

  test('refuses a MAC address of one sandbox alone, and macvlan children on the same device', async () => {
    await host.networks.create(lan('l2'))
    await expect(host.sandboxes.create({ name: 'a', network: 'lan', mac: '02:00:00:00:00:07' })).rejects.toMatchObject({ field: 'mac' })
    await host.sandboxes.create({ name: 'a', network: 'lan' })
    await expect(host.networks.create({ name: 'second', driver: 'macvlan', parent: 'eth0' })).rejects.toMatchObject({
      code: 'ERR_NETMODE_BUSY',
    })
  })
})

describeAnywhere('where the kernel lacks', () => {
  testAnywhere.each([
    ['ipvlan', { driver: 'ipvlan', parent: 'eth0' }, ['ipvlan'], 'CONFIG_IPVLAN, module ipvlan'],
    ['vlan', { driver: 'macvlan', parent: 'eth0.7' }, ['vlan', 'id', '7'], 'CONFIG_VLAN_8021Q, module 8021q'],
    ['vlan', { driver: 'bridge', parent: 'eth0.7' }, ['vlan', 'id', '7'], 'CONFIG_VLAN_8021Q, module 8021q'],
  ] as const)(
    '%s, a network %o is refused with what is missing, and nothing is left; where it is there, the network is made',
    async (kind, options, words, missing) => {
      const before = await machine.dump()
      const has = await machine.succeeds('ip', 'link', 'add', 'link', 'eth0', 'name', 'trial', 'type', ...words)
      if (has) await machine.ip('link', 'delete', 'trial')
      const made = host.networks.create({ name: 'lan', ...options })
      if (has) await made
      else
        await expect(made).rejects.toMatchObject({
          code: 'ERR_NETMODE_UNSUPPORTED',
          message: expect.stringContaining(`This kernel makes no links of type ${kind} (it lacks ${missing})`),
        })
      await host.networks.remove('lan')
      expect(await machine.dump()).toEqual(before)
    },
  )
})
