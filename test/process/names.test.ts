/** Which process serves names, and what becomes of them when it ends. */
import { readdirSync, readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { Line } from '../../lib/dns/election.js'
import { readHolder } from '../../lib/dns/holder.js'
import { type Host, openHost } from '../../lib/index.js'
import { namePort } from '../../lib/network/name-servers.js'
import { open } from '../setup/between.js'
import { dug } from '../setup/dig.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { type Program, Programs } from '../setup/program.js'

const { test } = requires('root', 'program:dig')

let programs: Programs
let machine: PrivateHost
/** Of this process, which serves nothing. */
let maker: Host
beforeAll(async () => {
  programs = await Programs.bundle('test/process/programs/names.ts')
})
afterAll(() => programs[Symbol.asyncDispose]())
beforeEach(async () => {
  machine = await freshHost()
  maker = await openHost({ netns: machine.netns, stateDir: machine.stateDir, nameService: false })
  await maker.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'] })
})
afterEach(async () => {
  await maker.sandboxes.removeAll((await maker.sandboxes.list()).map(({ name }) => name))
  await maker.close()
  await machine.remove()
})

const start = (): Program => programs.start('names', machine.netns, machine.stateDir)

/** The states its threads are in (proc(5)), but for those that end just now. */
function threads({ process: { pid } }: Program): string[] {
  const folder = `/proc/${pid}/task`
  const states = readdirSync(folder).map(task => {
    try {
      return /\) (\w)/.exec(readFileSync(`${folder}/${task}/stat`, 'utf8'))?.[1]
    } catch {
      return undefined
    }
  })
  return [...new Set(states.filter(state => state !== undefined))]
}

/** Ends in good order. */
async function end(program: Program): Promise<void> {
  program.say('close')
  expect(await program.end()).toBe(0)
}

test('a process that serves nothing opens nothing', async () => {
  const web = await maker.sandboxes.create({ name: 'web', network: 'lan' })
  expect(maker.nameService).toMatchObject({ role: 'idle', networks: [] })
  expect((await machine.run('ss', '-Hlntu', `sport = :${namePort}`)).trim()).toBe('')
  await web.remove()
})

test.each(['by SIGKILL', 'in good order'])('one process serves; when it ends %s, the next does', async how => {
  const first = start()
  expect(await first.hear()).toBe('serving')
  const second = start()
  expect(await second.hear()).toBe('waiting')
  const web = await maker.sandboxes.create({ name: 'web', network: 'lan' })
  expect(await dug(web, 'web')).toEqual(['10.9.0.2']) // made by a third process
  if (how === 'by SIGKILL') first.process.kill('SIGKILL')
  else await end(first)
  expect(await second.hear()).toBe('serving')
  const db = await maker.sandboxes.create({ name: 'db', network: 'lan' })
  expect(await dug(web, 'db')).toEqual(['10.9.0.3'])
  expect(await dug(db, '+tcp', 'web')).toEqual(['10.9.0.2'])
  await end(second)
})

test('of a crowd exactly one serves, whoever of them is killed', async () => {
  const crowd = Array.from({ length: 6 }, start)
  const web = await maker.sandboxes.create({ name: 'web', network: 'lan' })
  const roles = await Promise.all(crowd.map(program => program.hear()))
  expect(roles.toSorted()).toEqual(['serving', ...Array.from({ length: 5 }, () => 'waiting')])
  let server = crowd[roles.indexOf('serving')] as Program
  const turns = new Map(
    crowd.filter(one => one !== server).map(program => [program, program.hear().then(role => ({ program, role }))] as const),
  )
  while (turns.size > 0) {
    expect(await dug(web, 'web')).toEqual(['10.9.0.2'])
    const sockets = await machine.run('ss', '-Hlnup', `sport = :${namePort}`)
    expect([...sockets.matchAll(/pid=(\d+)/g)].map(([, pid]) => Number(pid))).toEqual([server.process.pid])
    server.process.kill('SIGKILL')
    const { program, role } = await Promise.race(turns.values())
    expect(role).toBe('serving')
    turns.delete(program)
    server = program
  }
  expect(await dug(web, 'web')).toEqual(['10.9.0.2'])
  await end(server)
})

test('one that dies while it is called is taken for dead', async () => {
  const server = start()
  expect(await server.hear()).toBe('serving')
  const folder = join(machine.stateDir, 'name-service')
  const holder = readHolder(join(folder, 'server')) as string
  server.process.kill('SIGSTOP') // it accepts nobody
  await expect.poll(() => threads(server)).toEqual(['T'])
  const line = Line.open(folder, holder)
  server.process.kill('SIGKILL')
  while (threads(server).some(state => state !== 'Z')) {} // without a turn of the event loop, where the answer is heard
  expect(await line).toBeUndefined()
})

test('what a waiting process makes is served when it has been made', async () => {
  const server = start()
  expect(await server.hear()).toBe('serving')
  const host = await open(machine)
  expect(host.nameService.role).toBe('waiting')
  await host.networks.create({ name: 'new', subnets: ['10.8.0.0/24'] })
  const web = await host.sandboxes.create({ name: 'web', network: 'new' })
  expect(await dug(web, 'web')).toEqual(['10.8.0.2'])
  await web.attach('lan')
  expect(await dug(web, '@10.9.0.1', 'web')).toHaveLength(2)
  await web.remove()
  await host.close()
  await end(server)
})

test('one that is stopped holds nobody up for long, and serves on when it goes on', async () => {
  const server = start()
  expect(await server.hear()).toBe('serving')
  server.process.kill('SIGSTOP')
  const host = await open(machine)
  await host.networks.create({ name: 'new', subnets: ['10.8.0.0/24'] })
  const web = await host.sandboxes.create({ name: 'web', network: 'new' })
  server.process.kill('SIGCONT')
  await host.networks.create({ name: 'newer', subnets: ['10.7.0.0/24'] })
  await web.attach('newer')
  expect(await dug(web, 'web')).toHaveLength(2)
  await web.remove()
  await host.close()
  await end(server)
})

test('claims and sockets of dead processes are cleared away by the next', async () => {
  const names = () => readdir(`${machine.stateDir}/name-service`)
  for (let i = 0; i < 3; i++) {
    const program = start()
    expect(await program.hear()).toBe('serving')
    expect(await names()).toHaveLength(2)
    program.process.kill('SIGKILL')
    await program.end()
  }
  const last = start()
  expect(await last.hear()).toBe('serving')
  expect(await names()).toHaveLength(2)
  await end(last)
  expect(await names()).toEqual([])
})
