/** The plan of a port that comes or goes is written once, and filled in for others: what is written has to be what is drawn. */
import fc from 'fast-check'
import { expect, test } from 'vitest'

import { toJson } from '../../lib/native.js'
import { ChangeForms } from '../../lib/sandbox/change-forms.js'
import { type Change, changePlan } from '../../lib/sandbox/change-plan.js'
import type { PortRecord, SandboxRecord } from '../../lib/state/records.js'
import { withoutPorts, withPorts } from '../../lib/state/shelf.js'
import { endpoint, ground, sandbox } from '../setup/records.js'

const record = (n: number, more: Partial<SandboxRecord> = {}) =>
  sandbox(`web-${n}`, { id: `${n}`.repeat(64), endpoints: [endpoint(n)], ...more })

const port = { hostIp: '0.0.0.0', hostPort: 8080, containerPort: 80, protocol: 'tcp' } as const
const tcp = (n: number): PortRecord => ({ ...port, hostPort: n, containerPort: n })

function change(before: SandboxRecord, { added = [], removed = [] }: Partial<NonNullable<Change['ports']>>, version?: string): Change {
  const after = withPorts(removed.length > 0 ? withoutPorts(before, removed) : before, added)
  return { before, after, version, ports: { added, removed }, networks: [], networkSteps: [] }
}

/** What is asked for, of sandboxes one after the other; is it out of the ordinary? */
const asked: readonly [what: string, ordinary: boolean, of: (n: number) => Change][] = [
  ['a port', true, n => change(record(n), { added: [tcp(8000 + n)] }, `4 ${n} 1 1`)],
  ['a port by UDP', true, n => change(record(n), { added: [{ ...tcp(53), protocol: 'udp' }] }, `4 ${n} 1 2`)],
  ['a port beside others', true, n => change(record(n, { ports: [tcp(1), tcp(2)] }), { added: [tcp(3)] }, `4 ${n} 1 3`)],
  ['two ports', true, n => change(record(n), { added: [tcp(1), { ...tcp(2), hostIp: '127.0.0.1' }] }, `4 ${n} 1 4`)],
  [
    'a port that goes',
    true,
    n => {
      const gone = tcp(8000 + n)
      return change(record(n, { ports: [tcp(1), gone, tcp(2)] }), { removed: [gone] }, `4 ${n} 1 5`)
    },
  ],
  ['labels', true, n => change(record(n, { labels: { '"\ue000"': '\\ "\u20ac"' } }), { added: [tcp(1)] }, `4 ${n} 1 6`)],
  ['a record that has to be read', false, n => change(record(n), { added: [tcp(1)] })],
  [
    'another port that leads there',
    false,
    n => change(record(n, { ports: [tcp(80)] }), { added: [{ ...port, hostPort: 81 }] }, `4 ${n} 1 7`),
  ],
  [
    'another port that leads there, and stays',
    false,
    n => {
      const gone = { ...port, hostPort: 81 }
      return change(record(n, { ports: [tcp(80), gone] }), { removed: [gone] }, `4 ${n} 1 8`)
    },
  ],
  ['a port for some', false, n => change(record(n), { added: [{ ...port, allow: ['10.0.0.0/8'] }] }, `4 ${n} 1 9`)],
  [
    'redirects',
    false,
    n => change(record(n, { redirects: [{ protocol: 'tcp', port: 80, toPort: 3128 }] }), { added: [tcp(1)] }, `4 ${n} 1 10`),
  ],
  [
    'no network that ports lead to',
    false,
    n => {
      const gone = tcp(80)
      const nowhere = endpoint(n, { ipv4: { address: `10.9.0.${n}`, prefix: 24 } })
      return change(record(n, { endpoints: [nowhere], ports: [gone] }), { removed: [gone] }, `4 ${n} 1 11`)
    },
  ],
  ['a second network', false, n => change(record(n, { endpoints: [endpoint(n), endpoint(9)] }), { added: [tcp(1)] }, `4 ${n} 1 11`)],
  [
    'more ports than a record has in it',
    false,
    n => change(record(n, { ports: Array.from({ length: 64 }, (_, i) => tcp(i + 1)) }), { added: [tcp(99)] }, `4 ${n} 1 12`),
  ],
]

test.each(asked)('with %s', (_, isOrdinary, of) => {
  const forms = new ChangeForms(ground)
  for (const n of [2, 3, 4, 5]) {
    const one = of(n)
    const { plan, writing } = forms.plan(one)
    // The first is drawn.
    expect('text' in plan).toBe(isOrdinary && n > 2)
    const drawn = changePlan(ground, one)
    expect(writing).toBe(drawn.writing)
    expect(drawn.plan[writing]?.apply).toMatchObject({ op: 'file.write', path: `/run/state/changes/web-${n}.json`, how: 'start' })
    expect(JSON.parse('text' in plan ? plan.text : toJson(plan))).toEqual(JSON.parse(toJson(drawn.plan)))
  }
})

test('all of it in any order', () => {
  const forms = new ChangeForms(ground)
  for (let i = 0; i < 6 * asked.length; i++) {
    const [, , of] = asked[(i * 7) % asked.length] as (typeof asked)[number]
    const one = of(2 + (i % 7))
    const { plan } = forms.plan(one)
    expect('text' in plan ? plan.text : toJson(plan)).toBe(toJson(changePlan(ground, one).plan))
  }
})

test('one whose subnet is its address takes the place of no others', () => {
  const forms = new ChangeForms(ground)
  const alone = endpoint(2, { ipv4: { address: '10.9.0.2', prefix: 32, gateway: '10.9.0.1' } })
  const filled = [alone, endpoint(3), endpoint(4)].map(
    (one, i) => 'text' in forms.plan(change(record(2, { endpoints: [one] }), { added: [tcp(1)] }, `4 ${i} 1 1`)).plan,
  )
  expect(filled).toEqual([false, false, true])
})

test('whatever sandboxes there are, on whatever networks', () => {
  const networks = [
    { prefix: 24, gateway: '10.9.0.1' },
    { prefix: 16, gateway: '10.9.0.1' },
    { prefix: 32, gateway: '10.9.0.1' },
    { prefix: 24 },
  ]
  const protocol = fc.constantFrom('tcp', 'udp', 'sctp')
  const hostIp = fc.constantFrom('0.0.0.0', '0.0.0.0', '127.0.0.1', '10.9.0.0', '::')
  const number = fc.integer({ min: 1, max: 65_535 })
  const ports = fc.uniqueArray(fc.record({ protocol, hostIp, hostPort: number, containerPort: number }), {
    maxLength: 4,
    selector: one => `${one.protocol} ${one.hostIp} ${one.hostPort}`,
  })
  const one = fc.record({
    name: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/),
    last: fc.integer({ min: 2, max: 250 }),
    network: fc.constantFrom(...networks),
    gatewayPriority: fc.constantFrom(0, 5),
    there: ports,
    by: fc.integer({ min: 1, max: 3 }),
    removes: fc.boolean(),
  })
  let filled = 0
  fc.assert(
    fc.property(fc.array(one, { minLength: 20, maxLength: 60 }), asks => {
      const forms = new ChangeForms(ground)
      for (const [i, { name, last, network, gatewayPriority, there, by, removes }] of asks.entries()) {
        // Where nothing leads nothing is published.
        if (network.gateway === undefined && !removes) continue
        const [some, others] = [there.slice(0, by), there.slice(by)]
        const ipv4 = { address: `10.9.0.${last}`, ...network }
        const before = sandbox(name, {
          id: `${i}`.padStart(64, '0'),
          endpoints: [endpoint(2, { ipv4, gatewayPriority })],
          ports: removes ? there : others,
        })
        const asked = change(before, removes ? { removed: some } : { added: some }, `4 ${i} 1 1`)
        const { plan } = forms.plan(asked)
        const drawn = toJson(changePlan(ground, asked).plan)
        if ('text' in plan) {
          filled += 1
          expect(toJson(plan.steps())).toBe(drawn)
        }
        expect('text' in plan ? plan.text : toJson(plan)).toBe(drawn)
      }
    }),
    { numRuns: 100 },
  )
  expect(filled).toBeGreaterThan(100)
})
