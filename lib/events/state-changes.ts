/** What became of networks and sandboxes between two looks at their records, as events. Pure. */
import type { Endpoint, HostEvent, PublishedPort } from '../contract.js'
import { publicEndpoint } from '../sandbox/endpoint.js'
import type { NetworkRecord, SandboxRecord } from '../state/records.js'

/** An event before it has its time. */
export type Happening = HostEvent extends infer E ? (E extends HostEvent ? Omit<E, 'time'> : never) : never

/** `before` and `after`: the record of one name, undefined where there is none. */
export function networkChanges(name: string, before: NetworkRecord | undefined, after: NetworkRecord | undefined): readonly Happening[] {
  if (before?.id === after?.id) return []
  return [
    ...(before ? [{ type: 'network.removed', network: name } as const] : []),
    ...(after ? [{ type: 'network.created', network: name } as const] : []),
  ]
}

/** What is taken away comes first, and within that what depends on others; what is new in the opposite order. */
export function sandboxChanges(name: string, before: SandboxRecord | undefined, after: SandboxRecord | undefined): readonly Happening[] {
  const same = before?.id === after?.id
  const old = contentOf(before)
  const fresh = contentOf(after)
  const gone = (id: string) => !same || !fresh.has(id)
  const isNew = (id: string) => !same || !old.has(id)
  return [
    ...[...old]
      .reverse()
      .filter(([id]) => gone(id))
      .map(
        ([, one]): Happening =>
          'port' in one
            ? { type: 'port.unpublished', sandbox: name, port: one.port }
            : { type: 'endpoint.detached', sandbox: name, endpoint: one.endpoint },
      ),
    ...(before && !same ? [{ type: 'sandbox.removed', sandbox: name } as const] : []),
    ...(after && !same ? [{ type: 'sandbox.created', sandbox: name } as const] : []),
    ...[...fresh]
      .filter(([id]) => isNew(id))
      .map(
        ([, one]): Happening =>
          'port' in one
            ? { type: 'port.published', sandbox: name, port: one.port }
            : { type: 'endpoint.attached', sandbox: name, endpoint: one.endpoint },
      ),
  ]
}

type Content = { readonly endpoint: Endpoint } | { readonly port: PublishedPort }

/** Endpoints, then ports, each by what makes it that one. */
function contentOf(record: SandboxRecord | undefined): ReadonlyMap<string, Content> {
  if (record === undefined) return new Map()
  return new Map<string, Content>([
    ...record.endpoints.map(one => [`${one.networkId} ${one.hostIfname} ${one.mac}`, { endpoint: publicEndpoint(one) }] as const),
    ...record.ports.map(({ hostIp, hostPort, containerPort, protocol }) => {
      const port = { hostIp, hostPort, containerPort, protocol }
      return [JSON.stringify(port), { port }] as const
    }),
  ])
}
