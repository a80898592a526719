/** Text that others choose stays text: in the kernel's comments, and in what `explain` has sh and nft read. */
import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { afterEach, beforeEach, expect } from 'vitest'
import type { NftListing } from '../../lib/native.js'
import { explain } from '../../lib/plan/explain.js'
import { KernelMechanism } from '../../lib/plan/mechanism.js'
import type { Step } from '../../lib/plan/op.js'
import { requires } from '../setup/privilege.js'

const { test } = requires('root', 'program:nft')

const { LD_PRELOAD: _, ...env } = process.env
const run = (command: string, ...args: string[]): string => execFileSync(command, args, { encoding: 'utf8', env })

let mechanism: KernelMechanism
beforeEach(() => {
  mechanism = new KernelMechanism()
})
afterEach(async () => {
  run('nft', 'flush', 'ruleset')
  await mechanism.close()
})

/** As nft has it: everything that there is, without handles. */
function ruleset(): unknown[] {
  const { nftables } = JSON.parse(run('nft', '-j', 'list', 'ruleset')) as { nftables: unknown[] }
  return JSON.parse(JSON.stringify(nftables.slice(1), (key, value: unknown) => (key === 'handle' ? undefined : value))) as unknown[]
}

const place = { family: 'inet', table: 'netmode' } as const
const plan = (text: string): Step[] => [
  { apply: { op: 'nft.table.add', ...place, comment: text } },
  { apply: { op: 'nft.set.add', ...place, set: 'bridges', key: ['ifname'] } },
  { apply: { op: 'nft.element.add', ...place, set: 'bridges', key: [{ ifname: 'br0' }], comment: text } },
]

/** What a path or a name may be made of, and what nft, sh and C would take for more than text. */
const piece = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.constantFrom(
    '"',
    "'",
    '\\',
    '\\"',
    '; flush ruleset; ',
    '}',
    '{',
    '\n',
    '$(reboot)',
    '`reboot`',
    '$IFS',
    '#',
    '@bridges',
    '*',
    '%s',
    '//',
    '..',
  ),
)
const text = fc
  .array(piece, { minLength: 1, maxLength: 6 })
  .map(pieces =>
    Buffer.from(pieces.join(''))
      .toString()
      .replaceAll(/\p{Cc}/gu, one => (one === '\n' ? one : '')),
  )
  // nft prints comments of 128 bytes at most.
  .filter(one => one.length > 0 && Buffer.byteLength(one) < 100)

test('a comment in the kernel is its text, and nothing else comes to be', async () => {
  await fc.assert(
    fc.asyncProperty(text, async comment => {
      await mechanism.run(plan(comment))
      const [table, set, ...rest] = ruleset() as [{ table: object }, { set: { elem: object[] } }]
      expect(rest).toEqual([])
      expect(table.table).toEqual({ family: 'inet', name: 'netmode' }) // nft's JSON leaves a table's comment out
      const [listing] = (await mechanism.run([{ apply: { op: 'nft.list', family: 'inet' } }])) as [NftListing]
      expect(listing.tables).toMatchObject([{ name: 'netmode', comment }])
      expect(set.set.elem).toEqual([{ elem: { val: 'br0', comment } }])
      run('nft', 'flush', 'ruleset')
    }),
    { numRuns: 100 },
  )
})

test('an explanation that sh and nft read makes the same, but for the quotation marks that nft has no way to write', async () => {
  await fc.assert(
    fc.asyncProperty(text, async comment => {
      run('sh', '-euc', explain(plan(comment)))
      const made = ruleset()
      run('nft', 'flush', 'ruleset')
      await mechanism.run(plan(comment.replaceAll('"', "'")))
      expect(made).toEqual(ruleset())
      run('nft', 'flush', 'ruleset')
    }),
    { numRuns: 60 },
  )
})
