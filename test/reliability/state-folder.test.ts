/** The state folder can't be written, or is full: whatever is asked is refused with a typed error, nothing is left, and what lives goes on. */
import { mkdir, readdir, rm, statfs, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect } from 'vitest'
import { type ErrorCode, type Host, isNetmodeError } from '../../lib/index.js'
import { open } from '../setup/between.js'
import { freshHost, type PrivateHost, run } from '../setup/namespace.js'
import { ask, greet, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'
import { worldOf } from '../setup/state-tree.js'
import { acts } from './acts.js'
import { score } from './scorecard.js'

const { test } = requires('root', 'program:nft')

let machine: PrivateHost
let host: Host
beforeEach(async () => {
  machine = await freshHost()
  // A file system of its own, seen by this file's processes alone.
  await mkdir(machine.stateDir, { recursive: true })
  await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', machine.stateDir])
  host = await open(machine, { repair: false })
})
afterEach(async () => {
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await run('umount', [machine.stateDir])
  await machine.remove()
})

const world = () => worldOf(machine)

/** What takes the folder away, and gives it back. */
const ills: Readonly<Record<string, { readonly code: ErrorCode; do(): Promise<unknown>; undo(): Promise<unknown> }>> = {
  'read-only': {
    code: 'ERR_NETMODE_PERMISSION',
    do: () => run('mount', ['-o', 'remount,ro', machine.stateDir]),
    undo: () => run('mount', ['-o', 'remount,rw', machine.stateDir]),
  },
  full: {
    code: 'ERR_NETMODE_CAPACITY',
    do: async () => {
      const { bavail, bsize } = await statfs(machine.stateDir)
      await writeFile(`${machine.stateDir}/filler`, Buffer.alloc(bavail * bsize))
    },
    undo: () => rm(`${machine.stateDir}/filler`),
  },
}

const refused = ['create', 'publish', 'attach', 'network create'] as const

test.each(Object.entries(ills))('%s', async (what, ill) => {
  for (const name of refused) await acts[name].stage(host)
  const web = await host.sandboxes.create({ name: 'live', network: 'lan', ip: '10.9.0.7', publish: ['8070:80'] })
  await greet(web, '10.9.0.7', 80)
  await using outside = new Peer(machine.outside.netns)
  await host.sandboxes.remove('web')
  for (const name of refused) {
    if (name !== 'create') await acts[name].stage(host)
    const before = await world()
    await ill.do()
    const error = await acts[name].run(host).then(
      () => undefined,
      reason => reason,
    )
    await ill.undo()
    expect(isNetmodeError(error), `${name}: ${error}`).toBe(true)
    expect(error.code, `${name}: ${error}`).toBe(ill.code)
    expect(await world(), name).toEqual(before)
    expect(await acts[name].done(host)).toBe(false)
    expect(await ask(outside, '198.51.100.1', 8070)).toBe('198.51.100.2')
    await acts[name].run(host)
    if (name === 'create') continue
    await acts[name].back(host)
  }
  // Opening puts nothing right that is right.
  await ill.do()
  const second = await open(machine).catch(error => error)
  if (second instanceof Error) expect(isNetmodeError(second), String(second)).toBe(true)
  else await second.close()
  await ill.undo()
  expect(await host.recover()).toEqual({ rolledBack: [], repaired: [], damaged: [] })
  expect((await readdir(`${machine.stateDir}/damaged`).catch(() => [])).length).toBe(0)
  score(28, `state folder ${what}`, `${refused.length} kinds of calls refused, 0 left, then done`)
})
