/**
 * One of many at work on the same host: `crowd NETNS STATEDIR OPTIONS...`, each OPTIONS a sandbox to create, all at once. Waits for
 * a line, creates, tells what came of each as one line of JSON, waits for another line, removes what it made, and ends.
 */
import { createInterface } from 'node:readline'
import { type ErrorFields, openHost, type SandboxOptions } from '../../../lib/index.js'

/** What came of one create. */
export type Outcome =
  | { readonly name: string; readonly addresses: readonly string[]; readonly ports: readonly string[] }
  | { readonly name: string; readonly failed: string }

const [netns = '', stateDir = '', ...all] = process.argv.slice(2)
const lines = createInterface(process.stdin)[Symbol.asyncIterator]()

process.stdout.write('here\n')
await lines.next()
const host = await openHost({ netns, stateDir })
const outcomes = await Promise.all(
  all.map(async (text): Promise<Outcome> => {
    const options = JSON.parse(text) as SandboxOptions
    try {
      const { name, endpoints, ports } = await host.sandboxes.create(options)
      const addresses = endpoints.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6].flatMap(one => one?.address ?? []))
      return { name, addresses, ports: ports.map(({ protocol, hostPort, hostIp }) => `${protocol} ${hostIp} ${hostPort}`) }
    } catch (error) {
      return { name: options.name, failed: (error as ErrorFields).code ?? String(error) }
    }
  }),
)
process.stdout.write(`${JSON.stringify(outcomes)}\n`)
await lines.next()
await host.sandboxes.removeAll(outcomes.flatMap(one => ('failed' in one ? [] : [one.name])))
await host.close()
process.stdin.destroy()
