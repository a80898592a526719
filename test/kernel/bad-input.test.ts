/** What is wrong is refused before anything is touched, and the error names the field. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { access, mkdir, rm, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect } from 'vitest'
import { type Host, openHost, type Sandbox } from '../../lib/index.js'
import { type Between, changes, openBetween } from '../setup/between.js'
import { freshHost, type PrivateHost, run } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { Program, Programs } from '../setup/program.js'
import { worldOf } from '../setup/state-tree.js'

const { describe, test } = requires('root', 'program:nft')
const dropping = requires('root', 'program:setpriv')

let machine: PrivateHost
let host: Host
let between: Between
let web: Sandbox
let before: object

beforeAll(async () => {
  machine = await freshHost()
  ;({ host, between } = await openBetween(machine))
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
  await host.networks.create({ name: 'four', subnets: ['10.8.0.0/24'] })
  web = await host.sandboxes.create({ name: 'web', network: 'lan', ip: '10.9.0.9', publish: ['8080:80'] })
  before = await world()
  between.plans.length = 0
})
afterAll(async () => {
  await host.sandboxes.remove('web')
  await host.close()
  await machine.remove()
})

const world = () => worldOf(machine)

type Call = () => Promise<unknown>
/** Wrong arguments of one call, and the field that each must be refused for. */
type Wrong = readonly (readonly [input: unknown, field: string])[]

/** Not one of them gets as far as a plan that would change something. */
async function expectRefused(call: (input: never) => Promise<unknown>, wrong: Wrong): Promise<void> {
  for (const [input, field] of wrong) {
    const refused = expect(call(input as never), `${JSON.stringify(input)}`)
    await refused.rejects.toMatchObject({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field, message: expect.stringContaining(field) })
  }
  expect(between.plans.filter(changes)).toEqual([])
  expect(await world()).toEqual(before)
}

const badNames = ['../x', '', 'a\nb', 'a"b', "a'b", 'a\0b', '.hidden', '-rf', 'a/b', 'a b', 'é', 'x'.repeat(64), 5, null, {}, ['web']]
const badIfnames = ['sixteen-bytes-ab', 'a%d', '', 'a/b', 'a b', 'a"', '.', '..', 'lo', 'all', 'default', 'é', 'a\0', 7]

describe('sandboxes.create', () => {
  const create = (input: never) => host.sandboxes.create(input)
  const withKey = (key: string, values: readonly unknown[], field = key): Wrong =>
    values.map(value => [{ name: 'db', network: 'lan', [key]: value }, field] as const)

  test('names', async () => {
    await expectRefused(
      create,
      [...badNames, undefined].map(name => [{ name }, 'name']),
    )
    await expectRefused(
      create,
      ['../x', '', 'a\nb', 'container:', 'container:../x', 'container:a b', 5, null].map(network => [{ name: 'db', network }, 'network']),
    )
    await expectRefused(create, [[{ name: 'db', network: 'container:db' }, 'network']])
  })

  test('names of interfaces', () => expectRefused(create, withKey('ifname', badIfnames)))

  test('addresses', async () => {
    await expectRefused(
      create,
      withKey('ip', ['10.9.0', '10.9.0.256', '10.9.0.9/24', 'fd00:9::9', '', 0x0a090009, '127.0.0.1', '224.0.0.1', '0.0.0.0']),
    )
    await expectRefused(create, withKey('ip', ['10.8.0.9', '10.9.1.1', '10.9.0.0', '10.9.0.255']))
    await expectRefused(
      create,
      withKey('ip6', ['fd00:9', '10.9.0.9', 'fe80::1%eth0', '::1', '::', 'ff02::1', '::ffff:10.9.0.9', 'fd00:8::9']),
    )
    await expectRefused(create, [[{ name: 'db', network: 'four', ip6: 'fd00:9::9' }, 'ip6']])
  })

  test('MAC addresses', () =>
    expectRefused(
      create,
      withKey('mac', [
        '01:00:5e:00:00:01',
        '33:33:00:00:00:01',
        'ff:ff:ff:ff:ff:ff',
        '00:00:00:00:00:00',
        '02:42:0a',
        '02-42:0a:09:00:09',
        '02420a090009',
        5,
      ]),
    ))

  test('ports', async () => {
    const publish = (input: unknown, field: string) => [{ name: 'db', network: 'lan', publish: [input] }, `publish[0]${field}`] as const
    await expectRefused(create, [
      ...['0:80', '65536:80', '-1:80', '+1:80', '0x50:80', 'a:80', '1-2-3:80', '9-8:80', '8080-8082:80-81'].map(one =>
        publish(one, '.hostPort'),
      ),
      ...['80:0', '80:65536', '80:a', '80:', '', '0', '65536', '2-1'].map(one => publish(one, '.containerPort')),
      ...['80:80/xyz', '80:80/', '80:80/tcp/udp', '80/icmp'].map(one => publish(one, '.protocol')),
      ...['300.1.1.1:80:80', '[::g]:80:80', '[10.0.0.1]:80:80', '224.0.0.1:80:80'].map(one => publish(one, '.hostIp')),
      ...['::1:80:80', '10.0.0.1:80', '1:2:3:4'].map(one => publish(one, '')),
      publish({ containerPort: 0 }, '.containerPort'),
      publish({ containerPort: 65_536 }, '.containerPort'),
      publish({ containerPort: 1.5 }, '.containerPort'),
      publish({ containerPort: '80' }, '.containerPort'),
      publish({}, '.containerPort'),
      publish({ containerPort: 80, hostPort: 0 }, '.hostPort'),
      publish({ containerPort: 80, hostPort: Number.NaN }, '.hostPort'),
      publish({ containerPort: 80, protocol: 'icmp' }, '.protocol'),
      publish({ containerPort: 80, hostIp: 'localhost' }, '.hostIp'),
      publish({ containerPort: 80, allow: ['10.0.0.0/33'] }, '.allow[0]'),
      publish({ containerPort: 80, port: 80 }, '.port'),
      publish(80, ''),
    ])
    await expectRefused(create, [
      [{ name: 'db', network: 'lan', publish: '8080:80' }, 'publish'],
      [{ name: 'db', network: 'lan', publish: ['9000:80', '9000:81'] }, 'publish[1].hostPort'],
      [{ name: 'db', network: 'four', publish: ['[::1]:9000:80'] }, 'publish[0].hostIp'],
      [{ name: 'db', network: 'none', publish: ['9000:80'] }, 'publish'],
    ])
  })

  test('keys and types', async () => {
    const getter = Object.defineProperty({ network: 'lan' }, 'name', { enumerable: true, get: () => 'db' })
    await expectRefused(create, [
      [{ name: 'db', nmae: 'x' }, 'nmae'],
      [{ name: 'db', labels: { a: 5 } }, 'labels.a'],
      [{ name: 'db', labels: 'a=b' }, 'labels'],
      [{ name: 'db', ephemeral: 1 }, 'ephemeral'],
      [{ name: 'db', dns: '1.1.1.1' }, 'dns'],
      [{ name: 'db', dns: ['resolver'] }, 'dns[0]'],
      [{ name: 'db', hostname: 'a b' }, 'hostname'],
      [{ name: 'db', addHosts: ['db'] }, 'addHosts[0]'],
      [{ name: 'db', networks: [{ network: 'lan' }, { network: 'lan' }] }, 'networks[1].network'],
      [{ name: 'db', networks: [] }, 'networks'],
      [{ name: 'db', network: 'lan', networks: [{ network: 'lan' }] }, 'network'],
      [{ name: 'db', expose: ['0'] }, 'expose[0]'],
      [getter, 'name'],
      [new Proxy({ name: 'db' }, {}), 'options'],
      [null, 'options'],
      ['db', 'options'],
      [[], 'options'],
    ])
  })

  test('namespaces', async () => {
    const folder = '/run/no-namespaces'
    await mkdir(folder)
    await writeFile(`${folder}/file`, '')
    await run('mkfifo', [`${folder}/fifo`])
    const fd = openSync(`${folder}/file`, 'r')
    const dead = spawn('true')
    await once(dead, 'exit')
    const outcomes: [unknown, string][] = [
      [`${folder}/file`, 'NOT_A_NAMESPACE'],
      [folder, 'NOT_A_NAMESPACE'],
      [`${folder}/fifo`, 'NOT_A_NAMESPACE'],
      ['/proc/self/ns/mnt', 'NOT_A_NAMESPACE'],
      ['/dev/null', 'NOT_A_NAMESPACE'],
      [{ fd }, 'NOT_A_NAMESPACE'],
      [{ fd: 999_999 }, 'NOT_A_NAMESPACE'],
      [`${folder}/nothing`, 'NAMESPACE_GONE'],
      [`${folder}/file/below`, 'NOT_A_NAMESPACE'],
      [{ pid: dead.pid }, 'NAMESPACE_GONE'],
    ]
    for (const [netns, code] of outcomes) {
      const refused = { code: `ERR_NETMODE_${code}`, subject: expect.stringMatching(/\S/) }
      await expect(create({ name: 'db', network: 'lan', netns } as never), `${JSON.stringify(netns)}`).rejects.toMatchObject(refused)
      await expect(openHost({ netns, stateDir: `${folder}/state` } as never), `${JSON.stringify(netns)}`).rejects.toMatchObject(refused)
    }
    await expectRefused(
      create,
      ['run/netns/x', '', {}, { pid: 0 }, { pid: -1 }, { pid: 1.5 }, { pid: 1, fd: 1 }, { fd: -1 }, 5].map(netns => {
        const [key] = typeof netns === 'object' ? Object.keys(netns) : []
        return [{ name: 'db', netns }, typeof netns === 'object' && Object.keys(netns).length === 1 ? `netns.${key}` : 'netns']
      }),
    )
    await expectRefused(create, [[{ name: 'db', network: 'lan', netns: machine.netns }, 'netns']])
    await expect(access(`${folder}/state`)).rejects.toMatchObject({ code: 'ENOENT' })
    closeSync(fd)
    await rm(folder, { recursive: true })
  })

  test('what is not there, or taken', async () => {
    const wrong: [object, object][] = [
      [{ name: 'web', network: 'lan' }, { code: 'ERR_NETMODE_EXISTS' }],
      [
        { name: 'db', network: 'nowhere' },
        { code: 'ERR_NETMODE_NOT_FOUND', subject: 'nowhere' },
      ],
      [{ name: 'db', network: 'container:nobody' }, { code: 'ERR_NETMODE_NOT_FOUND' }],
      [
        { name: 'db', network: 'lan', ip: '10.9.0.9' },
        { code: 'ERR_NETMODE_ADDRESS_IN_USE', holder: 'web' },
      ],
      [
        { name: 'db', network: 'lan', ip: '10.9.0.1' },
        { code: 'ERR_NETMODE_ADDRESS_IN_USE', field: 'ip' },
      ],
      [
        { name: 'db', network: 'lan', publish: ['8080:80'] },
        { code: 'ERR_NETMODE_PORT_IN_USE', holder: 'web' },
      ],
      [
        { name: 'db', network: 'lan', publish: ['127.0.0.1:8080:80'] },
        { code: 'ERR_NETMODE_PORT_IN_USE', holder: 'web' },
      ],
    ]
    for (const [options, error] of wrong) await expect(create(options as never), JSON.stringify(options)).rejects.toMatchObject(error)
    expect(await world()).toEqual(before)
    between.plans.length = 0
  })
})

describe('networks.create', () => {
  const create = (input: never) => host.networks.create(input)
  const of = (subnets: unknown, rest = {}): object => ({ name: 'new', subnets, ...rest })

  test('names', async () => {
    await expectRefused(
      create,
      [...badNames, undefined, 'host', 'none', 'container:web'].map(name => [{ name }, 'name']),
    )
    await expectRefused(
      create,
      badIfnames.map(bridge => [{ name: 'new', bridge }, 'bridge']),
    )
  })

  test('subnets and gateways', async () => {
    const subnets = [
      '10.7.0.0',
      '10.7.0.0/33',
      '10.7.0.0/-1',
      '10.7.0/24',
      '300.0.0.0/8',
      'fd00::/129',
      '10.7.0.0/24/',
      ' 10.7.0.0/24',
      '10.7.0.0/2 4',
      '',
      5,
    ]
    await expectRefused(
      create,
      subnets.map(one => [of([one]), 'subnets[0]']),
    )
    await expectRefused(
      create,
      ['127.0.0.0/8', '224.0.0.0/24', 'fe80::/64', '0.0.0.0/0', '::/0', 'ff00::/8', '255.255.255.0/24'].map(one => [
        of([one]),
        'subnets[0]',
      ]),
    )
    await expectRefused(create, [
      [of('10.7.0.0/24'), 'subnets'],
      [of(['10.7.0.0/24', '10.7.0.128/25']), 'subnets[1]'],
      [of(['10.7.0.0/24'], { gateway: '10.6.0.1' }), 'gateway'],
      [of(['10.7.0.0/24'], { gateway: '10.7.0.0' }), 'gateway'],
      [of(['10.7.0.0/24'], { gateway: '10.7.0.255' }), 'gateway'],
      [of(['10.7.0.0/24'], { gateway: 'router' }), 'gateway'],
      [of([], { gateway: '10.7.0.1' }), 'gateway'],
      [of([{ subnet: '10.7.0.0/24', gateway: '10.6.0.1' }]), 'subnets[0].gateway'],
      [of([{ subnet: '10.7.0.0/24', range: '10.6.0.0/25' }]), 'subnets[0].range'],
      [of([{ subnet: '10.7.0.0/24', reserved: { dns: '10.6.0.1' } }]), 'subnets[0].reserved.dns'],
      [of([{ gateway: '10.7.0.1' }]), 'subnets[0].subnet'],
      [of([{ subnet: '10.7.0.0/24', gw: '10.7.0.1' }]), 'subnets[0].gw'],
    ])
  })

  test('options', () =>
    expectRefused(create, [
      [{ name: 'new', mtu: 67 }, 'mtu'],
      [{ name: 'new', mtu: 65_536 }, 'mtu'],
      [{ name: 'new', mtu: '1500' }, 'mtu'],
      [{ name: 'new', mtu: 1279, ipv6: true }, 'mtu'],
      [{ name: 'new', driver: 'overlay' }, 'driver'],
      [{ name: 'new', parent: 'eth0', internal: true }, 'internal'],
      [{ name: 'new', icc: 'yes' }, 'icc'],
      [{ name: 'new', internal: 1 }, 'internal'],
      [{ name: 'new', subnets: ['fd00:7::/64'], ipv6: false }, 'ipv6'],
      [{ name: 'new', labels: { 'a\n': 'b' } }, 'labels["a\\n"]'],
      [{ name: 'new', subnet: '10.7.0.0/24' }, 'subnet'],
    ]))

  test('a subnet that overlaps a route, another network, all of them', async () => {
    const overlaps: [string, RegExp][] = [
      ['198.51.100.128/25', /eth0/],
      ['198.51.0.0/16', /eth0/],
      ['10.9.0.0/25', /lan/],
      ['10.0.0.0/8', /lan|four/],
      ['2001:db8::/32', /eth0/],
      ['fd00:9::/80', /lan/],
    ]
    for (const [subnet, holder] of overlaps) {
      await expect(create(of([subnet]) as never), subnet).rejects.toMatchObject({
        code: 'ERR_NETMODE_SUBNET_OVERLAP',
        field: 'subnets',
        holder: expect.stringMatching(holder),
      })
    }
    expect(between.plans.filter(changes)).toEqual([])
    await expect(create({ name: 'lan' } as never)).rejects.toMatchObject({ code: 'ERR_NETMODE_EXISTS', field: 'name' })
    await expect(create({ name: 'new', bridge: 'eth0' } as never)).rejects.toMatchObject({ code: 'ERR_NETMODE_EXISTS' })
    expect(await world()).toEqual(before)
    between.plans.length = 0
  })
})

test('what is asked of a live sandbox', async () => {
  await expectRefused(
    input => web.publish(input),
    [
      [['0:80'], 'ports[0].hostPort'],
      ['65536:80', 'ports.hostPort'],
      ['80:80/xyz', 'ports.protocol'],
      [{ containerPort: 80, hots: 1 }, 'ports.hots'],
      [5, 'ports'],
    ],
  )
  await expectRefused(
    input => web.unpublish(input),
    [
      ['', 'ports.hostPort'],
      [['0'], 'ports[0].hostPort'],
      ['80/xyz', 'ports.protocol'],
    ],
  )
  await expectRefused(
    input => web.attach('four', input),
    [
      [{ ip: '10.9.0.1' }, 'ip'],
      [{ ifname: 'a%d' }, 'ifname'],
      [{ mac: '01:00:00:00:00:00' }, 'mac'],
      [{ name: 'x' }, 'name'],
    ],
  )
  await expectRefused(
    input => web.dial(input),
    [
      [{ host: 'localhost', port: 80 }, 'host'],
      [{ host: '127.0.0.1', port: 0 }, 'port'],
      [{ host: '127.0.0.1', port: 80, localAddress: '::1' }, 'localAddress'],
      [{ host: '127.0.0.1', port: 80, timeout: -1 }, 'timeout'],
    ],
  )
})

test('what is asked of a host', async () => {
  const names: Call[] = [
    () => host.sandboxes.get('../x'),
    () => host.sandboxes.remove('../x'),
    () => host.sandboxes.inspect('a\nb'),
    () => host.networks.get('../x'),
    () => host.networks.remove('../x'),
    () => host.networks.inspect(''),
    () => host.explain('sandboxes.create', { name: '../x' }),
    () => host.explain('networks.remove', '../x'),
  ]
  for (const call of names) await expect(call()).rejects.toMatchObject({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'name' })
  await expect(host.sandboxes.removeAll(['web', '../x'])).rejects.toMatchObject({ field: 'names[1]' })
  await expectRefused(
    input => openHost(input),
    [
      [{ stateDir: 'relative' }, 'stateDir'],
      [{ stateDir: '/a\0b' }, 'stateDir'],
      [{ statedir: '/run/x' }, 'statedir'],
      [{ repair: 'yes' }, 'repair'],
      [{ signal: {} }, 'signal'],
      [{ config: [] }, 'config'],
    ],
  )
  expect(await host.sandboxes.list()).toHaveLength(1)
})

dropping.describe('without a capability', () => {
  let programs: Programs
  beforeAll(async () => {
    programs = await Programs.bundle('test/process/programs/try-open.ts')
  })
  afterAll(() => programs[Symbol.asyncDispose]())

  // A sanitizer's run-time library is for Node alone.
  const { LD_PRELOAD: preload, ...env } = process.env
  const node = preload === undefined ? [process.execPath] : ['env', `LD_PRELOAD=${preload}`, process.execPath]
  const withoutCapability = (name: string, args: readonly string[]): Program => {
    const drop = ['--bounding-set', `-${name}`, '--inh-caps', `-${name}`]
    return new Program(spawn('setpriv', [...drop, ...node, programs.path('try-open'), ...args], { stdio: 'pipe', env }))
  }

  test.each([
    ['net_admin', 'CAP_NET_ADMIN'],
    ['sys_admin', 'CAP_SYS_ADMIN'],
  ])('%s', async (name, said) => {
    const stateDir = '/run/never-made'
    const program = withoutCapability(name, [machine.netns, stateDir])
    const outcome = JSON.parse(await program.hear()) as { code: string; message: string }
    expect(outcome).toMatchObject({ code: 'ERR_NETMODE_PERMISSION', message: expect.stringContaining(said) })
    expect(await program.end()).toBe(0)
    await expect(access(stateDir)).rejects.toMatchObject({ code: 'ENOENT' })
    expect(await world()).toEqual(before)
  })
})
