// `npm run demo`: sandboxes in all four modes, reached over real sockets from everywhere, then removed without a trace.
//
// It runs in a private network namespace (scripts/in-namespace.sh), which plays the host; nothing of the machine is touched.
// The host has a neighbour called `outside`, as a laptop has a router. All that netmode does is in this file.
import { readlink } from 'node:fs/promises'
import { createServer } from 'node:http'
import { openHost } from 'netmode'
import { ask, Outside, settings, snapshot } from './neighborhood.mjs'
import { drawing, Report } from './report.mjs'

const report = new Report()
const outside = await Outside.open()
const before = await snapshot()
const settingsBefore = await settings()

report.title('Two sandboxes on a network of their own')

const host = await report.time('openHost()', () => openHost())
const network = await report.time('networks.create   demo', () =>
  host.networks.create({ name: 'demo', subnets: ['10.88.0.0/24', 'fd88::/64'] }),
)
const web = await report.time('sandboxes.create  web, port 80 published as 8080', () =>
  host.sandboxes.create({ name: 'web', network: 'demo', publish: ['8080:80'] }),
)
const api = await report.time('sandboxes.create  api', () => host.sandboxes.create({ name: 'api', network: 'demo' }))

// These servers run in this very process, and yet each can be reached in its sandbox only.
for (const sandbox of [web, api]) {
  const server = createServer((request, response) => response.end(`${sandbox.name} sees ${clientOf(request)}`))
  await sandbox.listen(server, { port: 80 })
}
report.steps()
report.text(drawing({ outside, network, sandboxes: [web, api] }))

report.title('Who reaches whom, and under which address')

const { host4, host6 } = outside
const [{ ipv4, ipv6 }] = api.endpoints
const gateway = ipv4.gateway
const web4 = web.endpoints[0].ipv4.address

const published = `http://${host4}:8080/`
report.check('outside', published, await outside.ask(published), `web sees ${outside.own4}`)
const published6 = `http://[${host6}]:8080/`
report.check('outside', published6, await outside.ask(published6), `web sees ${outside.own6}`)
report.check('host', published, await ask(published), `web sees ${host4}`)
const loopback = 'http://127.0.0.1:8080/'
report.check('host', loopback, await ask(loopback), `web sees ${gateway}`)
report.check('api', published, await ask(published, api.agent()), `web sees ${gateway}`)
report.check('web', published, await ask(published, web.agent()), `web sees ${gateway}`, 'itself, by way of the host')
const direct = `http://${web4}/`
report.check('api', direct, await ask(direct, api.agent()), `web sees ${ipv4.address}`)
const direct6 = `http://[${ipv6.address}]/`
report.check('web', direct6, await ask(direct6, web.agent()), `api sees ${web.endpoints[0].ipv6.address}`)
const away = `http://${outside.own4}/`
report.check('web', away, await ask(away, web.agent()), `outside sees ${host4}`)
report.check('outside', direct, await outside.ask(direct), 'nothing comes back')

report.checks()

report.title('The other modes, and a network that is kept apart')

const sidecar = await report.time('sandboxes.create  sidecar, in container mode with web', () =>
  host.sandboxes.create({ name: 'sidecar', network: 'container:web' }),
)
const job = await report.time('sandboxes.create  job, in mode none', () => host.sandboxes.create({ name: 'job', network: 'none' }))
const guest = await report.time('sandboxes.create  guest, in mode host', () => host.sandboxes.create({ name: 'guest', network: 'host' }))
await report.time('networks.create   apart', () => host.networks.create({ name: 'apart', subnets: ['10.89.0.0/24'] }))
const lonely = await report.time('sandboxes.create  lonely, on it', () => host.sandboxes.create({ name: 'lonely', network: 'apart' }))
report.steps()
console.log()

const localhost = 'http://127.0.0.1/'
report.check('sidecar', localhost, await ask(localhost, sidecar.agent()), 'web sees 127.0.0.1', 'the same localhost')
report.check('job', 'its links', (await job.namespace.links.list()).map(({ name }) => name).join(' '), 'lo', 'and nothing else')
report.check('guest', 'its namespace', await textOf(guest.spawn('readlink', ['/proc/self/ns/net'])), await ownNamespace(), "the host's own")
report.check('lonely', direct, await knock(lonely, { host: web4, port: 80 }), 'nothing comes back', 'another network')
report.check('lonely', published, await ask(published, lonely.agent()), `web sees ${gateway}`, 'what is published is for all')
await lonely.attach('demo')
report.check(
  'lonely',
  direct,
  await ask(direct, lonely.agent()),
  `web sees ${lonely.endpoints[1].ipv4.address}`,
  'attached to demo as well',
)

await web.unpublish('8080')
report.check('outside', published, await outside.ask(published), 'refused', 'unpublished')
report.checks()

report.title('All removed, nothing left')

const during = await snapshot()
await report.time('sidecar.remove()', () => sidecar.remove()) // web can't go while its namespace is shared
const others = [web, api, job, guest, lonely].map(({ name }) => name)
await report.time(`sandboxes.removeAll(${others.join(', ')})`, () => host.sandboxes.removeAll(others))
await report.time('networks.remove   apart', () => host.networks.remove('apart'))
await report.time('networks.remove   demo', () => host.networks.remove('demo'))
await report.time('host.close()', () => host.close())
report.steps()
report.leftovers(before, during, await snapshot())
report.settings(settingsBefore, await settings())

await outside.close()
process.exitCode = report.verdict()

/** Whether a connection from a sandbox comes through, for as long as one waits for what must not come. */
function knock(sandbox, target) {
  return sandbox.dial({ ...target, timeout: 500 }).then(
    socket => socket.destroy() && 'connected',
    ({ name }) => (name === 'TimeoutError' ? 'nothing comes back' : name),
  )
}

/** What a command wrote. */
async function textOf(child) {
  return (await child.stdout.setEncoding('utf8').toArray()).join('').trim()
}

/** The namespace of this process, as a link in /proc shows it. */
function ownNamespace() {
  return readlink('/proc/self/ns/net')
}

/** The client's address as the server sees it; of IPv4 mapped into IPv6, the IPv4 part. */
function clientOf({ socket }) {
  return socket.remoteAddress.replace(/^::ffff:/, '')
}
