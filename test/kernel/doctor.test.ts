/** `host.doctor`: each finding by causing it, its remedy by carrying it out: then traffic flows, where it didn't, and nothing is found. */

import { once } from 'node:events'
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import type { Finding, Host, Sandbox } from '../../lib/index.js'
import { open, openBetween } from '../setup/between.js'
import { Command, outcome } from '../setup/command.js'
import { freshHost, type PrivateHost, run } from '../setup/namespace.js'
import { ask, greet, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'

const { describe, test } = requires('root', 'program:nft', 'program:iptables')

let machine: PrivateHost
let host: Host
let web: Sandbox

beforeEach(async () => {
  machine = await freshHost()
  host = await open(machine, { repair: false })
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd09::/64'], bridge: 'br-lan' })
  web = await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['8080:80'] })
  await greet(web, '10.9.0.2', 80)
})
afterEach(async () => {
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await machine.remove()
})

/** What others on the machine fill is nobody's doing here. */
const ownMachine = process.env.NETMODE_OWN_MACHINE === '1'
const isHere = ({ id }: Finding): boolean => ownMachine || !id.startsWith('neighbor-table-full')
/** What this kernel has anyway is nobody's doing either. */
const isOurs = (finding: Finding): boolean => isHere(finding) && finding.id !== 'bridge-nf-call'
/** The same in what `netmode doctor` prints. */
const hereIn = (text: string): string =>
  ownMachine ? text : text.replaceAll(/^\w+: .*\[neighbor-table-full-ipv[46]\]\n {2}remedy: .*\n/gm, '')

async function findings(): Promise<readonly Finding[]> {
  return (await host.doctor()).filter(isOurs)
}

/** Asks the published port from outside. */
async function reached(): Promise<string> {
  await using outside = new Peer(machine.outside.netns)
  return await ask(outside, '198.51.100.1', 8080, { quiet: true })
}

/** Carries a remedy out, as an administrator would: in a shell of that host. */
async function follow({ remedy }: Finding): Promise<void> {
  await machine.run('sh', '-ec', remedy)
}

async function only(id: string): Promise<Finding> {
  const found = await findings()
  expect(found.map(one => one.id)).toEqual([id])
  return found[0] as Finding
}

test('a host where all is well has no findings', async () => {
  expect(await findings()).toEqual([])
  expect(await reached()).toBe('198.51.100.2')
})

describe('forwarding', () => {
  test.each([
    [4, 'net.ipv4.ip_forward'],
    [6, 'net.ipv6.conf.all.forwarding'],
  ])('off for IPv%i', async (family, key) => {
    await machine.run('sysctl', '-qw', `${key}=0`)
    if (family === 4) expect(await reached()).toBe('silent')
    const finding = await only(`forwarding-off-ipv${family}`)
    expect(finding).toMatchObject({ severity: 'error', remedy: `sysctl -w ${key}=1`, message: expect.stringContaining(key) })
    await follow(finding)
    expect(await findings()).toEqual([])
    expect(await reached()).toBe('198.51.100.2')
  })

  test('off on the bridge alone', async () => {
    await machine.run('sysctl', '-qw', 'net.ipv4.conf.br-lan.forwarding=0')
    await follow(await only('forwarding-off-on-device'))
    expect(await findings()).toEqual([])
  })
})

describe('rules of others', () => {
  test.each([
    [
      'a policy of drop',
      'foreign-drop-policy',
      'add table inet theirs; add chain inet theirs f { type filter hook forward priority 0; policy drop; }',
      'chain f',
    ],
    [
      'a rule that drops all',
      'foreign-drop-rule',
      'add table ip theirs; add chain ip theirs f { type filter hook forward priority 10; }; add rule ip theirs f ct state invalid drop; add rule ip theirs f counter drop',
      'rule handle \\d+ drops',
    ],
    [
      'a rule that rejects, in a chain that is jumped to',
      'foreign-drop-rule',
      'add table inet theirs; add chain inet theirs last; add rule inet theirs last reject; add chain inet theirs f { type filter hook forward priority 0; }; add rule inet theirs f jump last',
      'chain last',
    ],
  ])('%s', async (_, id, ruleset, where) => {
    await machine.nft(ruleset)
    expect(await reached()).not.toBe('198.51.100.2')
    const finding = await only(id)
    expect(finding).toMatchObject({
      severity: 'error',
      message: expect.stringMatching(new RegExp(`^Table (inet|ip) theirs, ${where.startsWith('rule') ? 'chain f, ' : ''}${where}`)),
    })
    expect(finding.message).toContain('br-lan')
    await follow(finding)
    expect(await reached()).toBe('198.51.100.2')
    expect(await findings()).toEqual([])
  })

  test('iptables’ FORWARD with a policy of drop, as Docker leaves it', async () => {
    await machine.run('iptables', '-P', 'FORWARD', 'DROP')
    expect(await reached()).toBe('silent')
    const finding = await only('foreign-drop-policy')
    expect(finding.message).toMatch(/^Table ip filter, chain FORWARD/)
    expect(finding.remedy).toBe('iptables -I FORWARD -i br-lan -j ACCEPT && iptables -I FORWARD -o br-lan -j ACCEPT')
    await follow(finding)
    expect(await reached()).toBe('198.51.100.2')
    expect(await findings()).toEqual([])
  })

  test('what only drops some, and what is not in the way, is nobody’s fault', async () => {
    await machine.nft(
      'add table inet theirs; add chain inet theirs f { type filter hook forward priority 0; }; add rule inet theirs f tcp dport 23 drop; ' +
        'add chain inet theirs i { type filter hook input priority 0; policy drop; }; add rule inet theirs i accept',
    )
    expect(await findings()).toEqual([])
  })

  test('our own table gone, with nobody to guard it', async () => {
    await machine.nft('flush', 'ruleset')
    expect(await only('ruleset-gone')).toMatchObject({ severity: 'error', remedy: 'netmode recover' })
    expect((await host.recover()).repaired).toEqual(['ruleset'])
    expect(await findings()).toEqual([])
  })
})

describe('the kernel', () => {
  test('strict reverse path filtering where there are two ways out', async () => {
    await machine.ip('link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'eth1', 'netns', machine.outside.name)
    await machine.ip('link', 'set', 'eth1', 'up')
    await machine.ip('address', 'add', '203.0.113.1/24', 'dev', 'eth1')
    await machine.ip('route', 'add', 'default', 'via', '203.0.113.2', 'metric', '200')
    await machine.run('sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.eth0.rp_filter=0', 'net.ipv4.conf.eth1.rp_filter=1')
    const finding = await only('rp-filter-strict')
    expect(finding).toMatchObject({ severity: 'warning', message: expect.stringContaining('eth1') })
    await follow(finding)
    expect(await findings()).toEqual([])
  })

  requires('root', 'br_netfilter').test('bridged frames that pass through iptables', async () => {
    await machine.run('sysctl', '-qw', 'net.bridge.bridge-nf-call-iptables=1', 'net.bridge.bridge-nf-call-ip6tables=0')
    const [finding] = (await host.doctor()).filter(({ id }) => id === 'bridge-nf-call')
    expect(finding).toMatchObject({ severity: 'warning', remedy: 'sysctl -w net.bridge.bridge-nf-call-iptables=0' })
    await follow(finding as Finding)
    expect((await host.doctor()).filter(isHere)).toEqual([])
  })

  test('connection tracking, nearly full and full', { timeout: 120_000 }, async () => {
    // Nobody answers there, and each pair of ports is a flow.
    await machine.ip('neighbor', 'add', '198.51.100.77', 'lladdr', '02:00:00:00:00:77', 'dev', 'eth0')
    await machine.run('sysctl', '-qw', 'net.netfilter.nf_conntrack_udp_timeout=600')
    const most = Number(await machine.sysctl('net.netfilter.nf_conntrack_max'))
    const flows = `
import socket, sys
left = int(sys.argv[1])
while left > 0:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for port in range(1, min(left, 65535) + 1):
        try:
            one.sendto(b'', ('198.51.100.77', port))
        except OSError:
            pass
    left -= 65535
`
    await machine.run('python3', '-c', flows, String(Math.round(most * 0.95)))
    expect(await only('conntrack-near-full')).toMatchObject({ severity: 'warning' })
    await machine.run('python3', '-c', flows, String(Math.round(most * 0.1)))
    expect(await only('conntrack-full')).toMatchObject({ severity: 'error', remedy: expect.stringContaining('nf_conntrack_max=') })
    await machine.run('conntrack', '-F')
    expect(await findings()).toEqual([])
  })

  requires('root', 'ownMachine').test.each([4, 6] as const)('the table of neighbours of IPv%i, full and nearly', async family => {
    // The limits are the machine's, and set where it began.
    const onMachine = (...args: string[]) => run('nsenter', ['--target=1', '--net', '--', ...args])
    const limits = [1, 2, 3].map(n => `net.ipv${family}.neigh.default.gc_thresh${n}`)
    const before = (await onMachine('sysctl', ...limits)).trim().replaceAll(' ', '').split('\n')
    const limit = (most: number) => onMachine('sysctl', '-qw', `${limits[2]}=${most}`)

    await using outside = new Peer(machine.outside.netns)
    const late = await host.sandboxes.create({ name: 'late', network: 'lan', publish: ['8081:80'] })
    await greet(late, '10.9.0.3', 80)
    const lateReached = () => ask(outside, '198.51.100.1', 8081, { quiet: true })

    // Neighbours that are reachable are not thrown out: these are for an hour.
    await machine.run('sysctl', '-qw', `net.ipv${family}.neigh.eth0.base_reachable_time_ms=3600000`)
    const add = (from: number, to: number) => {
      const addresses = Array.from({ length: to - from }, (_, i) => `${family === 4 ? '10.77.1.' : 'fd77::'}${from + i}`)
      const lines = addresses.map(address => `neighbor add ${address} lladdr 02:00:00:00:00:77 dev eth0 nud reachable`)
      return machine.run('sh', '-ec', `printf '%s\\n' "$@" | ip -batch -`, 'sh', ...lines)
    }
    try {
      await limit(1024)
      await add(0, 200)
      // What could make room for another.
      for (const name of [machine.name, machine.outside.name, 'web', 'late'])
        for (const to of ['10.9.0.0/24', '198.51.100.0/24']) await run('ip', ['-n', name, 'neighbor', 'flush', 'to', to])
      await limit(100)
      await expect(add(200, 256)).rejects.toThrow('No buffer space available')
      const full = await only(`neighbor-table-full-ipv${family}`)
      expect(full.severity).toBe('error')
      if (family === 4) expect(await lateReached()).not.toBe('198.51.100.2')

      await limit(Math.ceil(Number.parseInt(full.message, 10) / 0.95))
      expect(await only(`neighbor-table-full-ipv${family}`)).toMatchObject({ severity: 'warning' })
      await follow(full)
      expect(await lateReached()).toBe('198.51.100.2')
      expect(await findings()).toEqual([])
    } finally {
      await onMachine('sysctl', '-qw', ...before)
    }
  })

  test('an overlapping route of somebody else', async () => {
    await machine.ip('route', 'add', '10.9.0.128/25', 'via', '198.51.100.2')
    const finding = await only('overlapping-route')
    expect(finding.message).toBe(
      'A route to 10.9.0.128/25 via 198.51.100.2 on eth0 overlaps 10.9.0.0/24 of network lan: some of its addresses are looked for there',
    )
    await machine.run('sh', '-ec', finding.remedy.split(', or: ')[0] as string)
    expect(await findings()).toEqual([])
  })
})

describe('what is left behind', () => {
  test('a sandbox whose namespace was deleted, a bridge that was', async () => {
    await host.sandboxes.create({ name: 'gone', network: 'none' })
    await run('ip', ['netns', 'delete', 'gone'])
    expect(await only('stale-record')).toMatchObject({
      message: 'The record of sandbox gone is stale: its namespace is gone',
      remedy: 'netmode recover',
    })
    expect((await host.recover()).repaired).toEqual(['gone'])
    expect(await findings()).toEqual([])
    await machine.ip('link', 'delete', 'br-lan')
    expect(await only('bridge-gone')).toMatchObject({ severity: 'error', message: expect.stringContaining('br-lan of network lan') })
  })

  test('a record that can’t be read', async () => {
    mkdirSync(`${machine.stateDir}/sandboxes/torn`)
    writeFileSync(`${machine.stateDir}/sandboxes/torn/state.json`, '{')
    expect(await only('stale-record')).toMatchObject({ message: expect.stringContaining('sandboxes/torn') })
    await host.recover()
    expect(await findings()).toEqual([])
  })
})

describe('other programs', () => {
  /** A program of that name that does nothing. */
  async function pretend(name: string): Promise<AsyncDisposable> {
    const path = `/run/${name}`
    symlinkSync('/bin/sleep', path)
    const child = machine.spawn(path, ['1000'])
    await once(child, 'spawn')
    while (
      !(await run('cat', [`/proc/${child.pid}/comm`]).then(
        comm => comm.trim() === name.slice(0, 15),
        () => false,
      ))
    );
    return {
      async [Symbol.asyncDispose]() {
        const ended = once(child, 'exit')
        child.kill('SIGKILL')
        await ended
        rmSync(path)
      },
    }
  }

  test.each([
    ['NetworkManager', 'claimed-by-networkmanager'],
    ['firewalld', 'claimed-by-firewalld'],
  ])('%s that would claim our links', async (program, id) => {
    await using _ = await pretend(program)
    const finding = await only(id)
    expect(finding).toMatchObject({ severity: 'warning', message: expect.stringContaining(`${program} is running`) })
    expect(finding.remedy).toContain(program === 'firewalld' ? '--add-interface=br-lan' : 'unmanaged-devices=')
  })
})

requires('root', 'realRoot').test('systemd-networkd itself, with a file that claims all links, and then one that does not', async () => {
  await run('sh', ['-ec', 'mkdir -p /run/systemd/network /run/systemd/netif && chown systemd-network: /run/systemd/netif'])
  const file = '/run/systemd/network/50-all.network'
  writeFileSync(file, '[Match]\nName=*\n\n[Network]\nLinkLocalAddressing=no\n')
  const daemon = machine.spawn('/lib/systemd/systemd-networkd', [], { stdio: ['ignore', 'ignore', 'pipe'] })
  // It goes by another name once it has started.
  for await (const line of createInterface(daemon.stderr as NodeJS.ReadableStream)) if (/Enumeration completed/.test(line)) break
  const finding = await only('claimed-by-systemd-networkd')
  const [, text = ''] = /^printf '(.*)' > \/etc\/systemd\/network\/00-netmode.network && networkctl reload$/.exec(finding.remedy) ?? []
  // As the remedy has it, but where nobody else's machine is concerned.
  await run('sh', ['-ec', `printf '${text}' > /run/systemd/network/00-netmode.network`])
  expect(await findings()).toEqual([])
  rmSync('/run/systemd/network/00-netmode.network')
  expect(await only('claimed-by-systemd-networkd')).toEqual(finding)
  const ended = once(daemon, 'exit')
  daemon.kill('SIGKILL')
  await ended
  expect(await findings()).toEqual([])
  rmSync(file)
})

describe('a kernel that lacks something', () => {
  test('is told of with what it said, and nothing is left of the try', async () => {
    const fresh = await freshHost()
    const { host: other, between } = await openBetween(fresh)
    const before = await fresh.dump()
    expect((await other.doctor()).filter(isOurs)).toEqual([])
    expect(await fresh.dump()).toEqual(before)
    // As if there were no such kind of link.
    between.change = plan =>
      plan.map(step =>
        step.apply.op === 'link.add' && step.apply.kind === 'veth'
          ? { ...step, apply: { ...step.apply, name: 'much/too/long/a/name' } }
          : step,
      )
    expect(await other.doctor()).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          id: 'missing-kernel-feature',
          message: expect.stringMatching(/^veth links can't be made here \(E[A-Z]+/),
        }),
      ]),
    )
    expect(await fresh.dump()).toEqual(before)
    await other.close()
    await fresh.remove()
  })
})

describe('netmode doctor', () => {
  let command: Command
  beforeAll(async () => {
    command = await Command.bundle()
  })
  afterAll(() => command[Symbol.asyncDispose]())

  test('tells what and how to mend it; status 1 when something is broken', async () => {
    await machine.run('sysctl', '-qw', 'net.ipv4.ip_forward=0')
    const { status, stdout, stderr } = await outcome(command.start(machine, 'doctor'))
    expect({ status, stderr }).toEqual({ status: 1, stderr: '' })
    expect(stdout).toMatch(
      /^error: The host doesn't forward IPv4 .* \[forwarding-off-ipv4\]\n {2}remedy: sysctl -w net\.ipv4\.ip_forward=1\n/,
    )
    await machine.run('sysctl', '-qw', 'net.ipv4.ip_forward=1')
    const well = await outcome(command.start(machine, 'doctor'))
    expect(hereIn(well.stdout)).not.toMatch(/^error: /m)
    expect(well.status).toBe(/^error: /m.test(well.stdout) ? 1 : 0)
  })

  requires('root', 'program:setpriv').test.each(['net_admin', 'sys_admin'])('says that %s is what this process lacks', async name => {
    const rest = `-all,+net_admin,+sys_admin,-${name}`
    const args = ['--bounding-set', rest, '--inh-caps', rest, process.execPath, command.main, '--state-dir', machine.stateDir, 'doctor']
    const { status, stdout, stderr } = await outcome(machine.spawn('setpriv', args, { env: process.env }))
    expect({ status, stderr }).toEqual({ status: 1, stderr: '' })
    expect(hereIn(stdout)).toMatch(new RegExp(`^error: This process lacks CAP_${name.toUpperCase()}, .*\\n {2}remedy: run as root, .*\\n$`))
  })

  requires('root', 'program:iptables-legacy').test('sees that legacy iptables filters in its own namespace', async () => {
    const doctor = () => outcome(command.start(machine, '--format', 'json', 'doctor'))
    const ids = ({ stdout }: { stdout: string }) => (JSON.parse(stdout) as Finding[]).map(({ id }) => id)
    expect(ids(await doctor())).not.toContain('legacy-iptables')
    await machine.run('iptables-legacy', '-A', 'FORWARD', '-j', 'DROP')
    expect(await reached()).toBe('silent')
    expect(ids(await doctor())).toContain('legacy-iptables')
    await machine.run('iptables-legacy', '-F', 'FORWARD')
    expect(await reached()).toBe('198.51.100.2')
  })
})
