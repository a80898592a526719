/** The ruleset over the whole matrix of options. */
import { describe, expect, it } from 'vitest'
import { type NftVerb, nftText } from '../../lib/firewall/nft-text.js'
import type { Step } from '../../lib/plan/op.js'
import { combinations } from '../setup/option-matrix.js'

const all = combinations()
const made = all.filter(one => one.steps !== undefined)
const isNft = ({ apply }: Step): boolean => apply.op.startsWith('nft.')

/** `masquerade4 { 10.7.0.0/24 }` */
const short = ({ apply }: Step): string => {
  if (apply.op === 'sysctl.set') return `${apply.key}=${apply.value}`
  return nftText(apply as NftVerb).replace('add element inet netmode ', '')
}
const elements = (steps: readonly Step[] = []): string[] => steps.filter(isNft).map(short)
const settings = (steps: readonly Step[] = []): string[] => steps.filter(({ apply }) => apply.op === 'sysctl.set').map(short)

describe(`the ruleset of ${all.length} combinations of options`, () => {
  it('is as it was', async () => {
    expect(new Set(all.map(({ key }) => key)).size).toBe(all.length)
    expect(all.length).toBeGreaterThanOrEqual(300)
    const lines = all.map(({ key, steps, refusal }) => `${key}: ${refusal ?? [...elements(steps), ...settings(steps)].join(', ')}`)
    await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('rulesets.golden.txt')
  })

  it('is the same table with the same number of rules for every network, and none where there are to be none', () => {
    const tables = new Map<string, Set<string>>()
    for (const { key, config, steps = [], table } of all) {
      expect(steps.filter(({ apply }) => isNft({ apply }) && apply.op !== 'nft.element.add').length, key).toBe(0)
      if (!config.iptables) expect([...table, ...steps].filter(isNft), key).toEqual([])
      const under = `iptables ${config.iptables}, ip6tables ${config.ip6tables}`
      tables.set(under, (tables.get(under) ?? new Set()).add(JSON.stringify(table)))
    }
    expect([...tables.values()].map(({ size }) => size)).toEqual([1, 1, 1])
  })

  it('names no IPv6 where IPv6 is to be left alone', () => {
    for (const { key, config, steps } of made)
      if (!config.ip6tables)
        expect(
          elements(steps).filter(text => /fd0|:.*:/.test(text.split(' { ')[1] ?? '')),
          key,
        ).toEqual([])
  })

  it('lets out as it was told: hidden, with a fixed address, as it is, or not at all', () => {
    for (const { key, options, config, steps } of made.filter(one => one.config.iptables)) {
      const snat = [options.snat ?? []].flat()
      for (const subnet of (options.subnets ?? []) as readonly string[]) {
        const version = subnet.includes(':') ? 6 : 4
        if (version === 6 && !config.ip6tables) continue
        const fixed = snat.find(address => address.includes(':') === (version === 6))
        const ways = elements(steps).filter(text => /^(masquerade|snat)/.test(text) && text.includes(subnet))
        const wanted =
          options.internal || !options.masquerade
            ? []
            : [fixed ? `snat${version} { ${subnet} : ${fixed} }` : `masquerade${version} { ${subnet} }`]
        expect(ways, key).toEqual(wanted)
      }
    }
  })

  it('takes out what it has put in', () => {
    for (const { key, steps = [] } of made) {
      for (const { apply, undo } of steps.filter(isNft)) {
        expect(nftText(undo as NftVerb).replace(/^delete/, 'add'), key).toBe(nftText({ ...apply, data: undefined } as unknown as NftVerb))
      }
    }
  })
})
