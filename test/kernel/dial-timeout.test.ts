import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect } from 'vitest'
import { freshHost } from '../setup/namespace.js'
import { Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'

const { test } = requires('root')

test("a dial's timeout outlives garbage collection", async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  await using machine = await freshHost()
  // Nobody is at this address, and nothing says so: the neighbour is made up.
  await machine.ip('neighbor', 'add', '198.51.100.9', 'lladdr', '02:00:00:00:00:09', 'dev', 'eth0')
  await using peer = new Peer(machine.netns)
  // What the optimizing compiler knows to be unused is not kept by a waiting function: it must have compiled this one.
  for (let i = 0; i < 100; i++) {
    const refused = Array.from({ length: 50 }, () => peer.dial({ host: '198.51.100.1', port: 80, timeout: 5_000 }))
    for (const { status } of await Promise.allSettled(refused)) expect(status).toBe('rejected')
  }
  const dialed = peer.dial({ host: '198.51.100.9', port: 80, timeout: 300 })
  const collecting = setInterval(collect, 20)
  await expect(dialed).rejects.toMatchObject({ name: 'TimeoutError' })
  clearInterval(collecting)
})
