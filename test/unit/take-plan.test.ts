/** The plan of a take is written in part before anybody takes: what is written has to be what is drawn. */
import { expect, test } from 'vitest'

import { Firewall } from '../../lib/firewall/firewall.js'
import { HostResolver } from '../../lib/sandbox/files.js'
import { type Reserved, takeForm } from '../../lib/sandbox/pool-plans.js'
import { Layout } from '../../lib/state/layout.js'
import type { EndpointRecord, SandboxRecord } from '../../lib/state/records.js'

const endpoint: EndpointRecord = {
  network: 'lan',
  driver: 'bridge',
  networkId: 'a'.repeat(64),
  ifname: 'eth0',
  hostIfname: 'veth1234567',
  mac: '02:42:0a:09:00:02',
  mtu: 1500,
  ipv4: { address: '10.9.0.2', prefix: 24, gateway: '10.9.0.1' },
  ipv6: { address: 'fd00:9::2', prefix: 64, gateway: 'fd00:9::1' },
  gatewayPriority: 0,
  aliases: [],
}

function record(name: string, more: Partial<SandboxRecord> = {}): SandboxRecord {
  return {
    version: 1,
    id: 'b'.repeat(64),
    name,
    phase: 'pooled',
    mode: 'bridge',
    netns: { path: `/run/netns/${name}`, owned: true },
    endpoints: [endpoint],
    ports: [],
    hostname: name,
    files: { dns: [], dnsSearch: [], dnsOptions: [], addHosts: [] },
    expose: [],
    labels: {},
    created: '2026-01-01T00:00:00.000Z',
    ...more,
  }
}

const resolver = new HostResolver()
const ground = {
  layout: new Layout('/run/state'),
  firewall: new Firewall({ stateFolder: '/run/state' }, true, true),
  resolver,
  hairpin: false,
  ipv6: true,
}
const reserved: Reserved = {
  record: record('~0123456789ab'),
  identity: { dev: 4n, inode: 7n },
  linkIndex: 9,
  hostResolver: resolver.text(),
}

const port = { hostIp: '0.0.0.0', hostPort: 8080, containerPort: 80, protocol: 'tcp' } as const

test.each<[string, string, Partial<SandboxRecord>]>([
  ['nothing more', 'web', {}],
  ['ports of each kind', 'a.b_c-d', { ports: [port, { ...port, protocol: 'udp', hostIp: '::1', allow: ['fd00::/8'] }] }],
  [
    'texts of its own',
    'web',
    {
      hostname: 'www',
      labels: { '"\\u0001"': '\\ "\u20ac"' },
      files: { dns: ['192.0.2.1'], dnsSearch: [], dnsOptions: [], addHosts: ['db:10.9.0.7'] },
    },
  ],
])('with %s', (_, name, more) => {
  const { text, steps } = takeForm(ground, reserved).fill(record(name, more))
  expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(steps())))
  expect(text).not.toContain('\\u0001"},') // the place of the name
  expect(steps().at(-1)?.apply).toEqual({
    op: 'file.rename',
    path: `/run/state/sandboxes/${name}/creating.json`,
    to: `/run/state/sandboxes/${name}/state.json`,
  })
})

test('for one after the other, each by its own name', () => {
  const plan = takeForm(ground, reserved)
  const [first, second] = ['first', 'second'].map(name => plan.fill(record(name)).text)
  expect(second).toBe(first?.replaceAll('first', 'second'))
})
