/** New connections through a published port, with few and with many others published. */
import { alternate, type Rival } from '../alternate.js'
import { hostAddress, Lab, ports } from '../lab.js'
import { barOf, figures, type Result, type Row, type Scale } from '../row.js'
import { find } from '../shell.js'

const many = 10_000
/** Connections of a burst: short enough for turns, long enough for a clock. */
const burst = 1000

/** Rate of a burst from outside. */
function through(who: string, lab: Lab, address: string, port: number): Rival {
  return { who, measure: async () => (burst / (await lab.outside.ask('connect', address, port, burst))) * 1e9 }
}

export const connections: Row = {
  name: 'connections',
  work: 'new TCP connections a second from outside through a published port, with 1 and 10,000 published; the floor is routed, with no port published',
  async measure(scale: Scale): Promise<Result> {
    const count = scale.crowd(many)
    const withIptables = scale.peers && find('iptables') !== undefined
    await using plain = await Lab.byHand({})
    await using few = await Lab.byNetmode(1)
    await using lots = await Lab.byNetmode(count)
    await using fewRules = withIptables ? await Lab.byHand({ dnat: 1 }) : undefined
    await using lotsOfRules = withIptables ? await Lab.byHand({ dnat: count }) : undefined
    const rivals = [
      through('routed, no port published', plain, plain.boxes[0]?.address ?? '', ports.refuse),
      through('netmode, 1 published', few, hostAddress, 8080),
      through(`netmode, ${count} published`, lots, hostAddress, 8080),
      ...(fewRules ? [through('iptables, 1 published', fewRules, hostAddress, 8080)] : []),
      ...(lotsOfRules ? [through(`iptables, ${count} published`, lotsOfRules, hostAddress, 8080)] : []),
    ]
    const turns = { rounds: scale.samples(30), warmup: 1 }
    const measured = await alternate(rivals, turns)
    const [, one, all, , iptables] = measured
    return {
      figures: figures(measured, { unit: '/s' }),
      bars: [
        ...(one && all ? [barOf(`netmode, ${count} to 1 published`, all, one, 'at least', 0.95)] : []),
        ...(iptables && all ? [barOf(`netmode to iptables, ${count} published`, all, iptables, 'at least', 8)] : []),
      ],
      notes: withIptables || !scale.peers ? [] : ['iptables is not installed'],
    }
  },
}
