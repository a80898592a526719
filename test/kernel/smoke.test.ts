import { expect } from 'vitest'
import { openHost } from '../../lib/index.js'
import { freshHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'

const { test } = requires('root')

test('smoke', async () => {
  await using machine = await freshHost()
  const before = await machine.dump()
  const host = await openHost({ netns: machine.netns, stateDir: machine.stateDir })
  const s = await host.sandboxes.create({ name: 'web', publish: ['8080:80'] })
  const p = s.spawn('sh', ['-c', 'ip a; ip r; cat /etc/hosts /etc/hostname; ls /sys/class/net'], { stdio: 'inherit' })
  await new Promise(r => p.on('close', r))
  expect(await s.remove()).toBe(true)
  expect(await host.networks.remove('bridge')).toBe(true)
  await host.close()
  const after = await machine.dump()
  expect(after).toEqual(before)
})
