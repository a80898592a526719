/** The namespace of a sandbox is made while all else is still being decided: it takes the kernel about as long. */
import { commonSettings } from '../network/drivers/endpoint-settings.js'
import type { Networks } from '../network/networks.js'
import type { Mechanism } from '../plan/mechanism.js'
import { peek } from '../validate/guards.js'

/**
 * Orders the namespace that `create` with these options will want, if it is one and what it is to be like is known. The options
 * are not checked yet: a namespace without a name is nothing, so an order in vain does no harm. Answers what says so.
 */
export function orderNamespace(mechanism: Mechanism, networks: Networks, options: unknown): () => void {
  const name = peek(options, 'network') ?? 'bridge'
  const known = typeof name === 'string' ? networks.known(name) : undefined
  if (known === undefined || peek(options, 'netns') !== undefined || peek(options, 'networks') !== undefined) return () => {}
  return mechanism.order({ settings: commonSettings([{ ipv6: known.has(6) }]) })
}
