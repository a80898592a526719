/**
 * A host in a user namespace whose inotify instances are used up: its guard doesn't hear of names that go. `blind-guard STATEDIR`. Says what it is
 * warned of, and when what was taken is back.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { openHost } from '../../../lib/index.js'

const [stateDir = ''] = process.argv.slice(2)
const say = (line: string) => process.stdout.write(`${line}\n`)
const limit = (instances: number) => writeFileSync('/proc/sys/user/max_inotify_instances', String(instances))

limit(0)
let warnings = 0
const warned = new Promise<void>(resolve => {
  process.on('warning', warning => {
    warnings++
    say(`${warning.name} ${(warning as Error & { code?: string }).code}: ${warning.message}`)
    resolve()
  })
})
const host = await openHost({ stateDir, nameService: false })
await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
const alive = setInterval(() => {}, 1000) // an open host keeps nobody alive
await warned

// The kernel's own news come all the same, and at once.
const news = host.events({ types: ['ruleset'] })
execFileSync('nft', ['flush', 'ruleset'])
for await (const event of news)
  if (event.type === 'ruleset' && event.action === 'new' && 'name' in event.object && event.object.name === 'exposed4') break
say('the ruleset is back')

// A namespace's name: that is seen when it is looked for, or when there are instances again.
for (const name of ['first', 'second']) {
  await host.sandboxes.create({ name, network: 'none' })
  if (name === 'first') execFileSync('ip', ['netns', 'delete', name])
  limit(16)
  const removals = host.events({ types: ['sandbox.removed'] })
  if (name === 'second') execFileSync('ip', ['netns', 'delete', name])
  if ((await host.sandboxes.get(name)) !== undefined)
    for await (const event of removals) if (event.type === 'sandbox.removed' && event.sandbox === name) break
  await removals.return?.()
  say(`${name} is released`)
}
clearInterval(alive)
await host.close()
say(`${warnings} warning`)
