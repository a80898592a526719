/** What a container of a real Docker finds in its /etc, and what it is told of names, beside what a sandbox with the same options is. */
import { existsSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect } from 'vitest'
import type { Host, SandboxOptions } from '../../lib/index.js'
import { open } from '../setup/between.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { DockerDaemon } from './docker-daemon.js'

const { describe } = requires('realRoot', 'dockerd', 'program:busybox')
const busybox = ['/usr/bin/busybox', '/bin/busybox'].find(path => existsSync(path)) ?? ''

/** Sorted, since Docker has changed the order of resolv.conf's lines; older ones write the unspecified group otherwise. */
function lines(file: string): readonly string[] {
  return file
    .replaceAll('fe00::0\t', 'fe00::\t')
    .replaceAll('ff00::0\t', 'ff00::\t')
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))
    .sort()
}

describe('beside Docker', { timeout: 180_000 }, () => {
  const made: AsyncDisposable[] = []
  let daemon: DockerDaemon
  let machine: PrivateHost
  let host: Host
  beforeAll(async () => {
    const dockers = await freshHost()
    made.push(dockers)
    daemon = await DockerDaemon.start(dockers)
    made.push(daemon)
    await daemon.importImage('busybox', busybox)
    await daemon.docker('network', 'create', '--subnet', '10.9.0.0/24', 'lan')
    await daemon.docker('network', 'create', '--subnet', '10.8.0.0/24', '--internal', 'inner')
    machine = await freshHost()
    made.push(machine)
    host = await open(machine)
    await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
    await host.networks.create({ name: 'inner', subnets: ['10.8.0.0/24'], internal: true })
  }, 180_000)
  afterAll(async () => {
    await host?.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
    await host?.close()
    for (const one of made.reverse()) await one[Symbol.asyncDispose]()
  }, 60_000)

  /** Runs busybox in a new container and in a new sandbox; both end with it. */
  async function both(options: Omit<SandboxOptions, 'name'>, ...command: string[]): Promise<{ docker: string; netmode: string }> {
    const { network = 'bridge', hostname, dns = [], dnsSearch = [], dnsOptions = [], addHosts = [] } = options
    const flags = [
      ...['--network', network],
      ...(hostname === undefined ? [] : ['--hostname', hostname]),
      ...dns.flatMap(one => ['--dns', one]),
      ...dnsSearch.flatMap(one => ['--dns-search', one]),
      ...dnsOptions.flatMap(one => ['--dns-option', one]),
      ...addHosts.flatMap(one => ['--add-host', one]),
    ]
    const limits = ['--ulimit', 'nofile=1024:1024']
    // A command that fails is told of by docker in its error.
    const docker = await daemon
      .docker('run', '--rm', ...limits, '--name', 'probe', ...flags, 'busybox', '/bin/busybox', ...command)
      .catch(String)
    const sandbox = await host.sandboxes.create({ name: 'probe', ...options })
    const { stdout } = sandbox.spawn(busybox, command)
    const netmode = stdout ? (await text(stdout)).trim() : ''
    await sandbox.remove()
    return { docker, netmode }
  }

  const given = {
    hostname: 'web.example.com',
    dns: ['192.0.2.53', '192.0.2.54'],
    dnsSearch: ['a.test', 'b.test'],
    dnsOptions: ['ndots:3', 'rotate'],
  }

  const { test } = requires('realRoot')
  test('hosts and hostname are the same', async () => {
    for (const network of ['bridge', 'lan', 'inner']) {
      const hosts = await both({ network, hostname: 'web.example.com', addHosts: ['db:192.0.2.1', 'six:2001:db8::1'] }, 'cat', '/etc/hosts')
      expect(lines(hosts.netmode), network).toEqual(lines(hosts.docker))
      const hostname = await both({ network, hostname: 'web.example.com' }, 'cat', '/etc/hostname')
      expect(hostname.netmode).toBe(hostname.docker)
    }
    const gateway = await both({ hostname: 'web', addHosts: ['outer:host-gateway'] }, 'cat', '/etc/hosts')
    // Which address is the next one on the default network is each one's own affair.
    const withoutOwn = (file: string) => lines(file).filter(line => !line.endsWith('\tweb'))
    expect(withoutOwn(gateway.netmode)).toEqual(withoutOwn(gateway.docker))
    expect(withoutOwn(gateway.netmode)).toContain('172.17.0.1\touter')
  })

  test('resolv.conf is the same on the default network, and on others but for who is asked first', async () => {
    const plain = await both(given, 'cat', '/etc/resolv.conf')
    expect(lines(plain.netmode)).toEqual(lines(plain.docker))
    const none = await both({ ...given, dnsSearch: ['.'] }, 'cat', '/etc/resolv.conf')
    expect(lines(none.netmode)).toEqual(lines(none.docker))
    for (const options of [given, { ...given, dnsOptions: ['rotate'] }]) {
      const named = await both({ network: 'lan', ...options }, 'cat', '/etc/resolv.conf')
      const servers = ['nameserver 10.9.0.1', 'nameserver 192.0.2.53', 'nameserver 192.0.2.54']
      expect(lines(named.docker)).toContain('nameserver 127.0.0.11')
      expect(
        lines(named.netmode)
          .filter(line => !line.startsWith('nameserver'))
          .flatMap(words),
      ).toEqual(
        lines(named.docker)
          .filter(line => !line.startsWith('nameserver'))
          .flatMap(words),
      )
      expect(lines(named.netmode).filter(line => line.startsWith('nameserver'))).toEqual(servers)
    }
  })

  test('names are told alike', async () => {
    const id = await daemon.docker(
      'run',
      '-d',
      '--ulimit',
      'nofile=1024:1024',
      '--name',
      'db',
      '--network',
      'lan',
      '--network-alias',
      'sql',
      '--ip',
      '10.9.0.99',
      'busybox',
      '/bin/busybox',
      'sleep',
      '999',
    )
    const db = await host.sandboxes.create({ name: 'db', network: 'lan', aliases: ['sql'], ip: '10.9.0.99' })
    try {
      const asked = (name: string) => both({ network: 'lan', dns: ['127.0.0.1'], dnsSearch: ['.'] }, 'nslookup', name)
      for (const name of ['db', 'sql', 'DB', 'db.lan']) {
        const told = await asked(name)
        expect([told.docker, told.netmode].map(addressesOf), name).toEqual([['10.9.0.99'], ['10.9.0.99']])
      }
      expect(addressesOf((await asked(id.slice(0, 12))).docker)).toEqual(['10.9.0.99'])
      expect(addressesOf((await asked(db.id.slice(0, 12))).netmode)).toEqual(['10.9.0.99'])
      const reverse = await asked('10.9.0.99')
      expect([reverse.docker, reverse.netmode].map(output => /name = (\S+)/.exec(output)?.[1])).toEqual(['db.lan', 'db.lan'])
    } finally {
      await daemon.docker('rm', '-f', 'db')
      await db.remove()
    }
  })
})

/** The options of resolv.conf in no order. */
function words(line: string): readonly string[] {
  return line.split(' ').sort()
}

/** What follows the name that was asked for in busybox's nslookup. */
function addressesOf(output: string): readonly string[] {
  return [...output.slice(output.indexOf('Name:')).matchAll(/Address(?: \d+)?: (\d+\.\d+\.\d+\.\d+)/g)].map(([, address = '']) => address)
}
