/** The namespace of a sandbox is made while all else is still being decided: it takes the kernel about as long. */

import { toJson } from '../native.js'
import { commonSettings, type Families } from '../network/drivers/endpoint-settings.js'
import type { Networks } from '../network/networks.js'
import type { Mechanism, Order } from '../plan/mechanism.js'
import { peek } from '../validate/guards.js'

/** Written once: nothing of a create comes before it. */
const orders = { with6: orderOf({ ipv6: true }), without6: orderOf({}) }

/**
 * Orders the namespace that `create` with these options will want, if it is one and what it is to be like is known. The options
 * are not checked yet: a namespace without a name is nothing, so an order in vain does no harm. Answers what says so.
 */
export function orderNamespace(mechanism: Mechanism, networks: Networks, options: unknown): () => void {
  const name = peek(options, 'network') ?? 'bridge'
  const known = typeof name === 'string' ? networks.known(name) : undefined
  if (known === undefined || peek(options, 'netns') !== undefined || peek(options, 'networks') !== undefined) return () => {}
  return mechanism.order(known.has(6) ? orders.with6 : orders.without6)
}

function orderOf(families: Families): Order {
  return toJson({ name: '', slot: '', settings: commonSettings([families]) })
}
