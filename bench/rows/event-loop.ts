/** What the event loop feels of creates: turns that take long, and how late timers are. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import type { Plan, Step } from '../../lib/plan/op.js'
import { alternate } from '../alternate.js'
import { NativeTrips } from '../empty-trip.js'
import { Ground } from '../ground.js'
import { ratio } from '../quantiles.js'
import { createPlanOf } from '../rivals.js'
import { barOf, figureOf, figures, type Result, type Row, type Scale } from '../row.js'
import { builds } from '../yardstick.js'

interface Probe {
  watchTurns(): void
  /** CPU of each turn, each followed by what of it was garbage collection. */
  turns(): number[]
}

/** ms in which the kernel takes apart the namespaces of those that were removed, on a core that would be missed. */
const aftermath = 3000
/** Creates that are under way at the same time. */
const inFlight = 8

/** Runs `work` for 0 … count - 1, `width` at a time. */
async function inLanes(count: number, width: number, work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: width }, lane))
}

/** Nanoseconds: how late a timer is in one case of a hundred while `work` is under way. */
async function delay(work: () => Promise<unknown>): Promise<number> {
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  histogram.enable()
  await work()
  histogram.disable()
  return histogram.percentile(99)
}

/** What nobody can leave out who gives a namespace a link. */
function isOfTheLink({ apply: { op } }: Step): boolean {
  return /^(netns|link|address|route)\./.test(op)
}

function above(turns: readonly number[]): number {
  return turns.filter(turn => turn > 1e6).length
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0)
}

export const eventLoop: Row = {
  name: 'event-loop',
  work: `900 creates, ${inFlight} at a time: CPU of the main thread in one turn of its loop; how late timers are, beside bare namespaces made through the same threads`,
  async measure(scale: Scale): Promise<Result> {
    await using ground = await Ground.open()
    const probe = createRequire(import.meta.url)(join(builds, 'probe.node')) as Probe
    const { host, network } = ground
    const count = scale.crowd(900)
    await ground.crowd(Math.min(count, 100)) // compiled, as in a process that has run for a while
    await host.sandboxes.removeAll(ground.release())
    global.gc?.()
    probe.watchTurns()
    await inLanes(count, inFlight, i => ground.make(i))
    const watched = probe.turns()
    const turns = watched.filter((_, i) => i % 2 === 0)
    const own = turns.map((turn, i) => turn - (watched[2 * i + 1] ?? 0))
    await host.sandboxes.removeAll(Array.from({ length: count }, (_, i) => Ground.nameOf(i)))
    await pause(aftermath)

    using trips = new NativeTrips()
    const some = scale.crowd(100)
    let names: string[] = []
    const optionsOf = (name: string, i: number) => ({ name, network: network.name, publish: [`${8000 + i}:80`] })
    const measured = await alternate(
      [
        {
          who: 'bare namespaces, p99 of the delay',
          measure: async n => {
            names = Array.from({ length: some }, (_, i) => `bare-${n}-${i}`)
            return delay(() =>
              inLanes(some, inFlight, i => trips.run([{ apply: { op: 'netns.create', name: names[i] ?? '', slot: 's' } }])),
            )
          },
          clear: async () => trips.run(names.map(name => ({ apply: { op: 'netns.delete', name } }))),
        },
        {
          who: 'of the plans only namespace, link, address and route, p99 of the delay',
          measure: async n => {
            names = Array.from({ length: some }, (_, i) => `link-${n}-${i}`)
            const plans: Plan[] = []
            for (const [i, name] of names.entries()) plans.push((await createPlanOf(host, optionsOf(name, i))).filter(isOfTheLink))
            return delay(() => inLanes(some, inFlight, i => trips.run(plans[i] ?? [])))
          },
          clear: async () => trips.run(names.map(name => ({ apply: { op: 'netns.delete', name } }))),
        },
        {
          who: 'the plans alone, drawn up beforehand, p99 of the delay',
          measure: async n => {
            names = Array.from({ length: some }, (_, i) => `plan-${n}-${i}`)
            const plans: Plan[] = []
            for (const [i, name] of names.entries()) plans.push(await createPlanOf(host, optionsOf(name, i)))
            return delay(() => inLanes(some, inFlight, i => trips.run(plans[i] ?? [])))
          },
          clear: async () => void (await host.sandboxes.removeAll(names)),
        },
        {
          who: 'netmode, p99 of the delay',
          measure: async n => {
            names = Array.from({ length: some }, (_, i) => `delay-${n}-${i}`)
            return delay(() => inLanes(some, inFlight, i => host.sandboxes.create(optionsOf(names[i] ?? '', i))))
          },
          clear: async () => void (await host.sandboxes.removeAll(names)),
        },
      ],
      { rounds: scale.samples(20), rest: 200 },
    )
    const [bare, links, plans, ours] = measured
    const [longest, longestOwn] = [turns, own].map(all => Math.max(...all) / 1e6) as [number, number]
    return {
      figures: [figureOf({ who: 'netmode, CPU of a turn', values: turns }), ...figures(measured)],
      bars: [
        { what: 'longest turn', value: longest, limit: 1, sense: 'at most', unit: 'ms' },
        { what: 'longest turn but for garbage collection', value: longestOwn, limit: 1, sense: 'at most', unit: 'ms' },
        barOf('delay to that of bare namespaces', ours, bare, 'at most', 1.2),
      ],
      notes: [
        `namespace, link, address and route alone, to bare namespaces: ${ratio(links.values, bare.values).p50.toFixed(2)} ×`,
        `the plans alone, to bare namespaces: ${ratio(plans.values, bare.values).p50.toFixed(2)} ×; netmode to the plans alone: ${ratio(ours.values, plans.values).p50.toFixed(2)} ×`,
        `turns above 1 ms: ${above(turns)} of ${turns.length}, but for garbage collection ${above(own)}; CPU of a create ${Math.round(sum(turns) / count / 1000)} µs`,
      ],
    }
  },
}
