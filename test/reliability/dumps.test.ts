/** Lists while links come and go: what was there all the time is in each of them. A kernel's dump that was disturbed may lack some of it. */
import { writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect } from 'vitest'
import { type Host, isNetmodeError } from '../../lib/index.js'
import { open, openBetween } from '../setup/between.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { isLong, score } from './scorecard.js'

const { test } = requires('root')

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

const pairs = isLong ? 500 : 150
const lists = isLong ? 10_000 : 150

test(`${lists} lists of ${2 * pairs} links`, { timeout: isLong ? 3_600_000 : 300_000 }, async () => {
  const lines = Array.from({ length: pairs }, (_, i) => `link add a${i} type veth peer name b${i}\n`)
  await writeFile('/run/links', lines.join(''))
  await machine.ip('-batch', '/run/links')
  const stays = (await host.namespace.links.list()).map(({ name }) => name)
  expect(stays).toHaveLength(2 * pairs + 2)
  // Without end: one link that comes, goes by another name, and goes.
  const turn = 'link add churn type veth peer name nruhc\nlink set churn name other\nlink delete other\n'
  await writeFile('/run/churn', turn.repeat(200))
  const churning = machine.spawn('sh', ['-c', 'while kill -0 $PPID && ip -batch /run/churn; do :; done'], { stdio: 'ignore' })
  let [met, refused] = [0, 0]
  for (let i = 0; i < lists || met === 0; i++) {
    try {
      const found = new Set((await host.namespace.links.list()).map(({ name }) => name))
      expect(stays.filter(name => !found.has(name))).toEqual([])
      if (found.size > stays.length) met++
    } catch (error) {
      if (!isNetmodeError(error)) throw error
      refused++ // disturbed each time that it was begun anew: told, not silent
    }
  }
  churning.kill('SIGKILL')
  expect(refused).toBeLessThan(lists / 2)
  score(3, `${lists} lists of ${2 * pairs} links under churn`, `0 partial, ${refused} refused with an error, ${met} met a passing link`)
})

const opens = isLong ? 1000 : 40
const dying = isLong ? 900 : 250

test(`${opens} openings beside ${2 * dying} links, some of which come and go`, { timeout: isLong ? 3_600_000 : 300_000 }, async () => {
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
  const [kept, broken] = [
    await host.sandboxes.create({ name: 'kept', network: 'lan' }),
    await host.sandboxes.create({ name: 'broken', network: 'lan' }),
  ]
  await host.close()
  const crowd = Array.from({ length: dying }, (_, i) => `link add a${i} type veth peer name b${i}\nlink set a${i} up\nlink set b${i} up\n`)
  await writeFile('/run/links', crowd.join(''))
  await machine.ip('-batch', '/run/links')
  // Without end: addresses, and now and then a link. A list of all addresses is hardly ever left alone.
  const address = 'address add 203.0.113.1/32 dev a0\naddress delete 203.0.113.1/32 dev a0\n'
  await writeFile('/run/churn', `${address.repeat(200)}link add churn type veth peer name nruhc\nlink delete churn\n`)
  const churning = machine.spawn('sh', ['-c', 'while kill -0 $PPID && ip -batch /run/churn; do :; done'], { stdio: 'ignore' })
  let longest = 0
  for (let i = 0; i < opens; i++) {
    // Now and then there is something to put right.
    if (i % 20 === 10) await machine.ip('link', 'delete', broken.endpoints[0]?.hostIfname ?? '')
    const from = performance.now()
    host = await open(machine)
    longest = Math.max(longest, performance.now() - from)
    await host.recover() // looks at what lives, which an opening does behind itself
    const found = await host.namespace.links.list({ name: broken.endpoints[0]?.hostIfname ?? '' })
    expect(found).toHaveLength(1)
    await host.close()
  }
  host = await open(machine)
  churning.kill('SIGKILL')
  expect(await host.recover()).toEqual({ rolledBack: [], repaired: [], damaged: [] })
  await host.sandboxes.removeAll([kept.name, broken.name])
  score(3, `${opens} openings beside ${2 * dying} links, some coming and going`, `0 failed; the longest took ${longest.toFixed(0)} ms`)
})

test('an opening where all is well needs no list of the host that has to be whole', async () => {
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
  await host.sandboxes.create({ name: 'web', network: 'lan' })
  const { host: second, between } = await openBetween(machine)
  const asked = between.plans.flat().flatMap(({ apply }) => (/^(link|address)\.list$/.test(apply.op) && !('ns' in apply) ? [apply] : []))
  expect(asked.length).toBeGreaterThan(2)
  expect(asked.filter(op => !('name' in op || 'link' in op || 'partialOk' in op))).toEqual([])
  await second.close()
  await host.sandboxes.remove('web')
})
