/** One system call of an operation fails: the error is typed, nothing is left, and the operation succeeds the next time. */
import { readdir } from 'node:fs/promises'
import { constants } from 'node:os'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import type { Host } from '../../lib/index.js'
import { open } from '../setup/between.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { Programs } from '../setup/program.js'
import { stateTree, worldOf } from '../setup/state-tree.js'
import { type ActName, acts } from './acts.js'
import { isLong, score } from './scorecard.js'
import { Victim } from './victim.js'

const { describe, test } = requires('root', 'program:nft', 'program:g++')

const errnos = ['EPERM', 'EEXIST', 'ENOMEM', 'ENOBUFS', 'EBUSY', 'ENOSPC', 'EMFILE', 'EINTR', 'EAGAIN'] as const
// In the short form a prime apart, begun elsewhere for each operation, and every time with another errno.
const stride = isLong ? 1 : 7
/** Four threads, two protocols and two folders. */
const mostKept = 4 * (2 + 2)

let programs: Programs
let machine: PrivateHost
let host: Host
beforeAll(async () => {
  programs = await Programs.bundle('test/reliability/programs/victim.ts')
})
afterAll(() => programs[Symbol.asyncDispose]())
beforeEach(async () => {
  machine = await freshHost()
  host = await open(machine)
})
afterEach(async () => {
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await machine.remove()
})

const world = () => worldOf(machine)

/** What a look costs nothing for; the rest is compared at the end, since what is left over stays. */
async function traces(): Promise<object> {
  const links = await host.namespace.links.list()
  return {
    state: await stateTree(machine.stateDir),
    namespaces: (await readdir('/run/netns')).sort(),
    links: links.map(({ name }) => name),
  }
}

describe('any system call fails in', () => {
  test.each(Object.keys(acts) as ActName[])('%s', { timeout: isLong ? 1_800_000 : 300_000 }, async name => {
    const act = acts[name]
    await act.stage(host)
    if (!act.adds) {
      await act.run(host)
      await act.back(host)
    }
    const start = await world()
    await using victim = await Victim.start(programs, machine)
    // Once undisturbed: what a process opens on first need is there then.
    await victim.act(name)
    await act.back(host)
    const { open: usual, calls } = await victim.act(name)
    await act.back(host)
    let faults = 0
    const seen = new Map<string, number>()
    for (let at = Object.keys(acts).indexOf(name) % stride; at < calls + 20; at += stride) {
      for (const errno of isLong ? errnos : [errnos[at % errnos.length] as (typeof errnos)[number]]) {
        const before = await traces()
        const outcome = await victim.act(name, `fail/${at}/${constants.errno[errno]}`)
        const what = `call ${at}, ${outcome.where}, with ${errno}: ${outcome.failed ?? 'succeeded'}`
        if (outcome.fired) {
          faults++
          seen.set(outcome.failed ?? 'none', (seen.get(outcome.failed ?? 'none') ?? 0) + 1)
        }
        expect(outcome.open.others, what).toBeLessThanOrEqual(usual.others)
        expect(outcome.open.kept, what).toBeLessThanOrEqual(victim.before.kept + mostKept)
        if (outcome.failed) expect(outcome.failed, what).toMatch(/^ERR_NETMODE_/)
        // What has begun to go can't be put back: recovery takes it to its end.
        if (!act.adds || act.leaves) await host.recover()
        const done = await act.done(host)
        if (outcome.failed === undefined) expect(done, what).toBe(true)
        if (!done) expect(await traces(), what).toEqual(before)
        else await act.back(host)
      }
    }
    expect(faults).toBeGreaterThan(3)
    expect(await victim.close()).toEqual(victim.before)
    if (act.adds) expect(await world()).toEqual(start)
    const codes = [...seen].map(([code, count]) => `${count} ${code.replace('ERR_NETMODE_', '')}`).join(', ')
    score(28, `errno injected in ${name}`, `${faults} faults, 0 leaks: ${codes}`)
  })
})

describe('every system call fails from one on, and so does what should take it all back:', () => {
  const adding = (['create', 'publish', 'attach', 'network create'] as const).map(name => [name] as const)
  test.each(adding)('%s', { timeout: isLong ? 1_800_000 : 300_000 }, async name => {
    const act = acts[name]
    await act.stage(host)
    await using victim = await Victim.start(programs, machine)
    await victim.act(name)
    await act.back(host)
    const { calls } = await victim.act(name)
    await act.back(host)
    const before = await traces()
    let faults = 0
    let both = 0
    for (let at = 0; at < calls + 20; at += isLong ? 1 : 11) {
      // Not EINTR and EAGAIN: no kernel gives those for ever.
      const errno = (['ENOMEM', 'EPERM', 'ENOSPC', 'EMFILE'] as const)[at % 4] as 'EPERM'
      const outcome = await victim.act(name, `fail/${at}/${constants.errno[errno]}/on`)
      const what = `from call ${at} on, ${outcome.where}, with ${errno}: ${outcome.failed ?? 'succeeded'}`
      if (outcome.fired) faults++
      if (outcome.failed) expect(outcome.failed, what).toMatch(/^ERR_NETMODE_/)
      if (outcome.undo) both++
      await host.recover()
      if (await act.done(host)) await act.back(host)
      expect(await traces(), what).toEqual(before)
      expect(await host.recover(), what).toEqual({ rolledBack: [], repaired: [], damaged: [] })
    }
    expect(both).toBeGreaterThan(0)
    score(
      28,
      `errno injected in ${name} and its undo`,
      `${faults} faults, ${both} with errors of the undo beside them, 0 left after recovery`,
    )
  })
})
