/** Names on user-defined networks, asked for by real resolvers in sandboxes. */
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect } from 'vitest'
import type { Host, Sandbox } from '../../lib/index.js'
import { open } from '../setup/between.js'
import { dig, dug } from '../setup/dig.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { Upstream } from '../setup/upstream.js'

const { describe, test } = requires('root', 'program:dig', 'program:busybox')

const server = '198.51.100.2'
const many = Array.from({ length: 100 }, (_, i) => `192.0.2.${i}`)

let machine: PrivateHost
let host: Host
let upstream: Upstream
let web: Sandbox
let db: Sandbox
beforeEach(async () => {
  machine = await freshHost()
  upstream = await Upstream.open(machine.outside.netns, server, {
    'upstream.test': [{ type: 'A', name: 'upstream.test', ttl: 60, data: '192.0.2.7' }],
    'large.test': many.map(data => ({ type: 'A' as const, name: 'large.test', ttl: 60, data })),
  })
  host = await open(machine)
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd09::/64'] })
  await host.networks.create({ name: 'other', subnets: ['10.8.0.0/24'] })
  web = await host.sandboxes.create({ name: 'web', network: 'lan', dns: [server], dnsSearch: ['.'], dnsOptions: ['attempts:1'] })
  db = await host.sandboxes.create({ name: 'Db_1', network: 'lan', hostname: 'store.example.com', aliases: ['database', 'sql'] })
})
afterEach(async () => {
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await upstream[Symbol.asyncDispose]()
  await machine.remove()
})

const output = async (sandbox: Sandbox, command: string, ...args: string[]): Promise<string> => {
  const { stdout } = sandbox.spawn(command, args)
  return stdout ? (await text(stdout)).trim() : ''
}

describe('a sandbox is found', () => {
  const names = {
    'its name': () => 'Db_1',
    'its name in other letters': () => 'dB_1',
    'its name and network': () => 'db_1.lan',
    'an alias': () => 'database',
    'another alias, with a dot at its end': () => 'sql.',
    'its host name': () => 'store.example.com',
    'twelve digits of its id': () => db.id.slice(0, 12),
  }
  test.each(Object.keys(names) as (keyof typeof names)[])('by %s, over UDP and TCP, IPv4 and IPv6', async which => {
    const name = names[which]()
    for (const transport of ['+notcp', '+tcp']) {
      expect(await dig(web, transport, name, 'A')).toMatchObject({ status: 'NOERROR', by: transport === '+tcp' ? 'tcp' : 'udp' })
      expect(await dug(web, transport, name, 'A')).toEqual(['10.9.0.3'])
      expect(await dug(web, transport, name, 'AAAA')).toEqual(['fd09::3'])
    }
    expect(await dug(web, '@fd09::1', name)).toEqual(['10.9.0.3'])
    expect(upstream.asked).toEqual([])
  })

  test('by its addresses', async () => {
    for (const transport of ['+notcp', '+tcp']) {
      expect(await dug(web, transport, '-x', '10.9.0.3')).toEqual(['Db_1.lan.'])
      expect(await dug(web, transport, '-x', 'fd09::3')).toEqual(['Db_1.lan.'])
    }
    expect((await dig(web, '-x', '10.9.0.77')).status).toBe('NXDOMAIN')
    expect((await dig(web, '-x', '10.8.0.1')).status).toBe('NXDOMAIN')
    expect(upstream.asked).toEqual(['udp 1.0.8.10.in-addr.arpa PTR']) // of its own networks nobody else is asked
  })

  test('by itself', async () => {
    expect(await dug(web, 'web')).toEqual(['10.9.0.2'])
  })

  test("by the C library, busybox and Node's resolver", async () => {
    expect(await output(web, 'getent', 'ahostsv4', 'database')).toMatch(/^10\.9\.0\.3 /)
    expect(await output(web, 'getent', 'hosts', '10.9.0.3')).toMatch(/^10\.9\.0\.3 +Db_1\.lan$/)
    expect(await output(web, 'busybox', 'nslookup', 'database')).toContain('10.9.0.3')
    const script = `
      const { Resolver } = require('node:dns').promises
      const resolver = new Resolver()
      Promise.all([resolver.resolve4('database'), resolver.resolve6('database'), resolver.reverse('10.9.0.3'),
        resolver.resolve4('upstream.test'), resolver.resolve4('nowhere.test').catch(error => error.code)])
        .then(all => console.log(JSON.stringify(all)))`
    expect(JSON.parse(await output(web, process.execPath, '-e', script))).toEqual([
      ['10.9.0.3'],
      ['fd09::3'],
      ['Db_1.lan'],
      ['192.0.2.7'],
      'ENOTFOUND',
    ])
  })
})

test('a name without an address of that family, or a record of that type, is there all the same', async () => {
  await host.sandboxes.create({ name: 'four', network: 'other' })
  await web.attach('other')
  for (const type of ['AAAA', 'MX', 'TXT']) {
    const answer = await dig(web, 'four', type)
    expect([answer.status, answer.answers]).toEqual(['NOERROR', []])
  }
  expect(await dig(web, 'four')).toMatchObject({ status: 'NOERROR', answers: ['four 5 A 10.8.0.2'] })
  expect(upstream.asked).toEqual([])
})

test('who shares no network is not found, and who comes to share one is at once', async () => {
  const far = await host.sandboxes.create({ name: 'far', network: 'other', aliases: ['away'], dns: [server] })
  expect((await dig(web, 'far')).status).toBe('NXDOMAIN') // that is what the world outside says
  expect((await dig(web, 'far', '@10.8.0.1')).status).toBe('silent') // not its own network's
  expect((await dig(far, 'web')).status).toBe('NXDOMAIN')
  await far.attach('lan', { aliases: ['near'] })
  expect(await dug(web, 'far')).toEqual(['10.9.0.4'])
  expect(await dug(web, 'near')).toEqual(['10.9.0.4'])
  expect((await dig(web, 'away')).status).toBe('NXDOMAIN') // an alias is of one network
  expect(await dug(far, 'web')).toEqual(['10.9.0.2'])
  expect(await dug(far, 'away')).toEqual(['10.8.0.2'])
  await far.detach('lan')
  expect((await dig(web, 'far')).status).toBe('NXDOMAIN')
  expect((await dig(far, 'web')).status).toBe('NXDOMAIN')
  await far.remove()
  const next = await host.sandboxes.create({ name: 'next', network: 'lan' })
  expect(next.endpoints[0]?.ipv4?.address).toBe('10.9.0.5')
  expect((await dig(web, '-x', '10.9.0.4')).status).toBe('NXDOMAIN')
})

test('an alias of many is answered with all of them, by TCP when that is too much for a datagram', async () => {
  const names = Array.from({ length: 40 }, (_, i) => `worker-${i}`)
  await Promise.all(names.map(name => host.sandboxes.create({ name, network: 'lan', aliases: ['workers'] })))
  const short = await dig(web, '+noedns', 'workers', '+ignore')
  expect(short.all).toMatch(/flags: [a-z ]*\btc\b/)
  const whole = await dig(web, '+noedns', 'workers')
  expect([whole.by, whole.answers.length]).toEqual(['tcp', 40])
  const large = await dig(web, '+bufsize=4096', 'workers')
  expect([large.by, large.answers.length]).toEqual(['udp', 40])
})

describe('what is not a name here', () => {
  test("is asked of the sandbox's own server, in the way that it was asked here", async () => {
    for (const transport of ['udp', 'tcp']) {
      const answer = await dig(web, transport === 'tcp' ? '+tcp' : '+notcp', 'upstream.test')
      expect(answer).toMatchObject({ status: 'NOERROR', answers: ['upstream.test. 60 A 192.0.2.7'.replace('. ', ' ')], by: transport })
    }
    expect(upstream.asked).toEqual(['udp upstream.test A', 'tcp upstream.test A'])
  })

  test("is asked of the host's servers by one that has none of its own", async () => {
    await machine.run('sh', '-c', `echo 'nameserver ${server}' > /run/resolv.conf`)
    const { spawnSync } = await import('node:child_process')
    expect(spawnSync('mount', ['--bind', '/run/resolv.conf', '/etc/resolv.conf']).status).toBe(0)
    try {
      expect(await dug(db, 'upstream.test')).toEqual(['192.0.2.7'])
    } finally {
      spawnSync('umount', ['/etc/resolv.conf'])
    }
  })

  test('comes by TCP if it is too long', async () => {
    const answer = await dig(web, 'large.test')
    expect([answer.by, answer.answers.length]).toEqual(['tcp', 100])
    expect(upstream.asked).toEqual(['udp large.test A', 'tcp large.test A'])
  })

  test('is believed only from the server that was asked, for the question that was asked', async () => {
    upstream.tamper = answer => {
      const [otherId, otherQuestion, noAnswer] = [Buffer.from(answer), Buffer.from(answer), Buffer.from(answer)]
      otherId.writeUInt16BE((answer.readUInt16BE(0) + 1) & 0xffff)
      otherQuestion.write('x', 13)
      noAnswer.writeUInt16BE(0, 2)
      const forged = [otherId, otherQuestion, noAnswer].map(one => {
        one[one.length - 1] = 66
        return one
      })
      return [...forged, Buffer.alloc(3), answer]
    }
    expect(await dug(web, 'upstream.test')).toEqual(['192.0.2.7'])
  })

  test('is SERVFAIL when no server answers', async () => {
    const lost = await host.sandboxes.create({ name: 'lost', network: 'lan', dns: ['198.51.100.1'] }) // nobody listens there
    expect((await dig(lost, 'upstream.test')).status).toBe('SERVFAIL')
  })
})

test('nothing leaves from a sandbox with internal networks only', async () => {
  await machine.outside.nft('add table inet watch { chain in { type filter hook prerouting priority -400; th dport 53 counter; }; }')
  await host.networks.create({ name: 'inner', subnets: ['10.7.0.0/24'], internal: true })
  await host.sandboxes.create({ name: 'vault', network: 'inner' })
  const app = await host.sandboxes.create({ name: 'app', network: 'inner', dns: [server] })
  expect(await dug(app, 'vault')).toEqual(['10.7.0.3'].map(() => '10.7.0.2'))
  for (const words of [['upstream.test'], ['+tcp', 'upstream.test'], ['-x', '192.0.2.7'], ['secret.app'], ['upstream.test', `@${server}`]])
    expect((await dig(app, '+timeout=1', ...words)).status).toMatch(/^(SERVFAIL|silent)$/)
  expect(await machine.outside.nft('list', 'table', 'inet', 'watch')).toContain('packets 0 bytes 0')
  await app.attach('lan')
  expect(await dug(app, 'upstream.test')).toEqual(['192.0.2.7'])
  expect(await machine.outside.nft('list', 'table', 'inet', 'watch')).not.toContain('packets 0 bytes 0') // it does count
})
