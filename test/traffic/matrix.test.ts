import { afterAll, beforeAll, describe, expect } from 'vitest'
import { type Host, openHost } from '../../lib/index.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { casesOf, describeCase, ruleOf, shapes, vantages } from './matrix.js'
import { Lab, publications, served, strangerPort, strangers, subjects } from './matrix-lab.js'

const needed = requires('root', 'br_netfilter')

/** case → what came of it */
const answers = new Map<string, string>()

needed.describe.each([false, true])('with bridge-nf %s', bridgeNf => {
  let machine: PrivateHost
  let host: Host
  let lab: Lab

  beforeAll(async () => {
    machine = await freshHost()
    const value = Number(bridgeNf)
    await machine.run('sysctl', '-qw', `net.bridge.bridge-nf-call-iptables=${value}`, `net.bridge.bridge-nf-call-ip6tables=${value}`)
    host = await openHost({ netns: machine.netns, stateDir: machine.stateDir })
    await build(host)
    lab = await Lab.open(machine)
  })

  afterAll(async () => {
    await lab[Symbol.asyncDispose]()
    await host.close()
    await machine.remove()
  })

  describe.each(shapes)('icc $icc, internal $internal, masquerade $masquerade', shape => {
    const cases = casesOf({ ...shape, bridgeNf })

    beforeAll(async () => {
      const t = setTimeout(() => console.log('PENDING', cases.map(describeCase).filter(c => !answers.has(c))), 15000); await Promise.all(cases.map(async one => answers.set(describeCase(one), await lab.probe(one, ruleOf(one).answer)))); clearTimeout(t)
    })

    needed.test.each(vantages)('from %s', vantage => {
      const rows = cases.filter(({ from }) => from === vantage)
      const row = (answer: (key: string, i: number) => unknown) => rows.map((one, i) => `${describeCase(one)}: ${answer(describeCase(one), i)}`)
      expect(row(key => answers.get(key))).toEqual(row((_, i) => ruleOf(rows[i] as (typeof rows)[number]).answer))
    })
  })
})

async function build(host: Host): Promise<void> {
  for (const subject of subjects) {
    const { network, subnets, shape, target, sibling } = subject
    await host.networks.create({ name: network, subnets, ...shape })
    const on = ({ addresses }: typeof target) => ({ network, ip: addresses[4], ip6: addresses[6] })
    await host.sandboxes.create({ name: target.name, ephemeral: true, ...on(target), ...(!shape.internal && { publish: publications(subject) }) })
    await host.sandboxes.create({ name: sibling.name, ephemeral: true, ...on(sibling) })
  }
  const { network, subnets, stranger } = strangers
  await host.networks.create({ name: network, subnets })
  await host.sandboxes.create({ name: stranger.name, ephemeral: true, network, ip: stranger.addresses[4], ip6: stranger.addresses[6], publish: [`${strangerPort}:${served}`, `${strangerPort}:${served}/udp`] })
}
