/** Bridges with a device of the host as their uplink: sandboxes on the LAN, and the host goes on at its own addresses. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { expect } from 'vitest'
import type { Host, NetworkOptions, SandboxOptions } from '../../lib/index.js'
import { type PrivateHost, PrivateNamespace } from '../setup/namespace.js'
import { addressOf, ask, families, greet, type Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'
import { homeSubnets, onStage, serving } from '../setup/stage.js'

const { describe, test } = requires('root', 'program:nft')

let machine: PrivateHost
let host: Host
let self: Peer
let outside: Peer
onStage(stage => {
  ;({ machine, host, self, outside } = stage)
})

const lan: NetworkOptions = {
  name: 'lan',
  bridge: 'br.lan',
  parent: 'eth0',
  subnets: homeSubnets,
}

const sandbox = (name: string, options?: Partial<SandboxOptions>) => serving(host, name, options)

describe('a bridge with an uplink', () => {
  test('puts sandboxes on the LAN: they, the host and its neighbours see each other at their own addresses', async () => {
    await host.networks.create(lan)
    const [a, b] = [await sandbox('a'), await sandbox('b')]
    expect(await new PrivateNamespace('a').ipJson('route', 'show', 'default')).toMatchObject([{ gateway: '198.51.100.2' }])
    for (const family of families) {
      expect(await ask(outside, addressOf(a, family), 80)).toBe(family.outside)
      expect(await ask(self, addressOf(a, family), 80)).toBe(family.host)
      expect(await ask(b, addressOf(a, family), 80)).toBe(addressOf(b, family))
      await greet(outside, family.outside, 8000)
      expect(await ask(a, family.outside, 8000)).toBe(addressOf(a, family))
      expect(await ask(self, family.outside, 8000)).toBe(family.host)
    }
    // Nothing is translated or kept out: the tables hold nothing but who may say what into the bridge.
    expect(await machine.nft('list', 'table', 'inet', 'netmode')).not.toContain('elements')
    expect(await machine.nft('list', 'set', 'bridge', 'netmode', 'sender4')).toContain(addressOf(a, families[0]))
  })

  test('takes over what the host has on the device, connections included, and gives it back as it was', async () => {
    await machine.ip('address', 'add', '198.51.100.9/24', 'dev', 'eth0')
    await machine.ip('address', 'add', '192.0.2.1/28', 'broadcast', '192.0.2.15', 'dev', 'eth0', 'noprefixroute')
    await machine.ip('route', 'add', '203.0.113.0/24', 'via', '198.51.100.2', 'src', '198.51.100.9', 'metric', '77')
    await machine.ip('route', 'add', 'default', 'via', '198.51.100.2', 'dev', 'eth0', 'table', '100')
    await machine.ip('route', 'add', '192.0.2.128/25', 'dev', 'eth0', 'scope', 'link', 'mtu', '1300')
    await machine.ip('-6', 'route', 'add', '2001:db8:77::/48', 'via', '2001:db8:100::2', 'dev', 'eth0')
    const before = await machine.dump()

    const server = createServer(socket => socket.pipe(socket))
    await self.listen(server, { host: '198.51.100.1', port: 7 })
    const client = await outside.dial({ host: '198.51.100.1', port: 7 })
    const echo = async (text: string): Promise<string> => {
      client.write(text)
      return String((await once(client, 'data'))[0])
    }
    expect(await echo('before')).toBe('before')
    const [device] = await machine.ipJson('link', 'show', 'eth0')
    await host.networks.create(lan)
    expect(await echo('on the bridge')).toBe('on the bridge')

    expect(await machine.ipJson('-d', 'link', 'show', 'eth0')).toMatchObject([{ master: 'br.lan', address: device?.address }])
    expect(await machine.ipJson('link', 'show', 'br.lan')).toMatchObject([{ address: device?.address, ifalias: 'netmode:/lan' }])
    expect(await machine.ipJson('address', 'show', 'dev', 'eth0', 'scope', 'global')).toEqual([])
    // The kernel's own, of its link-local address, come and go with the link.
    const left = await machine.ipJson('route', 'show', 'table', 'all', 'dev', 'eth0')
    expect(left.filter(({ dst }) => dst !== 'fe80::/64' && dst !== 'ff00::/8')).toEqual([])
    expect(await machine.ipJson('route', 'show', '203.0.113.0/24')).toMatchObject([
      { gateway: '198.51.100.2', dev: 'br.lan', prefsrc: '198.51.100.9', metric: 77 },
    ])

    expect(await host.networks.remove('lan')).toBe(true)
    expect(await echo('and after')).toBe('and after')
    client.destroy()
    expect(await machine.dump()).toEqual(before)
  })

  test('a device that was down is down again', async () => {
    await machine.ip('link', 'add', 'spare', 'type', 'veth')
    for (const state of ['up', 'down']) await machine.ip('link', 'set', 'spare', state)
    const before = await machine.dump()
    await host.networks.create({ name: 'spare', parent: 'spare' })
    expect(await machine.ipJson('link', 'show', 'spare')).toMatchObject([{ flags: expect.arrayContaining(['UP']) }])
    await host.networks.remove('spare')
    expect(await machine.dump()).toEqual(before)
  })

  test('the device is gone when the network goes', async () => {
    await machine.ip('link', 'add', 'spare', 'type', 'veth')
    await machine.ip('link', 'set', 'spare', 'up')
    await machine.ip('address', 'add', '203.0.113.1/24', 'dev', 'spare')
    await host.networks.create({ name: 'spare', parent: 'spare', bridge: 'br.spare' })
    await machine.ip('link', 'delete', 'spare')
    expect(await host.networks.remove('spare')).toBe(true)
    expect(await machine.succeeds('ip', 'link', 'show', 'br.spare')).toBe(false)
  })

  test('icc=false: siblings are cut off from each other, not from the LAN', async () => {
    await host.networks.create({ ...lan, icc: false })
    const [a, b] = [await sandbox('a'), await sandbox('b')]
    for (const family of families) {
      expect(await ask(outside, addressOf(a, family), 80)).toBe(family.outside)
      expect(await ask(b, addressOf(a, family), 80, { quiet: true })).not.toBe(addressOf(b, family))
    }
  })

  test('other networks go out by it, masqueraded, and publish on it', async () => {
    await host.networks.create(lan)
    const inner = await host.sandboxes.create({ name: 'inner', publish: ['8080:80'] })
    await greet(inner, '0.0.0.0', 80)
    await greet(outside, '198.51.100.2', 8000)
    expect(await ask(inner, '198.51.100.2', 8000)).toBe('198.51.100.1')
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2')
  })

  test('what makes no sense there is refused', async () => {
    for (const [field, wrong] of Object.entries({ internal: true, masquerade: false, parent: 'eth7', mtu: 1501 }))
      await expect(host.networks.create({ ...lan, [field]: wrong })).rejects.toMatchObject({ field })
    await host.networks.create(lan)
    await expect(host.networks.create({ ...lan, name: 'second', bridge: 'br.2', subnets: ['10.1.0.0/24'] })).rejects.toMatchObject({
      code: 'ERR_NETMODE_BUSY',
      holder: 'br.lan',
    })
    await expect(host.sandboxes.create({ name: 'a', network: 'lan', publish: ['80'] })).rejects.toMatchObject({ field: 'publish[0]' })
  })
})
