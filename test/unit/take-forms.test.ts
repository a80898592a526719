/** The plan of a take is written once, and filled in for those who come: what is written has to be what is drawn. */
import { expect, test } from 'vitest'

import { toJson } from '../../lib/native.js'
import { HostResolver } from '../../lib/sandbox/files.js'
import { type Reserved, takePlan } from '../../lib/sandbox/pool-plans.js'
import { likenessOf, TakeForms } from '../../lib/sandbox/take-forms.js'
import type { SandboxRecord } from '../../lib/state/records.js'
import { endpoint, ground, sandbox } from '../setup/records.js'

function reserved(n: number, more: Partial<SandboxRecord> = {}): Reserved {
  const one = sandbox(`~0123456789a${n}`, { id: `${n}`.repeat(64), phase: 'pooled', endpoints: [endpoint(n)], ...more })
  const identity = { dev: 4n, inode: BigInt(n) }
  return { record: one, identity, linkIndex: 7 + n, hostResolver: ground.resolver.text(), likeness: likenessOf(one) }
}

const port = { hostIp: '0.0.0.0', hostPort: 8080, containerPort: 80, protocol: 'tcp' } as const
const other = { ...port, hostPort: 9090, containerPort: 90 }
const ip6 = { address: 'fd00:9::2', prefix: 64, gateway: 'fd00:9::1' }
const noFiles = { dns: [], dnsSearch: [], dnsOptions: [], addHosts: [] }

/** What is asked of a pool, one after the other; is it out of the ordinary? */
const asked: readonly [what: string, ordinary: boolean, more: Partial<SandboxRecord>][] = [
  ['nothing more', true, {}],
  ['a port', true, { ports: [port] }],
  ['another port', true, { ports: [other] }],
  ['a port by UDP', true, { ports: [{ ...other, protocol: 'udp' }] }],
  ['two ports', true, { ports: [port, other] }],
  ['a process to live with', true, { ephemeral: { pid: 7, started: '1' } }],
  ['one port by two', false, { ports: [port, { ...port, hostPort: 8081 }] }],
  ['a port for some', false, { ports: [{ ...port, protocol: 'udp', hostIp: '192.0.2.1', allow: ['10.0.0.0/8'] }] }],
  ['more ports', false, { ports: [1, 2, 3, 4, 5].map(n => ({ ...port, hostPort: n, containerPort: n })) }],
  ['a host name', false, { hostname: 'www' }],
  ['labels', false, { labels: { '"\ue000"': '\\ "\u20ac"' } }],
  ['hosts', false, { files: { ...noFiles, addHosts: ['db:10.9.0.7'] } }],
  ['name servers', false, { files: { ...noFiles, dns: ['192.0.2.1'] } }],
  ['other names', false, { endpoints: [{ ...endpoint(3), aliases: ['db'] }] }],
  ['an IPv6 address', false, { endpoints: [{ ...endpoint(3), ipv6: ip6 }] }],
]

test.each(asked)('with %s', (_, isOrdinary, more) => {
  const forms = new TakeForms(ground)
  for (const [n, name] of ['web', 'a-b_c', 'next', 'n'].entries()) {
    const one = reserved(n + 2, more.endpoints && { endpoints: more.endpoints })
    const { endpoints } = one.record
    const taking = { reserved: one, record: sandbox(name, { id: `${n}`.repeat(64), created: `2026-01-0${n}`, ...more, endpoints }) }
    const plan = forms.plan(taking)
    // The first is drawn.
    expect('text' in plan).toBe(isOrdinary && n > 0)
    const written = 'text' in plan ? plan.text : toJson(plan)
    expect(JSON.parse(written)).toEqual(JSON.parse(toJson(takePlan(ground, taking, ground.resolver.text()))))
  }
})

test('all of it in any order, by the same pool', () => {
  const forms = new TakeForms(ground)
  for (let n = 0; n < 4 * asked.length; n++) {
    const [, , more] = asked[(n * 7) % asked.length] as (typeof asked)[number]
    const one = reserved(2 + (n % 7), more.endpoints && { endpoints: more.endpoints })
    const taking = { reserved: one, record: sandbox(`web-${n}`, { ...more, endpoints: one.record.endpoints }) }
    const plan = forms.plan(taking)
    expect('text' in plan ? plan.text : toJson(plan)).toBe(toJson(takePlan(ground, taking, ground.resolver.text())))
  }
})

test('of a name that has a domain the hosts file says both', () => {
  const forms = new TakeForms(ground)
  const texts = ['web', 'web', 'web.example.com'].map(name => {
    const plan = forms.plan({ reserved: reserved(2), record: sandbox(name) })
    return 'text' in plan ? plan.text : toJson(plan)
  })
  expect(texts[2]).toContain('10.9.0.2\\tweb.example.com web\\n')
})

test('what is told of it later is what it was, though the host has other name servers by then', () => {
  let hostResolver = ground.resolver.text()
  const resolver = Object.assign(new HostResolver(), { text: () => hostResolver })
  const forms = new TakeForms({ ...ground, resolver })
  const [, plan] = ['a', 'b'].map(name => forms.plan({ reserved: reserved(2), record: sandbox(name) }))
  if (plan === undefined || !('text' in plan)) throw new Error('drawn')
  hostResolver += 'nameserver 192.0.2.1\n'
  expect(toJson(plan.steps())).toBe(plan.text)
})

test('where its network is another by now, it is drawn anew', () => {
  const forms = new TakeForms(ground)
  for (const mtu of [1500, 1500, 1400, 1400, 1500]) {
    const one = reserved(2, { endpoints: [{ ...endpoint(2), mtu }] })
    const taking = { reserved: one, record: sandbox('web', { endpoints: one.record.endpoints }) }
    const plan = forms.plan(taking)
    expect('text' in plan ? plan.text : toJson(plan)).toBe(toJson(takePlan(ground, taking, ground.resolver.text())))
  }
})
