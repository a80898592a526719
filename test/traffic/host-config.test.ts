/** daemon.json's keys, each as a user sees it. */
import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect } from 'vitest'
import { type Host, openHost, type Sandbox } from '../../lib/index.js'
import { Command } from '../setup/command.js'
import { freshHost, type PrivateHost, PrivateNamespace, run } from '../setup/namespace.js'
import { addressOf, ask, families, greet, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'

const { describe, test } = requires('root')
const [ip4, ip6] = families

let machine: PrivateHost
let self: Peer
let outside: Peer
const opened: Host[] = []

beforeEach(async () => {
  machine = await freshHost()
  self = new Peer(machine.netns)
  outside = new Peer(machine.outside.netns)
})

afterEach(async () => {
  for (const host of opened.splice(0)) {
    await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
    await host.close()
  }
  await self[Symbol.asyncDispose]()
  await outside[Symbol.asyncDispose]()
  await machine.remove()
})

/** undefined: none is given. */
async function open(config?: object | string): Promise<Host> {
  const host = await openHost({ netns: machine.netns, stateDir: machine.stateDir, ...(config !== undefined && { config }) })
  opened.push(host)
  return host
}

const web = (host: Host, publish: readonly string[] = []): Promise<Sandbox> => host.sandboxes.create({ name: 'web', publish })
const inside = () => new PrivateNamespace('web')
const bridgeAddresses = (device = 'netmode0') => machine.ip('-br', 'address', 'show', device)

describe('the file', () => {
  const folder = '/run/config'
  const file = join(folder, 'daemon.json')
  const wrote = async (text: string): Promise<string> => {
    await mkdir(folder, { recursive: true })
    await writeFile(file, text)
    return file
  }

  test.each([
    ['{"mtu": "big"}', 'config.mtu', 'Expected a whole number from 68 to 65535 for config.mtu but received "big"'],
    ['{"storage-driver": "vfs"}', 'config.storage-driver', 'Expected a known key ('],
    ['{"mtu": 1400', 'config', 'Expected JSON for config but received '],
    ['', 'config', 'Expected JSON for config but received '],
    ['[]', 'config', 'Expected a plain object for config but received []'],
  ])('%j: the error names the key and the file', async (text, field, words) => {
    const error = await open(await wrote(text)).catch((error: unknown) => error)
    expect(error).toMatchObject({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field })
    expect((error as Error).message.startsWith(`${file}: ${words}`)).toBe(true)
    expect((error as Error).stack).toContain((error as Error).message)
  })

  test('that is not there, or no file, or no absolute path', async () => {
    for (const config of ['/run/nowhere.json', '/run']) {
      const error = await open(config).catch((error: unknown) => error)
      expect(error).toMatchObject({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field: 'config' })
      expect((error as Error).message).toContain(config === '/run' ? 'EISDIR' : config)
    }
    await expect(open('daemon.json')).rejects.toMatchObject({ field: 'config' })
  })

  test('/etc/netmode/config.json is read where nothing is given, by the command too', async () => {
    await run('cp', ['-a', '/etc', '/run/etc'])
    await mkdir('/run/etc/netmode')
    await writeFile('/run/etc/netmode/config.json', JSON.stringify({ bip: '10.44.0.1/24', mtu: 1390 }))
    await run('mount', ['--bind', '/run/etc', '/etc'])
    try {
      const host = await open()
      await web(host)
      expect(await bridgeAddresses()).toContain('10.44.0.1/24')
      expect(await inside().ipJson('link', 'show', 'eth0')).toMatchObject([{ mtu: 1390 }])
      // An object or a file stands for itself alone.
      const other = await open({})
      await other.networks.create({ name: 'lan', subnets: ['10.7.0.0/24'] })
      expect(await machine.ipJson('link', 'show', String((await other.networks.get('lan'))?.device))).toMatchObject([{ mtu: 1500 }])
      await using command = await Command.bundle()
      const where = ['--host-netns', machine.netns, '--state-dir', machine.stateDir]
      const netmode = (...words: string[]) => promisify(execFile)(process.execPath, [command.main, ...where, ...words])
      await netmode('create', 'by-default')
      await netmode(
        '--config',
        await wrote('{"dns": ["192.0.2.53"], "dns-search": ["corp.test"], "dns-opts": ["ndots:3"]}'),
        'create',
        'by-file',
      )
      expect((await host.sandboxes.get('by-default'))?.endpoints[0]?.ipv4?.address).toBe('10.44.0.3')
      const { stdout } = await netmode('--config', file, 'exec', 'by-file', '--', 'cat', '/etc/resolv.conf')
      expect(stdout).toBe('nameserver 192.0.2.53\nsearch corp.test\noptions ndots:3\n')
      await expect(netmode('--config', await wrote('{"icc": 1}'), 'ps')).rejects.toMatchObject({
        code: 2,
        stderr: expect.stringContaining(`${file}: Expected true or false for config.icc but received 1`) as string,
      })
    } finally {
      await run('umount', ['/etc'])
    }
  })
})

describe('the default network', () => {
  test('bip, fixed-cidr and default-gateway, in both families', async () => {
    const host = await open({
      bip: '10.44.0.1/24',
      'fixed-cidr': '10.44.0.128/25',
      'default-gateway': '10.44.0.7',
      ipv6: true,
      bip6: 'fd44::1/64',
      'fixed-cidr-v6': 'fd44::a:0/112',
      'default-gateway-v6': 'fd44::7',
    })
    await web(host)
    expect(await bridgeAddresses()).toContain('10.44.0.1/24 fd44::1/64')
    expect(await inside().ip('-br', 'address', 'show', 'eth0')).toMatch(/ 10\.44\.0\.128\/24 fd44::a:0\/64/)
    expect(await inside().ip('route')).toContain('default via 10.44.0.7 dev eth0')
    expect(await inside().ip('-6', 'route')).toContain('default via fd44::7 dev eth0')
  })

  test('the gateway is the bridge where it is the only one, and fixed-cidr alone is a subnet', async () => {
    const host = await open({ bip: '10.44.0.9/24', 'default-gateway': '10.44.0.9', ipv6: true, 'fixed-cidr-v6': 'fd45::/64' })
    await web(host)
    expect(await bridgeAddresses()).toContain('10.44.0.9/24 fd45::1/64')
    expect(await inside().ip('route')).toContain('default via 10.44.0.9 dev eth0')
    expect(await inside().ip('-6', 'route')).toContain('default via fd45::1 dev eth0')
  })

  test('ipv6 alone takes an own block', async () => {
    const host = await open({ ipv6: true })
    const sandbox = await web(host)
    expect(addressOf(sandbox, ip6)).toMatch(/^fd/)
    await greet(sandbox, addressOf(sandbox, ip6), 80)
    expect(await ask(self, addressOf(sandbox, ip6), 80)).toBe(sandbox.endpoints[0]?.ipv6?.gateway)
  })

  test('bridge names the device, and none leaves it out', async () => {
    const host = await open({ bridge: 'br7' })
    await web(host)
    expect(await bridgeAddresses('br7')).toContain('172.17.0.1/16')
    await host.sandboxes.remove('web')
    await host.networks.remove('bridge')
    const without = await open({ bridge: 'none' })
    await expect(web(without)).rejects.toMatchObject({ code: 'ERR_NETMODE_NOT_FOUND', subject: 'bridge' })
  })

  test('icc: false, ip-masq: false, mtu and ip', async () => {
    const host = await open({ icc: false, 'ip-masq': false, mtu: 1380, ip: '127.0.0.1' })
    const one = await web(host, ['8080:80'])
    const two = await host.sandboxes.create({ name: 'two' })
    await greet(one, addressOf(one, ip4), 80)
    await greet(outside, ip4.outside, 80)
    expect(await ask(two, addressOf(one, ip4), 80, { quiet: true })).toMatch(/silent|unreachable/)
    await machine.outside.ip('route', 'add', '172.17.0.0/16', 'via', ip4.host)
    expect(await ask(one, ip4.outside, 80)).toBe(addressOf(one, ip4))
    expect(await inside().ipJson('link', 'show', 'eth0')).toMatchObject([{ mtu: 1380 }])
    expect(one.ports).toEqual([{ hostIp: '127.0.0.1', hostPort: 8080, containerPort: 80, protocol: 'tcp' }])
    expect(await ask(self, '127.0.0.1', 8080)).toBe('172.17.0.1')
    expect(await ask(outside, ip4.host, 8080)).toBe('refused')
  })
})

describe('rules and forwarding', () => {
  test('iptables: false writes no rules at all', async () => {
    const host = await open({ iptables: false, ipv6: true })
    const one = await web(host)
    await host.networks.create({ name: 'lan', subnets: ['10.7.0.0/24'], icc: false, ipv6: true })
    const two = await host.sandboxes.create({ name: 'two', networks: [{ network: 'lan' }, { network: 'bridge' }] })
    expect(await machine.nft('list', 'ruleset')).toBe('')
    // Nor is anyone sent to a name server that no rule leads to.
    expect(two.endpoints[0]?.ipv4?.gateway).toBe('10.7.0.1')
    expect(await readFile(join(machine.stateDir, 'sandboxes/two/resolv.conf'), 'utf8')).not.toContain('10.7.0.1')
    await expect(host.sandboxes.create({ name: 'x', publish: ['80'] })).rejects.toMatchObject({
      code: 'ERR_NETMODE_UNSUPPORTED',
      field: 'publish[0]',
    })
    await expect(host.networks.create({ name: 'out', snat: '203.0.113.9' })).rejects.toMatchObject({
      code: 'ERR_NETMODE_UNSUPPORTED',
      field: 'snat',
    })
    await greet(one, addressOf(one, ip4), 80)
    expect(await ask(two, addressOf(one, ip4), 80)).toMatch(/^172\.17\./)
    // Nobody translates on the way out.
    await machine.outside.ip('route', 'add', '172.17.0.0/16', 'via', ip4.host)
    await greet(outside, ip4.outside, 80)
    expect(await ask(one, ip4.outside, 80)).toBe(addressOf(one, ip4))
    await host.recover()
    await two.remove()
    await host.networks.remove('lan')
    expect(await machine.nft('list', 'ruleset')).toBe('')
  })

  test('ip6tables: false leaves IPv6 alone and IPv4 as it is', async () => {
    const host = await open({ ip6tables: false })
    await host.networks.create({ name: 'lan', subnets: ['10.7.0.0/24', 'fd07::/64'] })
    const one = await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['8080:80'] })
    expect(one.ports).toEqual([{ hostIp: '0.0.0.0', hostPort: 8080, containerPort: 80, protocol: 'tcp' }])
    await expect(one.publish('[::]:8081:80')).rejects.toMatchObject({ code: 'ERR_NETMODE_UNSUPPORTED', field: 'ports[0].hostIp' })
    const rules = async () => await machine.nft('-s', 'list', 'ruleset')
    const before = await rules()
    expect(before).not.toContain('fd07')
    for (const family of families) {
      await greet(one, addressOf(one, family), 80)
      await greet(outside, family.outside, 80)
      await machine.outside.ip('route', 'add', family.version === 4 ? '10.7.0.0/24' : 'fd07::/64', 'via', family.host)
    }
    expect(await ask(outside, ip4.host, 8080)).toBe(ip4.outside)
    expect(await ask(one, ip4.outside, 80)).toBe(ip4.host)
    expect(await ask(outside, addressOf(one, ip4), 80, { quiet: true })).toBe('silent')
    expect(await ask(one, ip6.outside, 80)).toBe(addressOf(one, ip6))
    expect(await ask(outside, addressOf(one, ip6), 80)).toBe(ip6.outside)
    await machine.nft('flush', 'ruleset')
    await host.recover()
    expect(await rules()).toBe(before)
  })

  test('ip-forward: false never sets it, and says what needs it', async () => {
    const keys = ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding']
    const values = () => Promise.all(keys.map(key => machine.sysctl(key)))
    await machine.run('sysctl', '-qw', ...keys.map(key => `${key}=0`))
    const host = await open({ 'ip-forward': false })
    for (const [options, needed] of [
      [{ name: 'lan', subnets: ['10.7.0.0/24', 'fd07::/64'] }, 'net.ipv4.ip_forward, net.ipv6.conf.all.forwarding'],
      [{ name: 'lan', subnets: ['10.7.0.0/24'] }, 'net.ipv4.ip_forward'],
    ] as const) {
      await expect(host.networks.create(options)).rejects.toMatchObject({
        code: 'ERR_NETMODE_UNSUPPORTED',
        field: 'config.ip-forward',
        subject: needed,
        message: expect.stringContaining('is 0, and config.ip-forward is false') as string,
      })
    }
    await expect(web(host)).rejects.toMatchObject({ code: 'ERR_NETMODE_UNSUPPORTED', field: 'config.ip-forward' })
    // One without a way out needs none.
    await host.networks.create({ name: 'sealed', subnets: ['10.8.0.0/24', 'fd08::/64'], internal: true })
    expect(await values()).toEqual(['0', '0'])
    expect(await host.sandboxes.list()).toEqual([])
    // The administrator's word is enough.
    await machine.run('sysctl', '-qw', 'net.ipv4.ip_forward=1')
    const one = await web(host)
    await greet(outside, ip4.outside, 80)
    expect(await ask(one, ip4.outside, 80)).toBe(ip4.host)
    expect(await values()).toEqual(['1', '0'])
  })
})

describe('other networks', () => {
  test('default-network-opts are what they are told, unless they are told otherwise', async () => {
    const host = await open({
      'default-network-opts': {
        bridge: {
          'com.docker.network.driver.mtu': '1300',
          'com.docker.network.bridge.host_binding_ipv4': '127.0.0.1',
          'com.docker.network.container_iface_prefix': 'net',
        },
      },
    })
    await host.networks.create({ name: 'lan', subnets: ['10.7.0.0/24'], mtu: 1400 })
    const one = await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['8080:80'] })
    expect(one.ports).toMatchObject([{ hostIp: '127.0.0.1' }])
    expect(await inside().ipJson('link', 'show', 'net0')).toMatchObject([{ mtu: 1400 }])
    const two = await host.networks.create({ name: 'two', subnets: ['10.8.0.0/24'] })
    expect(await machine.ipJson('link', 'show', String(two.device))).toMatchObject([{ mtu: 1300 }])
    // As in Docker, not the default network.
    expect((await host.sandboxes.create({ name: 'three', publish: ['8081:80'] })).ports).toMatchObject([{ hostIp: '0.0.0.0' }])
  })

  test('dns, dns-search and dns-opts, unless the sandbox has its own', async () => {
    const host = await open({ dns: ['192.0.2.53'], 'dns-search': ['corp.test'], 'dns-opts': ['ndots:3'] })
    const one = await web(host)
    const two = await host.sandboxes.create({ name: 'two', dns: ['192.0.2.1'], dnsOptions: ['rotate'] })
    const seen = async (sandbox: Sandbox) => {
      let text = ''
      for await (const chunk of sandbox.spawn('cat', ['/etc/resolv.conf']).stdout ?? []) text += String(chunk)
      return text
    }
    expect(await seen(one)).toBe('nameserver 192.0.2.53\nsearch corp.test\noptions ndots:3\n')
    expect(await seen(two)).toBe('nameserver 192.0.2.1\nsearch corp.test\noptions rotate\n')
  })
})
