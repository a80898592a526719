/** VLANs as parents of networks: made where they are missing, and gone with their network. */
import { expect } from 'vitest'
import type { Host, NetworkOptions } from '../../lib/index.js'
import type { PrivateHost } from '../setup/namespace.js'
import { ask, greet, type Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'
import { onStage } from '../setup/stage.js'

const { describe, test } = requires('root', 'link:vlan', 'link:macvlan')

let machine: PrivateHost
let host: Host
let outside: Peer
onStage(async stage => {
  ;({ machine, host, outside } = stage)
  await machine.outside.ip('link', 'add', 'link', 'eth0', 'name', 'tagged', 'type', 'vlan', 'id', '100')
  await machine.outside.ip('link', 'set', 'tagged', 'up')
  await machine.outside.ip('address', 'add', '203.0.113.2/24', 'dev', 'tagged')
})

const tagged = { parent: 'eth0.100', subnets: [{ subnet: '203.0.113.0/24', gateway: '203.0.113.2' }] }

describe('on the VLAN of a device', () => {
  test.each<[string, NetworkOptions]>([
    ['macvlan', { name: 'lan', driver: 'macvlan', ...tagged }],
    ['a bridge with that uplink', { name: 'lan', ...tagged }],
  ])('%s: the VLAN is made, carries the traffic with its tag, and is gone afterwards', async (_, options) => {
    const before = await machine.dump()
    await host.networks.create(options)
    expect(await machine.ipJson('-d', 'link', 'show', 'eth0.100')).toMatchObject([
      { link: 'eth0', ifalias: 'netmode:/lan', linkinfo: { info_kind: 'vlan', info_data: { id: 100 } } },
    ])
    const a = await host.sandboxes.create({ name: 'a', network: 'lan' })
    await greet(a, '203.0.113.1', 80)
    expect(await ask(outside, '203.0.113.1', 80)).toBe('203.0.113.2')
    await a.remove()
    await host.networks.remove('lan')
    expect(await machine.dump()).toEqual(before)
  })

  test('one that is there already is used and left', async () => {
    await machine.ip('link', 'add', 'link', 'eth0', 'name', 'eth0.100', 'type', 'vlan', 'id', '100')
    await machine.ip('link', 'set', 'eth0.100', 'up')
    const before = await machine.dump()
    await host.networks.create({ name: 'lan', driver: 'macvlan', ...tagged })
    await host.networks.remove('lan')
    expect(await machine.dump()).toEqual(before)
  })

  test('one that a network has made is its own', async () => {
    await host.networks.create({ name: 'lan', driver: 'macvlan', ...tagged })
    await expect(host.networks.create({ name: 'second', driver: 'macvlan', parent: 'eth0.100' })).rejects.toMatchObject({
      code: 'ERR_NETMODE_BUSY',
      holder: 'lan',
    })
  })
})
