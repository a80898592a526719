/** `host.namespaces`: namespaces with a name, kept as bind mounts where iproute2 keeps them. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

import type { NamedNamespace, NamespaceRef, Op, Namespaces as PublicNamespaces } from '../contract.js'
import { errnoName, fail } from '../errors.js'
import { type Mechanism, PlanFailure } from '../plan/mechanism.js'
import type { Plan } from '../plan/op.js'
import { translate } from '../plan/translate.js'
import { integer, sandboxName } from '../validate/guards.js'
import { open } from './namespace.js'

const folder = '/run/netns'
const slot = 'named'

/** What tells one namespace from another. */
interface Identity {
  readonly dev: bigint
  readonly inode: bigint
}

export class NamedNamespaces implements PublicNamespaces {
  readonly #mechanism: Mechanism

  constructor(mechanism: Mechanism) {
    this.#mechanism = mechanism
  }

  async list({ signal }: Op = {}): Promise<readonly NamedNamespace[]> {
    signal?.throwIfAborted()
    return (await named()).map(({ name, inode }) => ({ name, path: join(folder, name), inode }))
  }

  async get(name: string, { signal }: Op = {}): Promise<NamedNamespace | undefined> {
    signal?.throwIfAborted()
    const path = join(folder, sandboxName(name, 'name'))
    const found = await identityOf(path)
    return found && { name, path, inode: found.inode }
  }

  add(name: string, op: Op = {}): Promise<NamedNamespace> {
    return this.#make(name, [{ apply: { op: 'netns.create', name: sandboxName(name, 'name'), slot } }], op)
  }

  attach(name: string, netns: NamespaceRef, op: Op = {}): Promise<NamedNamespace> {
    return this.#make(name, [{ apply: open(slot, netns) }, { apply: { op: 'netns.attach', name: sandboxName(name, 'name'), slot } }], op)
  }

  async delete(name: string, { signal }: Op = {}): Promise<boolean> {
    try {
      await this.#mechanism.run([{ apply: { op: 'netns.delete', name: sandboxName(name, 'name') } }], signal)
      return true
    } catch (error) {
      if (error instanceof PlanFailure && errnoName(error.errno) === 'ENOENT') return false
      throw translate(error, signal)
    }
  }

  async identify(pid?: number): Promise<readonly string[]> {
    const process = pid === undefined ? 'self' : integer(1, 2 ** 22)(pid, 'pid')
    const own = await identityOf(`/proc/${process}/ns/net`)
    if (own === undefined) throw fail('NOT_FOUND', `No process ${process}`, { field: 'pid', subject: String(process) })
    return (await named()).filter(one => same(one, own)).map(({ name }) => name)
  }

  async pids(name: string): Promise<readonly number[]> {
    const wanted = await identityOf(join(folder, sandboxName(name, 'name')))
    if (wanted === undefined) throw fail('NOT_FOUND', `No network namespace called ${name}`, { subject: name })
    const pids = (await readdir('/proc')).filter(entry => /^\d+$/.test(entry)).map(Number)
    // Those that end meanwhile, and those that we may not look at, have no identity.
    const found = await Promise.all(pids.map(async pid => ({ pid, own: await identityOf(`/proc/${pid}/ns/net`).catch(() => undefined) })))
    return found.flatMap(({ pid, own }) => (own && same(own, wanted) ? [pid] : [])).sort((a, b) => a - b)
  }

  async #make(name: string, plan: Plan, { signal }: Op): Promise<NamedNamespace> {
    try {
      await this.#mechanism.run(plan, signal)
    } catch (error) {
      throw translate(error, signal)
    }
    const made = await this.get(name)
    if (made === undefined) throw fail('NAMESPACE_GONE', `Network namespace ${name} was deleted as soon as it was made`, { subject: name })
    return made
  }
}

function same(a: Identity, b: Identity): boolean {
  return a.dev === b.dev && a.inode === b.inode
}

/** Sorted by name; what is no namespace (a name half made) is left out. */
async function named(): Promise<readonly (Identity & { readonly name: string })[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  const found = await Promise.all(names.sort().map(async name => ({ name, identity: await identityOf(join(folder, name)) })))
  return found.flatMap(({ name, identity }) => (identity ? [{ name, ...identity }] : []))
}

/** undefined: nothing there. */
async function identityOf(path: string): Promise<Identity | undefined> {
  try {
    const { dev, ino } = await stat(path, { bigint: true })
    return { dev, inode: ino }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH') return undefined
    throw error
  }
}
