/** The way to a native thread and back with nothing to do there: what no call of netmode's can be faster than. */
import { type NativeSession, native, toJson } from '../lib/native.js'
import type { Plan } from '../lib/plan/op.js'

export class NativeTrips implements Disposable {
  readonly #session: NativeSession = new (native().Session)()

  /** Runs a plan as the library does, without the library. */
  run(plan: Plan): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#session.run(toJson(plan), ({ failure }) => {
        if (failure) reject(new Error(`${failure.syscall}: errno ${failure.errno}`))
        else resolve()
      })
    })
  }

  [Symbol.dispose](): void {
    this.#session.close(() => {})
  }
}
