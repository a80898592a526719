// A whole life of the library in a process that ends by itself: LeakSanitizer then tells what of the addon was never freed.
// Run by scripts/sanitize.mjs leaks. That it would tell, plant.mjs shows.
import { strict as assert } from 'node:assert'
import { openHost } from '../../dist/index.js'

const host = await openHost({ stateDir: '/run/leaks' })
await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
for (let round = 0; round < 5; round++) {
  const names = Array.from({ length: 4 }, (_, i) => `s${round}-${i}`)
  await Promise.all(names.map((name, i) => host.sandboxes.create({ name, network: 'lan', publish: [`${8000 + i}:80`] })))
  const [first] = await host.sandboxes.list()
  await first.publish('9000:90/udp')
  await first.unpublish('9000/udp')
  await first.inspect()
  await assert.rejects(host.sandboxes.create({ name: names[0], network: 'lan' }), { code: 'ERR_NETMODE_EXISTS' })
  await assert.rejects(host.sandboxes.create({ name: 'other', network: 'lan', publish: ['8000:80'] }), { code: 'ERR_NETMODE_PORT_IN_USE' })
  const controller = new AbortController()
  const aborted = host.sandboxes.create({ name: 'aborted', network: 'lan' }, { signal: controller.signal })
  controller.abort()
  await aborted.then(
    sandbox => sandbox.remove(),
    () => {},
  )
  await host.namespace.links.list()
  await host.namespace.routes.list()
  await host.sandboxes.removeAll(names)
}
await host.networks.remove('lan')
await host.close()
