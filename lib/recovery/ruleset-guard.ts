/** While a host is open: sees to it that the ruleset stays, whoever flushes it. */
import type { Context } from '../context.js'
import { tableName } from '../firewall/table.js'
import type { NativeEvent, NativeWatch } from '../native.js'

/**
 * A socket on which the kernel tells of tables, chains and rules that go, and a thread that waits for it. Elements are filtered out in the
 * kernel, so that sandboxes which come and go wake nobody.
 */
export class RulesetGuard {
  readonly #context: Context
  readonly #repair: () => Promise<unknown>
  #watch: NativeWatch | undefined
  #atWork: Promise<void> | undefined
  #again = false
  #closed = false

  /** `repair`: looks whether everything is there, and makes it anew if not. */
  constructor(context: Context, repair: () => Promise<unknown>) {
    this.#context = context
    this.#repair = repair
  }

  /** From when there is a table to look after. Again is fine. */
  start(): void {
    if (this.#watch !== undefined || this.#closed) return
    this.#watch = this.#context.mechanism.watch({ tables: true }, () => this.#look())
  }

  /** Waits for a repair that is under way. */
  async close(): Promise<void> {
    this.#closed = true
    this.#watch?.close()
    await this.#atWork
  }

  #look(): void {
    if (!this.#watch?.take().some(concerns)) return
    this.#again = true
    this.#atWork ??= this.#work().finally(() => {
      this.#atWork = undefined
    })
  }

  async #work(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false
      // What fails now fails for the next change of this host as well, and is told there; so does the next open.
      await this.#repair().catch(() => {})
    }
  }
}

function concerns(event: NativeEvent): boolean {
  if (event.type === 'overrun') return true
  return event.type === 'ruleset' && event.action === 'delete' && event.object.table === tableName
}
