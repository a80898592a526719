/** The same work by other tools, beside 1, 100 and 900 sandboxes on the same bridge. */
import { alternate } from '../alternate.js'
import { Ground } from '../ground.js'
import { peers as all } from '../peers/all.js'
import { Missing, type Peer, siteOf } from '../peers/peer.js'
import { Floor } from '../rivals.js'
import { type Bar, barOf, type Figure, figures, type Result, type Row, type Scale } from '../row.js'
import { Yardstick } from '../yardstick.js'
import { bareRival, ownRival, planRival, rest, sizes, warmCreates } from './growth.js'

export const peers: Row = {
  name: 'peers',
  work: 'a create as in the row before it, by the tools that are installed, beside 1, 100 and 900 sandboxes that netmode has made on the same bridge',
  // Not timely: what inherits a real-time priority can't be put into a container's cgroup.
  async measure(scale: Scale): Promise<Result> {
    if (!scale.peers) return { figures: [], bars: [], notes: ['not asked for'] }
    await using ground = await Ground.open()
    await ground.warmUp(scale.samples(warmCreates))
    await using yardstick = await Yardstick.on(ground)
    using floor = await Floor.start(ground.network)
    const notes: string[] = []
    const found: { readonly peer: Peer; readonly bar: number | undefined }[] = []
    for (const { start, bar } of all) {
      const peer = await start(siteOf(ground)).catch((error: Error) => new Missing(`${start.name} could not be set up: ${error.message}`))
      if (peer instanceof Missing) notes.push(`without ${peer.what}`)
      else found.push({ peer, bar })
    }
    const shown: Figure[] = []
    const bars: Bar[] = []
    try {
      for (const size of new Set(sizes.map(one => scale.crowd(one)))) {
        await ground.crowd(size)
        const turns = { rounds: scale.samples(25), warmup: 2, rest }
        const own = [ownRival(ground), bareRival(yardstick), planRival(ground, floor)]
        const measured = await alternate([...own, ...found.map(({ peer }) => peer)], turns)
        const [ours, , , ...theirs] = measured
        if (!ours) continue
        shown.push(...figures(measured, { beside: size }))
        for (const [i, their] of theirs.entries()) {
          const bar = found[i]?.bar
          if (bar !== undefined) bars.push(barOf(`${their.who} to netmode, ${size} there`, their, ours, 'at least', bar))
        }
      }
    } finally {
      for (const { peer } of found) await peer[Symbol.asyncDispose]()
    }
    return { figures: shown, bars, notes }
  },
}
