/** host, container:NAME, none, and namespaces that were there before. */
import { closeSync, openSync, readFileSync, statSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect } from 'vitest'
import type { Host, NamespaceRef, Sandbox, SandboxOptions, SpawnInOptions } from '../../lib/index.js'
import { stepsOf } from '../../lib/plan/mechanism.js'
import { type Between, open, openBetween } from '../setup/between.js'
import { freshHost, freshNamespace, type PrivateHost, type PrivateNamespace, run } from '../setup/namespace.js'
import { ask, greet, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'
import { stateTree } from '../setup/state-tree.js'

const { describe, test } = requires('root')

let machine: PrivateHost
let host: Host
let between: Between

beforeEach(async () => {
  machine = await freshHost()
  ;({ host, between } = await openBetween(machine, { repair: false }))
})
afterEach(async () => {
  between.change = plan => plan
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await machine.remove()
})

/** What a command in the sandbox writes to stdout. */
async function output(sandbox: Sandbox, command: string, args: readonly string[] = [], options: SpawnInOptions = {}): Promise<string> {
  const child = sandbox.spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], ...options })
  if (!child.stdout) throw new Error('no pipe')
  return (await text(child.stdout)).trim()
}

const inodeOf = (path: string): bigint => statSync(path, { bigint: true }).ino
const ownNamespace = (sandbox: Sandbox) => output(sandbox, 'readlink', ['/proc/self/ns/net'])

function create(options: SandboxOptions) {
  return host.sandboxes.create(options)
}

describe('host', () => {
  test('runs in the namespace of the host, and nothing is made', async () => {
    const before = await machine.dump()
    const agent = await create({ name: 'agent', network: 'host' })
    expect(agent).toMatchObject({ mode: 'host', netns: machine.netns, endpoints: [], ports: [] })
    expect(agent.namespace.inode).toBe(host.namespace.inode)
    expect(await ownNamespace(agent)).toBe(`net:[${host.namespace.inode}]`)
    // The files are the host's own, as seen from where it runs.
    expect(await output(agent, 'cat', ['/etc/hosts', '/etc/hostname'])).toBe(
      `${readFileSync('/etc/hosts', 'utf8')}${readFileSync('/etc/hostname', 'utf8')}`.trim(),
    )
    await greet(agent, '127.0.0.1', 80)
    await using self = new Peer(machine.netns)
    expect(await ask(self, '127.0.0.1', 80)).toBe('127.0.0.1')
    expect(await agent.remove()).toBe(true)
    expect(await ask(self, '127.0.0.1', 80)).toBe('refused')
    expect(await machine.dump()).toEqual(before)
  })

  test.each<[string, Partial<SandboxOptions>]>([
    ['publish', { publish: ['80:80'] }],
    ['publishAll', { publishAll: true }],
    ['ip', { ip: '10.0.0.2' }],
    ['ip6', { ip6: 'fd00::2' }],
    ['mac', { mac: '02:42:ac:11:00:02' }],
    ['ifname', { ifname: 'eth7' }],
    ['dns', { dns: ['192.0.2.53'] }],
    ['addHosts', { addHosts: ['db:192.0.2.1'] }],
    ['hostname', { hostname: 'agent' }],
    ['netns', { netns: '/run/netns/x' }],
  ])('refuses %s', async (field, options) => {
    await expect(create({ name: 'agent', network: 'host', ...options })).rejects.toMatchObject({
      code: 'ERR_NETMODE_INVALID_ARGUMENT',
      field,
      message: expect.stringContaining('network host'),
    })
    expect(await host.sandboxes.list()).toEqual([])
  })

  test('can neither publish nor be attached later', async () => {
    const agent = await create({ name: 'agent', network: 'host' })
    const refusal = { code: 'ERR_NETMODE_UNSUPPORTED', message: expect.stringContaining('the namespace belongs to the host') }
    await expect(agent.publish('80:80')).rejects.toMatchObject(refusal)
    await expect(agent.attach('bridge')).rejects.toMatchObject(refusal)
  })

  test('goes on when the process that made it is gone', async () => {
    await create({ name: 'agent', network: 'host' })
    // As its maker's path of the namespace was: /proc/PID/ns/net of a process that is dead by now.
    const path = `${machine.stateDir}/sandboxes/agent/state.json`
    const record = readFileSync(path, 'utf8').replace(machine.netns, '/proc/4194304/ns/net')
    await run('sh', ['-c', `cat > ${path} <<'EOF'\n${record}EOF`])
    const other = await open(machine)
    const agent = (await other.sandboxes.get('agent')) as Sandbox
    expect(agent.netns).toBe(machine.netns)
    expect(await ownNamespace(agent)).toBe(`net:[${host.namespace.inode}]`)
    expect(await other.sandboxes.inspect('agent')).toMatchObject({
      HostConfig: { NetworkMode: 'host' },
      NetworkSettings: { SandboxKey: machine.netns },
    })
    expect(await agent.remove()).toBe(true)
    await other.close()
  })
})

describe('container', () => {
  test('a sidecar is in the same namespace: localhost, addresses, host name, files', async () => {
    const web = await create({ name: 'web', hostname: 'web.example.com', addHosts: ['db:192.0.2.1'] })
    const side = await create({ name: 'side', network: 'container:web' })
    expect(side).toMatchObject({ mode: 'container', netns: web.netns, endpoints: [], ports: [] })
    expect(side.namespace.inode).toBe(web.namespace.inode)
    await greet(web, '127.0.0.1', 80)
    await greet(side, '::1', 81)
    expect(await ask(side, '127.0.0.1', 80)).toBe('127.0.0.1')
    expect(await ask(web, '::1', 81)).toBe('::1')
    for (const args of [['hostname'], ['cat', '/etc/hosts'], ['cat', '/etc/hostname'], ['cat', '/etc/resolv.conf']]) {
      expect(await output(side, args[0] as string, args.slice(1))).toBe(await output(web, args[0] as string, args.slice(1)))
    }
    expect(await output(side, 'cat', ['/etc/hosts'])).toContain('192.0.2.1\tdb')
    expect(await host.sandboxes.inspect('side')).toMatchObject({ HostConfig: { NetworkMode: 'container:web' } })
  })

  test('keeps the namespace alive: the first can only go when the last sharer has', async () => {
    const web = await create({ name: 'web', publish: ['8080:80'] })
    const sharers = [await create({ name: 'side', network: 'container:web' }), await create({ name: 'logger', network: 'container:web' })]
    const shared = await machine.dump()
    await expect(web.remove()).rejects.toMatchObject({
      code: 'ERR_NETMODE_BUSY',
      subject: 'web',
      holder: 'logger, side',
      message: 'The namespace of sandbox web is shared by logger, side',
    })
    expect(await machine.dump()).toEqual(shared)
    await sharers[0]?.remove()
    await expect(web.remove()).rejects.toMatchObject({ code: 'ERR_NETMODE_BUSY', holder: 'logger' })
    await greet(web, '0.0.0.0', 80)
    await using outside = new Peer(machine.outside.netns)
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2')
    await sharers[1]?.remove()
    expect(await web.remove()).toBe(true)
    expect(await host.sandboxes.list()).toEqual([])
  })

  test('both go in one call, in whatever order they are named', async () => {
    for (const names of [
      ['web', 'aside', 'side'],
      ['aside', 'web', 'side'],
      ['side', 'aside', 'web'],
    ]) {
      await create({ name: 'web', network: 'none' })
      await create({ name: 'side', network: 'container:web' })
      await create({ name: 'aside', network: 'container:web' })
      expect(await host.sandboxes.removeAll(names)).toEqual(names)
    }
    await create({ name: 'web', network: 'none' })
    const side = await create({ name: 'side', network: 'container:web' })
    expect(await Promise.all([host.sandboxes.remove('web'), side.remove()])).toEqual([true, true])
  })

  test('ephemeral ones go with the host, sharers first', async () => {
    const other = await open(machine)
    await other.sandboxes.create({ name: 'a', network: 'none', ephemeral: true })
    await other.sandboxes.create({ name: 'b', network: 'container:a', ephemeral: true })
    await other.close()
    expect(await host.sandboxes.list()).toEqual([])
  })

  test.each<[string, Partial<SandboxOptions>]>([
    ['publish', { publish: ['80:80'] }],
    ['expose', { expose: ['80'] }],
    ['ip', { ip: '10.0.0.2' }],
    ['mac', { mac: '02:42:ac:11:00:02' }],
    ['dns', { dns: ['192.0.2.53'] }],
    ['addHosts', { addHosts: ['db:192.0.2.1'] }],
    ['hostname', { hostname: 'side' }],
    ['netns', { netns: '/run/netns/x' }],
  ])('refuses %s, which belongs to the first', async (field, options) => {
    await create({ name: 'web', network: 'none' })
    await expect(create({ name: 'side', network: 'container:web', ...options })).rejects.toMatchObject({
      code: 'ERR_NETMODE_INVALID_ARGUMENT',
      field,
      message: expect.stringContaining('network container'),
    })
  })

  test('can neither publish nor be attached later', async () => {
    await create({ name: 'web', network: 'none' })
    const side = await create({ name: 'side', network: 'container:web' })
    const refusal = { code: 'ERR_NETMODE_UNSUPPORTED', message: expect.stringContaining('the namespace belongs to sandbox web') }
    await expect(side.publish('80:80')).rejects.toMatchObject(refusal)
    await expect(side.attach('bridge')).rejects.toMatchObject(refusal)
  })

  test('of one that shares itself, of a host-mode one, of itself and of nobody is refused', async () => {
    await create({ name: 'web', network: 'none' })
    await create({ name: 'side', network: 'container:web' })
    await create({ name: 'agent', network: 'host' })
    const joined = (name: string) => create({ name: 'new', network: `container:${name}` })
    await expect(joined('side')).rejects.toMatchObject({ code: 'ERR_NETMODE_UNSUPPORTED', subject: 'side', field: 'network' })
    await expect(joined('agent')).rejects.toMatchObject({ code: 'ERR_NETMODE_UNSUPPORTED', subject: 'agent', field: 'network' })
    await expect(joined('nobody')).rejects.toMatchObject({ code: 'ERR_NETMODE_NOT_FOUND', subject: 'nobody' })
    await expect(joined('new')).rejects.toMatchObject({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'network' })
    await expect(joined('../web')).rejects.toMatchObject({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'network' })
  })

  test('when the first goes just before, there is nobody to share with, and nothing is left', async () => {
    const web = await create({ name: 'web', network: 'none' })
    const other = await open(machine)
    let removed: Promise<boolean> | undefined
    // Between the draft and the plan.
    const real = between.run
    between.run = async (plan, signal) => {
      if (stepsOf(plan).some(({ apply }) => apply.op === 'claim')) {
        removed ??= other.sandboxes.remove('web')
        await removed
      }
      return real(plan, signal)
    }
    await expect(create({ name: 'side', network: 'container:web' })).rejects.toMatchObject({
      code: 'ERR_NETMODE_NOT_FOUND',
      subject: 'web',
    })
    between.run = real
    expect(await removed).toBe(true)
    expect(await web.remove()).toBe(false)
    expect(await host.sandboxes.list()).toEqual([])
    await other.close()
  })
})

describe('none', () => {
  test('has a loopback device that is up, and nothing else', async () => {
    const job = await create({ name: 'job', network: 'none' })
    expect(job).toMatchObject({ mode: 'none', endpoints: [], ports: [] })
    const inside = JSON.parse(await run('ip', ['-n', 'job', '-j', 'address'])) as Record<string, unknown>[]
    expect(inside).toMatchObject([{ ifname: 'lo', flags: expect.arrayContaining(['UP']) }])
    expect(await run('ip', ['-n', 'job', 'route', 'show'])).toBe('')
    expect(await run('ip', ['-n', 'job', '-6', 'route', 'show', 'default'])).toBe('')
    await greet(job, '127.0.0.1', 80)
    expect(await ask(job, '127.0.0.1', 80)).toBe('127.0.0.1')
    expect(await ask(job, '198.51.100.2', 80)).toBe('unreachable')
    expect(await output(job, 'hostname')).toBe('job')
    await expect(job.publish('8080:80')).rejects.toMatchObject({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'ports[0]' })
  })

  test.each<[string, Partial<SandboxOptions>]>([
    ['publish', { publish: ['80:80'] }],
    ['ip', { ip: '10.0.0.2' }],
    ['mac', { mac: '02:42:ac:11:00:02' }],
  ])('refuses %s', async (field, options) => {
    await expect(create({ name: 'job', network: 'none', ...options })).rejects.toMatchObject({
      code: 'ERR_NETMODE_INVALID_ARGUMENT',
      field,
    })
  })

  test('is attached later, and then has a way out and can publish', async () => {
    const job = await create({ name: 'job', network: 'none' })
    expect(await job.attach('bridge')).toMatchObject({ ifname: 'eth0', network: 'bridge' })
    expect(await job.publish('8080:80')).toHaveLength(1)
    await greet(job, '0.0.0.0', 80)
    await using outside = new Peer(machine.outside.netns)
    await greet(outside, '0.0.0.0', 80)
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2')
    expect(await ask(job, '198.51.100.2', 80)).toBe('198.51.100.1')
    expect(await job.detach('bridge')).toBe(true)
    expect(await output(job, 'ls', ['/sys/class/net'])).toBe('lo')
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('refused')
  })
})

describe('a namespace that was there before', () => {
  let guest: PrivateNamespace
  beforeEach(async () => {
    await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
    await host.networks.create({ name: 'back', subnets: ['10.8.0.0/24'] })
    guest = await freshNamespace(`${machine.name}-guest`)
    await guest.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'own1') // somebody's own
    await guest.ip('address', 'add', '192.0.2.7/24', 'dev', 'eth0')
  })
  afterEach(() => guest.remove())

  /** A process in the guest namespace, the pid that others know it by. */
  async function tenant() {
    const child = guest.spawn('sleep', ['1000'])
    const pid = child.pid as number
    // nsenter becomes sleep only after it has entered.
    while (!readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('sleep')) await new Promise(setImmediate)
    return { pid, [Symbol.dispose]: () => void child.kill('SIGKILL') }
  }

  /** A server in it has to be there. */
  async function lives(sandbox: Sandbox): Promise<void> {
    await using outside = new Peer(machine.outside.netns)
    await greet(outside, '0.0.0.0', 90)
    expect(await ask(outside, '198.51.100.1', 8080)).toBe('198.51.100.2')
    expect(await ask(sandbox, '198.51.100.2', 90)).toBe('198.51.100.1')
    expect(await ownNamespace(sandbox)).toBe(`net:[${inodeOf(guest.netns)}]`)
  }

  /** Its whole life: made, used, changed, looked at by another process, removed; and the guest as before. */
  async function adopt(netns: NamespaceRef, path: RegExp): Promise<void> {
    const [before, worldBefore, stateBefore] = [await guestDump(), await machine.dump(), await stateTree(machine.stateDir)]
    const vm = await create({ name: 'vm', network: 'lan', netns, publish: ['8080:80'] })
    expect(vm.netns).toMatch(path)
    expect(inodeOf(vm.netns)).toBe(inodeOf(guest.netns))
    expect(vm.namespace.inode).toBe(inodeOf(guest.netns))
    // eth0 is taken by what was there.
    expect(vm.endpoints).toMatchObject([{ network: 'lan', ifname: 'eth1' }])
    await greet(vm, '0.0.0.0', 80)
    await lives(vm)
    const other = await open(machine)
    const same = (await other.sandboxes.get('vm')) as Sandbox
    expect(await same.attach('back')).toMatchObject({ ifname: 'eth2' })
    expect(await same.publish('9090:80')).toHaveLength(1)
    await lives(same)
    expect(await vm.detach('back')).toBe(true)
    expect(await vm.remove()).toBe(true)
    await other.close()
    expect(await guestDump()).toEqual(before)
    expect(await machine.dump()).toEqual(worldBefore)
    expect(await stateTree(machine.stateDir)).toEqual(stateBefore)
  }

  async function guestDump(): Promise<object> {
    const [links, routes] = [await guest.ipJson('address', 'show'), await guest.ipJson('route', 'show')]
    return { links, routes }
  }

  test('by path', () => adopt(guest.netns, new RegExp(`^${guest.netns}$`)))

  test('by the pid of a process in it', async () => {
    using process = await tenant()
    await adopt({ pid: process.pid }, new RegExp(`^/proc/${process.pid}/ns/net$`))
  })

  test('by a descriptor, which may be closed afterwards', async () => {
    const fd = openSync(guest.netns, 'r')
    await adopt({ fd }, /^\/run\/netns\/vm$/)
    const vm = await create({ name: 'vm', network: 'lan', netns: { fd }, publish: ['8080:80'] })
    closeSync(fd)
    expect((await run('ip', ['-n', 'vm', '-o', 'link'])).trim().split('\n')).toHaveLength(4)
    await greet(vm, '0.0.0.0', 80)
    await lives(vm)
  })

  test('by the path of a descriptor of this process', async () => {
    const fd = openSync(guest.netns, 'r')
    await adopt(`/proc/self/fd/${fd}`, /^\/run\/netns\/vm$/)
    await adopt(`/dev/fd/${fd}`, /^\/run\/netns\/vm$/)
    closeSync(fd)
  })

  test('the name that a descriptor would get is somebody else’s', async () => {
    const taken = await freshNamespace('vm')
    const before = await machine.dump()
    const fd = openSync(guest.netns, 'r')
    await expect(create({ name: 'vm', network: 'lan', netns: { fd } })).rejects.toMatchObject({ code: 'ERR_NETMODE_EXISTS', subject: 'vm' })
    expect(await machine.dump()).toEqual(before)
    closeSync(fd)
    await taken.remove()
  })

  test('is shared by container: as any other', async () => {
    const vm = await create({ name: 'vm', network: 'none', netns: guest.netns })
    const side = await create({ name: 'side', network: 'container:vm' })
    expect(await ownNamespace(side)).toBe(`net:[${inodeOf(guest.netns)}]`)
    await greet(vm, '192.0.2.7', 80)
    expect(await ask(side, '192.0.2.7', 80)).toBe('192.0.2.7')
    await expect(vm.remove()).rejects.toMatchObject({ code: 'ERR_NETMODE_BUSY', holder: 'side' })
  })

  test('a link name that is taken there is refused', async () => {
    const before = await guestDump()
    await expect(create({ name: 'vm', network: 'lan', netns: guest.netns, ifname: 'eth0' })).rejects.toMatchObject({
      code: 'ERR_NETMODE_EXISTS',
      message: expect.stringContaining('A link called eth0 exists'),
    })
    expect(await guestDump()).toEqual(before)
  })

  test('what is no network namespace, what is gone, and the host’s own are refused', async () => {
    await run('mkfifo', ['/run/fifo'])
    const adopted = (netns: NamespaceRef) => create({ name: 'vm', network: 'none', netns })
    for (const path of ['/etc/hosts', '/proc/self/ns/mnt', '/run', '/run/fifo', '/dev/null'])
      await expect(adopted(path), path).rejects.toMatchObject({ code: 'ERR_NETMODE_NOT_A_NAMESPACE' })
    const fd = openSync('/etc/hosts', 'r')
    await expect(adopted({ fd })).rejects.toMatchObject({ code: 'ERR_NETMODE_NOT_A_NAMESPACE' })
    closeSync(fd)
    await expect(adopted({ fd })).rejects.toMatchObject({ code: 'ERR_NETMODE_NOT_A_NAMESPACE' })
    await expect(adopted('/run/netns/nobody')).rejects.toMatchObject({ code: 'ERR_NETMODE_NAMESPACE_GONE' })
    await expect(adopted({ pid: 4_194_304 })).rejects.toMatchObject({ code: 'ERR_NETMODE_NAMESPACE_GONE' })
    await expect(adopted(machine.netns)).rejects.toMatchObject({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'netns' })
    await expect(adopted('x')).rejects.toMatchObject({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'netns' })
    expect(await host.sandboxes.list()).toEqual([])
  })

  test('another one in its place is not mistaken for it', async () => {
    const vm = await create({ name: 'vm', network: 'lan', netns: guest.netns })
    using _ = await tenant() // the old one lives on, so that the new one can't have its inode
    await run('ip', ['netns', 'delete', guest.name])
    await run('ip', ['netns', 'add', guest.name])
    await expect(vm.attach('back')).rejects.toMatchObject({ code: 'ERR_NETMODE_NAMESPACE_GONE' })
    await expect(vm.namespace.links.list()).rejects.toMatchObject({ code: 'ERR_NETMODE_NAMESPACE_GONE' })
    const recovery = await host.recover()
    expect(recovery.repaired).toEqual(['vm'])
    expect(await host.sandboxes.get('vm')).toBeUndefined()
    expect(await run('ip', ['-n', guest.name, '-o', 'link'])).toMatch(/^1: lo:/)
  })

  test('a process that ends takes its sandbox along at the next recovery', async () => {
    const process = await tenant()
    await create({ name: 'vm', network: 'lan', netns: { pid: process.pid } })
    await guest.run('true')
    process[Symbol.dispose]()
    while (statSync(`/proc/${process.pid}/ns/net`, { throwIfNoEntry: false })) await new Promise(setImmediate)
    expect((await host.recover()).repaired).toEqual(['vm'])
    expect(await machine.ipJson('link', 'show', 'master', (await host.networks.get('lan'))?.device ?? '')).toEqual([])
  })
})
