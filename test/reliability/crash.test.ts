/** SIGKILL before every system call of an operation: the next opening finds it not begun or done, and nothing in between. */
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import type { Host } from '../../lib/index.js'
import { open } from '../setup/between.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { Programs } from '../setup/program.js'
import { worldOf } from '../setup/state-tree.js'
import { type ActName, acts } from './acts.js'
import { isLong, score } from './scorecard.js'
import { Victim } from './victim.js'

const { describe, test } = requires('root', 'program:nft', 'program:g++')

let programs: Programs
let machine: PrivateHost
beforeAll(async () => {
  programs = await Programs.bundle('test/reliability/programs/victim.ts')
})
afterAll(() => programs[Symbol.asyncDispose]())
beforeEach(async () => {
  machine = await freshHost()
})
afterEach(async () => {
  await opened(async host => host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name)))
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

// In the short form a prime apart, begun elsewhere for each operation: together they meet every kind of call.
const stride = isLong ? 1 : 11

describe('killed before any system call of', () => {
  test.each(Object.keys(acts) as ActName[])('%s', { timeout: isLong ? 1_800_000 : 300_000 }, async name => {
    const act = acts[name]
    await opened(act.stage)
    if (!act.adds) await opened(act.run)
    const without = await world()
    let points = 0
    let longest = 0
    for (let at = isLong ? 0 : Object.keys(acts).indexOf(name); ; at += stride) {
      await opened(act.stage)
      const before = await world()
      await using victim = await Victim.start(programs, machine)
      const where = await victim.killIn(name, at)
      if (where === undefined) break
      points++
      const from = performance.now()
      const host = await open(machine)
      longest = Math.max(longest, performance.now() - from)
      const done = await act.done(host)
      const what = `killed before call ${at}, ${where}; ${done ? 'done' : 'not done'}`
      if (!done) expect(await world(), what).toEqual(before)
      else if (act.adds) await act.back(host)
      if (done) expect(await world(), what).toEqual(without)
      expect(await host.recover(), what).toEqual({ rolledBack: [], repaired: [], damaged: [] })
      await host.close()
    }
    expect(points).toBeGreaterThan(isLong ? 20 : 1)
    score(19, `SIGKILL in ${name}`, `${points} of ${points} points before or after; recovery at most ${longest.toFixed(0)} ms`)
  })
})
