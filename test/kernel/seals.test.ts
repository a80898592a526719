/** What was found whole is not judged again while it looks the same; and whatever else there is, is found as ever. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterEach, beforeEach, expect } from 'vitest'

import type { Host } from '../../lib/index.js'
import { linkGroup } from '../../lib/plan/link-group.js'
import { open, openBetween } from '../setup/between.js'
import { freshHost, type PrivateHost, run } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { sealAll } from '../setup/sealing.js'

const { test } = requires('root')

const names = ['one', 'two', 'three']
let machine: PrivateHost
let host: Host
beforeEach(async () => {
  machine = await freshHost()
  host = await open(machine)
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
  for (const [i, name] of names.entries()) await host.sandboxes.create({ name, network: 'lan', publish: [`${8080 + i}:80`] })
  await host.close()
  await sealAll(machine, names)
})
afterEach(async () => {
  host = await open(machine)
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.networks.remove('lan')
  await host.close()
  await machine.remove()
})

const state = (...parts: string[]) => join(machine.stateDir, ...parts)
const routesOf = (name: string) => run('ip', ['-n', name, 'route', 'show', 'default'])

/** Opens and closes once more; answers the ops that it took. */
async function opsOfOpening(): Promise<readonly string[]> {
  const { host, between } = await openBetween(machine)
  await host.close()
  return between.plans.flat().map(({ apply: { op } }) => op)
}

test('an opening judges none of them, and all of them again when what it remembers can not be read', async () => {
  expect((await opsOfOpening()).filter(op => op === 'netns.open' || op === 'claim.list')).toEqual([])
  await writeFile(state('whole.json'), '{ "terms": 1')
  expect((await opsOfOpening()).filter(op => op === 'netns.open')).toHaveLength(names.length)
})

test('with one more sandbox only that one is looked into', async () => {
  host = await open(machine)
  await host.sandboxes.create({ name: 'four', network: 'lan' })
  await host.close()
  expect((await opsOfOpening()).filter(op => op === 'netns.open')).toHaveLength(1)
  await sealAll(machine, [...names, 'four'])
  expect((await opsOfOpening()).filter(op => op === 'netns.open')).toEqual([])
})

test('of what a netmode of another version or settings has found whole nothing is believed', async () => {
  const text = await readFile(state('whole.json'), 'utf8')
  await run('ip', ['-n', 'two', 'route', 'delete', 'default'])
  await sealAll(machine, names) // has put it right
  await run('ip', ['-n', 'two', 'route', 'delete', 'default'])
  await writeFile(state('whole.json'), text.replace(/"terms":"(\\.|[^"])*"/, '"terms":"[]"'))
  expect((await opsOfOpening()).filter(op => op === 'netns.open').length).toBeGreaterThanOrEqual(names.length)
  expect(await routesOf('two')).toContain('default via 10.9.0.1')
})

test('what has gone from one of them is put right', async () => {
  await run('ip', ['-n', 'one', 'route', 'delete', 'default'])
  host = await open(machine)
  expect(await routesOf('one')).toContain('default via 10.9.0.1')
  await host.close()
})

test('links, leases and port claims that no record speaks of are found', async () => {
  const [id = ''] = await run('ls', [state('leases')]).then(text => text.trim().split('\n'))
  await symlink('nobody', state('leases', id, '10.9.0.77'))
  await mkdir(state('ports', 'tcp-9999'))
  await symlink('nobody', state('ports', 'tcp-9999', '0.0.0.0'))
  await machine.ip('link', 'add', 'stray', 'group', String(linkGroup), 'type', 'veth', 'peer', 'name', 'stray2')
  await (await open(machine)).close()
  expect(await run('ls', [state('leases', id)])).not.toContain('10.9.0.77')
  expect(await run('ls', [state('ports')])).not.toContain('9999')
  expect((await machine.ipJson('link', 'show')).map(({ ifname }) => ifname)).not.toContain('stray')
})

test('a link alone that no record speaks of is found', async () => {
  await machine.ip('link', 'add', 'stray', 'group', String(linkGroup), 'type', 'veth', 'peer', 'name', 'stray2')
  await (await open(machine)).close()
  expect((await machine.ipJson('link', 'show')).map(({ ifname }) => ifname)).not.toContain('stray')
})

test('a record that somebody has written over is set aside', async () => {
  await writeFile(state('sandboxes', 'two', 'state.json'), 'nonsense')
  host = await open(machine, { repair: false })
  expect(await host.recover()).toMatchObject({ damaged: ['sandboxes/two'] })
  await host.close()
  await run('ip', ['netns', 'delete', 'two']) // nobody knows whose it is
})

test('the ruleset comes back after nft flush ruleset', async () => {
  await machine.nft('flush', 'ruleset')
  await (await open(machine)).close()
  expect(await machine.nft('list', 'tables')).toContain('table inet netmode')
})

test('a change that was at work when all else was found whole is found when it has broken off', async () => {
  const record = await readFile(state('sandboxes', 'one', 'state.json'), 'utf8')
  const atWork = spawn('flock', [state('sandboxes', 'one'), 'sh', '-c', 'echo locked; read _'])
  await once(atWork.stdout, 'data')
  await writeFile(state('changes', 'one.json'), record.replace('"labels":{}', '"labels":{"new":"1"}'))
  // Long enough after it that its folder looks the same each time.
  for (let i = 0; i < 4; i++) {
    await setTimeout(40)
    await (await open(machine)).close()
  }
  atWork.stdin.end()
  await once(atWork, 'exit')
  host = await open(machine, { repair: false })
  expect(await host.recover()).toEqual({ rolledBack: ['one'], repaired: [], damaged: [] })
  await host.close()
  expect(await readdir(state('changes'))).toEqual([])
  expect(await readFile(state('sandboxes', 'one', 'state.json'), 'utf8')).toBe(record)
})
