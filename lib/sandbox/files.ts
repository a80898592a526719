/** The sandbox's own hosts, hostname and resolv.conf: written into the state folder, bound over /etc for what runs in it. */
import { readFileSync, statSync } from 'node:fs'

import type { Step } from '../plan/op.js'
import type { Layout } from '../state/layout.js'
import type { SandboxRecord } from '../state/records.js'
import { hostnameFile, hostsFile, isSystemdStub, resolvConf, stubResolvConf } from './etc-files.js'
import { gatewayEndpoint } from './gateway.js'

/** The host's own resolv.conf, read again when it has changed. */
export class HostResolver {
  #text = ''
  #stamp = ''

  /** '' without one. Synchronous: a stat and rarely a read of a small file, cheaper than any trip through a thread pool. */
  text(): string {
    const stamp = stampOf('/etc/resolv.conf')
    if (stamp !== this.#stamp) {
      const text = read('/etc/resolv.conf')
      this.#text = isSystemdStub(text) ? read(stubResolvConf) : text
      this.#stamp = stamp
    }
    return this.#text
  }
}

function stampOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false })
  return stat ? `${stat.ino} ${stat.mtimeMs} ${stat.size}` : ''
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
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

/** Writes the files; over those of `before` in place, so that whoever has them bound over /etc sees the new text. */
export function fileSteps(layout: Layout, record: SandboxRecord, hostResolver: string, before?: SandboxRecord): Step[] {
  const text = textsOf(record, hostResolver, before !== undefined)
  const old = before && textsOf(before, hostResolver, true)
  return etcFiles.map((file): Step => {
    const path = layout.sandboxFile(record.name, file)
    if (old === undefined) return { apply: { op: 'file.write', path, text: text[file], how: 'create' } }
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
function textsOf(
  { hostname, endpoints, files }: SandboxRecord,
  host: string,
  lenient: boolean,
): Readonly<Record<(typeof etcFiles)[number], string>> {
  const addresses = endpoints.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6].flatMap(one => one?.address ?? []))
  const hostGateway = gatewayEndpoint(endpoints, 4)?.ipv4?.gateway ?? gatewayEndpoint(endpoints, 6)?.ipv6?.gateway
  const addHosts = files.addHosts
    .map(text => {
      const colon = text.indexOf(':')
      return { name: text.slice(0, colon), ip: text.slice(colon + 1) }
    })
    .filter(({ ip }) => !lenient || ip !== 'host-gateway' || hostGateway !== undefined)
  return {
    hosts: hostsFile({ hostname, addresses, addHosts, ...(hostGateway !== undefined && { hostGateway }) }),
    hostname: hostnameFile(hostname),
    'resolv.conf': resolvConf({
      host,
      dns: files.dns,
      dnsSearch: files.dnsSearch,
      dnsOptions: files.dnsOptions,
      ipv6: endpoints.some(({ ipv6 }) => ipv6 !== undefined),
      ...nameService(endpoints),
    }),
  }
}
