/** The first packets after `create` has resolved arrive: TCP, UDP and ping, in and out, IPv4 and IPv6. */
import type { Socket } from 'node:dgram'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { afterEach, beforeEach, expect } from 'vitest'
import type { Host, Sandbox } from '../../lib/index.js'
import { open } from '../setup/between.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { isLong, score } from './scorecard.js'

const { test } = requires('root', 'program:nft', 'program:ping')

const rounds = isLong ? 10_000 : 40
/** Every so many rounds a ping besides, which is a process. */
const pings = isLong ? 1 : 5
/** Every so many rounds the sandbox is asked, before it goes, whether it has sent a SYN again. */
const asked = isLong ? 20 : 5

let machine: PrivateHost
let host: Host
beforeEach(async () => {
  machine = await freshHost()
  host = await open(machine)
})
afterEach(async () => {
  await host.close()
  await machine.remove()
})

/** How many SYNs a namespace has sent again. */
async function synsSentAgain(sandbox: Sandbox): Promise<number> {
  const reading = sandbox.spawn('cat', ['/proc/self/net/netstat'])
  const text = (await reading.stdout?.toArray())?.join('') ?? ''
  const [names = '', values = ''] = text.split('\n').filter(line => line.startsWith('TcpExt:'))
  return Number(values.split(' ')[names.split(' ').indexOf('TCPSynRetrans')])
}

/** The next datagram's text. */
async function heard(socket: Socket): Promise<string> {
  const [message] = (await once(socket, 'message', { signal: AbortSignal.timeout(5000) })) as [Buffer]
  return message.toString()
}

test(`${rounds} sandboxes, one after the other`, { timeout: isLong ? 3_600_000 : 300_000 }, async () => {
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
  // A sandbox that stays is the one that others meet: nothing of its is new.
  const peer = await host.sandboxes.create({ name: 'peer', network: 'lan', ip: '10.9.0.250', ip6: 'fd00:9::250' })
  const [four, six] = [
    await peer.udp({ port: 5000, host: '10.9.0.250' }),
    await peer.udp({ port: 5000, host: 'fd00:9::250', type: 'udp6' }),
  ]
  const server = await peer.listen(
    createServer(socket => socket.end('hello')),
    { port: 5000, host: '::' },
  )
  let packets = 0
  let longest = 0
  for (let round = 0; round < rounds; round++) {
    const sandbox = await host.sandboxes.create({ name: 'new', network: 'lan' })
    // Out: the very first thing that it does, by turns.
    const kinds = [
      async () => {
        const socket = await sandbox.udp()
        const arrives = heard(four)
        socket.send(`${round}`, 5000, '10.9.0.250')
        expect(await arrives).toBe(`${round}`)
        socket.close()
      },
      async () => {
        const socket = await sandbox.udp({ type: 'udp6' })
        const arrives = heard(six)
        socket.send(`${round}`, 5000, 'fd00:9::250')
        expect(await arrives).toBe(`${round}`)
        socket.close()
      },
      async () => {
        const socket = await sandbox.dial({ host: '10.9.0.250', port: 5000 })
        expect((await socket.toArray()).join('')).toBe('hello')
      },
      async () => {
        const socket = await sandbox.dial({ host: 'fd00:9::250', port: 5000 })
        expect((await socket.toArray()).join('')).toBe('hello')
      },
      // In: what others send to it is the first.
      async () => {
        const socket = await sandbox.udp({ port: 7, host: sandbox.endpoints[0]?.ipv4?.address ?? '' })
        const arrives = heard(socket)
        four.send(`${round}`, 7, sandbox.endpoints[0]?.ipv4?.address)
        expect(await arrives).toBe(`${round}`)
        socket.close()
      },
      async () => {
        const socket = await sandbox.udp({ port: 7, host: sandbox.endpoints[0]?.ipv6?.address ?? '', type: 'udp6' })
        const arrives = heard(socket)
        six.send(`${round}`, 7, sandbox.endpoints[0]?.ipv6?.address)
        expect(await arrives).toBe(`${round}`)
        socket.close()
      },
    ]
    for (let turn = 0; turn < kinds.length; turn++) {
      const from = performance.now()
      await kinds[(round + turn) % kinds.length]?.()
      longest = Math.max(longest, performance.now() - from)
    }
    packets += kinds.length
    if (round % pings === 0) {
      for (const address of [sandbox.endpoints[0]?.ipv4?.address ?? '', sandbox.endpoints[0]?.ipv6?.address ?? '']) {
        const pinging = peer.spawn('ping', ['-n', '-c', '1', '-W', '2', address], { stdio: 'ignore' })
        expect((await once(pinging, 'exit'))[0], `ping ${address}`).toBe(0)
        packets++
      }
    }
    if (round % asked === 0) expect(await synsSentAgain(sandbox)).toBe(0)
    await sandbox.remove()
  }
  expect(await synsSentAgain(peer)).toBe(0)
  server.close()
  await peer.remove()
  await host.networks.remove('lan')
  score(29, 'first packets after create', `0 lost of ${packets}, in ${rounds} sandboxes; the slowest took ${longest.toFixed(0)} ms`)
})

test('an IPv6 address is answered for when `create` resolves, however many links come and go', async () => {
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
  // The kernel finishes IPv6 addresses in a work queue, which waits for the lock that these hold nearly all the time.
  const names = Array.from({ length: 100 }, (_, i) => `c${i}`)
  const turn = [...names.map(name => `link add ${name} type veth\nlink set ${name} group 7\n`), 'link delete group 7\n']
  await writeFile('/run/churn', turn.join(''))
  const elsewhere = await freshHost()
  const churning = [1, 2].map(() =>
    elsewhere.spawn('sh', ['-c', 'while kill -0 $PPID; do ip -force -batch /run/churn; done'], { stdio: 'ignore' }),
  )
  for (let i = 0; i < 40; i++) {
    const sandbox = await host.sandboxes.create({ name: 'new', network: 'lan' })
    const ends = (await sandbox.namespace.routes.list({ table: 255, family: 6 })).filter(({ type }) => type === 'local')
    expect(ends.map(({ to }) => to)).toContain(`${sandbox.endpoints[0]?.ipv6?.address}/128`)
    await sandbox.remove()
  }
  for (const one of churning) one.kill('SIGKILL')
  await Promise.all(churning.map(one => once(one, 'exit')))
  await elsewhere.remove()
  await host.networks.remove('lan')
})
