/** Who is on a network, as the state folder says, while sandboxes come and go. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Directory } from '../../lib/dns/directory.js'
import { Layout } from '../../lib/state/layout.js'
import { type EndpointRecord, format, type SandboxRecord } from '../../lib/state/records.js'

const networkId = 'b'.repeat(64)
const web: SandboxRecord = {
  version: 1,
  id: 'a'.repeat(64),
  name: 'web',
  phase: 'ready',
  mode: 'bridge',
  netns: { path: '/run/netns/web', owned: true },
  endpoints: [],
  ports: [],
  hostname: 'web',
  files: { dns: [], dnsSearch: [], dnsOptions: [], addHosts: [] },
  expose: [],
  labels: {},
  created: '2026-01-01T00:00:00.000Z',
}
const endpoint: EndpointRecord = {
  network: 'lan',
  driver: 'bridge',
  networkId,
  ifname: 'eth0',
  hostIfname: 'veth0000000',
  mac: '02:42:0a:09:00:02',
  mtu: 1500,
  ipv4: { address: '10.9.0.2', prefix: 24, gateway: '10.9.0.1' },
  gatewayPriority: 0,
  aliases: ['www'],
}

let layout: Layout
beforeEach(() => {
  layout = new Layout(mkdtempSync(join(tmpdir(), 'netmode-directory-')))
  for (const folder of [...layout.folders, layout.networkLeases(networkId), layout.sandbox('web')]) mkdirSync(folder, { recursive: true })
  writeFileSync(layout.sandboxRecord('web'), format(web))
})
afterEach(() => rmSync(layout.root, { recursive: true }))

test('one that is being attached has a name there as soon as it is, though its lease was there before', async () => {
  const directory = new Directory(layout)
  const members = () => directory.members(networkId, 'www').map(({ sandbox }) => sandbox)
  writeFileSync(layout.sandboxInChange('web'), format({ ...web, endpoints: [endpoint] }))
  symlinkSync('web', layout.lease(networkId, '10.9.0.2'))
  // Until what was seen of the leases is old enough to be believed.
  await setTimeout(60)
  expect(members()).toEqual([])
  renameSync(layout.sandboxInChange('web'), layout.sandboxRecord('web'))
  expect(members()).toEqual(['web'])
  expect(directory.holder(networkId, '10.9.0.2')?.name).toBe('web')
})
