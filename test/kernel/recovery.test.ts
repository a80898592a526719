/** What a dead process, or somebody else, left behind is put right at the next opening, and nothing but that. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect } from 'vitest'
import { type Host, type NetworkOptions, openHost, type SandboxOptions } from '../../lib/index.js'
import type { Plan } from '../../lib/plan/op.js'
import { changes, open, openBetween } from '../setup/between.js'
import { freshHost, type PrivateHost, run } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { Programs } from '../setup/program.js'
import { homeSubnets } from '../setup/stage.js'
import { worldOf } from '../setup/state-tree.js'

const { describe, test } = requires('root', 'program:nft')

let machine: PrivateHost
beforeEach(async () => {
  machine = await freshHost()
  // What others have made is in every picture of before and after.
  await machine.ip('link', 'add', 'veth1234567', 'type', 'veth', 'peer', 'name', 'veth7654321')
  await machine.ip('link', 'add', 'br-0123456789ab', 'type', 'bridge')
  await machine.nft('add table inet other { set publish4_any { type inet_proto . inet_service; elements = { tcp . 80 comment "web" } }; }')
  await machine.nft('add table netdev netmode')
  await machine.run('sysctl', '-qw', 'net/ipv4/ip_forward=1', 'net/ipv6/conf/all/forwarding=1') // what a network leaves on
})
afterEach(async () => {
  const host = await open(machine)
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await machine.remove()
})

const world = () => worldOf(machine)

/** Opens, which recovers, and uses the host. */
async function opened<T>(use: (host: Host) => Promise<T>): Promise<T> {
  const host = await open(machine)
  try {
    return await use(host)
  } finally {
    await host.close()
  }
}

/**
 * Where a process is killed: at both ends, and wherever another kind of op begins. Never within a transaction, which is one message
 * to the kernel.
 */
function isTurn(plan: Plan, at: number): boolean {
  const kind = (i: number): string | undefined => plan[i]?.apply.op.replace(/^nft\..*/, 'nft')
  return kind(at - 1) !== kind(at)
}

interface Scene {
  /** What is there before. */
  readonly stage: (host: Host) => Promise<unknown>
  /** What the process dies of. */
  readonly act: (host: Host) => Promise<unknown>
}

/** Plays a scene up to every place in its plan; `judge` sees how the world was before, and is after the next opening. */
async function killEverywhere(
  scene: Scene,
  judge: (before: object, after: object, how: { at: number; length: number }) => unknown,
): Promise<void> {
  let plan: Plan = []
  for (let at = 0; at <= plan.length; at++) {
    if (at > 1 && !isTurn(plan, at)) continue
    await opened(scene.stage)
    const before = await world()
    const { host, between } = await openBetween(machine)
    const died = between.killAfter(at)
    void scene.act(host)
    plan = await died
    await opened(async next => {
      await judge(before, await world(), { at, length: plan.length })
      expect(await next.recover(), `killed before op ${at}`).toEqual({ rolledBack: [], repaired: [], damaged: [] })
    })
    await between.close()
  }
}

const lan = { name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] }
const web = { name: 'web', network: 'lan', publish: ['8080:80', '53:53/udp'] }
const stageLan = (host: Host) => host.networks.ensure(lan)
const find = async (host: Host) => {
  const found = await host.sandboxes.get('web')
  if (!found) throw new Error('web is gone')
  return found
}
const stageWeb = async (host: Host) => {
  await stageLan(host)
  return (await host.sandboxes.get('web')) ?? host.sandboxes.create(web)
}

describe('a process killed in the middle of', () => {
  test('a create, leaves it as it was or complete', async () => {
    await killEverywhere({ stage: stageLan, act: host => host.sandboxes.create(web) }, async (before, after, { at, length }) => {
      if (at < length) expect(after, `killed before op ${at}`).toEqual(before)
      else expect((await opened(find)).ports).toHaveLength(4)
    })
  })

  test('the first create, table and default network included', async () => {
    const stage = async (host: Host) => expect(await host.sandboxes.list()).toEqual([])
    await killEverywhere(
      { stage, act: host => host.sandboxes.create({ ...web, network: 'bridge' }) },
      async (before, after, { at, length }) => {
        // The network is a thing of its own: once it is complete it stays.
        const network = await opened(host => host.networks.get('bridge'))
        if (at === length) expect((await opened(find)).ports).toHaveLength(2)
        else if (network === undefined) expect(after, `killed before op ${at}`).toEqual(before)
        else expect(await opened(host => host.sandboxes.list())).toEqual([])
        await opened(async host => {
          await host.sandboxes.remove('web')
          await host.networks.remove('bridge')
        })
        expect(await world(), `killed before op ${at}`).toEqual(before)
      },
    )
  })

  test('networks.create', async () => {
    const stage = async (host: Host) => expect(await host.networks.list()).toEqual([])
    await killEverywhere({ stage, act: host => host.networks.create(lan) }, async (before, after, { at, length }) => {
      if (at < length) expect(after, `killed before op ${at}`).toEqual(before)
      else expect(await opened(host => host.networks.remove('lan'))).toBe(true)
    })
  })

  test('networks.remove', async () => {
    await killEverywhere({ stage: stageLan, act: host => host.networks.remove('lan') }, async (before, after, { at }) => {
      const still = await opened(host => host.networks.get('lan'))
      if (still) expect(after, `killed before op ${at}`).toEqual(before)
      else expect(await readdir(`${machine.stateDir}/networks`)).toEqual([])
      expect((await machine.ipJson('-d', 'link', 'show', 'type', 'bridge')).filter(({ ifname }) => ifname)).toHaveLength(still ? 2 : 1)
      await opened(async host => expect(await host.networks.remove('lan')).toBe(still !== undefined))
    })
  })

  test('sandboxes.remove', async () => {
    let empty: object = {}
    const stage = async (host: Host) => {
      await stageLan(host)
      if (!(await host.sandboxes.get('web'))) empty = await world()
      await stageWeb(host)
    }
    await killEverywhere({ stage, act: host => host.sandboxes.remove('web') }, async (before, after, { at }) => {
      const still = await opened(host => host.sandboxes.get('web'))
      expect(after, `killed before op ${at}`).toEqual(still ? before : empty)
    })
  })

  test.each<[string, (host: Host) => Promise<unknown>, (host: Host) => Promise<unknown>]>([
    [
      'publish',
      async host => (await find(host)).publish(['8081:80', '54:54/udp', '127.0.0.1:9000:90']),
      async host => (await find(host)).unpublish(['8081', '54/udp', '127.0.0.1:9000']),
    ],
    [
      'unpublish',
      async host => (await find(host)).unpublish(['8080', '53/udp']),
      async host => (await find(host)).publish(['8080:80', '53:53/udp']),
    ],
    ['attach', async host => (await find(host)).attach('far', { ip: '10.8.0.8' }), async host => (await find(host)).detach('far')],
  ])('%s', async (_, act, back) => {
    const stage = async (host: Host) => {
      await host.networks.ensure({ name: 'far', subnets: ['10.8.0.0/24'] })
      await stageWeb(host)
    }
    // Done and undone once, so that what is there before looks like what is there afterwards.
    await opened(async host => {
      await stage(host)
      await act(host)
      await back(host)
    })
    await killEverywhere({ stage, act }, async (before, after, { at, length }) => {
      if (at < length && JSON.stringify(after) !== JSON.stringify(before)) {
        // Through already, but for what is swept up.
        await opened(back)
        expect(await world(), `killed before op ${at}`).toEqual(before)
      } else if (at === length) await opened(back)
    })
  })

  test('detach', async () => {
    const stage = async (host: Host) => {
      await host.networks.ensure({ name: 'far', subnets: ['10.8.0.0/24'] })
      const sandbox = await stageWeb(host)
      if (sandbox.endpoints.length < 2) await sandbox.attach('far', { ip: '10.8.0.8' })
    }
    await killEverywhere({ stage, act: async host => (await find(host)).detach('far') }, async (before, after, { at }) => {
      const { endpoints } = await opened(find)
      if (endpoints.length === 2) return expect(after, `killed before op ${at}`).toEqual(before)
      const links = await machine.ipJson('link', 'show')
      expect(
        links.filter(({ ifname }) => String(ifname).startsWith('veth')),
        `killed before op ${at}`,
      ).toHaveLength(3)
      const free = await opened(host => host.sandboxes.create({ name: 'other', network: 'far', ip: '10.8.0.8' }))
      expect(free.endpoints).toHaveLength(1)
      await opened(host => host.sandboxes.remove('other'))
    })
  })

  test('anything, again and again, by SIGKILL', async () => {
    await using programs = await Programs.bundle('test/process/programs/restless.ts')
    await opened(async host => expect(await host.sandboxes.list()).toEqual([]))
    const before = await world()
    for (let kill = 0; kill < 6; kill++) {
      const names = ['one', 'two', 'three']
      const all = names.map(name => programs.start('restless', machine.netns, machine.stateDir, name))
      await Promise.all(all.map(async one => [await one.hear(), await one.hear()]))
      for (let turn = 0; turn < kill * 3; turn++) await new Promise(resolve => setImmediate(resolve))
      for (const one of all) one.process.kill('SIGKILL')
      await Promise.all(all.map(one => one.end()))
      await opened(async host => {
        const live = await host.sandboxes.list()
        for (const sandbox of live) expect(sandbox.ports.length, sandbox.name).toBeLessThanOrEqual(3)
        await host.sandboxes.removeAll(live.map(({ name }) => name))
        await host.networks.remove('bridge')
      })
      expect(await world()).toEqual(before)
    }
  })

  describe('a change, with another host open all along:', () => {
    const kinds = {
      publish: async (host: Host) => (await find(host)).publish(['8081:81', '54:54/udp']),
      unpublish: async (host: Host) => (await find(host)).unpublish(['8080', '53/udp']),
      attach: async (host: Host) => (await find(host)).attach('far'),
      detach: async (host: Host) => (await find(host)).detach('far'),
    }
    const stageFor = async (host: Host, change: unknown) => {
      const { endpoints } = await stageWeb(host)
      if (change === kinds.detach && endpoints.length < 2) await (await find(host)).attach('far')
    }
    /** Kills a process at every place of the change; `next` is what the other host is asked for then. */
    async function killBeside(change: (host: Host) => Promise<unknown>, next: (host: Host, at: number) => Promise<unknown>): Promise<void> {
      await using other = await open(machine)
      await other.networks.ensure({ name: 'far', subnets: ['10.8.0.0/24'] })
      let plan: Plan = []
      for (let at = 0; at <= plan.length; at++) {
        if (at > 1 && !isTurn(plan, at)) continue
        await stageFor(other, change)
        const { host, between } = await openBetween(machine)
        const died = between.killAfter(at)
        void change(host)
        plan = await died
        await next(other, at)
        await between.close()
      }
    }

    test.each(Object.entries(kinds))('%s, a removal leaves nothing of it', async (_, change) => {
      await opened(async host => {
        await stageLan(host)
        await host.networks.ensure({ name: 'far', subnets: ['10.8.0.0/24'] })
      })
      const empty = await world()
      await killBeside(change, async (other, at) => {
        expect(await other.sandboxes.remove('web')).toBe(true)
        expect(await world(), `killed before op ${at}`).toEqual(empty)
      })
    })

    test.each(Object.entries(kinds))('%s, the next change finds it as it was or done', async (_, change) => {
      await killBeside(change, async (other, at) => {
        const handle = await find(other)
        expect(await handle.publish('9000:90'), `killed before op ${at}`).toHaveLength(2)
        expect(await handle.unpublish('9000')).toHaveLength(2)
        const settled = await world()
        expect(await other.recover(), `killed before op ${at}`).toEqual({ rolledBack: [], repaired: [], damaged: [] })
        expect(await world(), `killed before op ${at}`).toEqual(settled)
        await handle.remove()
      })
    })
  })

  test('a change that began when a removal had been drawn up: the removal sees it', async () => {
    await opened(stageWeb)
    const change = `${machine.stateDir}/changes/web.json`
    const record = await readFile(`${machine.stateDir}/sandboxes/web/state.json`, 'utf8')
    const { host, between } = await openBetween(machine)
    between.change = plan => {
      if (!changes(plan)) return plan
      writeFileSync(change, record.replace('"labels":{}', '"labels":{"new":"1"}'))
      between.change = next => next
      return plan
    }
    expect(await host.sandboxes.remove('web')).toBe(true)
    expect(await readdir(`${machine.stateDir}/changes`)).toEqual([])
    await host.close()
  })

  test('a change that had not begun, what was to be is half written: nothing is lost', async () => {
    await opened(stageWeb)
    const before = await world()
    const change = `${machine.stateDir}/changes/web.json`
    const record = await readFile(`${machine.stateDir}/sandboxes/web/state.json`, 'utf8')
    for (const text of ['', record.slice(0, 300), record.replace(/"id":"[0-9a-f]{64}"/, `"id":"${'0'.repeat(64)}"`)]) {
      await opened(async host => {
        await writeFile(change, text)
        const handle = await find(host)
        expect(await handle.publish('9000:90')).toHaveLength(2)
        expect(await handle.unpublish('9000')).toHaveLength(2)
        expect(await world()).toEqual(before)
        await writeFile(change, text)
      })
      await opened(async () => expect(await world()).toEqual(before))
    }
  })

  test('a change, and the record is lost as well: what was to be goes', async () => {
    await opened(stageLan)
    const before = await world()
    await opened(stageWeb)
    const record = await readFile(`${machine.stateDir}/sandboxes/web/state.json`, 'utf8')
    await writeFile(`${machine.stateDir}/changes/web.json`, record)
    await writeFile(`${machine.stateDir}/sandboxes/web/state.json`, '{')
    await opened(async () => {})
    await run('ip', ['netns', 'delete', 'web'])
    await run('rm', ['-r', `${machine.stateDir}/damaged`])
    expect(await world()).toEqual(before)
  })

  // The folder of a port is made before the claim in it, by the same op.
  test('the passing on of a lease, what was to become the new one goes', async () => {
    const before = await opened(async host => {
      await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
      const { endpoints } = await host.sandboxes.create({ name: 'web', network: 'lan' })
      return { endpoints, world: await world() }
    })
    const leases = join(machine.stateDir, 'leases')
    const [id = ''] = await readdir(leases)
    for (const one of [before.endpoints[0]?.ipv4, before.endpoints[0]?.ipv6]) await symlink('web', join(leases, id, `.${one?.address}.new`)) // as native/state/folder.cc does
    await opened(async host => {
      expect(await world()).toEqual(before.world)
      await host.sandboxes.remove('web')
      await host.networks.remove('lan')
    })
  })

  test('the claim of a port, its empty folder goes', async () => {
    await opened(stageWeb)
    const before = await world()
    await mkdir(`${machine.stateDir}/ports/tcp-5432`)
    await opened(async () => {})
    expect(await world()).toEqual(before)
  })

  test('a create under a name that a namespace of somebody else has: that one stays', async () => {
    await opened(stageLan)
    await run('ip', ['netns', 'add', 'web'])
    const inode = (await stat('/run/netns/web')).ino
    const before = await world()
    for (let at = 0; ; at++) {
      const { host, between } = await openBetween(machine)
      const died = between.killAfter(at)
      const created = host.sandboxes.create(web)
      // The plan itself fails when it comes to the namespace.
      const outcome = await Promise.race([died.catch(() => 'failed'), created.catch(() => 'failed')])
      await opened(async () => {})
      expect((await stat('/run/netns/web')).ino, `killed before op ${at}`).toBe(inode)
      expect(await world(), `killed before op ${at}`).toEqual(before)
      await between.close()
      if (outcome === 'failed') break
    }
    await run('ip', ['netns', 'delete', 'web'])
  })
})

describe('when somebody else', () => {
  test('deletes the namespace of a sandbox, its record, addresses and ports are released', async () => {
    await opened(stageLan)
    const before = await world()
    await opened(stageWeb)
    await run('ip', ['netns', 'delete', 'web'])
    const host = await openHost({ netns: machine.netns, stateDir: machine.stateDir, repair: false })
    expect(await host.recover()).toEqual({ rolledBack: [], repaired: ['web'], damaged: [] })
    expect(await world()).toEqual(before)
    expect((await host.sandboxes.create(web)).endpoints).toHaveLength(1)
    await host.close()
  })

  test.each(['an opening', 'an open host'])(
    'makes a namespace under the name of one that is gone, while %s releases that: his stays',
    async by => {
      await opened(stageLan)
      const before = await world()
      await opened(stageWeb)
      let made = false
      const { host, between } = await openBetween(machine, { repair: by === 'an open host' })
      between.change = plan => {
        if (!made && plan.some(({ apply }) => apply.op === 'folder.remove' && apply.path.endsWith('/sandboxes/web'))) {
          made = true
          execFileSync('ip', ['netns', 'add', 'web'])
        }
        return plan
      }
      const events = host.events({ types: ['sandbox.removed'] })
      await run('ip', ['netns', 'delete', 'web'])
      if (by === 'an opening') await host.recover()
      await events.next()
      expect(made).toBe(true)
      expect(await run('ip', ['-n', 'web', '-br', 'link'])).toMatch(/^lo +DOWN/)
      await host.close()
      await run('ip', ['netns', 'delete', 'web'])
      expect(await world()).toEqual(before)
    },
  )

  test.each(['delete table inet netmode', 'delete table bridge netmode', 'flush ruleset'])(
    'says `nft %s`, all is made anew as it was',
    async command => {
      await opened(async host => {
        await stageWeb(host)
        await host.networks.create({ name: 'inner', subnets: ['10.8.0.0/24'], internal: true, icc: false })
        await host.sandboxes.create({ name: 'db', network: 'lan', publish: ['[::1]:5432:5432'] })
      })
      const ours = (ruleset: readonly unknown[]) => ruleset.filter(one => JSON.stringify(one).includes('"table":"netmode"'))
      const before = ours((await machine.dump()).ruleset)
      expect(before.length).toBeGreaterThan(30)
      await machine.nft(command)
      const host = await openHost({ netns: machine.netns, stateDir: machine.stateDir, repair: false })
      expect(await host.recover()).toEqual({ rolledBack: [], repaired: ['ruleset'], damaged: [] })
      expect(ours((await machine.dump()).ruleset)).toEqual(before)

      // The same while the host is open: the next call notices.
      await machine.nft(command)
      const more = await host.sandboxes.create({ name: 'more', network: 'lan', publish: ['7777:77'] })
      await more.remove()
      expect(ours((await machine.dump()).ruleset)).toEqual(before)
      await host.close()
    },
  )

  test('deletes a bridge, the sandboxes on it can still be removed', async () => {
    await opened(async () => {})
    const before = await world()
    await opened(stageWeb)
    const device = await opened(async host => (await host.networks.get('lan'))?.device ?? '')
    await machine.ip('link', 'delete', device)
    await opened(async host => {
      expect(await host.sandboxes.remove('web')).toBe(true)
      expect(await host.networks.remove('lan')).toBe(true)
    })
    expect(await world()).toEqual(before)
  })

  test.each([
    ['empty', () => ''],
    ['cut off', (text: string) => text.slice(0, 100)],
    ['of a later version', (text: string) => text.replace('"version":1', '"version":2')],
    ['not JSON at all', () => '\0\0\0'],
  ])('leaves a record %s, it is set aside and told of, and the rest goes on', async (_, damage) => {
    await opened(stageLan)
    const before = await world()
    await opened(async host => {
      await host.sandboxes.create({ name: 'db', network: 'lan', publish: ['5432:5432'] })
    })
    const withDb = await world()
    await opened(stageWeb)
    const record = `${machine.stateDir}/sandboxes/web/state.json`
    const text = damage(await readFile(record, 'utf8'))
    await writeFile(record, text)

    const host = await openHost({ netns: machine.netns, stateDir: machine.stateDir, repair: false })
    expect(await host.recover()).toMatchObject({ damaged: ['sandboxes/web'], repaired: [] })
    const aside = await readdir(`${machine.stateDir}/damaged`)
    expect(aside).toEqual([expect.stringMatching(/^sandboxes-web-/)])
    expect(await readFile(`${machine.stateDir}/damaged/${aside[0]}`, 'utf8')).toBe(text)

    // Nobody knows any more what web was: what was claimed for it is free again, its namespace is left to whoever is in it.
    expect((await host.sandboxes.list()).map(({ name }) => name)).toEqual(['db'])
    await run('ip', ['netns', 'delete', 'web'])
    await run('rm', ['-r', `${machine.stateDir}/damaged`])
    expect(await world()).toEqual(withDb)
    await host.sandboxes.create(web)
    await host.sandboxes.removeAll(['web', 'db'])
    await host.close()
    expect(await world()).toEqual(before)
  })

  test('leaves the record of a sandbox on a ptp network damaged, what its line had in the ruleset goes', async () => {
    const lines = { name: 'lines', driver: 'ptp', subnets: ['10.8.0.0/24', 'fd00:8::/64'] } as const
    await opened(host => host.networks.create(lines))
    const before = await world()
    await opened(host => host.sandboxes.create({ name: 'web', network: 'lines', publish: ['8080:80'] }))
    await writeFile(`${machine.stateDir}/sandboxes/web/state.json`, '{')
    await opened(async () => {})
    await run('ip', ['netns', 'delete', 'web'])
    await run('rm', ['-r', `${machine.stateDir}/damaged`])
    expect(await world()).toEqual(before)
  })

  test('leaves the record of a sandbox on a bridge damaged, what its port might send goes, and what those of others may stays', async () => {
    await opened(async host => {
      await host.networks.create({ name: 'both', subnets: ['10.8.0.0/24', 'fd00:8::/64'] })
      await host.sandboxes.create({ name: 'db', network: 'both' })
      await host.sandboxes.create({ name: 'any', network: 'both', spoofCheck: false })
    })
    const before = await world()
    await opened(async host => {
      await host.sandboxes.create({ name: 'web', network: 'both', publish: ['8080:80'] })
      await host.sandboxes.create({ name: 'all', network: 'both', spoofCheck: false })
    })
    for (const name of ['web', 'all']) await writeFile(`${machine.stateDir}/sandboxes/${name}/state.json`, '{')
    await opened(async () => {})
    for (const name of ['web', 'all']) await run('ip', ['netns', 'delete', name])
    await run('rm', ['-r', `${machine.stateDir}/damaged`])
    expect(await world()).toEqual(before)
  })

  test('leaves the record of a network damaged, its bridge goes, and its name is free', async () => {
    await opened(async () => {})
    const before = await world()
    await opened(stageLan)
    await writeFile(`${machine.stateDir}/networks/lan.json`, '{')
    const host = await openHost({ netns: machine.netns, stateDir: machine.stateDir, repair: false })
    expect(await host.recover()).toMatchObject({ damaged: ['networks/lan'] })
    await run('rm', ['-r', `${machine.stateDir}/damaged`])
    await host.networks.create(lan)
    await host.networks.remove('lan')
    await host.close()
    expect(await world()).toEqual(before)
  })

  test('puts things of his own into the state folder, they stay', async () => {
    await mkdir(`${machine.stateDir}/notes`)
    await writeFile(`${machine.stateDir}/notes/todo`, 'buy milk')
    await opened(stageWeb)
    await opened(host => host.sandboxes.remove('web'))
    expect(await readFile(`${machine.stateDir}/notes/todo`, 'utf8')).toBe('buy milk')
  })
})

test('two hosts in one process, or in two, see what the other does', async () => {
  await using one = await open(machine)
  await using two = await open(machine)
  await one.networks.create(lan)
  const seen = await two.sandboxes.create(web)
  const same = await one.sandboxes.get('web')
  await same?.publish('8081:81')
  expect(await seen.unpublish('8081')).toHaveLength(2)
  // What it has written itself is not there any more.
  expect(await same?.publish('8082:82')).toHaveLength(2)
  expect(await same?.unpublish('8082')).toHaveLength(2)
  expect(await seen.publish('8083:83')).toHaveLength(2)
  expect(await same?.unpublish('8083')).toHaveLength(2)
  expect(await same?.remove()).toBe(true)
  expect(await seen.remove()).toBe(false)
  await expect(seen.refresh()).rejects.toMatchObject({ code: 'ERR_NETMODE_NOT_FOUND' })
  expect(await two.networks.remove('lan')).toBe(true)
  expect(await one.networks.get('lan')).toBeUndefined()
  await expect(one.sandboxes.create(web)).rejects.toMatchObject({ code: 'ERR_NETMODE_NOT_FOUND', subject: 'lan' })
  const again = await one.networks.create({ ...lan, subnets: ['10.7.0.0/24'] })
  expect((await two.networks.get('lan'))?.id).toBe(again.id)
  expect((await two.sandboxes.create(web)).endpoints).toMatchObject([{ ipv4: { gateway: '10.7.0.1' } }])
})

describe('with the other drivers, a process killed in the middle leaves it as it was or complete:', () => {
  const { test: withMacvlan } = requires('root', 'link:macvlan')
  const { test: withIpvlan } = requires('root', 'link:ipvlan')
  const { test: withVlan } = requires('root', 'link:macvlan', 'link:vlan')

  /** The making of the network, then of a sandbox on it. */
  async function killBoth(network: NetworkOptions, publish: readonly string[], options: Partial<SandboxOptions> = {}): Promise<void> {
    const { name } = network
    const none = async (host: Host) => expect(await host.networks.list()).toEqual([])
    await killEverywhere({ stage: none, act: host => host.networks.create(network) }, async (before, after, { at, length }) => {
      if (at < length) expect(after, `killed before op ${at}`).toEqual(before)
      else expect(await opened(host => host.networks.remove(name))).toBe(true)
    })
    const empty = await world()
    const stage = (host: Host) => host.networks.ensure(network)
    const act = (host: Host) => host.sandboxes.create({ name: 'web', network: name, publish, ...options })
    await killEverywhere({ stage, act }, async (before, after, { at, length }) => {
      if (at < length) expect(after, `killed before op ${at}`).toEqual(before)
      else expect((await opened(find)).endpoints).toMatchObject([{ network: name }])
    })
    await opened(async host => {
      await host.sandboxes.remove('web')
      await host.networks.remove(name)
    })
    expect(await world()).toEqual(empty)
  }

  const { test: withTun } = requires('root', '/dev/net/tun')
  withTun('a TAP on a bridge', () => killBoth({ name: 'lan', subnets: ['10.8.0.0/24', 'fd00:8::/64'] }, ['8080:80'], { tap: {} }))
  test('ptp', () => killBoth({ name: 'lines', driver: 'ptp', subnets: ['10.8.0.0/24', 'fd00:8::/64'] }, ['8080:80']))
  withMacvlan('macvlan', () => killBoth({ name: 'lan', driver: 'macvlan', parent: 'eth0', subnets: [homeSubnets[0]] }, []))
  withIpvlan('ipvlan', () => killBoth({ name: 'lan', driver: 'ipvlan', parent: 'eth0', subnets: [homeSubnets[0]] }, []))
  withVlan.each(['macvlan', 'bridge'] as const)('%s on a VLAN', driver =>
    killBoth({ name: 'lan', driver, parent: 'eth0.7', subnets: ['203.0.113.0/24'] }, []),
  )
  test('a bridge with an uplink', () => killBoth({ name: 'lan', parent: 'eth0', subnets: [homeSubnets[0]] }, []))
})
