/** Asking for names as a sandbox does: by `dig`, which shows all that came back. */
import { text } from 'node:stream/consumers'
import type { Sandbox } from '../../lib/index.js'

/** An answer as `dig` tells it. */
export interface Dug {
  /** `NOERROR`, `NXDOMAIN`, …; `silent` when nothing came. */
  readonly status: string
  /** `web 5 A 10.0.0.2`, sorted. */
  readonly answers: readonly string[]
  /** `udp` or `tcp`: how the answer came in the end. */
  readonly by: string
  readonly all: string
}

/** `dig …` in the sandbox, one try. Its server is that of the sandbox's resolv.conf unless `@address` is among the words. */
export async function dig(sandbox: Sandbox, ...words: string[]): Promise<Dug> {
  const child = sandbox.spawn('dig', ['+tries=1', '+timeout=5', ...words])
  if (!child.stdout) throw new Error('needs a pipe')
  const all = await text(child.stdout)
  const section = /;; ANSWER SECTION:\n([\s\S]*?)\n\n/.exec(all)?.[1] ?? ''
  return {
    status: /status: (\w+)/.exec(all)?.[1] ?? 'silent',
    answers: section
      .split('\n')
      .filter(Boolean)
      .map(line =>
        line
          .split(/\s+/)
          .filter(word => word !== 'IN')
          .join(' ')
          .replace('. ', ' '),
      )
      .sort(),
    by: (/SERVER: .*\((\w+)\)$/m.exec(all)?.[1] ?? '').toLowerCase(),
    all,
  }
}

/** The addresses (or names) alone. */
export async function dug(sandbox: Sandbox, ...words: string[]): Promise<readonly string[]> {
  return (await dig(sandbox, ...words)).answers.map(line => line.split(' ').at(-1) ?? '')
}
