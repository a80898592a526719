/**
 * One of many at work on one network, for a while: `scramble NETNS STATEDIR MARKS NUMBER MS`. Creates, publishes, takes back and removes, all under
 * names of its own but for one that it shares with the others. Keeps what it has to itself, and tells at the end how much it has done,
 * and what went wrong that should not.
 */
import { mkdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { isNetmodeError, openHost, type Sandbox } from '../../../lib/index.js'

/** What one of them tells. */
export interface Account {
  readonly created: number
  readonly published: number
  readonly lost: number
  readonly wrong: readonly string[]
}

const [netns = '', stateDir = '', marks = '', number = '', ms = ''] = process.argv.slice(2)
const host = await openHost({ netns, stateDir, nameService: false })
let [created, published, lost] = [0, 0, 0]
const wrong: string[] = []

/** What may happen when somebody else is faster. */
const races = ['EXISTS', 'PORT_IN_USE', 'NOT_FOUND', 'EXHAUSTED', 'BUSY'].map(code => `ERR_NETMODE_${code}`)

async function lose<T>(what: Promise<T>): Promise<T | undefined> {
  try {
    return await what
  } catch (error) {
    if (isNetmodeError(error) && races.includes(error.code)) lost++
    else wrong.push(String((error as Error).stack))
    return undefined
  }
}

/** Addresses and ports that are its own leave a mark as long as it has them; one that is there already is somebody else's. */
function marksOf({ endpoints, ports }: Sandbox): readonly string[] {
  return [...endpoints.map(({ ipv4 }) => `${ipv4?.address}`), ...ports.map(({ protocol, hostPort }) => `${protocol}-${hostPort}`)].map(
    one => join(marks, one),
  )
}

function mark(paths: readonly string[]): void {
  for (const path of paths) {
    try {
      mkdirSync(path)
    } catch {
      wrong.push(`${path} was given twice`)
    }
  }
}

async function round(i: number): Promise<void> {
  const own = await lose(host.sandboxes.create({ name: `own-${number}-${i % 3}`, network: 'lan', publish: ['80', '53/udp'] }))
  const marked = own ? marksOf(own) : []
  if (own) created++
  mark(marked)
  const shared: Sandbox | undefined =
    (await lose(host.sandboxes.create({ name: 'shared', network: 'lan' }))) ?? (await lose(host.sandboxes.get('shared')))
  // All want the same one, and each sees whether it was the only one that got it.
  if (shared && (await lose(shared.publish(`${9000 + (i % 5)}:80`)))) published++
  if (own) {
    if (await lose(own.publish('81'))) published++
    await lose(own.unpublish(own.ports.slice(-1)))
    for (const path of marked) rmdirSync(path)
    await lose(own.remove())
  }
  if (i % 4 === 0) await lose(host.sandboxes.remove('shared'))
}

process.stdout.write('here\n')
const end = Date.now() + Number(ms)
for (let i = 0; Date.now() < end; i++) await round(i)
process.stdout.write(`${JSON.stringify({ created, published, lost, wrong } satisfies Account)}\n`)
await host.close()
