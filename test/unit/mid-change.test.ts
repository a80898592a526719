/** Whatever a change has done of its elements when it breaks off: a removal leaves none of them, and a healing those that are right. */
import { expect, test } from 'vitest'
import type { Plan } from '../../lib/plan/op.js'
import { healPlan } from '../../lib/sandbox/change-plan.js'
import { removePlan } from '../../lib/sandbox/plans.js'
import { publishSteps } from '../../lib/sandbox/steps.js'
import { changing } from '../../lib/state/changing.js'
import { format, type SandboxRecord } from '../../lib/state/records.js'
import { endpoint, ground, sandbox } from '../setup/records.js'

const on = (n: number, more: Parameters<typeof endpoint>[1] = {}) =>
  endpoint(n, { network: `n${n}`, networkId: `${n}`.repeat(64), ifname: `eth${n}`, ...more })
const [one, two, third] = [on(2), on(3, { gatewayPriority: 5 }), on(4, { gatewayPriority: 9 })]
const onLan = on(5, { driver: 'macvlan', lan: true })
const ports = [
  { hostIp: '0.0.0.0', hostPort: 8080, containerPort: 80, protocol: 'tcp' as const },
  { hostIp: '192.0.2.1', hostPort: 53, containerPort: 53, protocol: 'udp' as const },
]

/** What is in the ruleset after those steps: keys, and what they lead to. */
function elements(plan: Plan, there: ReadonlyMap<string, string> = new Map()): ReadonlyMap<string, string> {
  const found = new Map(there)
  for (const { apply } of plan) {
    if (apply.op !== 'nft.element.add' && apply.op !== 'nft.element.delete') continue
    const { family, set, key, end } = apply
    const id = JSON.stringify({ family, set, key, end })
    if (apply.op === 'nft.element.add') found.set(id, JSON.stringify(apply.data))
    else found.delete(id)
  }
  return found
}

/** Of the ports alone. */
const published = (record: SandboxRecord) => elements(publishSteps(record.name, undefined, record))

test.each([
  ['a network goes', [one, two], [one]],
  ['the one that ports lead to', [one, two, third], [one, two]],
  ['one comes', [one], [one, two]],
  ['a LAN comes', [one], [one, onLan]],
  ['a LAN goes', [one, onLan], [one]],
  ['a network goes beside a LAN', [one, two, onLan], [one, onLan]],
  ['the last one that ports lead to', [one, onLan], [onLan]],
])('%s', (_, from, to) => {
  const redirects = [{ protocol: 'tcp' as const, port: 80, toPort: 3128 }]
  const before = sandbox('web', { endpoints: from, ports, redirects })
  const after = { ...before, endpoints: to }
  const record = changing(before, format(after), () => undefined)
  for (const state of [before, after, record]) {
    const there = published(state)
    expect(there.size).toBeGreaterThan(0)
    expect(elements(removePlan(ground, [record], { holds: new Map([['web', record]]) }), there)).toEqual(new Map())
    const healed = { ...record, endpoints: record.endpoints.filter(each => from.includes(each) && to.includes(each)) }
    expect(elements(healPlan(ground, record, record), there)).toEqual(published(healed))
  }
})
