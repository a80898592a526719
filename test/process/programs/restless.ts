/** Makes, changes and removes sandboxes until it is killed: `restless NETNS STATEDIR NAME`. Says so before each round. */
import { openHost } from '../../../lib/index.js'

const [netns = '', stateDir = '', name = ''] = process.argv.slice(2)
const host = await openHost({ netns, stateDir })
for (let round = 0; ; round++) {
  process.stdout.write(`${round}\n`)
  const sandbox = await host.sandboxes.create({ name, publish: ['80', '53/udp'] })
  await sandbox.publish(['81'])
  await sandbox.unpublish(sandbox.ports)
  await sandbox.remove()
}
