/** `netmode recover`: puts right what a dead process or others left behind, and says what. */
import type { Fill } from './cli.js'
import { list } from './table.js'

export const recover: Fill = (command, cli) => {
  command.action(async () => {
    // Not by opening the host: that repairs without telling.
    const recovery = await cli.withHost((host, op) => host.recover(op), { repair: false })
    const { rolledBack, repaired, damaged } = recovery
    cli.print(
      recovery,
      list([
        ...rolledBack.map(name => `rolled back: ${name}`),
        ...repaired.map(name => `repaired: ${name}`),
        ...damaged.map(name => `set aside, damaged: ${name}`),
      ]),
    )
  })
}
