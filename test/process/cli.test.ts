import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { attachment, filter, labels } from '../../lib/cli/flags.js'
import { type NetworkFlags, networkOptions } from '../../lib/cli/network-flags.js'
import { sandboxOptions } from '../../lib/cli/sandbox-flags.js'
import { table } from '../../lib/cli/table.js'
import { Command, type Outcome, outcome } from '../setup/command.js'
import { freshHost, type PrivateHost, run } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const privileged = requires('root', 'program:nft')
const wrong = (field: string) => expect.objectContaining({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field })

let command: Command
let folder: string

beforeAll(async () => {
  command = await Command.bundle()
  folder = command.folder
})
afterAll(() => command[Symbol.asyncDispose]())

const main = (): string => command.main

describe('usage', () => {
  const netmode = async (...args: string[]): Promise<Outcome> => {
    const { spawn } = await import('node:child_process')
    return outcome(spawn(process.execPath, [main(), ...args]))
  }

  it('help and version go to stdout', async () => {
    const help = await netmode('--help')
    expect(help).toMatchObject({ status: 0, stderr: '' })
    for (const name of [
      'run',
      'create',
      'exec',
      'ps',
      'inspect',
      'rm',
      'port',
      'publish',
      'unpublish',
      'network',
      'netns',
      'explain',
      'bridge',
      'rules',
      'stats',
      'graph',
      'recover',
    ]) {
      expect(help.stdout).toMatch(new RegExp(`^ {2}${name} `, 'm'))
    }
    expect(await netmode('help', 'run')).toEqual(await netmode('run', '--help'))
    expect((await netmode('run', '--help')).stdout).toContain('--publish <port>')
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
    expect(await netmode('--version')).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' })
  })

  it('without a command, help goes to stderr and the status is 2', async () => {
    for (const args of [[], ['network'], ['netns'], ['explain']]) {
      expect(await netmode(...args)).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining('Usage: netmode') })
    }
  })

  it.each([
    [['frobnicate'], 2],
    [['ps', '--frobnicate'], 2],
    [['ps', '--format', 'xml'], 2],
    [['ps', '--filter', 'colour=red'], 2],
    [['ps', 'surplus'], 2],
    [['rm'], 2],
    [['publish', 'web'], 2],
    [['network', 'create'], 2],
    [['network', 'create', '-o', 'com.example.x=1', 'n'], 2],
    [['netns', 'pids', '../x'], 2],
    [['run'], 125],
    [['run', '--frobnicate', 'true'], 125],
    [['run', '--rm', '--keep', 'true'], 125],
    [['exec', 'web'], 125],
  ] as const)('%j is wrong: status %i, one line on stderr', async (args, status) => {
    const result = await netmode(...args)
    expect(result).toMatchObject({ status, stdout: '' })
    expect(result.stderr).toMatch(/^netmode: .+\n$/)
  })

  it('errors are JSON on demand', async () => {
    const { stderr } = await netmode('--format', 'json', 'network', 'create', '--aux-address', 'a=10.0.0.1', 'n')
    expect(JSON.parse(stderr)).toEqual({
      error: { code: 'ERR_NETMODE_INVALID_ARGUMENT', message: expect.stringContaining('--aux-address'), field: '--aux-address' },
    })
  })
})

describe('flags', () => {
  it('networks in the short and the long form', () => {
    expect(attachment('back')).toEqual({ network: 'back' })
    expect(attachment('name=back,ip=10.0.0.2,alias=a,alias=b,gw-priority=1,mac-address=02:00:00:00:00:01')).toEqual({
      network: 'back',
      ip: '10.0.0.2',
      aliases: ['a', 'b'],
      gatewayPriority: 1,
      mac: '02:00:00:00:00:01',
    })
    for (const bad of ['ip=10.0.0.2', 'name=', 'name=a,colour=red', 'name=a,toString=b']) {
      expect(() => attachment(bad)).toThrow(wrong('--network'))
    }
  })

  it('one network is `network`, several are `networks`', () => {
    expect(sandboxOptions({ name: 'x', network: ['a'], ip: '10.0.0.2' })).toEqual({ name: 'x', network: 'a', ip: '10.0.0.2' })
    expect(sandboxOptions({ name: 'x', network: ['a', 'name=b,ip=10.0.0.2'] })).toEqual({
      name: 'x',
      networks: [{ network: 'a' }, { network: 'b', ip: '10.0.0.2' }],
    })
    expect(sandboxOptions({}).name).toMatch(/^sandbox-[0-9a-f]{8}$/)
  })

  it('labels and filters', () => {
    expect(labels(['a=b=c', 'd'])).toEqual({ a: 'b=c', d: '' })
    expect(filter(['label=a=b', 'label=c', 'name=x'])).toEqual({ name: 'x', label: ['a=b', 'c'] })
    expect(() => filter(['name'])).toThrow(wrong('--filter'))
    expect(() => filter(['mode=none'], ['name'])).toThrow(wrong('--filter'))
  })

  it('each gateway, range and reserved address finds its subnet', () => {
    const flags: NetworkFlags = {
      subnet: ['10.1.0.0/16', '2001:db8::/64'],
      gateway: ['2001:db8::1', '10.1.0.9'],
      ipRange: ['10.1.2.0/24'],
      auxAddress: ['dns=10.1.0.5', 'ntp=10.1.0.6'],
    }
    expect(networkOptions('n', flags)).toEqual({
      name: 'n',
      subnets: [
        { subnet: '10.1.0.0/16', gateway: '10.1.0.9', range: '10.1.2.0/24', reserved: { dns: '10.1.0.5', ntp: '10.1.0.6' } },
        { subnet: '2001:db8::/64', gateway: '2001:db8::1' },
      ],
    })
    expect(() => networkOptions('n', { ...flags, gateway: ['10.2.0.1'] })).toThrow(wrong('--gateway'))
    expect(() => networkOptions('n', { ...flags, gateway: ['10.1.0.1', '10.1.0.2'] })).toThrow(wrong('--gateway'))
    expect(() => networkOptions('n', { ...flags, ipRange: ['10.0.0.0/8'] })).toThrow(wrong('--ip-range'))
  })

  it("Docker's driver options, and flags over them", () => {
    const opt = [
      'com.docker.network.bridge.name=br7',
      'com.docker.network.bridge.enable_icc=false',
      'com.docker.network.bridge.enable_ip_masquerade=0',
      'com.docker.network.driver.mtu=1400',
    ]
    expect(networkOptions('n', { opt })).toEqual({ name: 'n', bridge: 'br7', icc: false, masquerade: false, mtu: 1400 })
    expect(networkOptions('n', { opt, icc: true, mtu: 1300 })).toMatchObject({ icc: true, mtu: 1300 })
    for (const bad of ['constructor=1', 'com.docker.network.driver.mtu=many', 'com.docker.network.bridge.enable_icc=perhaps']) {
      expect(() => networkOptions('n', { opt: [bad] })).toThrow(expect.objectContaining({ code: 'ERR_NETMODE_INVALID_ARGUMENT' }))
    }
  })

  it('tables have no space at the end of a line', () => {
    expect(
      table(
        ['A', 'LONG', 'C'],
        [
          ['wide', '', 'x'],
          ['b', '', ''],
        ],
      ),
    ).toBe('A      LONG   C\nwide          x\nb\n')
  })
})

privileged.describe('with a host', () => {
  let host: PrivateHost
  beforeEach(async () => {
    host = await freshHost()
  })
  afterEach(async () => {
    await netmode('rm', '--all') // their names in /run/netns are the next test's too
    await host.remove()
  })

  /** Starts it in the host's namespace; the sanitizer's preload, if there is one, stays. */
  const start = (...args: string[]): ChildProcess =>
    host.spawn(process.execPath, [main(), '--state-dir', host.stateDir, ...args], { env: process.env })
  const netmode = (...args: string[]): Promise<Outcome> => outcome(start(...args))
  /** Its data, when it must not fail. */
  const ok = async (...args: string[]): Promise<string> => {
    const { status, stdout, stderr } = await netmode(...args)
    expect({ args, status, stderr }).toEqual({ args, status: 0, stderr: '' })
    return stdout
  }
  const json = async (...args: string[]): Promise<unknown> => JSON.parse(await ok('--format', 'json', ...args))

  it('run gives a command a sandbox, and its status', async () => {
    await ok('network', 'create', '--subnet', '10.9.0.0/24', 'back')
    const place = ['--name', 'web', '--network', 'back', '--ip', '10.9.0.7', '--hostname', 'front']
    // Not by the state: the kernel calls a link UP a moment after it is up and carries.
    const addresses = await ok('run', ...place, '--', 'ip', '-4', 'address', 'show', 'eth0')
    expect(addresses).toMatch(/^\d+: eth0@\S+ <[^>]*\bUP,LOWER_UP\b[^>]*>/m)
    expect(addresses).toMatch(/^ +inet 10\.9\.0\.7\/24 /m)
    const before = await host.dump() // not earlier: with its first port a bridge takes limits over that it keeps
    expect(await ok('run', '--network', 'back', '--hostname', 'front', 'hostname')).toBe('front\n')
    expect(await ok('run', '--network', 'back', '--add-host', 'db:10.9.0.9', '--', 'cat', '/etc/hosts')).toContain('10.9.0.9\tdb\n')
    expect(await netmode('run', '--network', 'back', 'sh', '-c', 'echo out; echo err >&2; exit 7')).toEqual({
      status: 7,
      stdout: 'out\n',
      stderr: 'err\n',
    })
    expect((await netmode('run', '--network', 'none', '--', 'sh', '-c', 'kill -KILL $$')).status).toBe(137)
    expect(await host.dump()).toEqual(before)
  })

  it('run tells its own failures from those of the command', async () => {
    const file = join(folder, 'no-program')
    await writeFile(file, 'text', { mode: 0o644 })
    const absent = await netmode('run', '--network', 'none', 'no-such-command')
    expect(absent).toEqual({ status: 127, stdout: '', stderr: 'netmode: no-such-command: not found (ENOENT)\n' })
    expect(await netmode('run', '--network', 'none', file)).toMatchObject({ status: 126, stderr: expect.stringContaining('EACCES') })
    expect(await netmode('run', '--network', 'nowhere', 'true')).toMatchObject({
      status: 125,
      stderr: expect.stringMatching(/^netmode: .*nowhere\n$/),
    })
    expect(await netmode('run', '--network', 'none', '-p', '80', 'true')).toMatchObject({ status: 125 })
    expect(await netmode('exec', 'nobody', 'true')).toMatchObject({ status: 125, stderr: expect.stringContaining('nobody') })
    expect(await ok('ps', '-q')).toBe('')
  })

  it('run hands its standard input on', async () => {
    const child = start('run', '--network', 'none', '--', 'cat')
    child.stdin?.end('through')
    expect(await outcome(child)).toEqual({ status: 0, stdout: 'through', stderr: '' })
  })

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('run passes %s on, and cleans up', async signal => {
    const before = await host.dump()
    const child = start('run', '--network', 'none', '--', 'sh', '-c', `trap 'exit 3' ${signal.slice(3)}; echo ready; read line`)
    child.stdout?.once('data', () => child.kill(signal))
    expect(await outcome(child)).toMatchObject({ status: 3, stderr: '' })
    const untrapped = start('run', '--network', 'none', '--', 'sh', '-c', 'echo ready; read line')
    untrapped.stdout?.once('data', () => untrapped.kill('SIGTERM'))
    expect(await outcome(untrapped)).toMatchObject({ status: 143, stderr: '' })
    expect(await host.dump()).toEqual(before)
  })

  it('the next call clears away what a killed run left', async () => {
    const before = await host.dump()
    const child = start('run', '--name', 'lost', '--network', 'none', '--', 'sh', '-c', 'echo ready; read line')
    const { stdin, stdout } = child
    if (!stdin || !stdout) throw new Error('needs pipes')
    const ended = once(child, 'exit')
    await Promise.race([once(stdout, 'data'), ended])
    child.kill('SIGKILL')
    await ended
    expect(await ok('ps', '-q')).toBe('lost\n') // looking changes nothing
    expect(await json('recover')).toEqual({ rolledBack: ['lost'], repaired: [], damaged: [] })
    expect(await ok('ps', '-q')).toBe('')
    stdin.destroy()
    expect(await host.dump()).toEqual(before)
  })

  it('run --keep leaves the sandbox', async () => {
    await ok('run', '--keep', '--name', 'kept', '--network', 'none', 'true')
    expect(await ok('ps', '-q')).toBe('kept\n')
    expect(await ok('rm', 'kept')).toBe('kept\n')
  })

  it('a sandbox from create to rm', async () => {
    await ok('network', 'create', '--subnet', '10.9.0.0/24', '--label', 'tier=1', 'back')
    await ok('run', '--network', 'back', 'true') // with its first port a bridge takes limits over that it keeps
    const before = await host.dump()
    expect(await ok('create', '--network', 'back', '-p', '8080:80', '--label', 'a=b', 'web')).toBe('web\n')
    expect(await ok('create', '--name', 'alone', '--network', 'none')).toBe('alone\n')
    expect(await ok('ps')).toBe(
      [
        'NAME    MODE     NETWORKS   IPV4       IPV6   PORTS',
        'alone   none',
        'web     bridge   back       10.9.0.2          0.0.0.0:8080->80/tcp',
        '',
      ].join('\n'),
    )
    expect(await ok('ps', '-q', '--filter', 'label=a=b')).toBe('web\n')
    expect(await ok('ps', '-q', '--filter', 'mode=none')).toBe('alone\n')
    expect(await json('ps', '--filter', 'network=back')).toMatchObject([
      { name: 'web', mode: 'bridge', labels: { a: 'b' }, endpoints: [{ network: 'back' }] },
    ])
    expect(await json('inspect', 'web', 'alone')).toMatchObject([{ Name: 'web' }, { Name: 'alone' }])
    expect(await ok('exec', 'web', 'ip', '-4', '-br', 'address', 'show', 'eth0')).toContain('10.9.0.2/24')
    expect((await netmode('exec', 'web', '--', 'sh', '-c', 'exit 5')).status).toBe(5)
    expect(await netmode('create', '--network', 'none', 'web')).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringContaining('web'),
    })
    const taken = await netmode('--format', 'json', 'create', '--network', 'back', '-p', '8080:81', 'other')
    expect(JSON.parse(taken.stderr)).toMatchObject({ error: { code: 'ERR_NETMODE_PORT_IN_USE', holder: 'web' } })
    const removed = await netmode('rm', 'nobody', 'web', 'alone')
    expect(removed).toEqual({ status: 1, stdout: 'web\nalone\n', stderr: 'netmode: No sandbox called nobody\n' })
    expect(await ok('rm', '--force', 'nobody')).toBe('')
    expect(await ok('rm', '--all')).toBe('')
    expect(await host.dump()).toEqual(before)
  })

  it('ports are published, shown and taken back', async () => {
    await ok('network', 'create', '--subnet', '10.9.0.0/24', 'back')
    await ok('create', '--network', 'back', '-p', '127.0.0.1:8080:80', 'web')
    expect(await ok('port', 'web')).toBe('80/tcp -> 127.0.0.1:8080\n')
    expect(await ok('publish', 'web', '-p', '198.51.100.1:5353:53/udp')).toBe('53/udp -> 198.51.100.1:5353\n')
    expect(await ok('port', 'web', '53/udp')).toBe('198.51.100.1:5353\n')
    expect(await netmode('port', 'web', '53')).toMatchObject({ status: 1, stderr: expect.stringContaining('53/tcp') })
    const [random] = (await json('publish', 'web', '-p', '127.0.0.1::81')) as { hostPort: number }[]
    expect(random?.hostPort).toBeGreaterThan(1023)
    expect(await ok('unpublish', 'web', '-p', '127.0.0.1:8080', '-p', `127.0.0.1:${random?.hostPort}`)).toBe(
      `80/tcp -> 127.0.0.1:8080\n81/tcp -> 127.0.0.1:${random?.hostPort}\n`,
    )
    expect(await ok('port', 'web')).toBe('53/udp -> 198.51.100.1:5353\n')
    expect(await netmode('publish', 'web', '-p', '70000')).toMatchObject({ status: 2 })
  })

  it("networks, with Docker's flags and columns", async () => {
    const id = (
      await ok(
        'network',
        'create',
        '--subnet',
        '10.9.0.0/24',
        '--gateway',
        '10.9.0.254',
        '--no-icc',
        '-o',
        'com.docker.network.bridge.name=br7',
        'back',
      )
    ).trim()
    expect(id).toMatch(/^[0-9a-f]{64}$/)
    expect(await ok('network', 'ls')).toBe(`NETWORK ID     NAME   DRIVER   SCOPE\n${id.slice(0, 12)}   back   bridge   local\n`)
    expect(await ok('network', 'ls', '-q', '--no-trunc')).toBe(`${id}\n`)
    expect(await json('network', 'inspect', 'back')).toMatchObject([
      {
        Id: id,
        IPAM: { Config: [{ Subnet: '10.9.0.0/24', Gateway: '10.9.0.254' }] },
        Options: { 'com.docker.network.bridge.name': 'br7', 'com.docker.network.bridge.enable_icc': 'false' },
      },
    ])
    expect(await host.ip('-br', 'address', 'show', 'br7')).toContain('10.9.0.254/24')
    await ok('create', '--network', 'back', 'web')
    expect(await netmode('network', 'rm', 'back')).toMatchObject({ status: 1, stdout: '', stderr: expect.stringContaining('web') })
    await ok('network', 'create', '--subnet', '10.8.0.0/24', 'unused')
    expect(await ok('network', 'prune')).toBe('unused\n')
    await ok('rm', 'web')
    expect(await ok('network', 'rm', 'back')).toBe('back\n')
    expect(await netmode('network', 'inspect', 'back')).toMatchObject({
      status: 1,
      stdout: '[]\n',
      stderr: expect.stringContaining('back'),
    })
  })

  it('a sandbox is connected to another network, and disconnected', async () => {
    await ok('network', 'create', '--subnet', '10.9.0.0/24', 'back')
    await ok('network', 'create', '--subnet', '10.8.0.0/24', 'front')
    await ok('create', '--network', 'back', 'web')
    expect(await json('network', 'connect', '--ip', '10.8.0.9', 'front', 'web')).toMatchObject({
      network: 'front',
      ifname: 'eth1',
      ipv4: { address: '10.8.0.9' },
    })
    expect(await ok('exec', 'web', 'ip', '-br', 'address', 'show', 'eth1')).toContain('10.8.0.9/24')
    expect(await ok('network', 'disconnect', 'front', 'web')).toBe('')
    expect(await netmode('network', 'disconnect', 'front', 'web')).toMatchObject({ status: 1 })
  })

  it('explain prints commands and changes nothing', async () => {
    await ok('network', 'create', '--subnet', '10.9.0.0/24', 'back')
    await ok('create', '--network', 'back', 'web')
    const before = await host.dump()
    expect(await ok('explain', 'create', '--network', 'back', 'other')).toContain('ip netns add other\n')
    expect(await ok('explain', 'remove', 'web')).toContain('ip netns delete web\n')
    expect(await ok('explain', 'network-create', '--subnet', '10.8.0.0/24', 'front')).toMatch(/^ip link add .* type bridge/m)
    expect(await ok('explain', 'publish', '-p', '8080:80', 'web')).toContain('8080')
    expect(await json('explain', 'remove', 'web')).toEqual({
      operation: 'sandboxes.remove',
      script: expect.stringContaining('ip netns delete web\n'),
    })
    expect(await netmode('explain', 'network-remove', 'nowhere')).toMatchObject({ status: 1 })
    expect(await host.dump()).toEqual(before)
  })

  it('dns serves names until it is ended; run and exec serve them for their own time', async () => {
    await ok('network', 'create', 'lan', '--subnet', '10.9.0.0/24')
    await ok('create', 'db', '--network', 'lan')
    await ok('create', 'web', '--network', 'lan')
    expect(await ok('exec', 'web', '--', 'getent', 'hosts', 'db')).toMatch(/^10\.9\.0\.2 +db\n$/)
    expect(await ok('run', '--network', 'lan', '--', 'getent', 'hosts', 'db')).toMatch(/^10\.9\.0\.2 +db\n$/)
    const first = start('dns')
    expect(String((await once(first.stdout as NodeJS.ReadableStream, 'data'))[0])).toBe('serving\n')
    const second = start('dns')
    expect(String((await once(second.stderr as NodeJS.ReadableStream, 'data'))[0])).toContain('another process serves')
    expect(await ok('exec', 'web', '--', 'getent', 'hosts', 'db')).toMatch(/^10\.9\.0\.2 +db\n$/)
    first.kill('SIGTERM')
    expect(await outcome(first)).toMatchObject({ status: 0, stderr: '' })
    expect(String((await once(second.stdout as NodeJS.ReadableStream, 'data'))[0])).toBe('serving\n')
    second.kill('SIGINT')
    expect((await outcome(second)).status).toBe(0)
    await ok('rm', 'db', 'web')
    await ok('network', 'rm', 'lan')
  })

  it('netns sees what ip netns sees', async () => {
    expect((await ok('netns', 'ls', '-q')).split('\n').filter(Boolean)).toEqual([host.name, host.outside.name].sort())
    expect(await ok('netns', 'identify')).toBe(`${host.name}\n`)
    expect(await ok('netns', 'exec', host.outside.name, '--', 'ip', '-4', '-br', 'address', 'show', 'eth0')).toContain('198.51.100.2/24')
    expect((await netmode('netns', 'exec', host.outside.name, 'sh', '-c', 'exit 4')).status).toBe(4)
    expect(await netmode('netns', 'exec', 'nowhere', 'true')).toMatchObject({ status: 125 })
    const inside = host.outside.spawn('sh', ['-c', 'echo ready; read line'])
    await once(inside.stdout as NodeJS.ReadableStream, 'data')
    expect(await json('netns', 'pids', host.outside.name)).toEqual([inside.pid])
    expect(await run('ip', ['netns', 'pids', host.outside.name])).toBe(`${inside.pid}\n`)
    expect(await ok('netns', 'identify', String(inside.pid))).toBe(`${host.outside.name}\n`)
    inside.stdin?.end()
    await once(inside, 'close')
  })

  it('netns add, attach and del make and take names that ip netns knows, and take those that it made', async () => {
    const names = async () => (await run('ip', ['-j', 'netns', 'list'])).trim()
    const before = await names()
    await ok('netns', 'add', 'made')
    expect(await names()).toContain('"made"')
    expect(await run('ip', ['-n', 'made', '-br', 'link'])).toMatch(/^lo +DOWN/)
    expect((await netmode('netns', 'add', 'made')).stderr).toContain('exists')
    const tenant = host.outside.spawn('sh', ['-c', 'echo ready; read line'])
    await once(tenant.stdout as NodeJS.ReadableStream, 'data')
    await ok('netns', 'attach', 'named', String(tenant.pid))
    expect(await run('ip', ['-n', 'named', '-4', '-br', 'address', 'show', 'eth0'])).toContain('198.51.100.2/24')
    tenant.stdin?.end()
    await once(tenant, 'close')
    await run('ip', ['netns', 'delete', 'made'])
    await run('ip', ['netns', 'add', 'theirs'])
    await ok('netns', 'del', 'named', 'theirs')
    expect((await netmode('netns', 'del', 'theirs')).status).toBe(1)
    expect(await names()).toBe(before)
  })

  it('works from another namespace with --host-netns', async () => {
    const { spawn } = await import('node:child_process')
    const child = spawn(process.execPath, [
      main(),
      '--host-netns',
      host.netns,
      '--state-dir',
      host.stateDir,
      'network',
      'create',
      '--subnet',
      '10.9.0.0/24',
      '-o',
      'com.docker.network.bridge.name=br7',
      'back',
    ])
    expect(await outcome(child)).toMatchObject({ status: 0 })
    expect(await host.ip('-br', 'address', 'show', 'br7')).toContain('10.9.0.1/24')
  })
})
