/**
 * Does what a host is mainly for, in the namespace that it runs in: `main-acts STATEDIR [TAKEN]`, where a server of the
 * host has the port TAKEN. Says `done`, or what went wrong.
 */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { openHost } from '../../../lib/index.js'

const [stateDir = '', taken] = process.argv.slice(2)
const host = await openHost({ stateDir })
await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
const web = await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['8080:8000', '53:53/udp', '80:8000'], hostname: 'www' })
const job = await host.sandboxes.create({ name: 'job', network: 'lan' })
await web.listen(
  createServer(socket => socket.end('hello')),
  { port: 8000, host: '::' },
)
const heard: string[] = []
const address = web.endpoints[0]
for (const to of [address?.ipv4?.address ?? '', address?.ipv6?.address ?? ''])
  heard.push(await text(await job.dial({ host: to, port: 8000 })))
for (const port of [8080, 80]) heard.push(await text(await job.dial({ host: '10.9.0.1', port })))
if (taken !== undefined) heard.push(await web.publish(`${taken}:80`).then(String, error => error.code))
const child = job.spawn('cat', ['/etc/hostname'], { stdio: ['ignore', 'pipe', 'inherit'] })
heard.push((await text(child.stdout as NonNullable<typeof child.stdout>)).trim())
if (child.exitCode === null) await once(child, 'exit')
await web.publish('82')
await web.unpublish('8080')
await web.attach('bridge')
await web.detach('bridge')
await host.sandboxes.removeAll(['web', 'job'])
for (const { name } of await host.networks.list()) await host.networks.remove(name)
await host.recover()
await host.close()
const expected = ['hello', 'hello', 'hello', 'hello', ...(taken === undefined ? [] : ['ERR_NETMODE_PORT_IN_USE']), 'job']
process.stdout.write(`${JSON.stringify(heard) === JSON.stringify(expected) ? 'done' : JSON.stringify(heard)}\n`)
