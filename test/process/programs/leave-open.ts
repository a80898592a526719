/** Ends without closing anything: `leave-open NETNS STATEDIR EPHEMERAL`. What is open must not keep the process alive. */
import { openHost } from '../../../lib/index.js'

const [netns = '', stateDir = '', ephemeral] = process.argv.slice(2)
const host = await openHost({ netns, stateDir })
const { name } = await host.sandboxes.create({ name: 'left', publish: ['8080:80'], ephemeral: ephemeral === 'true' })
process.stdout.write(`${name}\n`)
