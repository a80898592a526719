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

/** What the makers of endpoints need to know of the name service. */
export interface Names {
  /** Resolves when sandboxes of these networks (ids) are answered, or can't be; undefined: they are. */
  ready(networkIds: readonly string[]): Promise<void> | undefined
}

export interface Context {
  readonly mechanism: Mechanism
  readonly layout: Layout
  readonly config: HostConfig
  /** Path of the host's namespace, for those who open it themselves. */
  readonly netnsPath: string
  readonly identity: Identity
  readonly bridgeFilter: BridgeFilter
  readonly names: Names
  /** There is something to look after from now on. Again is fine. */
  readonly care: () => void
}
