/** Lists while links come and go: what was there all the time is in each of them. A kernel's dump that was disturbed may lack some of it. */
import { writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect } from 'vitest'
import { type Host, isNetmodeError } from '../../lib/index.js'
import { open } from '../setup/between.js'
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

test(`${lists} lists of ${2 * pairs} links`, { timeout: 3_600_000 }, async () => {
  const lines = Array.from({ length: pairs }, (_, i) => `link add a${i} type veth peer name b${i}\n`)
  await writeFile('/run/links', lines.join(''))
  await machine.ip('-batch', '/run/links')
  const stays = (await host.namespace.links.list()).map(({ name }) => name)
  expect(stays).toHaveLength(2 * pairs + 2)
  // Without end: one link that comes, goes by another name, and goes.
  const turn = 'link add churn type veth peer name nruhc\nlink set churn name other\nlink delete other\n'
  await writeFile('/run/churn', turn.repeat(200))
  const churning = machine.spawn('sh', ['-c', 'while ip -batch /run/churn; do :; done'], { stdio: 'ignore' })
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
