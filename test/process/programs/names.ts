/** Opens a host and tells its part in the name service, and when that becomes `serving`; closes at a line: `names NETNS STATEDIR`. */
import { createInterface } from 'node:readline'
import { openHost } from '../../../lib/index.js'

const [netns = '', stateDir = ''] = process.argv.slice(2)
const host = await openHost({ netns, stateDir })
const { role } = host.nameService
process.stdout.write(`${role}\n`)
if (role === 'waiting')
  host.nameService.serve().then(
    () => process.stdout.write('serving\n'),
    () => {}, // closed before its turn came
  )
await createInterface(process.stdin)[Symbol.asyncIterator]().next()
await host.close()
process.stdin.destroy()
