/** What of a call is not JavaScript around it: how long the last plan was away, from being handed over to its answer. */
import { native } from '../lib/native.js'

type Addon = ReturnType<typeof native>

export class LastTrip {
  /** Of the plan that was answered for last. */
  nanoseconds = Number.NaN

  private constructor() {}

  /** Of all sessions that are opened from now on. */
  static watch(): LastTrip {
    const last = new LastTrip()
    const addon = native() as { Session: Addon['Session'] }
    addon.Session = class extends addon.Session {
      override run(...[plan, done]: Parameters<InstanceType<Addon['Session']>['run']>): number {
        const start = process.hrtime.bigint()
        return super.run(plan, report => {
          last.nanoseconds = Number(process.hrtime.bigint() - start)
          done(report)
        })
      }
    }
    return last
  }
}
