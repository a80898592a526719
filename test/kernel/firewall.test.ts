/** What the addon makes of the ruleset's ops is what nft makes of their text. */
import { execFileSync } from 'node:child_process'
import { afterEach, expect } from 'vitest'
import { type NftVerb, nftText } from '../../lib/firewall/nft-text.js'
import {
  type FirewallNetwork,
  networkElements,
  type PublishedMapping,
  publishElements,
  redirectElements,
  senderElements,
  tableSteps,
} from '../../lib/firewall/ruleset.js'
import { KernelMechanism, PlanFailure } from '../../lib/plan/mechanism.js'
import type { Step } from '../../lib/plan/op.js'
import { requires } from '../setup/privilege.js'

const { describe, test } = requires('root', 'program:nft')
const beside = requires('root', 'program:nft', 'nftProtocolKeys')

const { LD_PRELOAD: _, ...env } = process.env
const nft = (...args: string[]): string => execFileSync('nft', args, { encoding: 'utf8', env })

/** The ruleset without handles; elements of a hash set have no order. */
function ruleset(): unknown[] {
  const { nftables } = JSON.parse(nft('-j', 'list', 'ruleset')) as { nftables: Record<string, { elem?: unknown[] }>[] }
  const plain = JSON.parse(JSON.stringify(nftables, (key, value: unknown) => (key === 'handle' ? undefined : value))) as typeof nftables
  for (const { elem } of plain.flatMap(one => Object.values(one))) elem?.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
  return plain
}

const network: FirewallNetwork = {
  device: 'nm0',
  // One address, and the last block there is: intervals without an end.
  subnets4: ['172.17.0.0/16', '10.0.0.8/32', '240.0.0.0/4'],
  subnets6: ['fd00:17::/64', 'fd01::1/128', 'ff00::/8'],
  internal: false,
  icc: true,
  masquerade: true,
}
const fixed: FirewallNetwork = {
  ...network,
  device: 'nm2',
  subnets4: ['172.19.0.0/16', '172.20.0.0/16'],
  subnets6: ['fd02::/64'],
  snat: ['192.0.2.7', '2001:db8::7'],
}
const inside: FirewallNetwork = { ...network, device: 'nm1', subnets4: ['172.18.0.0/16'], subnets6: [], internal: true, icc: false }
const ports = (['tcp', 'udp', 'sctp'] as const).flatMap((protocol): PublishedMapping[] => [
  { protocol, hostIp: '0.0.0.0', hostPort: 8080, address: '172.17.0.2', containerPort: 80 },
  { protocol, hostIp: '192.0.2.1', hostPort: 8081, address: '172.17.0.2', containerPort: 80 },
  { protocol, hostIp: '127.0.0.1', hostPort: 8082, address: '172.17.0.2', containerPort: 82 },
  { protocol, hostIp: '::', hostPort: 8080, address: 'fd00:17::2', containerPort: 80 },
  { protocol, hostIp: '::1', hostPort: 8082, address: 'fd00:17::2', containerPort: 82 },
])
const table = tableSteps({ stateFolder: '/run/netmode/test' })
// For some only: single addresses, blocks, and everyone; of both families, of which only one means something.
const allow = ['192.0.2.7/32', '10.0.0.0/8', '2001:db8::/32', 'fd00::7/128']
const limited = ports.map(port => ({ ...port, hostPort: port.hostPort + 1000, allow: port.hostIp === '0.0.0.0' ? ['0.0.0.0/0'] : allow }))
const senders = senderElements(
  'web',
  [],
  [
    { port: 'veth1', mac: '02:42:ac:11:00:02', addresses: ['172.17.0.2', 'fd00:17::2'] },
    { port: 'tap0', mac: '02:42:ac:11:00:03', addresses: ['172.17.0.3', '0.0.0.0'] },
    { port: 'veth2', mac: '02:42:ac:11:00:04', addresses: ['172.17.0.4'], unchecked: true },
  ],
)
const redirects = (['tcp', 'udp'] as const).flatMap(protocol =>
  redirectElements(
    'web',
    [],
    [
      { protocol, source: '172.17.0.2', port: 80, address: '172.17.0.1', toPort: 3128 },
      { protocol, source: '172.17.0.2', port: 0, address: '127.0.0.1', toPort: 3129 },
      { protocol, source: 'fd00:17::2', port: 80, address: 'fd00:17::1', toPort: 3128 },
      { protocol, source: 'fd00:17::2', port: 0, address: '::1', toPort: 3129 },
    ],
  ),
)
const elements = [
  ...[network, fixed, inside].flatMap(networkElements),
  ...publishElements('web', [], [...ports, ...limited]),
  ...senders,
  ...redirects,
]

const mechanisms: KernelMechanism[] = []
function mechanism(): KernelMechanism {
  const one = new KernelMechanism()
  mechanisms.push(one)
  return one
}

afterEach(async () => {
  nft('flush', 'ruleset')
  for (const one of mechanisms.splice(0)) await one.close()
})

/** The way back from steps, as the addon would go it. */
const undo = (steps: readonly Step[]): Step[] => steps.toReversed().flatMap(step => (step.undo ? [{ apply: step.undo }] : []))

describe('the ruleset', () => {
  beside.test.each([
    ['as it is', table],
    ['without IPv6', tableSteps({ stateFolder: '/run/netmode/test', ip6: false })],
    ['without ::1', tableSteps({ stateFolder: '/run/netmode/test', loopback6: false })],
  ])('%s dumps as the one that nft makes from the text', async (_name, steps) => {
    await mechanism().run([...steps, ...elements])
    const made = ruleset()
    nft('flush', 'ruleset')
    for (const { apply } of [...steps, ...elements]) nft(nftText(apply as NftVerb))
    expect(made).toEqual(ruleset())
  })

  test('is empty again after what was put in is taken out', async () => {
    const one = mechanism()
    await one.run(table)
    const empty = ruleset()
    await one.run(elements)
    expect(ruleset()).not.toEqual(empty)
    await one.run(undo(elements))
    expect(ruleset()).toEqual(empty)
    await one.run(undo(table))
    expect(ruleset().filter(entry => Object.hasOwn(entry as object, 'table'))).toEqual([])
  })

  test('is made by one of two that try', async () => {
    await mechanism().run(table)
    const before = ruleset()
    const second = mechanism().run([...table, ...elements])
    await expect(second).rejects.toBeInstanceOf(PlanFailure)
    await expect(second).rejects.toMatchObject({ errno: 17 })
    expect(ruleset()).toEqual(before)
  })

  test('takes a port that moves to another address in one transaction', async () => {
    const one = mechanism()
    const moved = ports.map(port => ({ ...port, containerPort: port.containerPort + 1 }))
    await one.run([...table, ...publishElements('web', [], moved)])
    const wanted = ruleset()
    await one.run(publishElements('web', moved, ports))
    expect(ruleset()).not.toEqual(wanted)
    await one.run(publishElements('web', ports, moved))
    expect(ruleset()).toEqual(wanted)
  })
})
