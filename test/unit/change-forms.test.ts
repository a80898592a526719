/** The plan of a port that comes or goes is written once, and filled in for others: what is written has to be what is drawn. */
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
