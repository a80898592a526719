/** `netmode dns`: serves names for as long as it runs, for sandboxes that outlive the programs that made them. */
import { once } from 'node:events'
import type { Fill } from './cli.js'

export const dns: Fill = (command, cli) => {
  command.action(async () => {
    // An open host doesn't keep a process alive.
    const alive = setInterval(() => {}, 2 ** 31 - 1)
    const work = async ({ nameService }: Parameters<Parameters<typeof cli.withHost>[0]>[0]) => {
      const { signal } = cli.signals
      const ended = once(signal, 'abort')
      if (nameService.role === 'waiting') process.stderr.write('another process serves names; waiting for its end\n')
      await Promise.race([nameService.serve({ signal }).catch(error => !signal.aborted && Promise.reject(error)), ended])
      if (signal.aborted) return
      cli.print({ role: nameService.role }, 'serving\n')
      await ended // as a server is meant to end
    }
    try {
      await cli.withHost(work, { nameService: true })
    } finally {
      clearInterval(alive)
    }
  })
}
