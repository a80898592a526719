/** Which of a sandbox's endpoints leads outside. */
import type { EndpointRecord } from '../state/records.js'

/**
 * The endpoint that gives the default route of a family: the highest priority, the first of equals. Endpoints of internal
 * networks have no gateway and never count, nor do TAPs: what is behind one has routes of its own.
 */
export function gatewayEndpoint(
  endpoints: readonly EndpointRecord[],
  family: 4 | 6,
  counts: (endpoint: EndpointRecord) => boolean = ({ tap }) => tap === undefined,
): EndpointRecord | undefined {
  const able = endpoints.filter(endpoint => addressOf(endpoint, family)?.gateway !== undefined && counts(endpoint))
  return able.reduce<EndpointRecord | undefined>(
    (best, one) => (best === undefined || one.gatewayPriority > best.gatewayPriority ? one : best),
    undefined,
  )
}

/**
 * The endpoint that takes the published connections of a family: the one that gives the default route, since answers go that way, or would
 * give it but for those that are on the LAN itself, where no port of the host leads. A TAP is as good as any.
 */
export function publishedEndpoint(endpoints: readonly EndpointRecord[], family: 4 | 6): EndpointRecord | undefined {
  return gatewayEndpoint(endpoints, family, ({ lan }) => !lan)
}

/** The endpoint's address of a family. */
export function addressOf({ ipv4, ipv6 }: EndpointRecord, family: 4 | 6): EndpointRecord['ipv4'] {
  return family === 4 ? ipv4 : ipv6
}
