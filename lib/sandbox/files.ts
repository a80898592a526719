/** The sandbox's own hosts, hostname and resolv.conf: written into the state folder, bound over /etc for what runs in it. */
import { readFileSync, statSync } from 'node:fs'

import type { PlanFailure } from '../plan/mechanism.js'
import type { FileWrite, Step } from '../plan/op.js'
import { changedMeanwhile } from '../plan/translate.js'
import type { Layout } from '../state/layout.js'
import type { SandboxRecord } from '../state/records.js'
import { hostnameFile, hostsFile, isSystemdStub, resolvConf, stubResolvConf } from './etc-files.js'
import { gatewayEndpoint } from './gateway.js'

const hostFile = '/etc/resolv.conf'

/** The host's own resolv.conf, read again when it has changed. */
export class HostResolver {
  #text = ''
  #stamp: string | undefined
  #expectations: readonly Step[] = []
  #readings = 0

  /** '' without one. Synchronous: a stat and rarely a read of a small file, cheaper than any trip through a thread pool. */
  text(): string {
    const stamp = stampOf(hostFile)
    if (stamp !== this.#stamp) this.#read(stamp)
    return this.#text
  }

  /**
   * The same for a plan, which is to begin with `expectations`: nobody has to look whether it has changed before the plan is under way.
   * `canRetry` tells if that was why it failed.
   */
  remembered(): string {
    return this.#expectations.length > 0 ? this.#text : this.text()
  }

  /** That the files are as they were read. None where they can't be compared: `remembered` has looked. */
  expectations(): readonly Step[] {
    return this.#expectations
  }

  /** Another one whenever `remembered` or `expectations` may be. */
  edition(): string {
    this.remembered()
    return String(this.#readings)
  }

  canRetry(error: unknown): boolean {
    if (!changedMeanwhile(error)) return false
    const { op } = error as PlanFailure
    if (!this.#expectations.some(({ apply }) => 'path' in apply && 'path' in op && apply.path === op.path)) return false
    this.#read(stampOf(hostFile))
    return true
  }

  #read(stamp: string): void {
    this.#stamp = stamp
    this.#readings += 1
    const own = read(hostFile)
    const files = [{ path: hostFile, text: own }]
    if (isSystemdStub(own ?? '')) files.push({ path: stubResolvConf, text: read(stubResolvConf) })
    this.#text = files.at(-1)?.text ?? ''
    const isComparable = files.every(({ text }) => text !== undefined && !text.includes(noCharacter))
    this.#expectations = isComparable
      ? files.map(({ path, text = '' }) => ({ apply: { op: 'expect.unchanged', path, text, follow: true } }))
      : []
  }
}

/** Stands for bytes that are no UTF-8. */
const noCharacter = '\ufffd'

function stampOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false })
  return stat ? `${stat.ino} ${stat.mtimeMs} ${stat.size}` : ''
}

/** undefined: there is none. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** Which of the sandbox's files belongs where. */
export const etcFiles = ['hosts', 'hostname', 'resolv.conf'] as const

/** Where each of them is. */
export type EtcPaths = Readonly<Record<(typeof etcFiles)[number], string>>

/** A sandbox's own files: those of the one whose namespace it shares; none with the host's. */
export function etcPaths(layout: Layout, { name, mode, shares = name }: SandboxRecord): EtcPaths | undefined {
  if (mode === 'host') return undefined
  return Object.fromEntries(etcFiles.map(file => [file, layout.sandboxFile(shares, file)])) as EtcPaths
}

/** Writes those files of a sandbox that have its name in them. It is being made, and nobody looks at them before it is. */
export function nameSteps(folder: string, record: SandboxRecord): FileStep[] {
  return [unseen(`${folder}/hosts`, hostsOf(record, false)), unseen(`${folder}/hostname`, hostnameFile(record.hostname))]
}

/** The one that has not, likewise. */
export function resolverStep(folder: string, record: SandboxRecord, hostResolver: string): FileStep {
  return unseen(`${folder}/resolv.conf`, resolverOf(record, hostResolver))
}

interface FileStep extends Step {
  readonly apply: FileWrite
}

function unseen(path: string, text: string): FileStep {
  return { apply: { op: 'file.write', path, text, how: 'unseen' } }
}

/** Writes over the files of `before` in place, so that whoever has them bound over /etc sees the new text. */
export function changedFileSteps(layout: Layout, record: SandboxRecord, hostResolver: string, before: SandboxRecord): Step[] {
  const [text, old] = [record, before].map(one => ({
    hosts: hostsOf(one, true),
    hostname: hostnameFile(one.hostname),
    'resolv.conf': resolverOf(one, hostResolver),
  })) as [Record<(typeof etcFiles)[number], string>, Record<(typeof etcFiles)[number], string>]
  return etcFiles.map((file): Step => {
    const path = layout.sandboxFile(record.name, file)
    return {
      apply: { op: 'file.write', path, text: text[file], how: 'overwrite' },
      undo: { op: 'file.write', path, text: old[file], how: 'overwrite' },
    }
  })
}

/** Whom a sandbox on a network with names asks first; where no network leads outside, the host's servers would not be reached. */
function nameService(endpoints: SandboxRecord['endpoints']): { nameServer?: string; outside?: boolean } {
  const gateway = gatewayEndpoint(endpoints, 4) ?? gatewayEndpoint(endpoints, 6)
  const [nameServer] = [...(gateway ? [gateway] : []), ...endpoints].flatMap(({ nameServers = [] }) => nameServers)
  return nameServer === undefined ? {} : { nameServer, outside: gateway !== undefined }
}

/** `lenient`: a live sandbox may be without a gateway for a while; its host-gateway comes back with the next one. */
function hostsOf({ hostname, endpoints, files }: SandboxRecord, lenient: boolean): string {
  const addresses = endpoints.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6].flatMap(one => one?.address ?? []))
  const hostGateway = gatewayEndpoint(endpoints, 4)?.ipv4?.gateway ?? gatewayEndpoint(endpoints, 6)?.ipv6?.gateway
  const addHosts = files.addHosts
    .map(text => {
      const colon = text.indexOf(':')
      return { name: text.slice(0, colon), ip: text.slice(colon + 1) }
    })
    .filter(({ ip }) => !lenient || ip !== 'host-gateway' || hostGateway !== undefined)
  return hostsFile({ hostname, addresses, addHosts, ...(hostGateway !== undefined && { hostGateway }) })
}

function resolverOf({ endpoints, files: { dns, dnsSearch, dnsOptions } }: SandboxRecord, host: string): string {
  const ipv6 = endpoints.some(endpoint => endpoint.ipv6 !== undefined)
  return resolvConf({ host, dns, dnsSearch, dnsOptions, ipv6, ...nameService(endpoints) })
}
