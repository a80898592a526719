/** Processes and threads: what a host does when they end, and that it starts none. */
import { spawn } from 'node:child_process'
import { readFile, rm } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { openHost } from '../../lib/index.js'
import { KernelMechanism } from '../../lib/plan/mechanism.js'
import { open } from '../setup/between.js'
import { descriptors } from '../setup/descriptors.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { Program, Programs } from '../setup/program.js'
import { stateTree, worldOf } from '../setup/state-tree.js'

const { describe, test } = requires('root', 'program:nft')
const traced = requires('root', 'program:strace')

let programs: Programs
let machine: PrivateHost
beforeAll(async () => {
  programs = await Programs.bundle(...['tour', 'leave-open', 'threads'].map(name => `test/process/programs/${name}.ts`))
})
afterAll(() => programs[Symbol.asyncDispose]())
beforeEach(async () => {
  machine = await freshHost()
})
afterEach(async () => {
  await removeAll()
  await machine.remove()
})

const world = () => worldOf(machine)

/** The world with all of netmode's folders there and nothing in them. */
async function emptyWorld(): Promise<object> {
  await (await open(machine)).close()
  return world()
}

async function removeAll(): Promise<void> {
  const host = await open(machine)
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  for (const { name } of await host.networks.list()) await host.networks.remove(name)
  await host.close()
}

traced.test('the library starts no program', async () => {
  const log = '/run/execs'
  const strace = ['-f', '--seccomp-bpf', '-e', 'trace=execve,execveat', '-o', log]
  // A sanitizer's run-time library is for Node alone.
  const { LD_PRELOAD: preload, ...env } = process.env
  const only = preload === undefined ? [] : ['-E', `LD_PRELOAD=${preload}`]
  const args = [...strace, ...only, process.execPath, programs.path('tour'), machine.netns, machine.stateDir]
  const tour = new Program(spawn('strace', args, { stdio: 'pipe', env }))
  expect(await tour.hear()).toBe('done')
  expect(await tour.end()).toBe(0)
  const calls = (await readFile(log, 'utf8')).split('\n').filter(line => /exec/.test(line))
  expect(calls).toEqual([expect.stringContaining(`execve("${process.execPath}"`)])
  await rm(log)
})

test('what is closed has nothing open, and what its plans do behind their answers is done', async () => {
  await (await open(machine)).close()
  await machine.ip('link', 'add', 'br7', 'type', 'bridge')
  const mechanism = new KernelMechanism(machine.netns)
  await mechanism.run([
    { apply: { op: 'lock', path: machine.stateDir, mode: 'exclusive', gate: `${machine.stateDir}/networks` } },
    // Takes the kernel a while.
    { apply: { op: 'link.delete', links: [{ name: 'br7' }] }, when: 'behind' },
  ])
  await mechanism.close()
  expect(descriptors().filter(path => path.startsWith('/run/'))).toEqual([])
  await expect(machine.ip('link', 'show', 'br7')).rejects.toThrow('does not exist')
})

describe('a process that ends without closing its host', () => {
  test('ends by itself; its sandbox stays, and any other process finds it', async () => {
    const before = await emptyWorld()
    const program = programs.start('leave-open', machine.netns, machine.stateDir, 'false')
    expect(await program.hear()).toBe('left')
    expect(await program.end()).toBe(0)
    const host = await open(machine)
    expect(await host.recover()).toEqual({ rolledBack: [], repaired: [], damaged: [] })
    const left = await host.sandboxes.get('left')
    expect(left?.ports).toMatchObject([{ hostPort: 8080 }])
    await left?.remove()
    await host.networks.remove('bridge')
    await host.close()
    expect(await world()).toEqual(before)
  })

  test('an ephemeral sandbox goes at the next opening', async () => {
    const before = await emptyWorld()
    const program = programs.start('leave-open', machine.netns, machine.stateDir, 'true')
    expect(await program.end()).toBe(0)
    const host = await open(machine)
    expect(await host.sandboxes.list()).toEqual([])
    await host.networks.remove('bridge')
    await host.close()
    expect(await world()).toEqual(before)
  })
})

describe('worker threads', () => {
  test('work beside the main thread', async () => {
    const before = await emptyWorld()
    const program = programs.start('threads', machine.netns, machine.stateDir, 'whole')
    expect(await program.end(), program.errors).toBe(0)
    await removeAll()
    expect(await world()).toEqual(before)
  })

  test('can be terminated in the middle of anything', async () => {
    const before = await emptyWorld()
    const program = programs.start('threads', machine.netns, machine.stateDir, 'cut')
    expect(await program.end(), program.errors).toBe(0)
    await removeAll()
    expect(await world()).toEqual(before)
  })
})

describe('close', () => {
  test('is idempotent, and waits for what is under way', async () => {
    const before = await emptyWorld()
    const host = await open(machine)
    const creating = host.sandboxes.create({ name: 'web', network: 'none' })
    await Promise.all([host.close(), host.close(), host[Symbol.asyncDispose]()])
    const web = await creating.then(
      () => true,
      error => {
        expect(error).toMatchObject({ code: 'ERR_NETMODE_CLOSED' })
        return false
      },
    )
    const again = await open(machine)
    expect(await again.sandboxes.remove('web')).toBe(web)
    await again.close()
    expect(await world()).toEqual(before)
  })

  test('every call afterwards rejects', async () => {
    const host = await open(machine)
    const web = await host.sandboxes.create({ name: 'web' })
    await host.close()
    const calls: Record<string, () => Promise<unknown>> = {
      'networks.create': () => host.networks.create({ name: 'lan' }),
      'networks.ensure': () => host.networks.ensure({ name: 'bridge' }),
      'networks.get': () => host.networks.get('bridge'),
      'networks.list': () => host.networks.list(),
      'networks.inspect': () => host.networks.inspect('bridge'),
      'networks.remove': () => host.networks.remove('lan'),
      'networks.prune': () => host.networks.prune(),
      'sandboxes.create': () => host.sandboxes.create({ name: 'db' }),
      'sandboxes.get': () => host.sandboxes.get('web'),
      'sandboxes.list': () => host.sandboxes.list(),
      'sandboxes.inspect': () => host.sandboxes.inspect('web'),
      'sandboxes.remove': () => host.sandboxes.remove('never'),
      refresh: () => web.refresh(),
      inspect: () => web.inspect(),
      publish: () => web.publish('81'),
      unpublish: () => web.unpublish('80'),
      attach: () => web.attach('lan'),
      detach: () => web.detach('lan'),
      remove: () => web.remove(),
      udp: () => web.udp(),
      dial: () => web.dial({ host: '127.0.0.1', port: 1 }),
      'links.list': () => host.namespace.links.list(),
      recover: () => host.recover(),
      explain: () => host.explain('sandboxes.create', { name: 'db' }),
    }
    const outcomes = Object.entries(calls).map(async ([name, call]) => [name, await call().catch((error: { code?: string }) => error.code)])
    expect(Object.fromEntries(await Promise.all(outcomes))).toEqual(
      Object.fromEntries(Object.keys(calls).map(name => [name, 'ERR_NETMODE_CLOSED'])),
    )
  })

  test('removes ephemeral sandboxes and nothing else', async () => {
    const before = await emptyWorld()
    const host = await open(machine)
    const stays = await host.sandboxes.create({ name: 'stays' })
    await host.sandboxes.create({ name: 'goes', ephemeral: true, publish: ['8080:80'] })
    const underWay = host.sandboxes.create({ name: 'late', ephemeral: true })
    await host.close()
    await underWay.catch(() => {})
    const again = await open(machine)
    expect((await again.sandboxes.list()).map(({ name }) => name)).toEqual([stays.name])
    await again.close()
    await removeAll()
    expect(await world()).toEqual(before)
  })

  test('leaves what another one has made under the name of an ephemeral one, and so does its handle', async () => {
    const [host, other] = [await open(machine), await open(machine)]
    const first = await host.sandboxes.create({ name: 'job', network: 'none', ephemeral: true })
    await other.sandboxes.remove('job')
    const { id } = await other.sandboxes.create({ name: 'job', network: 'none' })
    expect(await first.remove()).toBe(false)
    await host.close()
    expect((await other.sandboxes.get('job'))?.id).toBe(id)
    expect(await other.sandboxes.remove('job')).toBe(true)
    await other.close()
  })

  test('a sandbox and a host are gone at the end of their blocks', async () => {
    const before = await emptyWorld()
    {
      await using host = await open(machine)
      await using _web = await host.sandboxes.create({ name: 'web', network: 'none' })
      expect(await host.sandboxes.list()).toHaveLength(1)
    }
    expect(await world()).toEqual(before)
  })
})

describe('the state folder', () => {
  test('is the one that the namespace is worked from', async () => {
    const host = await open(machine)
    await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
    const before = await world()
    await expect(openHost({ netns: machine.netns, stateDir: `${machine.stateDir}-other` })).rejects.toMatchObject({
      code: 'ERR_NETMODE_IN_USE',
      field: 'stateDir',
      holder: machine.stateDir,
    })
    expect(await world()).toEqual(before)
    await expect(stateTree(`${machine.stateDir}-other`)).rejects.toMatchObject({ code: 'ENOENT' })
    await host.close()
  })

  test('may be written in another way', async () => {
    const host = await open(machine)
    await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
    const same = await openHost({ netns: machine.netns, stateDir: `${machine.stateDir}/../${machine.name}/` })
    expect(await same.networks.list()).toHaveLength(1)
    await same.close()
    await host.close()
  })

  test('of a host that is not named has its namespace’s own name', async () => {
    const host = await openHost({ netns: machine.netns })
    await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
    expect(Object.keys(await stateTree(`/run/netmode/${host.namespace.cookie}`))).toContain('networks/lan.json')
    await host.networks.remove('lan')
    await host.close()
    await rm('/run/netmode', { recursive: true })
  })
})
