/** A port of a live sandbox, published and taken back, with few and with many others published. */
import type { Sandbox } from '../../lib/index.js'
import type { Plan, Step } from '../../lib/plan/op.js'
import { type PortRequest, parsePublish } from '../../lib/sandbox/port-grammar.js'
import { alternate, clock, type Rival } from '../alternate.js'
import { NativeTrips } from '../empty-trip.js'
import { Ground } from '../ground.js'
import { dnatRule, match, ranges } from '../lab.js'
import { LastTrip } from '../last-trip.js'
import { Floor } from '../rivals.js'
import { type Bar, type Figure, figures, median, type Result, type Row, type Scale } from '../row.js'
import { feed, find, sh } from '../shell.js'

const many = 10_000
const port = '8080:80'

/** What iptables-restore takes. */
function rules(count: number, address: string): string {
  return ['*nat', ...Array.from({ length: count }, (_, i) => dnatRule(10_000 + i, `${address}:${10_000 + i}`)), 'COMMIT', ''].join('\n')
}

function iptablesRivals(address: string): readonly Rival[] {
  const change = (verb: '-A' | '-D') =>
    sh('iptables', '-w', '-t', 'nat', verb, 'PREROUTING', ...match(8080).split(' '), '-j', 'DNAT', '--to-destination', `${address}:80`)
  return [
    { who: 'iptables -A', measure: () => clock(() => change('-A')), clear: async () => void (await change('-D')) },
    {
      who: 'iptables -D',
      measure: async () => {
        await change('-A')
        return clock(() => change('-D'))
      },
    },
  ]
}

/**
 * What is left of a publish if nobody else may be at work and nothing may break off: the port is claimed, its elements are one transaction,
 * and the record is replaced once. Run by the native program, without JavaScript, without a way to a thread and back.
 */
class LeastPublish implements Rival, Disposable {
  readonly who = 'the least of it, natively: claim, transaction, one record'
  readonly #floor: Floor
  readonly #there: string
  readonly #back: string

  private constructor(floor: Floor, there: Plan, back: Plan) {
    this.#floor = floor
    this.#there = JSON.stringify(there)
    this.#back = JSON.stringify(back)
  }

  static async start({ host, network }: Ground, { name }: Sandbox): Promise<LeastPublish> {
    const planner = host.sandboxes as unknown as { publishPlan(name: string, requests: readonly PortRequest[]): Promise<Plan> }
    const plan = await planner.publishPlan(name, parsePublish(port))
    const isPart = ({ apply: { op } }: Step) => op === 'port.claim' || op === 'nft.element.add'
    const record = plan.findLast(({ apply }) => apply.op === 'file.write')
    const there = [...plan.filter(isPart), ...(record ? [record] : [])]
    const undo = plan.filter(step => isPart(step) || step.journal).flatMap(step => (step.undo ? [{ apply: step.undo }] : []))
    return new LeastPublish(await Floor.start(network), there, undo)
  }

  measure(): Promise<number> {
    return this.#floor.ask('full', this.#there)
  }

  async clear(): Promise<void> {
    await this.#floor.ask('full', this.#back)
  }

  [Symbol.dispose](): void {
    this.#floor[Symbol.dispose]()
  }
}

export const publish: Row = {
  name: 'publish',
  work: 'one TCP port of a live sandbox, published or taken back, with 1 and 10,000 published; the floor is an empty trip to a native thread',
  timely: true,
  async measure(scale: Scale): Promise<Result> {
    const last = LastTrip.watch()
    await using ground = await Ground.open()
    using trips = new NativeTrips()
    const { host, network } = ground
    const web = await host.sandboxes.create({ name: 'web', network: network.name, publish: ['8081:81'] })
    const address = web.endpoints[0]?.ipv4?.address ?? ''
    const others = await host.sandboxes.create({ name: 'others', network: network.name })
    const own: readonly Rival[] = [
      { who: 'an empty trip', measure: () => clock(() => trips.run([])) },
      { who: 'netmode, publish', measure: () => clock(() => web.publish(port)), clear: async () => void (await web.unpublish(port)) },
      {
        who: 'netmode, unpublish',
        measure: async () => {
          await web.publish(port)
          return clock(() => web.unpublish(port))
        },
      },
    ]
    const tripOfPlan: Rival = {
      who: 'netmode, publish: of that the trip of its plan',
      measure: async () => {
        await web.publish(port)
        return last.nanoseconds
      },
      clear: async () => void (await web.unpublish(port)),
    }
    using least = await LeastPublish.start(ground, web)
    const all: Figure[] = []
    const bars: Bar[] = []
    const compare = async (title: string, beside: number, peers: readonly Rival[] = []) => {
      // Other programs leave cold caches behind: they have rounds of their own.
      const [trip, ...mine] = await alternate([...own, tripOfPlan], { rounds: scale.samples(1000), warmup: scale.samples(50) })
      if (!trip) return []
      const natively = await alternate([least], { rounds: scale.samples(300), warmup: scale.samples(50) })
      const theirs = await alternate(peers, { rounds: scale.samples(30) })
      all.push(
        ...figures(
          [trip, ...mine, ...natively, ...theirs].map(one => ({ ...one, who: `${one.who}${title}` })),
          { beside },
        ),
      )
      const changes = mine.slice(0, own.length - 1)
      for (const [i, change] of changes.entries()) {
        const more = (median(change.values) - median(trip.values)) / 1000
        bars.push({
          what: `${change.who}, beyond an empty trip, ${beside} there${title}`,
          value: more,
          limit: 40,
          sense: 'at most',
          unit: 'µs',
        })
        const their = theirs[i]
        if (their)
          bars.push({
            what: `${their.who} to ${change.who}, ${beside} there`,
            value: median(their.values) / median(change.values),
            limit: 80,
            sense: 'at least',
            unit: '×',
          })
      }
      return changes
    }

    const few = await compare('', 1)
    const count = scale.crowd(many)
    for (const range of ranges(count)) await others.publish(`${range}:${range}`)
    const withIptables = scale.peers && find('iptables') !== undefined
    if (withIptables) await feed(rules(count, address), 'iptables-restore', ['--noflush'])
    const lots = await compare('', count, withIptables ? iptablesRivals(address) : [])
    for (const [i, change] of lots.entries()) {
      const before = few[i]
      if (before)
        bars.push({
          what: `${change.who}, ${count} to 1 there`,
          value: median(change.values) / median(before.values),
          limit: 1.15,
          sense: 'at most',
          unit: '×',
        })
    }
    await others.remove()
    for (const range of ranges(count)) await web.publish(`${range}:${range}`)
    await compare(' (all of its own)', count)
    return { figures: all, bars, notes: withIptables || !scale.peers ? [] : ['iptables is not installed'] }
  },
}
