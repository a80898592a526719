/** Every combination of what a network and the host can be told that the ruleset depends on, and what policy makes of it. */
import type { HostConfig } from '../../lib/config.js'
import { hostConfig } from '../../lib/config-schema.js'
import type { NetworkOptions } from '../../lib/contract.js'
import { isNetmodeError } from '../../lib/errors.js'
import { Firewall } from '../../lib/firewall/firewall.js'
import { draftNetwork } from '../../lib/network/draft.js'
import { driverOf } from '../../lib/network/drivers/drivers.js'
import type { HostFacts } from '../../lib/network/host-facts.js'
import type { Address, Link } from '../../lib/plan/kernel-objects.js'
import type { Step } from '../../lib/plan/op.js'
import { networkOptions } from '../../lib/validate/network-options.js'

export interface Combination {
  /** `bridge dual internal icc …` */
  readonly key: string
  /** What makes the network; undefined: it is refused, as `refusal` tells. */
  readonly steps?: readonly Step[]
  readonly refusal?: string
  /** What makes the table under that configuration. */
  readonly table: readonly Step[]
  readonly options: NetworkOptions
  readonly config: HostConfig
}

const devices = ['bridge', 'adopted', 'ptp'] as const
const subnets = {
  v4: ['10.7.0.0/24'],
  v6: ['fd07::/64'],
  dual: ['10.7.0.0/24', 'fd07::/64'],
  several: ['10.7.0.0/24', '10.8.0.0/28', 'fd07::/64', 'fd08::/64'],
} as const
const snats = { '': [], 'snat 4': ['203.0.113.9'], 'snat 4 6': ['203.0.113.9', '2001:db8:113::9'] } as const
const configs = { '': {}, 'no ip6tables': { ip6tables: false }, 'no iptables': { iptables: false } } as const
const flags = [true, false] as const

/** Of somebody else's: up, with one port, an address in the first subnet and a link-local one. */
const found = {
  links: [
    { index: 7, name: 'br0', kind: 'bridge', group: 0, mtu: 1500, up: true, mac: '02:00:00:00:00:07' },
    { index: 8, name: 'vnet0', group: 0, master: 7, mtu: 1500 },
  ] as readonly Partial<Link>[] as readonly Link[],
  addresses: [
    { link: 7, family: 4, address: '10.7.0.9', prefix: 24, scope: 'global', tentative: false },
    { link: 7, family: 6, address: 'fe80::7', prefix: 64, scope: 'link', tentative: false },
  ] as readonly Partial<Address>[] as readonly Address[],
}

export function combinations(): readonly Combination[] {
  return devices.flatMap(device =>
    Object.entries(subnets).flatMap(([subnetKey, list]) =>
      flags.flatMap(internal =>
        flags.flatMap(icc =>
          flags.flatMap(masquerade =>
            Object.entries(snats)
              .filter(([, snat]) => snat.length === 0 || (masquerade && !internal))
              .flatMap(([snatKey, snat]) =>
                Object.entries(configs).map(([configKey, config]) => {
                  const words = [device, subnetKey, internal && 'internal', icc && 'icc', masquerade && 'masquerade', snatKey, configKey]
                  const options: NetworkOptions = {
                    name: 'lan',
                    driver: device === 'ptp' ? 'ptp' : 'bridge',
                    subnets: list,
                    internal,
                    icc,
                    masquerade,
                    ...(snat.length > 0 && { snat }),
                    ...(device !== 'ptp' && { bridge: 'br0' }),
                  }
                  return combination(words.filter(Boolean).join(' '), options, hostConfig(config), device === 'adopted')
                }),
              ),
          ),
        ),
      ),
    ),
  )
}

function combination(key: string, options: NetworkOptions, config: HostConfig, adopted: boolean): Combination {
  const firewall = new Firewall({ stateFolder: '/run/netmode/1', ip6: config.ip6tables }, false, config.iptables)
  const facts: HostFacts = { mtu: 1500, taken: [], networks: [], links: [], addresses: [], ...(adopted && found) }
  const known = { key, options, config, table: firewall.allowed(firewall.steps()) }
  try {
    const record = draftNetwork(networkOptions(options), { facts, config, networks: [], hostId: '/run/netmode/1' })
    return { ...known, steps: firewall.allowed(driverOf(record).createSteps(record)) }
  } catch (error) {
    if (!isNetmodeError(error)) throw error
    return { ...known, refusal: `${error.code} ${error.field}` }
  }
}
