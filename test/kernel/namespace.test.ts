/** The verbs of a namespace, `host.namespace` and `sandbox.namespace`: what they do is read back by iproute2, and the other way round. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, statSync } from 'node:fs'
import { open as openFile } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { afterEach, beforeEach, expect } from 'vitest'
import type { Host, Namespace, NamespaceRef, Sandbox } from '../../lib/index.js'
import { open } from '../setup/between.js'
import { freshHost, freshNamespace, type PrivateHost, PrivateNamespace, run } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'

const { describe, test } = requires('root')

let machine: PrivateHost
let host: Host
let box: Sandbox
beforeEach(async () => {
  machine = await freshHost()
  host = await open(machine)
  box = await host.sandboxes.create({ name: 'box', network: 'none' })
})
afterEach(async () => {
  await host.sandboxes.remove('box')
  await host.close()
  await machine.remove()
})

const inside = new PrivateNamespace('box')
const link = async (namespace: PrivateNamespace, name: string) => (await namespace.ipJson('-d', 'link', 'show', name))[0]

/** Both namespaces that have verbs, with what looks into them. */
const places: readonly [string, () => { verbs: Namespace; shell: PrivateNamespace }][] = [
  ['host.namespace', () => ({ verbs: host.namespace, shell: machine })],
  ['sandbox.namespace', () => ({ verbs: box.namespace, shell: inside })],
]

test('who it is', async () => {
  for (const [verbs, shell] of [[host.namespace, machine] as const, [box.namespace, inside] as const]) {
    expect(verbs.path).toBe(shell.netns)
    expect(verbs.inode).toBe(statSync(shell.netns, { bigint: true }).ino)
    expect(verbs.cookie).toBeGreaterThan(0n)
  }
  expect(box.namespace.cookie).not.toBe(host.namespace.cookie)
  const [got, [listed]] = [await host.sandboxes.get('box'), await host.sandboxes.list()]
  for (const same of [got, listed]) {
    expect([same?.namespace.path, same?.namespace.inode, same?.namespace.cookie]).toEqual([
      box.netns,
      box.namespace.inode,
      box.namespace.cookie,
    ])
  }
})

describe.each(places)('%s', (_, place) => {
  let verbs: Namespace
  let shell: PrivateNamespace
  beforeEach(() => {
    ;({ verbs, shell } = place())
  })

  test('a bridge with its options, and a port of it', async () => {
    const bridge = await verbs.links.add({
      name: 'br0',
      kind: 'bridge',
      mac: '02:00:5e:00:53:01',
      mtu: 1400,
      up: true,
      alias: 'a "b" c',
      bridge: { stp: false, multicastSnooping: false, ageing: 7, forwardDelay: 3 },
    })
    expect(bridge).toMatchObject({ name: 'br0', kind: 'bridge', mac: '02:00:5e:00:53:01', mtu: 1400, up: true, alias: 'a "b" c' })
    expect(await link(shell, 'br0')).toMatchObject({
      ifindex: bridge.index,
      address: '02:00:5e:00:53:01',
      mtu: 1400,
      ifalias: 'a "b" c',
      flags: expect.arrayContaining(['UP']),
      linkinfo: { info_kind: 'bridge', info_data: { stp_state: 0, mcast_snooping: 0, ageing_time: 700, forward_delay: 300 } },
    })
    const port = await verbs.links.add({
      name: 'p0',
      kind: 'veth',
      master: 'br0',
      up: true,
      queues: 1,
      port: { hairpin: true, isolated: true, learning: false, flood: false, multicastFlood: false, neighSuppress: true },
      peer: { name: 'p1', mac: '02:00:5e:00:53:02', mtu: 1300 },
    })
    expect(port).toMatchObject({ name: 'p0', kind: 'veth', master: bridge.index, port: { hairpin: true, isolated: true, learning: false } })
    expect(await link(shell, 'p0')).toMatchObject({
      master: 'br0',
      num_tx_queues: 1,
      linkinfo: {
        info_slave_data: { hairpin: true, isolated: true, learning: false, flood: false, mcast_flood: false, neigh_suppress: true },
      },
    })
    expect(await link(shell, 'p1')).toMatchObject({ address: '02:00:5e:00:53:02', mtu: 1300, link: 'p0' })
    expect((await verbs.links.list({ master: 'br0' })).map(({ name }) => name)).toEqual(['p0'])
    expect((await verbs.links.list({ name: 'p1' })).map(({ name }) => name)).toEqual(['p1'])
    expect((await verbs.links.list()).map(({ name, index }) => [name, index])).toEqual(
      (await shell.ipJson('link', 'show')).map(({ ifname, ifindex }) => [ifname, ifindex]),
    )
  })

  test('set changes what is named and nothing else, by name and by index', async () => {
    await shell.ip('link', 'add', 'br0', 'type', 'bridge')
    await shell.ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1')
    const [v0] = await verbs.links.list({ name: 'v0' })
    if (!v0) throw new Error('no v0')
    const before = await link(shell, 'v0')
    expect(await verbs.links.set({ link: 'v0', mtu: 1400 })).toMatchObject({ name: 'v0', mtu: 1400, up: false })
    expect(await link(shell, 'v0')).toEqual({ ...before, mtu: 1400 })
    expect(
      await verbs.links.set({ link: v0, master: 'br0', port: { hairpin: true }, alias: 'mine', group: 7, mac: '02-00-5E-00-53-09' }),
    ).toMatchObject({
      port: { hairpin: true },
      alias: 'mine',
      group: 7,
      mac: '02:00:5e:00:53:09',
    })
    expect(await link(shell, 'v0')).toMatchObject({ master: 'br0', ifalias: 'mine', group: '7', address: '02:00:5e:00:53:09' })
    expect(await verbs.links.set({ link: { name: 'v0', index: v0.index }, up: true, rename: 'renamed' })).toMatchObject({
      name: 'renamed',
      up: true,
      index: v0.index,
    })
    expect(await link(shell, 'renamed')).toMatchObject({ ifindex: v0.index, flags: expect.arrayContaining(['UP']) })
    const released = await verbs.links.set({ link: 'renamed', master: null, alias: '', up: false, rename: 'v0' })
    expect(released).toMatchObject({ name: 'v0', up: false })
    expect(released).not.toHaveProperty('master')
    expect(released).not.toHaveProperty('alias')
    const read = await link(shell, 'v0')
    expect(read).not.toHaveProperty('master')
    expect(read).not.toHaveProperty('ifalias')
    // A name that is taken: it is as it was, and not down.
    await verbs.links.set({ link: 'v0', up: true })
    await expect(verbs.links.set({ link: 'v0', up: false, rename: 'v1' })).rejects.toMatchObject({ code: 'ERR_NETMODE_EXISTS' })
    expect(await link(shell, 'v0')).toMatchObject({ flags: expect.arrayContaining(['UP']) })
    await verbs.links.set({ link: 'v0', up: false })
    // The index is the link; the name is what it is called for now.
    await shell.ip('link', 'set', 'v0', 'name', 'other')
    expect(await verbs.links.set({ link: v0, mtu: 1300, rename: 'v0' })).toMatchObject({ name: 'v0', mtu: 1300 })
  })

  requires('root', 'link:dummy').test('a dummy, which answers to its address', async () => {
    const { index } = await verbs.links.add({ name: 'd0', kind: 'dummy', mtu: 1400, up: true })
    await verbs.addresses.add({ link: 'd0', address: '192.0.2.1', prefix: 32 })
    expect(await link(shell, 'd0')).toMatchObject({ ifindex: index, mtu: 1400, linkinfo: { info_kind: 'dummy' } })
    expect(await shell.succeeds('ping', '-c', '1', '-W', '5', '192.0.2.1')).toBe(true)
    expect(await verbs.links.delete({ link: 'd0' })).toBe(true)
    expect(await shell.succeeds('ip', 'link', 'show', 'd0')).toBe(false)
  })

  test('delete, by name and by index; false when there is none', async () => {
    const { index } = await verbs.links.add({ name: 'v0', kind: 'veth', peer: { name: 'v1' } })
    expect(await verbs.links.delete({ link: { name: 'v1', index: index + 1000 } })).toBe(false)
    expect(await verbs.links.delete({ link: 'nobody' })).toBe(false)
    expect(await verbs.links.delete({ link: 'v1' })).toBe(true)
    expect(await verbs.links.delete({ link: { name: 'v0', index } })).toBe(false) // it went with its peer
    expect((await verbs.links.list({ name: 'v0' })).length).toBe(0)
    expect(await shell.succeeds('ip', 'link', 'show', 'v0')).toBe(false)
  })

  describe('on a link', () => {
    beforeEach(async () => {
      await shell.ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1')
      await shell.ip('link', 'set', 'v0', 'up')
      await shell.ip('link', 'set', 'v1', 'up')
    })
    const infos = async () => ((await shell.ipJson('address', 'show', 'v0'))[0]?.addr_info ?? []) as Record<string, unknown>[]

    test('addresses', async () => {
      await verbs.addresses.add({ link: 'v0', address: '192.0.2.1', prefix: 24, broadcast: '192.0.2.255' })
      await verbs.addresses.add({ link: 'v0', address: '192.0.2.9', prefix: 32, scope: 'link', noPrefixRoute: true })
      await verbs.addresses.add({ link: 'v0', address: '2001:DB8::1', prefix: 64, noDad: true })
      expect(await infos()).toEqual(
        expect.arrayContaining([
          expect.objectContaining({ local: '192.0.2.1', prefixlen: 24, broadcast: '192.0.2.255', scope: 'global' }),
          expect.objectContaining({ local: '192.0.2.9', prefixlen: 32, scope: 'link', noprefixroute: true }),
          expect.objectContaining({ local: '2001:db8::1', prefixlen: 64, nodad: true }),
        ]),
      )
      const listed = await verbs.addresses.list({ link: 'v0' })
      expect(
        listed
          .filter(({ scope, family }) => family === 4 || scope === 'global')
          .map(({ address, prefix }) => `${address}/${prefix}`)
          .sort(),
      ).toEqual(['192.0.2.1/24', '192.0.2.9/32', '2001:db8::1/64'])
      expect((await verbs.addresses.list()).some(({ address }) => address === '127.0.0.1')).toBe(true)
      const twice = verbs.addresses.add({ link: 'v0', address: '192.0.2.1', prefix: 24 })
      await expect(twice).rejects.toMatchObject({ code: 'ERR_NETMODE_EXISTS', syscall: 'address.add', subject: '192.0.2.1/24 on v0' })
      await verbs.addresses.replace({ link: 'v0', address: '192.0.2.1', prefix: 24 })
      expect(await verbs.addresses.delete({ link: 'v0', address: '192.0.2.1', prefix: 24 })).toBe(true)
      expect(await verbs.addresses.delete({ link: 'v0', address: '192.0.2.1', prefix: 24 })).toBe(false)
      expect((await infos()).map(({ local }) => local)).not.toContain('192.0.2.1')
    })

    test('routes', async () => {
      await verbs.addresses.add({ link: 'v0', address: '192.0.2.1', prefix: 24 })
      await verbs.addresses.add({ link: 'v0', address: '2001:db8::1', prefix: 64, noDad: true })
      await verbs.routes.add({ to: '203.0.113.0/24', via: '192.0.2.2', metric: 50, mtu: 1280, source: '192.0.2.1' })
      await verbs.routes.add({ to: '203.0.113.7', link: 'v0' })
      await verbs.routes.add({ to: '198.18.0.0/15', type: 'unreachable' })
      await verbs.routes.add({ to: 'default', family: 6, via: '2001:db8::2', table: 1234 })
      await verbs.routes.add({ to: '2001:db8:7::/48', via: '2001:db8:9::1', link: 'v0', onlink: true })
      expect(await shell.ipJson('route', 'show', '203.0.113.0/24')).toMatchObject([
        { gateway: '192.0.2.2', dev: 'v0', metric: 50, prefsrc: '192.0.2.1', metrics: [{ mtu: 1280 }] },
      ])
      expect(await shell.ipJson('route', 'show', '203.0.113.7')).toMatchObject([{ dev: 'v0', scope: 'link' }])
      expect(await shell.ipJson('route', 'show', '198.18.0.0/15')).toMatchObject([{ type: 'unreachable' }])
      expect(await shell.ipJson('-6', 'route', 'show', 'table', '1234')).toMatchObject([{ dst: 'default', gateway: '2001:db8::2' }])
      expect(await shell.ipJson('-6', 'route', 'show', '2001:db8:7::/48')).toMatchObject([{ gateway: '2001:db8:9::1', flags: ['onlink'] }])
      const listed = await verbs.routes.list({ family: 4 })
      expect(listed.find(({ to }) => to === '203.0.113.0/24')).toMatchObject({
        via: '192.0.2.2',
        metric: 50,
        mtu: 1280,
        source: '192.0.2.1',
      })
      expect((await verbs.routes.list({ family: 6, table: 1234 })).map(({ to }) => to)).toEqual(['default'])
      expect((await verbs.routes.list({ table: 0 })).length).toBeGreaterThan((await verbs.routes.list()).length)
      await expect(verbs.routes.add({ to: '203.0.113.7', link: 'v0' })).rejects.toMatchObject({
        code: 'ERR_NETMODE_EXISTS',
        syscall: 'route.add',
        subject: '203.0.113.7/32',
      })
      await verbs.routes.replace({ to: '203.0.113.0/24', via: '192.0.2.3', metric: 50 })
      expect(await shell.ipJson('route', 'show', '203.0.113.0/24')).toMatchObject([{ gateway: '192.0.2.3', metric: 50 }])
      expect(await verbs.routes.delete({ to: '203.0.113.0/24' })).toBe(true)
      expect(await verbs.routes.delete({ to: '203.0.113.0/24' })).toBe(false)
      expect(await verbs.routes.delete({ to: 'default', family: 6, table: 1234 })).toBe(true)
      expect(await verbs.routes.delete({ to: 'default', family: 6, table: 1234 })).toBe(false)
      await expect(verbs.routes.add({ to: '203.0.113.8', via: '233.252.0.1' })).rejects.toMatchObject({
        syscall: 'route.add',
        errno: expect.any(Number),
      })
    })

    test('neighbours', async () => {
      await verbs.neighbors.add({ link: 'v0', address: '192.0.2.7', mac: '02:00:5e:00:53:07' })
      await verbs.neighbors.add({ link: 'v0', address: '2001:db8::7', mac: '02:00:5e:00:53:07', state: 'stale' })
      await verbs.neighbors.add({ link: 'v0', address: '192.0.2.8', proxy: true })
      expect(await shell.ipJson('neighbor', 'show', 'dev', 'v0')).toEqual(
        expect.arrayContaining([
          expect.objectContaining({ dst: '192.0.2.7', lladdr: '02:00:5e:00:53:07', state: ['PERMANENT'] }),
          expect.objectContaining({ dst: '2001:db8::7', lladdr: '02:00:5e:00:53:07', state: ['STALE'] }),
        ]),
      )
      expect(await shell.ipJson('neighbor', 'show', 'proxy')).toMatchObject([{ dst: '192.0.2.8', dev: 'v0' }])
      const listed = await verbs.neighbors.list({ link: 'v0' })
      expect(
        listed
          .filter(({ address }) => !address.startsWith('ff'))
          .map(({ address }) => address)
          .sort(),
      ).toEqual(['192.0.2.7', '2001:db8::7'])
      expect((await verbs.neighbors.list({ proxy: true })).map(({ address }) => address)).toEqual(['192.0.2.8'])
      const twice = verbs.neighbors.add({ link: 'v0', address: '192.0.2.7', mac: '02:00:5e:00:53:08' })
      await expect(twice).rejects.toMatchObject({ code: 'ERR_NETMODE_EXISTS', syscall: 'neighbor.add', subject: '192.0.2.7 on v0' })
      await verbs.neighbors.replace({ link: 'v0', address: '192.0.2.7', mac: '02:00:5e:00:53:08' })
      expect(await shell.ipJson('neighbor', 'show', '192.0.2.7')).toMatchObject([{ lladdr: '02:00:5e:00:53:08' }])
      expect(await verbs.neighbors.delete({ link: 'v0', address: '192.0.2.7' })).toBe(true)
      expect(await verbs.neighbors.delete({ link: 'v0', address: '192.0.2.99' })).toBe(false)
      expect(await verbs.neighbors.delete({ link: 'v0', address: '192.0.2.8', proxy: true })).toBe(true)
      expect(await verbs.neighbors.delete({ link: 'v0', address: '192.0.2.8', proxy: true })).toBe(false)
    })
  })

  test('sysctls, of this namespace alone', async () => {
    expect(await verbs.sysctls.get('net.ipv4.ip_forward')).toBe(await shell.sysctl('net.ipv4.ip_forward'))
    const other = shell === machine ? inside : machine
    const before = await other.sysctl('net.ipv4.ip_default_ttl')
    await verbs.sysctls.set('net/ipv4/ip_default_ttl', '17')
    expect(await shell.sysctl('net.ipv4.ip_default_ttl')).toBe('17')
    expect(await other.sysctl('net.ipv4.ip_default_ttl')).toBe(before)
    expect(await verbs.sysctls.get('net.ipv4.ip_local_port_range')).toMatch(/^\d+\s\d+$/)
    await expect(verbs.sysctls.get('net.ipv4.nothing')).rejects.toMatchObject({
      code: 'ERR_NETMODE_NOT_FOUND',
      syscall: 'sysctl.get',
      subject: 'net/ipv4/nothing',
    })
    await expect(verbs.sysctls.set('net.ipv4.ip_default_ttl', 'much')).rejects.toMatchObject({
      syscall: 'sysctl.set',
      subject: 'net/ipv4/ip_default_ttl',
    })
    await expect(verbs.sysctls.get('kernel.hostname')).rejects.toMatchObject({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'key' })
  })

  test('what can’t be done is told by op and subject, what is wrong by field', async () => {
    await shell.ip('link', 'add', 'br0', 'type', 'bridge')
    const rejects = (call: Promise<unknown>, error: object) => expect(call).rejects.toMatchObject(error)
    await rejects(verbs.links.add({ name: 'br0', kind: 'bridge' }), { code: 'ERR_NETMODE_EXISTS', syscall: 'link.add', subject: 'br0' })
    await rejects(verbs.links.add({ name: 'v0', kind: 'veth', master: 'nobody', peer: { name: 'v1' } }), {
      code: 'ERR_NETMODE_NOT_FOUND',
      syscall: 'link.add',
    })
    await rejects(verbs.links.set({ link: 'nobody', up: true }), { code: 'ERR_NETMODE_NOT_FOUND', syscall: 'link.set', subject: 'nobody' })
    await rejects(verbs.links.set({ link: 'br0', mtu: 68_000 }), { syscall: 'link.set', subject: 'br0' })
    await rejects(verbs.addresses.add({ link: 'nobody', address: '192.0.2.1', prefix: 24 }), {
      code: 'ERR_NETMODE_NOT_FOUND',
      syscall: 'address.add',
    })
    await rejects(verbs.addresses.list({ link: 'nobody' }), { code: 'ERR_NETMODE_NOT_FOUND', syscall: 'address.list' })
    await rejects(verbs.links.add({ name: 'a b', kind: 'bridge' }), { code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'name' })
    await rejects(verbs.links.add({ name: 'x0', kind: 'vxlan' as 'veth' }), { code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'kind' })
    await rejects(verbs.addresses.add({ link: 'br0', address: '192.0.2.256', prefix: 24 }), {
      code: 'ERR_NETMODE_INVALID_ARGUMENT',
      field: 'address',
    })
    await rejects(verbs.routes.add({ to: '10.0.0.1/8', link: 'br0' }), { code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'to' })
    await rejects(verbs.links.list({ nome: 'x' } as object), { code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'nome' })
    expect((await verbs.links.list()).map(({ name }) => name)).not.toContain('v0')
  })

  test('an abort rejects with its reason, and nothing is done', async () => {
    const before = await shell.ipJson('address', 'show')
    const reason = new Error('not any more')
    const op = { signal: AbortSignal.abort(reason) }
    const calls = [
      verbs.links.list({}, op),
      verbs.links.add({ name: 'br0', kind: 'bridge' }, op),
      verbs.links.set({ link: 'lo', mtu: 1500 }, op),
      verbs.links.move({ link: 'lo', to: machine.netns }, op),
      verbs.links.delete({ link: 'nobody' }, op),
      verbs.addresses.add({ link: 'lo', address: '192.0.2.1', prefix: 32 }, op),
      verbs.addresses.delete({ link: 'lo', address: '127.0.0.1', prefix: 8 }, op),
      verbs.routes.add({ to: '192.0.2.0/24', link: 'lo' }, op),
      verbs.neighbors.list({}, op),
      verbs.sysctls.set('net.ipv4.ip_default_ttl', '5', op),
    ]
    for (const call of calls) await expect(call).rejects.toBe(reason)
    expect(await shell.ipJson('address', 'show')).toEqual(before)
  })
})

describe('moving links', () => {
  test('between host and sandbox, with a new name on the way', async () => {
    await machine.ip('link', 'add', 'tap7', 'type', 'veth', 'peer', 'name', 'tap8')
    await host.namespace.links.move({ link: 'tap7', to: box.netns, rename: 'eth0' })
    expect(await link(inside, 'eth0')).toMatchObject({ linkinfo: { info_kind: 'veth' } })
    expect(await host.namespace.links.list({ name: 'tap7' })).toEqual([])
    await box.namespace.links.move({ link: 'eth0', to: machine.netns, rename: 'tap9' }) // an eth0 is there already
    expect(await link(machine, 'tap9')).toMatchObject({ linkinfo: { info_kind: 'veth' } })
    expect((await box.namespace.links.list()).map(({ name }) => name)).toEqual(['lo'])
  })

  test('a name that is taken there stops it, and the link stays where it was', async () => {
    await machine.ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1')
    await expect(host.namespace.links.move({ link: 'v0', to: box.netns, rename: 'lo' })).rejects.toMatchObject({
      code: 'ERR_NETMODE_INVALID_ARGUMENT',
      field: 'rename',
    })
    await inside.ip('link', 'add', 'br0', 'type', 'bridge')
    await expect(host.namespace.links.move({ link: 'v0', to: box.netns, rename: 'br0' })).rejects.toMatchObject({
      code: 'ERR_NETMODE_EXISTS',
      field: 'rename',
      subject: 'br0',
    })
    await inside.ip('link', 'add', 'v0', 'type', 'bridge')
    await expect(host.namespace.links.move({ link: 'v0', to: box.netns })).rejects.toMatchObject({
      code: 'ERR_NETMODE_EXISTS',
      syscall: 'link.set',
      subject: 'v0',
    })
    expect((await host.namespace.links.list({ name: 'v0' })).length).toBe(1)
  })

  test('to a path, a process, a descriptor; not to what is none', async () => {
    const other = await freshNamespace()
    const child = spawn('nsenter', [`--net=${other.netns}`, '--', 'sleep', '1000'])
    while (!readFileSync(`/proc/${child.pid}/cmdline`, 'latin1').startsWith('sleep')) await new Promise(setImmediate)
    const fd = openSync(other.netns, 'r')
    const targets: NamespaceRef[] = [other.netns, { pid: child.pid as number }, { fd }]
    for (const [i, to] of targets.entries()) {
      await machine.ip('link', 'add', `v${i}`, 'type', 'veth', 'peer', 'name', `w${i}`)
      await host.namespace.links.move({ link: `v${i}`, to })
      expect(await link(other, `v${i}`)).toBeDefined()
    }
    await expect(host.namespace.links.move({ link: 'w0', to: '/etc/hosts' })).rejects.toMatchObject({ code: 'ERR_NETMODE_NOT_A_NAMESPACE' })
    await expect(host.namespace.links.move({ link: 'w0', to: '/run/netns/nobody' })).rejects.toMatchObject({
      code: 'ERR_NETMODE_NAMESPACE_GONE',
    })
    await expect(host.namespace.links.move({ link: 'w0', to: 'other' })).rejects.toMatchObject({ field: 'to' })
    await expect(host.namespace.links.move({ link: 'nobody', to: other.netns })).rejects.toMatchObject({ code: 'ERR_NETMODE_NOT_FOUND' })
    expect(await link(machine, 'w0')).toBeDefined()
    closeSync(fd)
    child.kill('SIGKILL')
    await other.remove()
  })
})

describe('together with ip netns', () => {
  test('it sees a sandbox, works in it, and what it does is seen', async () => {
    expect((await run('ip', ['netns', 'list'])).split('\n').map(line => line.split(' ')[0])).toContain('box')
    await run('ip', ['netns', 'exec', 'box', 'ip', 'link', 'add', 'br0', 'type', 'bridge'])
    expect((await box.namespace.links.list()).map(({ name }) => name)).toEqual(['lo', 'br0'])
    const child = box.spawn('sh', ['-c', 'echo inside; exec sleep 1000'])
    await once(child.stdout as Readable, 'data')
    expect((await run('ip', ['netns', 'pids', 'box'])).trim().split('\n')).toContain(String(child.pid))
    expect((await run('ip', ['netns', 'identify', String(child.pid)])).trim()).toBe('box')
    child.kill('SIGKILL')
  })

  test('a namespace that it made is a host and can be a sandbox', async () => {
    await run('ip', ['netns', 'add', 'theirs'])
    await using other = await (await import('../../lib/index.js')).openHost({
      netns: '/run/netns/theirs',
      stateDir: `${machine.stateDir}/theirs`,
    })
    await other.namespace.links.add({ name: 'br0', kind: 'bridge' })
    expect(await run('ip', ['-n', 'theirs', '-o', 'link', 'show', 'br0'])).toContain('br0')
    const vm = await host.sandboxes.create({ name: 'vm', network: 'none', netns: '/run/netns/theirs' })
    expect(vm.namespace.inode).toBe(other.namespace.inode)
    expect(await vm.remove()).toBe(true)
    expect(await run('ip', ['netns', 'list'])).toContain('theirs')
    await run('ip', ['netns', 'delete', 'theirs'])
  })

  test('a sandbox whose name it deleted is gone, and says so', async () => {
    await host.close()
    host = await open(machine, { repair: false }) // or its guard may release it meanwhile
    const gone = await host.sandboxes.create({ name: 'gone', network: 'none' })
    // As long as somebody holds it, its inode number is not given to the next one.
    const held = await openFile('/run/netns/gone')
    await run('ip', ['netns', 'delete', 'gone'])
    await expect(gone.namespace.links.list()).rejects.toMatchObject({ code: 'ERR_NETMODE_NAMESPACE_GONE' })
    await run('ip', ['netns', 'add', 'gone'])
    await expect(gone.namespace.links.list()).rejects.toMatchObject({ code: 'ERR_NETMODE_NAMESPACE_GONE' })
    expect((await host.sandboxes.get('gone'))?.name).toBe('gone')
    expect(await host.sandboxes.remove('gone')).toBe(true)
    await held.close()
  })
})
