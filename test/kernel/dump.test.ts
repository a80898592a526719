/** The dump by which the other tests tell whether all is as before. */
import { expect } from 'vitest'
import { freshHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'

const { test } = requires('root')

test('a dump tells of a link that is down and has an IPv6 address', async () => {
  const machine = await freshHost()
  await machine.ip('link', 'add', 'br9', 'type', 'bridge')
  await machine.ip('address', 'add', 'fd00:9::1/64', 'dev', 'br9', 'nodad')
  expect((await machine.dump()).addresses).toContainEqual(expect.objectContaining({ ifname: 'br9', local: 'fd00:9::1' }))
  await machine.remove()
})
