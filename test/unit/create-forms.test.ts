/** Plans of creates are written once for each network and filled in: what is filled in has to be what would be drawn. */
import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'

import { defaultConfig } from '../../lib/config.js'
import { KnownNetwork } from '../../lib/network/known-network.js'
import { stepsOf } from '../../lib/plan/mechanism.js'
import { CreateForms } from '../../lib/sandbox/create-forms.js'
import { draftEndpoint, draftRecord, ifnameOf } from '../../lib/sandbox/draft.js'
import { createPlan } from '../../lib/sandbox/plans.js'
import type { NetworkRecord, PortRecord, SandboxRecord } from '../../lib/state/records.js'
import { sandboxOptions } from '../../lib/validate/sandbox-options.js'
import { ground, lan } from '../setup/records.js'

let forms: CreateForms
beforeEach(() => {
  forms = new CreateForms(ground)
})

type Given = Readonly<Record<string, unknown>>

/** As a create drafts it; ports are given as they were chosen. */
function draft(network: KnownNetwork, given: Given, ports: readonly PortRecord[] = []) {
  const options = sandboxOptions({ network: 'lan', ...given })
  const [attachment] = options.attachments
  if (attachment === undefined) throw new Error('no attachment')
  const endpoint = draftEndpoint(network, attachment, ifnameOf(attachment, [], network), '')
  const blank = draftRecord(options, { path: `/run/netns/${options.name}`, owned: true }, undefined, defaultConfig)
  const record: SandboxRecord = { ...blank, endpoints: [endpoint], ports: [...ports] }
  return { options, record }
}

/** What the plan says, and whether it was filled in; and what it should say. */
function plan(network: KnownNetwork, { options, record }: ReturnType<typeof draft>) {
  const draw = () => createPlan(ground, record, { networks: [network], networkSteps: [] })
  const made = forms.plan(options, record, network, draw)
  const drawn = JSON.stringify(draw())
  const isFilled = 'text' in made
  return { isFilled, text: isFilled ? made.text : JSON.stringify(made), steps: JSON.stringify(stepsOf(made)), drawn }
}

const port = (hostPort: number, containerPort: number, more: Partial<PortRecord> = {}): PortRecord => ({
  hostIp: '0.0.0.0',
  hostPort,
  containerPort,
  protocol: 'tcp',
  ...more,
})

const networkWith = (more: Partial<NetworkRecord> = {}) => new KnownNetwork({ ...lan, ...more }, 7, [])

describe('what asks for nothing out of the ordinary', () => {
  test('is filled in from the second one on, and is what would be drawn', () => {
    const network = networkWith()
    const plans = ['a', 'b', 'c'].map(name => plan(network, draft(network, { name })))
    expect(plans.map(({ isFilled }) => isFilled)).toEqual([false, true, true])
    for (const { text, steps, drawn } of plans) expect([text, steps]).toEqual([drawn, drawn])
  })

  test.each<[string, Partial<NetworkRecord>]>([
    ['internal', { internal: true }],
    ['without icc', { icc: false }],
    ['whose gateway is another', { subnets: [{ subnet: '10.9.0.0/16', gateway: '10.9.255.254' }] }],
    ['of few addresses', { subnets: [{ subnet: '10.9.0.0/29', gateway: '10.9.0.6' }] }],
    ['with a small MTU', { mtu: 1000 }],
    ['without a check of senders', { spoofCheck: false }],
    ['with names of its own for links', { ifnamePrefix: 'net' }],
  ])('on a network %s as well', (_, more) => {
    const network = networkWith(more)
    const plans = ['a', 'b', 'c'].map((name, i) => plan(network, draft(network, { name }, [port(8080 + i, 80)])))
    expect(plans.at(-1)?.isFilled).toBe(true)
    for (const { text, drawn } of plans) expect(text).toBe(drawn)
  })

  test('with whatever names, texts, addresses and ports', () => {
    const network = networkWith({ subnets: [{ subnet: '10.8.0.0/13', gateway: '10.8.0.1' }] })
    const someName = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/)
    const given = fc.record({
      name: someName,
      hostname: fc.option(fc.constantFrom('www', 'www.example.com'), { nil: undefined }),
      ip: fc.option(
        fc.nat(2 ** 19 - 4).map(n => `10.${8 + (n >>> 16)}.${(n >>> 8) & 255}.${(n & 255) + (n < 2 ? 2 : 0)}`),
        { nil: undefined },
      ),
      aliases: fc.option(fc.constant(['db', 'web']), { nil: undefined }),
      labels: fc.dictionary(someName, fc.stringMatching(/^[ -~]{1,40}$/), { maxKeys: 2 }),
      addHosts: fc.option(fc.constant(['db:10.9.0.7']), { nil: undefined }),
      gatewayPriority: fc.option(fc.constant(5), { nil: undefined }),
      expose: fc.option(fc.constant(['90/udp']), { nil: undefined }),
      ephemeral: fc.boolean(),
    })
    const someHost = fc.integer({ min: 1, max: 65_535 })
    const ports = fc.array(fc.record({ hostPort: someHost, containerPort: someHost, protocol: fc.constantFrom('tcp', 'udp', 'sctp') }), {
      maxLength: 6,
    })
    let filled = 0
    fc.assert(
      fc.property(given, ports, (options, published) => {
        const drafted = draft(
          network,
          options,
          published.map(one => port(one.hostPort, one.containerPort, { protocol: one.protocol as PortRecord['protocol'] })),
        )
        const { isFilled, text, steps, drawn } = plan(network, drafted)
        for (const { ipv4 } of drafted.record.endpoints) if (ipv4) network.release(ipv4.address)
        if (isFilled) filled += 1
        expect(text).toBe(drawn)
        expect(steps).toBe(drawn)
      }),
      { numRuns: 400 },
    )
    expect(filled).toBeGreaterThan(40)
  })
})

describe('what is different in more than words is drawn each time', () => {
  test.each<[string, Partial<NetworkRecord>, Given, readonly PortRecord[]]>([
    ['IPv6', { subnets: [...lan.subnets, { subnet: 'fd00:9::/64', gateway: 'fd00:9::1' }] }, {}, []],
    ['a MAC of its own', {}, { mac: '02:00:00:00:00:09' }, []],
    ['a link with a name of its own', {}, { ifname: 'lan0' }, []],
    ['no check of senders', {}, { spoofCheck: false }, []],
    ['a TAP', {}, { tap: {} }, []],
    ['name servers of its own', {}, { dns: ['192.0.2.1'] }, []],
    ['a port for some', {}, {}, [port(8080, 80, { allow: ['192.0.2.0/24'] })]],
    ['two ports that lead to one', {}, {}, [port(8080, 80), port(8081, 80)]],
    [
      'one of two subnets',
      {
        subnets: [
          { subnet: '10.9.0.0/30', gateway: '10.9.0.1' },
          { subnet: '10.8.0.0/16', gateway: '10.8.0.1' },
        ],
      },
      {},
      [],
    ],
    ['a bridge that was there, whose own MAC is worked out from that of the endpoint', { adopted: adoptedBridge() }, {}, []],
    ['the first of two addresses for the gateway', { subnets: [{ subnet: '10.9.0.0/31', gateway: '10.9.0.0' }] }, {}, []],
  ])('%s', (_, more, given, ports) => {
    const network = networkWith(more)
    for (const name of ['a', 'b', 'c']) {
      const drafted = draft(network, { name, ...given }, ports)
      const { isFilled, text, drawn } = plan(network, drafted)
      expect(isFilled).toBe(false)
      expect(text).toBe(drawn)
      if (network.record.subnets.length === 1) for (const { ipv4 } of drafted.record.endpoints) if (ipv4) network.release(ipv4.address)
    }
  })
})

test('no more kinds of plans are kept than a few', () => {
  const network = networkWith({ subnets: [{ subnet: '10.9.0.0/16', gateway: '10.9.0.1' }] })
  const filled = Array.from({ length: 40 }, (_, i) => {
    const ports = [port(8080, 80, { hostIp: `192.0.2.${i}` })]
    return ['a', 'b'].map(name => plan(network, draft(network, { name }, ports))).at(-1)?.isFilled
  })
  expect(filled.filter(Boolean)).toHaveLength(16)
})

function adoptedBridge(): NonNullable<NetworkRecord['adopted']> {
  return { beside: [], up: true, lonely: false, addresses: [], sysctls: {} }
}
