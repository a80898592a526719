/**
 * One of many that change live sandboxes at the same time: `live NETNS STATEDIR OWN COMMON`. Waits for a line; attaches and
 * publishes on a sandbox of its own and on one that all share; tells the ports as one line of JSON; waits for another line,
 * takes everything back, and ends.
 */
import { createInterface } from 'node:readline'
import { openHost } from '../../../lib/index.js'

const [netns = '', stateDir = '', own = '', common = ''] = process.argv.slice(2)
const lines = createInterface(process.stdin)[Symbol.asyncIterator]()

process.stdout.write('here\n')
await lines.next()
const host = await openHost({ netns, stateDir })
const shared = await host.sandboxes.get(common)
if (!shared) throw new Error(`no ${common}`)
const mine = await host.sandboxes.create({ name: own, network: 'lan', publish: ['80'] })
const endpoint = await mine.attach('back', { gatewayPriority: 1 })
const [onMine, onShared] = await Promise.all([mine.publish('53/udp'), shared.publish(['80', '53/udp'])])
process.stdout.write(
  `${JSON.stringify({ address: endpoint.ipv4?.address, ports: [...mine.ports, ...onShared].map(({ protocol, hostPort }) => `${protocol} ${hostPort}`) })}\n`,
)
await lines.next()
await shared.unpublish(onShared)
await mine.unpublish(onMine)
await mine.detach('back')
await mine.remove()
await host.close()
process.stdin.destroy()
