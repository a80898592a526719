/** The host's resolv.conf is that of the moment, though plans of creates are written once and filled in. */
import { cp, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect } from 'vitest'
import type { Host, SandboxPool } from '../../lib/index.js'
import { open } from '../setup/between.js'
import { freshHost, type PrivateHost, run } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'

const { test } = requires('root')

const file = '/etc/resolv.conf'
let machine: PrivateHost
let host: Host

beforeEach(async () => {
  await cp('/etc', '/run/etc', { recursive: true, verbatimSymlinks: true })
  await run('mount', ['--bind', '/run/etc', '/etc'])
  await rm(file, { force: true })
  machine = await freshHost()
  host = await open(machine)
  await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
})
afterEach(async () => {
  await host.sandboxes.removeAll((await host.sandboxes.list()).map(({ name }) => name))
  await host.close()
  await machine.remove()
  await run('umount', ['/etc'])
  await rm('/run/etc', { recursive: true })
})

/** What a new sandbox has for name servers; made, unless it is taken from a pool. */
async function serversOf(name: string, pool?: SandboxPool): Promise<string> {
  await (pool === undefined ? host.sandboxes.create({ name, network: 'lan' }) : pool.take({ name }))
  const text = await readFile(`${machine.stateDir}/sandboxes/${name}/resolv.conf`, 'utf8')
  return [...text.matchAll(/nameserver (\S+)/g)].map(([, server]) => server).join()
}

/** Of three creates one after the other. */
async function servers(name: string): Promise<readonly string[]> {
  const found: string[] = []
  for (const n of [1, 2, 3]) found.push(await serversOf(`${name}-${n}`))
  return found
}
const thrice = (text: string) => [text, text, text]

test('written over, replaced, led elsewhere, gone and back', async () => {
  await writeFile(file, 'nameserver 192.0.2.1\n')
  expect(await servers('written')).toEqual(thrice('10.9.0.1,192.0.2.1'))
  await writeFile(file, 'nameserver 192.0.2.2\n')
  expect(await servers('over')).toEqual(thrice('10.9.0.1,192.0.2.2'))
  await writeFile('/run/etc/one', 'nameserver 192.0.2.3\n')
  await writeFile('/run/etc/two', 'nameserver 192.0.2.4\n')
  await rm(file)
  await symlink('one', file)
  expect(await servers('link')).toEqual(thrice('10.9.0.1,192.0.2.3'))
  await rm(file)
  await symlink('two', file)
  expect(await servers('other')).toEqual(thrice('10.9.0.1,192.0.2.4'))
  await rm('/run/etc/two')
  expect(await servers('dangling')).toEqual(thrice('10.9.0.1'))
  await rm(file)
  expect(await servers('none')).toEqual(thrice('10.9.0.1'))
  await writeFile(file, Buffer.from('nameserver 192.0.2.5\n# \xff\xfe\n', 'latin1'))
  expect(await servers('no-text')).toEqual(thrice('10.9.0.1,192.0.2.5'))
  await writeFile(file, 'nameserver 192.0.2.6\n')
  expect(await servers('back')).toEqual(thrice('10.9.0.1,192.0.2.6'))
})

test("systemd's stub gets a comment, and is then left out: its servers are the same, and all goes on", async () => {
  const [folder, behind] = ['/run/systemd/resolve', '/run/systemd/resolve/resolv.conf']
  await mkdir(folder, { recursive: true })
  await writeFile(behind, 'nameserver 192.0.2.53\n')
  await writeFile(file, 'nameserver 127.0.0.53\n')
  expect(await servers('stub')).toEqual(thrice('10.9.0.1,192.0.2.53'))
  await writeFile(file, '# by systemd\nnameserver 127.0.0.53\n')
  expect(await servers('comment')).toEqual(thrice('10.9.0.1,192.0.2.53'))
  await rm(file)
  await symlink(behind, file)
  expect(await servers('none')).toEqual(thrice('10.9.0.1,192.0.2.53'))
  await rm(folder, { recursive: true })
})

test('replaced again and again while many are made: each has one of them, whole, and the next one the last', async () => {
  const replace = async (server: string) => {
    await writeFile(`${file}.new`, `nameserver ${server}\n`)
    await rename(`${file}.new`, file)
  }
  await replace('192.0.2.1')
  expect(await serversOf('first')).toBe('10.9.0.1,192.0.2.1')
  let isOver = false
  const replacing = (async () => {
    for (let n = 0; !isOver; n++) await replace(`192.0.2.${1 + (n % 200)}`)
  })()
  const found = await Promise.all(Array.from({ length: 40 }, (_, i) => serversOf(`many-${i}`)))
  isOver = true
  await replacing
  for (const one of found) expect(one).toMatch(/^10\.9\.0\.1,192\.0\.2\.\d+$/)
  await replace('192.0.2.250')
  expect(await servers('last')).toEqual(thrice('10.9.0.1,192.0.2.250'))
})

test('what is taken from a pool has the one of the moment in which it is taken', async () => {
  await writeFile(file, 'nameserver 192.0.2.1\n')
  await using pool = await host.sandboxes.pool({ size: 4, network: 'lan' })
  expect(await serversOf('first', pool)).toBe('10.9.0.1,192.0.2.1')
  await writeFile(file, 'nameserver 192.0.2.2\n')
  expect(await serversOf('second', pool)).toBe('10.9.0.1,192.0.2.2')
  expect(await serversOf('third', pool)).toBe('10.9.0.1,192.0.2.2')
  await rm(file)
  expect(await serversOf('fourth', pool)).toBe('10.9.0.1')
  await writeFile(file, 'nameserver 192.0.2.3\n')
  expect(await Promise.all(['fifth', 'sixth', 'seventh'].map(name => serversOf(name, pool)))).toEqual(thrice('10.9.0.1,192.0.2.3'))
})
