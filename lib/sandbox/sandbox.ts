/** The handle of one sandbox. */
import type { ChildProcess } from 'node:child_process'
import type { Socket as UdpSocket } from 'node:dgram'
import type { Agent } from 'node:http'
import type { Server, Socket } from 'node:net'

import type { Context } from '../context.js'
import type {
  Endpoint,
  EndpointOptions,
  Guest,
  Labels,
  Mode,
  Op,
  PortCounter,
  PortInput,
  PortRef,
  Namespace as PublicNamespace,
  PublishedPort,
  Redirect,
  RedirectOptions,
  SandboxInfo,
  SpawnInOptions,
} from '../contract.js'
import { Namespace } from '../namespace/namespace.js'
import { type Identity, programPath } from '../native.js'
import type { SandboxRecord } from '../state/records.js'
import { networkName } from '../validate/guards.js'
import { redirectOptions, redirectSelector } from '../validate/redirect-options.js'
import { endpointOptions } from '../validate/sandbox-options.js'
import { publicEndpoint } from './endpoint.js'
import { etcFiles, etcPaths } from './files.js'
import { publicGuest } from './guest.js'
import { publicRedirect } from './inspect.js'
import { portRefs, publishInputs } from './port-grammar.js'
import type { Sandboxes } from './sandboxes.js'
import { spawnIn } from './spawn.js'

/** What `create`, `get` and `list` answer. It holds no descriptor: a removed sandbox is not kept alive by its handles. */
export class SandboxHandle {
  #record: SandboxRecord
  readonly #sandboxes: Sandboxes
  readonly #context: Context
  readonly #identity: Identity
  readonly netns: string
  #namespace: PublicNamespace | undefined

  constructor(record: SandboxRecord, identity: Identity, sandboxes: Sandboxes, context: Context) {
    this.#record = record
    this.#sandboxes = sandboxes
    this.#context = context
    this.netns = sandboxes.netnsPath(record)
    this.#identity = identity
  }

  get id(): string {
    return this.#record.id
  }
  get name(): string {
    return this.#record.name
  }
  get mode(): Mode {
    return this.#record.mode
  }
  get labels(): Labels {
    return this.#record.labels
  }
  get ephemeral(): boolean {
    return this.#record.ephemeral !== undefined
  }
  get guest(): Guest | undefined {
    return this.#record.guest && publicGuest(this.#record.guest)
  }
  get endpoints(): readonly Endpoint[] {
    return this.#record.endpoints.map(publicEndpoint)
  }
  get ports(): readonly PublishedPort[] {
    return this.#record.ports
  }

  get redirects(): readonly Redirect[] {
    return (this.#record.redirects ?? []).map(publicRedirect)
  }

  /** Its verbs are many, and most handles are never asked for one. */
  get namespace(): PublicNamespace {
    this.#namespace ??= new Namespace(this.#context.mechanism, this.netns, this.#identity, this.mode === 'host' ? undefined : this.netns)
    return this.#namespace
  }

  async refresh(op: Op = {}): Promise<this> {
    this.#record = await this.#sandboxes.record(this.name, op.signal)
    return this
  }

  async publish(ports: PortInput | readonly PortInput[], op: Op = {}): Promise<readonly PublishedPort[]> {
    const { record, changed } = await this.#sandboxes.changes.publish(this.#record, publishInputs(ports, 'ports'), op.signal)
    this.#record = record
    return changed
  }

  async unpublish(ports: PortRef | readonly PortRef[], op: Op = {}): Promise<readonly PublishedPort[]> {
    const { record, changed } = await this.#sandboxes.changes.unpublish(this.#record, portRefs(ports, 'ports'), op.signal)
    this.#record = record
    return changed
  }

  async redirect(options: RedirectOptions, op: Op = {}): Promise<readonly Redirect[]> {
    const { record, changed } = await this.#sandboxes.changes.redirect(this.#record, redirectOptions(options), op.signal)
    this.#record = record
    return changed.map(publicRedirect)
  }

  async unredirect(options?: Partial<Pick<RedirectOptions, 'ports' | 'protocol'>>, op: Op = {}): Promise<readonly Redirect[]> {
    const { record, changed } = await this.#sandboxes.changes.unredirect(this.#record, redirectSelector(options), op.signal)
    this.#record = record
    return changed.map(publicRedirect)
  }

  async counters(op: Op = {}): Promise<readonly PortCounter[]> {
    await this.refresh(op)
    return this.#sandboxes.counters(this.#record, op.signal)
  }

  async attach(network: string, options?: EndpointOptions, op: Op = {}): Promise<Endpoint> {
    const name = networkName(network, 'network')
    const { record, changed } = await this.#sandboxes.changes.attach(this.#record, name, endpointOptions(options), op.signal)
    this.#record = record
    return publicEndpoint(changed)
  }

  async detach(network: string, op: Op = {}): Promise<boolean> {
    const { record, changed } = await this.#sandboxes.changes.detach(this.#record, networkName(network, 'network'), op.signal)
    this.#record = record
    return changed
  }

  async inspect(op: Op = {}): Promise<SandboxInfo> {
    return this.#sandboxes.inspect(this.name, op)
  }

  async remove(op: Op = {}): Promise<boolean> {
    return await this.#sandboxes.removeThis(this.#record, op)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove()
  }

  spawn(command: string, args: readonly string[] = [], { files = true, dropCapabilities, ...options }: SpawnInOptions = {}): ChildProcess {
    const { mode, hostname } = this.#record
    const own = files ? etcPaths(this.#context.layout, this.#record) : undefined
    const place = {
      program: programPath('netmode-exec'),
      netnsPath: this.netns,
      ...(own && {
        files: etcFiles.map(file => ({ source: own[file], target: `/etc/${file}` })),
        hostname,
      }),
      sysfs: mode !== 'host',
      ...(dropCapabilities && { dropCapabilities }),
    }
    return spawnIn(place, command, args, options)
  }

  listen<S extends Server>(
    server: S,
    options: { port: number; host?: string; backlog?: number; ipv6Only?: boolean },
    op: Op = {},
  ): Promise<S> {
    return this.#sandboxes.socketsOf(this.#record).listen(server, options, op.signal)
  }

  dial(options: { port: number; host: string; localAddress?: string; timeout?: number }, op: Op = {}): Promise<Socket> {
    return this.#sandboxes.socketsOf(this.#record).dial(options, op.signal)
  }

  udp(options?: { port?: number; host?: string; type?: 'udp4' | 'udp6' }, op: Op = {}): Promise<UdpSocket> {
    return this.#sandboxes.socketsOf(this.#record).udp(options, op.signal)
  }

  agent(options?: { keepAlive?: boolean }): Agent {
    return this.#sandboxes.socketsOf(this.#record).agent(options)
  }
}
