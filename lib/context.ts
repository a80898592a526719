/** What the parts of one open host share. */
import type { HostConfig } from './config.js'
import type { Identity } from './native.js'
import type { Mechanism } from './plan/mechanism.js'
import type { Layout } from './state/layout.js'

/** Whether br_netfilter passes bridged frames to iptables and ip6tables here, as of when the host was opened. */
export interface BridgeFilter {
  readonly ip4: boolean
  readonly ip6: boolean
}

export interface Context {
  readonly mechanism: Mechanism
  readonly layout: Layout
  readonly config: HostConfig
  /** Path of the host's namespace, for those who open it themselves. */
  readonly netnsPath: string
  readonly identity: Identity
  readonly bridgeFilter: BridgeFilter
}
