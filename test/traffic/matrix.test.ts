import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { type Host, openHost } from '../../lib/index.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { casesOf, describeCase, ruleOf, shapes, vantages } from './matrix.js'
import { companyCases, dismissGuests, inviteGuests, type Maker } from './matrix-company.js'
import { companyKey, reachabilityDocument } from './matrix-document.js'
import { Lab, publications, served, strangerPort, strangers, subjects } from './matrix-lab.js'
import { readDockerAnswers } from './matrix-record.js'

const needed = requires('root', 'br_netfilter')

/** What came of the cases. */
const seen = { matrix: new Map<string, string>(), company: new Map<string, string>() }
const page = fileURLToPath(new URL('../../docs/reachability.md', import.meta.url))

/** A ptp network has no bridge, so that bridge-nf is nothing to it; it has to answer as one with a bridge does. */
const stages = [
  { driver: 'bridge', bridgeNf: false },
  { driver: 'bridge', bridgeNf: true },
  { driver: 'ptp', bridgeNf: false },
] as const

needed.describe.each(stages)('driver $driver, with bridge-nf $bridgeNf', ({ driver, bridgeNf }) => {
  let machine: PrivateHost
  let host: Host
  let lab: Lab

  beforeAll(async () => {
    machine = await freshHost()
    const value = Number(bridgeNf)
    await machine.run('sysctl', '-qw', `net.bridge.bridge-nf-call-iptables=${value}`, `net.bridge.bridge-nf-call-ip6tables=${value}`)
    host = await openHost({ netns: machine.netns, stateDir: machine.stateDir })
    await build(host, driver)
    lab = await Lab.open(machine)
  })

  afterAll(async () => {
    await lab[Symbol.asyncDispose]()
    await host.close()
    await machine.remove()
  })

  describe.each(shapes)('icc $icc, internal $internal, masquerade $masquerade', shape => {
    const cases = casesOf({ ...shape, bridgeNf })

    const answers = driver === 'bridge' ? seen.matrix : new Map<string, string>()

    beforeAll(async () => {
      await Promise.all(cases.map(async one => answers.set(describeCase(one), await lab.probe(one, ruleOf(one).answer))))
    })

    needed.test.each(vantages)('from %s', vantage => {
      const rows = cases.filter(({ from }) => from === vantage)
      const row = (answer: (key: string, i: number) => unknown) =>
        rows.map((one, i) => `${describeCase(one)}: ${answer(describeCase(one), i)}`)
      expect(row(key => answers.get(key))).toEqual(row((_, i) => ruleOf(rows[i] as (typeof rows)[number]).answer))
    })
  })

  if (driver === 'ptp') return
  describe('in company', () => {
    beforeAll(() => inviteGuests(machine, lab))
    afterAll(() => dismissGuests())

    describe.each([4, 6] as const)('over IPv%i', family => {
      needed.test.each(companyCases)('$what', async ({ what, run, expected }) => {
        const answer = await run({ lab, machine, maker: makerOf(host) }, family, expected)
        seen.company.set(companyKey(what, family, bridgeNf), answer)
        expect(answer).toBe(expected)
      })
    })
  })
})

needed.test('docs/reachability.md says what this run saw', async () => {
  const docker = readDockerAnswers()
  if (docker === undefined) throw new Error('docs/reachability-docker.json is missing')
  const text = reachabilityDocument(seen, docker, companyCases)
  if (process.env.NETMODE_WRITE_DOCS === '1') await writeFile(page, text)
  expect(await readFile(page, 'utf8')).toBe(text)
})

/** netmode as the maker of further sandboxes. */
function makerOf(host: Host): Maker {
  return {
    start: async (name, { 4: ip, 6: ip6 }, publish) => {
      try {
        await host.sandboxes.create({ name, network: subjects[0]?.network ?? '', ip, ip6, publish })
        return undefined
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_NETMODE_PORT_IN_USE', holder: expect.stringContaining(`process ${process.pid} `) })
        return 'refused'
      }
    },
    stop: async name => {
      await host.sandboxes.remove(name)
    },
  }
}

async function build(host: Host, driver: 'bridge' | 'ptp'): Promise<void> {
  for (const subject of subjects) {
    const { network, subnets, shape, target, sibling } = subject
    await host.networks.create({ name: network, driver, subnets, ...shape })
    const on = ({ addresses }: typeof target) => ({ network, ip: addresses[4], ip6: addresses[6] })
    await host.sandboxes.create({
      name: target.name,
      ephemeral: true,
      ...on(target),
      ...(!shape.internal && { publish: publications(subject) }),
    })
    await host.sandboxes.create({ name: sibling.name, ephemeral: true, ...on(sibling) })
  }
  const { network, subnets, stranger } = strangers
  await host.networks.create({ name: network, driver, subnets })
  await host.sandboxes.create({
    name: stranger.name,
    ephemeral: true,
    network,
    ip: stranger.addresses[4],
    ip6: stranger.addresses[6],
    publish: [`${strangerPort}:${served}`, `${strangerPort}:${served}/udp`],
  })
}
