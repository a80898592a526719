/** What is written down of a network, for tests that need no kernel. */
import type { NetworkRecord } from '../../lib/state/records.js'

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
