/** What puts things right is itself killed, or one of its system calls fails: the next opening puts right what it has not. */
import { constants } from 'node:os'
import { isDeepStrictEqual } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import type { Host } from '../../lib/index.js'
import { open } from '../setup/between.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { Programs } from '../setup/program.js'
import { worldOf } from '../setup/state-tree.js'
import type { RepairName } from './acts.js'
import { isLong, score } from './scorecard.js'
import { Victim } from './victim.js'

const { describe } = requires('root', 'program:nft', 'program:g++')

const errnos = ['EPERM', 'EEXIST', 'ENOMEM', 'ENOBUFS', 'EBUSY', 'ENOSPC', 'EMFILE', 'EINTR', 'EAGAIN'] as const

let programs: Programs
let machine: PrivateHost
let host: Host
let veth: string
beforeAll(async () => {
  programs = await Programs.bundle('test/reliability/programs/victim.ts')
})
afterAll(() => programs[Symbol.asyncDispose]())
beforeEach(async () => {
  machine = await freshHost()
  host = await open(machine, { repair: false })
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'], bridge: 'br-lan' })
  const web = await host.sandboxes.create({ name: 'web', network: 'lan', ip: '10.9.0.9', publish: ['8080:80', '53:53/udp'] })
  veth = web.endpoints[0]?.hostIfname ?? ''
})
afterEach(async () => {
  await host.sandboxes.remove('web')
  await host.close()
  await machine.remove()
})

async function world(): Promise<object> {
  const dump = await worldOf(machine)
  return JSON.parse(JSON.stringify(dump, hideRandomMac))
}

/** The host's end of a new pair has a MAC of the kernel's own choice. */
function hideRandomMac(_key: string, value: unknown): unknown {
  const isVeth = value !== null && typeof value === 'object' && 'ifname' in value && value.ifname === veth
  return isVeth && 'link_type' in value ? { ...value, address: 'its own' } : value
}

/** Resolves when the world is as it was. It is looked at again whenever the kernel has told of a change. */
async function isBack(whole: object): Promise<void> {
  const events = host.events({ types: ['link', 'address', 'route', 'ruleset'] })
  let changed = true
  let wake = () => {}
  const watching = (async () => {
    for await (const _ of events) {
      changed = true
      wake()
    }
  })()
  while (changed) {
    changed = false
    if (isDeepStrictEqual(await world(), whole)) break
    if (changed) continue
    await new Promise<void>(resolve => {
      wake = resolve
    })
  }
  await events.return?.()
  await watching
}

const damages: Readonly<Record<string, () => Promise<unknown>>> = {
  'the ruleset is flushed': () => machine.nft('flush', 'ruleset'),
  "the sandbox's link is deleted": () => machine.ip('link', 'delete', veth),
  'the bridge is deleted': () => machine.ip('link', 'delete', 'br-lan'),
}
const nothing = { rolledBack: [], repaired: [], damaged: [] }

describe.each(Object.entries(damages))('%s, and what puts it right', (what, damage) => {
  const { test } = requires('root', 'program:nft', 'program:g++')
  test.each<RepairName>(['recover', 'guard'])(
    'is killed before any system call: %s',
    { timeout: isLong ? 1_800_000 : 300_000 },
    async name => {
      const whole = await world()
      const stride = isLong ? 1 : 31
      let points = 0
      let longest = 0
      for (let at = isLong ? 0 : 5; ; at += stride) {
        if (name === 'recover') await damage()
        await using victim = await (name === 'guard' ? Victim.start(programs, machine, 'guard') : Victim.start(programs, machine))
        const where = await (name === 'guard' ? victim.killIn(name, at, damage) : victim.killIn(name, at))
        if (where === undefined) break
        points++
        const from = performance.now()
        const next = await open(machine)
        longest = Math.max(longest, performance.now() - from)
        await next.recover() // an opening looks at what lives behind itself
        expect(await world(), `killed before call ${at}, ${where}`).toEqual(whole)
        expect(await next.recover()).toEqual(nothing)
        await next.close()
      }
      expect(points).toBeGreaterThan(1)
      score(19, `SIGKILL in ${name}, after ${what}`, `${points} of ${points} points whole again; recovery at most ${longest.toFixed(0)} ms`)
    },
  )

  test('meets an error at any system call', { timeout: isLong ? 1_800_000 : 300_000 }, async () => {
    const whole = await world()
    await using victim = await Victim.start(programs, machine)
    await damage()
    const { calls } = await victim.act('recover')
    let faults = 0
    for (let at = 0; at < calls + 20; at += isLong ? 1 : 17) {
      for (const errno of isLong ? errnos : [errnos[at % errnos.length] as (typeof errnos)[number]]) {
        await damage()
        const outcome = await victim.act('recover', `fail/${at}/${constants.errno[errno]}`)
        const where = `call ${at}, ${outcome.where}, with ${errno}: ${outcome.failed ?? 'succeeded'}`
        if (outcome.fired) faults++
        if (outcome.failed) expect(outcome.failed, where).toMatch(/^ERR_NETMODE_/)
        await host.recover()
        expect(await world(), where).toEqual(whole)
      }
    }
    expect(faults).toBeGreaterThan(2)
    score(28, `errno injected in recover, after ${what}`, `${faults} faults, whole again after the next`)
  })

  test('meets an error at any system call of the guard, and tries again by itself', { timeout: isLong ? 1_800_000 : 300_000 }, async () => {
    const whole = await world()
    await using victim = await Victim.start(programs, machine, 'guard')
    let faults = 0
    for (let at = 0; ; at += isLong ? 1 : 23) {
      const errno = errnos[at % errnos.length] as (typeof errnos)[number]
      const { fired } = await victim.guard(`fail/${at}/${constants.errno[errno]}`, damage, () => isBack(whole))
      if (!fired) break
      faults++
    }
    expect(faults).toBeGreaterThan(1)
    score(28, `errno injected in the guard, after ${what}`, `${faults} faults, whole again without any help`)
  })

  test('meets nothing but errors: the guard tells, and is not at its end', { timeout: 300_000 }, async () => {
    const whole = await world()
    await using victim = await Victim.start(programs, machine, 'guard')
    expect(await victim.warned(`fail/0/${constants.errno.ENOMEM}/on`, damage)).toMatch(/^NetmodeWarning ERR_NETMODE_/)
    await isBack(whole)
  })
})
