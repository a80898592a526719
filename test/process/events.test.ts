/** Events and the life of a process: an iterator that is open keeps nothing alive, one that is waited for does. */
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { inDockersWords } from '../../lib/cli/events.js'
import type { HostEvent } from '../../lib/index.js'
import { Command, outcome } from '../setup/command.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { Programs } from '../setup/program.js'

const { describe, test } = requires('root', 'program:nft')

let programs: Programs
let command: Command
let machine: PrivateHost
beforeAll(async () => {
  programs = await Programs.bundle('test/process/programs/watch.ts')
  command = await Command.bundle()
})
afterAll(async () => {
  await programs[Symbol.asyncDispose]()
  await command[Symbol.asyncDispose]()
})
beforeEach(async () => {
  machine = await freshHost()
})
afterEach(() => machine.remove())

const start = (how: string) => programs.start('watch', machine.netns, machine.stateDir, how)

describe('a process with an open iterator', () => {
  test('ends when nobody waits', async () => {
    const program = start('idle')
    expect(await program.hear()).toBe('watching')
    expect(await program.end()).toBe(0)
  })

  test('stays while somebody waits, and ends when nobody does any more', async () => {
    const program = start('wait')
    expect(await program.hear()).toBe('watching')
    await machine.ip('link', 'add', 'br7', 'type', 'bridge')
    expect(await program.hear()).toBe('link')
    expect(await program.end()).toBe(0)
  })

  test('exits at once, waiting or not', async () => {
    const program = start('exit')
    expect(await program.hear()).toBe('watching')
    expect(await program.end()).toBe(0)
  })

  test.each([
    ['that watch', 'threads'],
    ['in the middle of calls', 'calls'],
  ])('terminates workers %s', async (_, how) => {
    const program = start(how)
    expect(await program.hear()).toBe('done')
    expect(await program.end()).toBe(0)
  })
})

describe('netmode events', () => {
  test('tells in Docker’s words, filtered, until a signal comes', async () => {
    const child = command.start(
      machine,
      '--format',
      'json',
      'events',
      '--filter',
      'type=network',
      '--filter',
      'type=container',
      '--filter',
      'event=create',
    )
    const lines = createInterface(child.stdout as NodeJS.ReadableStream)[Symbol.asyncIterator]()
    const told = lines.next()
    // When it has subscribed is not said: so long, networks are made and removed.
    let heard = false
    void told.then(() => {
      heard = true
    })
    while (!heard) {
      await command.ok(machine, 'network', 'create', 'back')
      await command.ok(machine, 'network', 'rm', 'back')
    }
    expect(JSON.parse((await told).value as string)).toMatchObject({
      Type: 'network',
      Action: 'create',
      Actor: { ID: 'back', Attributes: { name: 'back' } },
      scope: 'local',
    })
    await command.ok(machine, 'create', 'job', '--network', 'none')
    let event: ReturnType<typeof inDockersWords>
    do event = JSON.parse((await lines.next()).value as string) as typeof event
    while (event.Type === 'network')
    expect(event).toMatchObject({ Type: 'container', Action: 'create', Actor: { ID: 'job' } })
    const ended = once(child, 'exit')
    child.kill('SIGINT')
    expect(await ended).toEqual([130, null])
    await command.ok(machine, 'rm', 'job')
  })

  test('a filter that it does not know is refused', async () => {
    expect(await outcome(command.start(machine, 'events', '--filter', 'colour=red'))).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('type, event, container, network'),
    })
  })

  const endpoint = { network: 'lan', ifname: 'eth0', mac: '02:42:0a:09:00:02', mtu: 1500, ipv4: { address: '10.9.0.2', prefix: 24 } }
  const port = { hostIp: '0.0.0.0', hostPort: 8080, containerPort: 80, protocol: 'tcp' } as const
  test.each<[HostEvent, object]>([
    [
      { time: 1500, type: 'sandbox.removed', sandbox: 'web' },
      { Type: 'container', Action: 'destroy', time: 1, timeNano: 1_500_000_000 },
    ],
    [
      { time: 0, type: 'endpoint.attached', sandbox: 'web', endpoint },
      {
        Type: 'network',
        Action: 'connect',
        Actor: { ID: 'lan', Attributes: { container: 'web', name: 'lan', ifname: 'eth0', ip: '10.9.0.2' } },
      },
    ],
    [
      { time: 0, type: 'port.unpublished', sandbox: 'web', port },
      { Type: 'container', Action: 'unpublish', Actor: { Attributes: { hostIp: '0.0.0.0', hostPort: '8080', port: '80/tcp' } } },
    ],
    [
      { time: 0, type: 'overrun' },
      { Type: 'daemon', Action: 'overrun' },
    ],
    [
      { time: 0, type: 'link', action: 'delete', object: { name: 'br7', index: 7, altnames: [] } },
      { Type: 'link', Action: 'delete', Actor: { Attributes: { name: 'br7', index: '7' } } },
    ],
  ])('%j', (event, told) => {
    expect(inDockersWords(event)).toMatchObject(told)
  })
})
