/** Flags and commands that decide who may do what: given to the command, and seen by real traffic. */
import { once } from 'node:events'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import type { Sandbox } from '../../lib/index.js'
import { Command, outcome } from '../setup/command.js'
import { broadcastMac, deliver, frame, udp4 } from '../setup/frames.js'
import { FakeGuests } from '../setup/guests.js'
import { freshHost, type PrivateHost, PrivateNamespace } from '../setup/namespace.js'
import { ask, greet, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'

const { describe, test } = requires('root', 'program:nft', 'program:python3')
const { describe: describeTaps, test: testTaps } = requires('root', 'program:nft', 'program:python3', '/dev/net/tun')

let command: Command
let machine: PrivateHost
let outside: Peer
let self: Peer

beforeAll(async () => {
  command = await Command.bundle()
})
afterAll(() => command[Symbol.asyncDispose]())
beforeEach(async () => {
  machine = await freshHost()
  outside = new Peer(machine.outside.netns)
  self = new Peer(machine.netns)
})
afterEach(async () => {
  await ok('rm', '--all')
  for (const peer of [outside, self]) await peer[Symbol.asyncDispose]()
  await machine.remove()
})

const ok = (...args: string[]): Promise<string> => command.ok(machine, ...args)
const json = (...args: string[]): Promise<unknown> => command.json(machine, ...args)
const netmode = (...args: string[]) => outcome(command.start(machine, ...args))
/** The place inside a sandbox, for as long as the test lasts. */
const inside = (name: string): Peer => new Peer(`/run/netns/${name}`)

describe('--allow', () => {
  test('of create and publish: who is named gets in, everyone else finds nothing', async () => {
    await ok('create', 'web', '-p', '8080:80', '-p', '8081:80', '--allow', '203.0.113.0/24')
    await using web = inside('web')
    await greet(web, '0.0.0.0', 80)
    for (const port of [8080, 8081]) expect(await ask(outside, '198.51.100.1', port)).toBe('refused')
    expect(await ok('publish', 'web', '-p', '8082:80', '--allow', '203.0.113.0/24', '--allow', '198.51.100.2')).toContain('8082')
    expect(await ask(outside, '198.51.100.1', 8082)).toBe('198.51.100.2')
    expect(await ask(self, '198.51.100.1', 8082)).toBe('refused') // nobody is let in unasked, the host neither
  })

  test('without a port, or with a choice of ports, is wrong usage', async () => {
    expect(await netmode('create', 'web', '--allow', '10.0.0.0/8')).toMatchObject({ status: 2, stderr: expect.stringContaining('--allow') })
    expect(await netmode('create', 'web', '-p', '8000-8009:80', '--allow', '10.0.0.0/8')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('--publish'),
    })
    expect(await netmode('create', 'web', '-p', '80', '--allow', 'everyone')).toMatchObject({ status: 2 })
    expect(await ok('ps', '-q')).toBe('')
  })
})

describe('redirect and unredirect', () => {
  test('bring a sandbox’s connections to a proxy, and let them go again', async () => {
    await ok('create', 'web')
    await using web = inside('web')
    for (const port of [80, 81, 443]) await greet(outside, '198.51.100.2', port)
    await greet(self, '0.0.0.0', 3128)
    const answers = () => Promise.all([80, 81, 443].map(port => ask(web, '198.51.100.2', port)))
    const [direct, proxied] = ['198.51.100.1', '172.17.0.2'] // masqueraded; the proxy sees who it is
    expect(await answers()).toEqual([direct, direct, direct])
    expect(await ok('redirect', 'web', '--to', '3128', '80-81', '443')).toBe('80/tcp -> 3128\n81/tcp -> 3128\n443/tcp -> 3128\n')
    expect(await answers()).toEqual([proxied, proxied, proxied])
    expect(await ok('unredirect', 'web', '81')).toBe('81/tcp -> 3128\n')
    expect(await answers()).toEqual([proxied, direct, proxied])
    expect(await json('inspect', 'web')).toMatchObject([{ Redirects: [{ Port: '80/tcp', To: '3128' }, { Port: '443/tcp' }] }])
    expect(await ok('unredirect', 'web')).toBe('80/tcp -> 3128\n443/tcp -> 3128\n')
    expect(await answers()).toEqual([direct, direct, direct])
    expect(await ok('unredirect', 'web')).toBe('')
    expect(await ok('redirect', 'web', '--protocol', 'udp', '--to', '198.51.100.1:53', 'all')).toBe('all/udp -> 198.51.100.1:53\n')
  })

  test('wrong usage, and a sandbox that is not there', async () => {
    await ok('create', 'web')
    for (const args of [
      ['web', '80'],
      ['web', '--to', '3128'],
      ['web', '--to', '3128', '0'],
      ['web', '--to', 'proxy', '80'],
    ])
      expect(await netmode('redirect', ...args), args.join(' ')).toMatchObject({ status: 2, stdout: '' })
    expect(await netmode('redirect', 'nobody', '--to', '3128', '80')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('nobody'),
    })
    expect(await netmode('unredirect', 'nobody')).toMatchObject({ status: 1 })
  })
})

describe('--spoof-check', () => {
  /** Does a frame with a stranger's address get from one sandbox to the other? */
  async function lies(from: string, to: string): Promise<boolean> {
    const [shown] = (await json('inspect', from)) as { NetworkSettings: { Networks: Record<string, Record<string, string>> } }[]
    const { MacAddress: mac = '', IPAddress: address = '' } = Object.values(shown?.NetworkSettings.Networks ?? {})[0] ?? {}
    const lie = frame(broadcastMac, mac, 0x0800, udp4('192.0.2.99', '255.255.255.255'))
    const arrived = await deliver(
      { place: new PrivateNamespace(from), device: 'eth0', mac, address },
      { place: new PrivateNamespace(to), device: 'eth0' },
      { lie },
    )
    return arrived.includes('lie')
  }

  test('of a network is the default of its sandboxes, which may have it otherwise', async () => {
    await ok('network', 'create', 'free', '--subnet', '10.7.0.0/24', '--spoof-check', 'off')
    await ok('network', 'create', 'held', '--subnet', '10.8.0.0/24')
    for (const network of ['free', 'held']) {
      await ok('create', `${network}-default`, '--network', network)
      await ok('create', `${network}-on`, '--network', network, '--spoof-check', 'on')
      await ok('create', `${network}-off`, '--network', network, '--spoof-check', 'off')
    }
    expect(await lies('free-default', 'free-on')).toBe(true)
    expect(await lies('free-on', 'free-default')).toBe(false)
    expect(await lies('held-default', 'held-on')).toBe(false)
    expect(await lies('held-off', 'held-default')).toBe(true)
    expect(await netmode('create', 'web', '--spoof-check', 'maybe')).toMatchObject({ status: 2 })
  })
})

describe('CVE-2024-21626: a command is given no descriptor but its own three, whatever the caller has open,', () => {
  /** `ls` opens the folder that it lists as the next one. */
  const own = '0\n1\n2\n3\n'
  const stdio = ['ignore', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe'] as const
  /** Called with three more descriptors open, as by a careless service manager. */
  async function called(...args: string[]): Promise<string> {
    const child = machine.spawn(process.execPath, [command.main, '--state-dir', machine.stateDir, ...args], {
      env: process.env,
      stdio: [...stdio],
    })
    const ended = once(child, 'close')
    let text = ''
    child.stdout?.on('data', data => {
      text += String(data)
    })
    expect((await ended)[0]).toBe(0)
    return text
  }

  test('by run, exec and netns exec, nor a working folder by one', async () => {
    await ok('create', 'web', '-p', '8080:80')
    for (const way of [
      ['run', '--'],
      ['run', '--network', 'host', '--'],
      ['run', '--network', 'container:web', '--'],
      ['exec', 'web', '--'],
      ['netns', 'exec', 'web', '--'],
    ]) {
      expect(await called(...way, 'ls', '/proc/self/fd'), way.join(' ')).toBe(own)
      expect(await called(...way, 'readlink', '/proc/self/cwd'), way.join(' ')).toBe(`${process.cwd()}\n`)
    }
  })
})

describeTaps('--guest and --tap', () => {
  testTaps('make places for virtual machines, and the views show them', async () => {
    await ok('network', 'create', 'lan', '--subnet', '10.7.0.0/24')
    await ok('create', 'slot', '--network', 'lan', '--guest', '172.16.0.2/30', '-p', '8080:80')
    await ok(
      'create',
      'vm',
      ...[
        '--network',
        'lan',
        '--guest',
        'address=172.16.0.2/30,address6=fd16::2/126,tap=vm0,mac=02:00:00:00:00:07,mtu=1400,owner=7,vnet-hdr',
      ],
    )
    const [slot, vm] = (await json('ps')) as Sandbox[]
    expect(slot?.guest).toMatchObject({ tap: 'tap0', address: '172.16.0.2', gateway: '172.16.0.1' })
    expect(vm?.guest).toMatchObject({ tap: 'vm0', mac: '02:00:00:00:00:07', mtu: 1400, ipv6: { address: 'fd16::2' } })
    expect(await json('inspect', 'vm')).toMatchObject([
      {
        Guest: {
          Tap: { Name: 'vm0', Owner: 7, Group: null, VnetHdr: true, MultiQueue: false },
          IPAddress: '172.16.0.2',
          IPPrefixLen: 30,
          Gateway: '172.16.0.1',
          GlobalIPv6Address: 'fd16::2',
          MacAddress: '02:00:00:00:00:07',
          MTU: 1400,
        },
      },
    ])
    const connected = (await json('network', 'connect', '--tap', 'owner=7,group=8,multi-queue', 'bridge', 'slot')) as { tap: object }
    expect(connected.tap).toEqual({ owner: 7, group: 8, vnetHdr: false, multiQueue: true })
    const drawn = await ok('graph')
    expect(drawn).toMatch(/── slot eth0 10\.7\.0\.2\n.*├─ tap0 ── guest 172\.16\.0\.2\n.*└─ 0\.0\.0\.0:8080/)
    expect(drawn).toMatch(/── vm eth0 10\.7\.0\.3\n.*└─ vm0 ── guest 172\.16\.0\.2 fd16::2\n/)
    expect(drawn).toMatch(/tap[0-9a-f]{7} ── slot guest 172\.17\.0\.2/)
    expect(await ok('explain', 'create', 'other', '--tap', 'on')).toMatch(/^ip tuntap add dev tap[0-9a-f]{7} mode tap$/m)

    const { tap, mac, address, prefix, gateway } = slot?.guest ?? { tap: '', mac: '', address: '', prefix: 0, gateway: '' }
    await using guests = await FakeGuests.start({ netns: '/run/netns/slot', tap, mac, addresses: [{ address, prefix, gateway }] })
    await greet(guests.at(0), '0.0.0.0', 80)
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2')
  })

  testTaps('are refused with keys that are not theirs', async () => {
    for (const args of [
      ['--tap', 'yes'],
      ['--tap', 'owner=root'],
      ['--tap', 'vnet-hdr=perhaps'],
      ['--guest', '172.16.0.2'],
      ['--guest', 'address=172.16.0.2/30,colour=red'],
      ['--guest', 'tap=tap0'],
      ['--guest', 'address='],
    ])
      expect(await netmode('create', 'vm', ...args), args.join(' ')).toMatchObject({ status: 2, stdout: '' })
    expect(await ok('ps', '-q')).toBe('')
  })
})
