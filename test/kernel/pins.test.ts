/** A removed sandbox is gone: nothing that netmode or its user got from it keeps the namespace alive. */
import { once } from 'node:events'
import { readdir, readlink } from 'node:fs/promises'
import { get } from 'node:http'
import { createServer, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect } from 'vitest'
import type { CreatedSandbox, Host } from '../../lib/index.js'
import { atRest } from '../setup/at-rest.js'
import { open } from '../setup/between.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'

const { describe, test } = requires('root')

let machine: PrivateHost
let host: Host
let web: CreatedSandbox

beforeEach(async () => {
  machine = await freshHost()
  host = await open(machine)
  web = await host.sandboxes.create({ name: 'web', ephemeral: true })
  // One end of a pair in the sandbox: the kernel takes it away when the namespace itself ends, and not before.
  await atRest() // what comes behind the answer has the namespace open for a moment
  await machine.ip('link', 'add', 'witness', 'type', 'veth', 'peer', 'name', 'witness', 'netns', 'web')
})
afterEach(async () => {
  await host.close()
  await machine.remove()
})

/** Resolves when the namespace has ended; the kernel does that in the background. */
async function ended(): Promise<void> {
  while (await machine.succeeds('ip', 'link', 'show', 'witness')) await new Promise(resolve => setImmediate(resolve))
}

/** Descriptors of this process that lead into a network namespace. */
async function namespaceDescriptors(): Promise<string[]> {
  const fds = await readdir('/proc/self/fd')
  const links = await Promise.all(fds.map(fd => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
  return links.filter(link => link.startsWith('net:'))
}

/** What a user may have of a sandbox, and what becomes of it when the sandbox is removed. */
const holds: Readonly<Record<string, () => Promise<() => Promise<unknown>>>> = {
  'nothing but its handle': async () => async () => {},
  'a server with a connection': async () => {
    const server = await web.listen(createServer(), { port: 80 })
    const accepted = once(server, 'connection') as Promise<[Socket]>
    const client = await web.dial({ host: '127.0.0.1', port: 80 })
    const [socket] = await accepted
    return () => Promise.all([server, client, socket].map(one => ('destroyed' in one && one.destroyed) || once(one, 'close')))
  },
  'a udp socket': async () => {
    const socket = await web.udp()
    return () => once(socket, 'close')
  },
  'a connection that is being made': async () => {
    // Nobody answers for this address: ARP is tried for seconds.
    const dialed = web.dial({ host: '172.17.255.1', port: 80 })
    const outcome = dialed.then(
      () => 'connected',
      (error: { code?: string }) => error.code,
    )
    await web.namespace.links.list() // by now the socket has been made
    return async () => expect(await outcome).toBe('ERR_NETMODE_NAMESPACE_GONE')
  },
  'an HTTP agent that keeps its connection': async () => {
    const server = await web.listen(
      createServer(socket => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok')),
      { port: 80 },
    )
    const request = get({ host: '127.0.0.1', port: 80, agent: web.agent({ keepAlive: true }) })
    const [response] = await once(request, 'response')
    expect(await text(response)).toBe('ok')
    return () => once(server, 'close')
  },
  'a process that has ended': async () => {
    const child = web.spawn('true')
    expect(await once(child, 'close')).toEqual([0, null])
    return async () => {}
  },
  'what it asked the namespace': async () => {
    await web.namespace.links.list()
    await web.namespace.sysctls.get('net.ipv4.ip_forward')
    return async () => {}
  },
}

describe('a sandbox of which somebody has', () => {
  test.each(Object.keys(holds))('%s', async name => {
    const before = await namespaceDescriptors()
    const released = await holds[name]?.()
    const gone = released?.()
    await web.remove()
    await gone
    await ended()
    expect(await namespaceDescriptors()).toEqual(before)
  })
})

/** Whoever removes it: the sockets are known by sandbox and not by handle. */
const removals: Readonly<Record<string, () => Promise<unknown>>> = {
  'another handle': async () => (await host.sandboxes.get('web'))?.remove(),
  'its name': () => host.sandboxes.remove('web'),
  'its name in a list': () => host.sandboxes.removeAll(['web']),
  'closing the host': () => host.close(),
  'the end of a block': async () => web[Symbol.asyncDispose](),
}

describe('a sandbox with sockets is gone after its removal by', () => {
  test.each(Object.keys(removals))('%s', async name => {
    const server = await web.listen(createServer(), { port: 80 })
    const socket = await web.udp()
    const closed = [once(server, 'close'), once(socket, 'close')]
    await removals[name]?.()
    await Promise.all(closed)
    await ended()
  })
})

test('a process in it keeps the namespace, and no name of it', async () => {
  const child = web.spawn('cat')
  await once(child, 'spawn')
  await web.remove()
  expect(await readdir('/run/netns')).not.toContain('web')
  expect(await machine.succeeds('ip', 'link', 'show', 'witness')).toBe(true)
  child.stdin?.end()
  expect(await once(child, 'close')).toEqual([0, null])
  await ended()
})
