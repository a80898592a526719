/** What is done to a host while something is done to the program that does it. Each on the same scene, and each can be taken back. */
import { once } from 'node:events'
import type { Host, Sandbox, SandboxOptions } from '../../lib/index.js'

/** One operation. `adds`: it makes something, so that taking it back leads to what was before; the others take something away. */
export interface Act {
  readonly adds: boolean
  /** Has to clean up after itself, and what it can't is recovery's. */
  readonly leaves?: boolean
  /** Makes what has to be there. */
  stage(host: Host): Promise<unknown>
  run(host: Host): Promise<unknown>
  /** Has it come to its end? */
  done(host: Host): Promise<boolean>
  /** The opposite. */
  back(host: Host): Promise<unknown>
}

export type ActName = 'create' | 'publish' | 'unpublish' | 'attach' | 'detach' | 'remove' | 'network create' | 'network remove' | 'pool'

const web: SandboxOptions = { name: 'web', network: 'lan', ip: '10.9.0.9', publish: ['8080:80', '53:53/udp'] }

/**
 * What puts right what others have taken: `recover` when it is told to, `guard` by itself, once it has said that it is ready; `long guard`
 * until SIGUSR2, and tells what it is warned of.
 */
export type RepairName = 'recover' | 'guard' | 'long guard'

export const repairs: Readonly<Record<RepairName, { run(host: Host): Promise<unknown> }>> = {
  recover: { run: host => host.recover() },
  guard: {
    run: async host => {
      const events = host.events({ types: ['sandbox.repaired', 'ruleset'] })
      process.stdout.write('watching\n')
      for await (const event of events) {
        if (event.type === 'sandbox.repaired') return
        // The last that a ruleset gets.
        if (event.type === 'ruleset' && event.action === 'new' && (event.object as { name?: string }).name === 'exposed4') return
      }
    },
  },
  'long guard': {
    run: async () => {
      const told = once(process, 'SIGUSR2')
      const tell = (warning: Error & { code?: string }) => process.stdout.write(`${warning.name} ${warning.code}\n`)
      process.on('warning', tell)
      process.stdout.write('watching\n')
      await told
      process.off('warning', tell)
    },
  },
}

async function find(host: Host, name = 'web'): Promise<Sandbox> {
  const sandbox = await host.sandboxes.get(name)
  if (sandbox === undefined) throw new Error(`${name} is not there`)
  return sandbox
}

async function networks(host: Host): Promise<void> {
  await host.networks.ensure({ name: 'lan', subnets: ['10.9.0.0/24', 'fd00:9::/64'] })
  await host.networks.ensure({ name: 'far', subnets: ['10.8.0.0/24'] })
}

async function sandbox(host: Host): Promise<void> {
  await networks(host)
  if ((await host.sandboxes.get('web')) === undefined) await host.sandboxes.create(web)
}

const hasPort = async (host: Host): Promise<boolean> => (await find(host)).ports.some(({ hostPort }) => hostPort === 8081)
const isOnFar = async (host: Host): Promise<boolean> => (await find(host)).endpoints.some(({ network }) => network === 'far')

const publish = async (host: Host) => (await find(host)).publish(['8081:81', '54:54/udp'])
const unpublish = async (host: Host) => (await find(host)).unpublish(['8081', '54/udp'])
const attach = async (host: Host) => (await find(host)).attach('far', { ip: '10.8.0.8' })
const detach = async (host: Host) => (await find(host)).detach('far')
const createFar = (host: Host) => host.networks.create({ name: 'new', subnets: ['10.7.0.0/24', 'fd00:7::/64'] })

export const acts: Readonly<Record<ActName, Act>> = {
  create: {
    adds: true,
    stage: networks,
    run: host => host.sandboxes.create(web),
    done: async host => (await host.sandboxes.get('web')) !== undefined,
    back: host => host.sandboxes.remove('web'),
  },
  remove: {
    adds: false,
    stage: sandbox,
    run: host => host.sandboxes.remove('web'),
    done: async host => (await host.sandboxes.get('web')) === undefined,
    back: host => host.sandboxes.create(web),
  },
  publish: { adds: true, stage: sandbox, run: publish, done: hasPort, back: unpublish },
  unpublish: {
    adds: false,
    stage: async host => {
      await sandbox(host)
      if (!(await hasPort(host))) await publish(host)
    },
    run: unpublish,
    done: async host => !(await hasPort(host)),
    back: publish,
  },
  attach: { adds: true, stage: sandbox, run: attach, done: isOnFar, back: detach },
  detach: {
    adds: false,
    stage: async host => {
      await sandbox(host)
      if (!(await isOnFar(host))) await attach(host)
    },
    run: detach,
    done: async host => !(await isOnFar(host)),
    back: attach,
  },
  /** A pool's whole life, with a take in it. */
  pool: {
    adds: true,
    leaves: true,
    stage: networks,
    run: async host => {
      await using pool = await host.sandboxes.pool({ size: 2, network: 'lan' })
      await pool.take({ name: 'web', publish: ['8080:80', '53:53/udp'] })
    },
    done: async host => (await host.sandboxes.get('web')) !== undefined,
    back: host => host.sandboxes.remove('web'),
  },
  'network create': {
    adds: true,
    stage: networks,
    run: createFar,
    done: async host => (await host.networks.get('new')) !== undefined,
    back: host => host.networks.remove('new'),
  },
  'network remove': {
    adds: false,
    stage: async host => {
      await networks(host)
      if ((await host.networks.get('new')) === undefined) await createFar(host)
    },
    run: host => host.networks.remove('new'),
    done: async host => (await host.networks.get('new')) === undefined,
    back: createFar,
  },
}
