/** Opens a host and tells what came of it as JSON: `try-open NETNS STATEDIR`. */
import { type ErrorFields, openHost } from '../../../lib/index.js'

const [netns = '', stateDir = ''] = process.argv.slice(2)
const outcome = await openHost({ netns, stateDir }).then(
  async host => {
    await host.close()
    return { opened: true }
  },
  (error: Error & ErrorFields) => ({ code: error.code, syscall: error.syscall, message: error.message }),
)
process.stdout.write(`${JSON.stringify(outcome)}\n`)
