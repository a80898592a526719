/** What is written down of networks and sandboxes, and what their plans are made with, for tests that need no kernel. */
import { Firewall } from '../../lib/firewall/firewall.js'
import { HostResolver } from '../../lib/sandbox/files.js'
import type { Ground } from '../../lib/sandbox/plans.js'
import { Layout } from '../../lib/state/layout.js'
import type { EndpointRecord, NetworkRecord, SandboxRecord } from '../../lib/state/records.js'

export const ground: Ground = {
  layout: new Layout('/run/state'),
  firewall: new Firewall({ stateFolder: '/run/state' }, true, true),
  resolver: new HostResolver(),
  hairpin: true,
  ipv6: true,
}

export const lan: NetworkRecord = {
  version: 1,
  id: 'a'.repeat(64),
  name: 'lan',
  phase: 'ready',
  driver: 'bridge',
  device: 'br-lan',
  mac: '02:00:00:00:00:01',
  mtu: 1500,
  subnets: [{ subnet: '10.9.0.0/24', gateway: '10.9.0.1' }],
  icc: true,
  internal: false,
  masquerade: true,
  labels: {},
  created: '2026-01-01T00:00:00.000Z',
}

/** Of its network, the nth. */
export function endpoint(n: number, more: Partial<EndpointRecord> = {}): EndpointRecord {
  return {
    network: lan.name,
    driver: lan.driver,
    networkId: lan.id,
    ifname: 'eth0',
    hostIfname: `veth123456${n}`,
    mac: `02:42:0a:09:00:0${n}`,
    mtu: lan.mtu,
    ipv4: { address: `10.9.0.${n}`, prefix: 24, gateway: '10.9.0.1' },
    gatewayPriority: 0,
    aliases: [],
    ...more,
  }
}

export function sandbox(name: string, more: Partial<SandboxRecord> = {}): SandboxRecord {
  return {
    version: 1,
    id: 'b'.repeat(64),
    name,
    phase: 'ready',
    mode: 'bridge',
    netns: { path: `/run/netns/${name}`, owned: true },
    endpoints: [endpoint(2)],
    ports: [],
    hostname: name,
    files: { dns: [], dnsSearch: [], dnsOptions: [], addHosts: [] },
    expose: [],
    labels: {},
    created: '2026-01-01T00:00:00.000Z',
    ...more,
  }
}
