/** Files of ports beside a record: what a change that broke off has put there goes with its healing, and no name comes twice. */
import { expect, test } from 'vitest'
import { healPlan } from '../../lib/sandbox/change-plan.js'
import { changing } from '../../lib/state/changing.js'
import { format, type PortRecord, type SandboxRecord } from '../../lib/state/records.js'
import { shelve, withoutPorts, withPorts } from '../../lib/state/shelf.js'
import { ground, sandbox } from '../setup/records.js'

const port = (n: number): PortRecord => ({ hostIp: '0.0.0.0', hostPort: n, containerPort: n, protocol: 'tcp' })
const range = (first: number, count: number) => Array.from({ length: count }, (_, i) => port(first + i))

/** The folder after a change, or its beginning. */
function carryOut(files: Map<string, string>, steps: ReturnType<typeof healPlan>): void {
  for (const { apply } of steps) {
    const file = 'path' in apply ? (/\/sandboxes\/web\/(ports-\d+\.json)$/.exec(apply.path)?.[1] ?? '') : ''
    if (file !== '' && apply.op === 'file.write') files.set(file, apply.text)
    if (file !== '' && apply.op === 'file.remove') files.delete(file)
  }
}

const named = ({ shelved = [] }: SandboxRecord) => shelved.map(({ file }) => file)

test.each([
  ['one of many goes', (record: SandboxRecord) => withoutPorts(record, record.ports.slice(9, 10))],
  ['many come', (record: SandboxRecord) => withPorts(record, range(9000, 300))],
])('%s, and it breaks off', (_, change) => {
  const files = new Map<string, string>()
  const begin = shelve(ground.layout, sandbox('web', { ports: range(1000, 200) }))
  carryOut(files, [...begin.steps])
  const before = begin.record
  const after = shelve(ground.layout, change(before))
  carryOut(files, [...after.steps])
  expect([...files.keys()].length).toBeGreaterThan(named(before).length)
  const record = changing(before, format(after.record), file => files.get(file))
  const plan = healPlan(ground, record, record)
  carryOut(files, plan)
  const written = plan.find(({ apply }) => apply.op === 'file.write' && apply.path.endsWith('/state.json'))?.apply
  const healed = JSON.parse(written?.op === 'file.write' ? written.text : '') as SandboxRecord
  expect([...files.keys()]).toEqual(named(healed))
  expect(named(healed).filter(file => named(after.record).includes(file) && !named(before).includes(file))).toEqual([])
})

test('as many ports as before, though others, are not written under the name that those had', () => {
  const first = shelve(ground.layout, sandbox('web', { ports: range(1000, 65) })).record
  const fewer = shelve(ground.layout, withoutPorts(first, first.ports.slice(0, 1))).record
  const again = shelve(ground.layout, withPorts(fewer, [port(9999)])).record
  expect(again.ports).toHaveLength(65)
  expect(format(again)).not.toBe(format(first))
})
