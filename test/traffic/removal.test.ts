import { createServer } from 'node:net'
import { expect } from 'vitest'
import { openHost } from '../../lib/index.js'
import { freshHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'

const { test } = requires('root')

// A socket left in it would keep a removed namespace alive, and an idle server the process.
test.each(['its handle', 'another handle', 'its name', 'a list of names'])('removing a sandbox by %s ends its sockets', async way => {
  await using machine = await freshHost()
  await using host = await openHost({ netns: machine.netns, stateDir: machine.stateDir })
  const web = await host.sandboxes.create({ name: 'web' })
  const server = await web.listen(createServer(), { port: 80 })
  const remove = {
    'its handle': () => web.remove(),
    'another handle': async () => (await host.sandboxes.get('web'))?.remove(),
    'its name': () => host.sandboxes.remove('web'),
    'a list of names': () => host.sandboxes.removeAll(['web']),
  }[way]
  await remove?.()
  expect(server.listening).toBe(false)
})
