/** A sample of the option matrix, made by the addon and by nft from the text: the kernel holds the same. */
import { spawnSync } from 'node:child_process'
import { afterEach, expect } from 'vitest'
import { type NftVerb, nftText } from '../../lib/firewall/nft-text.js'
import { KernelMechanism } from '../../lib/plan/mechanism.js'
import type { Step } from '../../lib/plan/op.js'
import { isLong, score } from '../reliability/scorecard.js'
import { combinations } from '../setup/option-matrix.js'
import { requires } from '../setup/privilege.js'

const { test } = requires('root', 'program:nft', 'nftProtocolKeys')

/** Each seventh: no number of values that an option has divides it, so that every value comes along. In the long form all. */
const sample = combinations().filter(({ steps, config }, i) => (isLong || i % 7 === 0) && steps && config.iptables)

function nft(input: string | undefined, ...args: string[]): string {
  const { LD_PRELOAD: _, ...env } = process.env
  const { stdout, stderr, status } = spawnSync('nft', args, { input, encoding: 'utf8', env })
  expect(stderr).toBe('')
  expect(status).toBe(0)
  return stdout
}

/** Elements of a hash set have no order, and handles no meaning. */
function ruleset(): string[] {
  const { nftables } = JSON.parse(nft(undefined, '-j', 'list', 'ruleset')) as { nftables: Record<string, { elem?: unknown[] }>[] }
  for (const { elem } of nftables.flatMap(one => Object.values(one))) elem?.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
  return nftables.map(one => JSON.stringify(one, (key, value: unknown) => (key === 'handle' ? undefined : value)))
}

afterEach(() => {
  nft(undefined, 'flush', 'ruleset')
})

test(`${sample.length} of the combinations`, { timeout: 600_000 }, async () => {
  expect(sample.length).toBeGreaterThanOrEqual(30)
  const mechanism = new KernelMechanism()
  let objects = 0
  for (const { key, table, steps = [] } of sample) {
    const plan = [...table, ...steps].filter(({ apply }) => apply.op.startsWith('nft.'))
    await mechanism.run(plan.map(({ apply }): Step => ({ apply })))
    const native = ruleset()
    objects += native.length
    nft(undefined, 'flush', 'ruleset')
    nft(plan.map(({ apply }) => nftText(apply as NftVerb)).join('\n'), '-f', '-')
    expect(ruleset(), key).toEqual(native)
    nft(undefined, 'flush', 'ruleset')
  }
  await mechanism.close()
  score(
    9,
    'what the addon and nft make of the same rules',
    `${sample.length} rulesets, ${objects} tables, chains, sets and rules, 0 differences`,
  )
})
