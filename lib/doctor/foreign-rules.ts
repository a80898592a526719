/** Rules and policies of others that stop what netmode forwards. Pure. */
import type { Finding } from '../contract.js'
import { tableName } from '../firewall/table.js'
import type { Chain, RuleState, Ruleset } from '../plan/kernel-objects.js'
import { type Check, outgoing } from './facts.js'
import { firewalldTable } from './managers.js'

const statements = ['immediate', 'counter', 'reject', 'target', 'log']

/** Does nothing but decide: no condition stands before it. */
function isBare({ expressions }: RuleState): boolean {
  return expressions.every(name => statements.includes(name))
}

/** Chains of others that packets of sandboxes pass on their way through the host. */
function inOurPath({ chains }: Ruleset): readonly Chain[] {
  return chains.filter(
    ({ table, family, base }) =>
      base?.type === 'filter' &&
      ['inet', 'ip', 'ip6'].includes(family) &&
      (base.hook === 'forward' || base.hook === 'prerouting') &&
      !(table === tableName && family === 'inet'),
  )
}

/** An `accept` of ours ends only our own chain; a drop is final wherever it is. */
export const foreignDrop: Check = facts => {
  const { ruleset } = facts
  if (ruleset === undefined) return []
  // What firewalld lets through goes by its zones: managers.ts.
  const chains = inOurPath(ruleset).filter(({ table }) => !(table === firewalldTable && facts.managers.includes('firewalld')))
  return chains.flatMap((chain): readonly Finding[] => {
    const asked = [...rulesAsked(ruleset, chain)]
    const last = asked.at(-1)
    const stopper = last && isBare(last) && (last.verdict === 'drop' || last.verdict === 'reject') ? last : undefined
    if (stopper === undefined && chain.base?.policy !== 'drop') return []
    const stopped = outgoing(facts)
      .map(({ device }) => device)
      .filter(device => !letsThrough(asked, device))
    if (stopped.length === 0) return []
    const where = `Table ${chain.family} ${chain.table}, chain ${stopper?.chain ?? chain.chain}`
    const who = `what comes from or goes to ${stopped.join(', ')}`
    return [
      {
        id: stopper ? 'foreign-drop-rule' : 'foreign-drop-policy',
        severity: 'error',
        message: stopper
          ? `${where}, rule handle ${stopper.handle} ${stopper.verdict}s all that comes to it (${chain.base?.hook}, priority ${chain.base?.priority}), ${who} too`
          : `${where} (${chain.base?.hook}, priority ${chain.base?.priority}) has a policy of drop, and none of its ${asked.length} rules accepts ${who}`,
        remedy: accepts(ruleset, chain, stopped),
      },
    ]
  })
}

/** The rules of a chain as a packet meets them that none of their conditions fits, up to the one that decides about it all the same. */
function* rulesAsked({ rules }: Ruleset, chain: Pick<RuleState, 'family' | 'table' | 'chain'>, depth = 8): Generator<RuleState, boolean> {
  for (const rule of rules.filter(one => one.family === chain.family && one.table === chain.table && one.chain === chain.chain)) {
    if (isBare(rule) && rule.target !== undefined && depth > 0) {
      if (yield* rulesAsked({ chains: [], rules }, { ...rule, chain: rule.target }, depth - 1)) return true
      if (rule.verdict === 'goto') return false
      continue
    }
    yield rule
    if (!isBare(rule)) continue
    if (rule.verdict === 'return') return false
    if (rule.verdict === 'accept' || rule.verdict === 'drop' || rule.verdict === 'reject') return true
  }
  return false
}

/** Is a bridge let through by rules that ask for nothing but the device, in both directions? */
function letsThrough(asked: readonly RuleState[], device: string): boolean {
  const only = ({ expressions, verdict }: RuleState) =>
    verdict === 'accept' && expressions.every(name => name === 'meta' || name === 'cmp' || statements.includes(name))
  const accepts = asked.filter(only)
  return (
    accepts.some(({ iifname, oifname }) => iifname === device && oifname === undefined) &&
    accepts.some(({ iifname, oifname }) => oifname === device && iifname === undefined)
  )
}

/** Rules at the head of that chain for what goes into bridges and comes out of them; netmode's own table still decides. */
function accepts({ chains }: Ruleset, { family, table, chain }: Chain, bridges: readonly string[]): string {
  // What iptables made is for iptables to change; Docker keeps a chain for such rules.
  const isIptables = (family === 'ip' || family === 'ip6') && chain === 'FORWARD'
  const users = chains.some(one => one.family === family && one.table === table && one.chain === 'DOCKER-USER')
  return bridges
    .flatMap(device =>
      isIptables
        ? ['-i', '-o'].map(
            flag => `${family === 'ip6' ? 'ip6tables' : 'iptables'} -I ${users ? 'DOCKER-USER' : chain} ${flag} ${device} -j ACCEPT`,
          )
        : ['iifname', 'oifname'].map(field => `nft insert rule ${family} ${table} ${chain} ${field} ${device} accept`),
    )
    .join(' && ')
}

/** iptables without nf_tables: its policies can't be seen from here. */
export const legacyFilter: Check = facts =>
  outgoing(facts).length > 0 && facts.legacyTables.includes('filter')
    ? [
        {
          id: 'legacy-iptables',
          severity: 'warning',
          message: "Legacy iptables has a filter table here, which netmode can't read: if its FORWARD drops, sandboxes reach nothing",
          remedy: `iptables-legacy -S FORWARD, and where it drops: ${outgoing(facts)
            .flatMap(({ device }) => [
              `iptables-legacy -I FORWARD -i ${device} -j ACCEPT`,
              `iptables-legacy -I FORWARD -o ${device} -j ACCEPT`,
            ])
            .join(' && ')}`,
        },
      ]
    : []

/** Our own table: gone or damaged, with networks that need it. */
export const ownTable: Check = ({ ruleset, networks }) =>
  ruleset !== undefined && networks.length > 0 && !ruleset.chains.some(({ family, table }) => family === 'inet' && table === tableName)
    ? [
        {
          id: 'ruleset-gone',
          severity: 'error',
          message: 'The table inet netmode is gone: nothing is published, nothing is masqueraded, networks are not isolated',
          remedy: 'netmode recover',
        },
      ]
    : []
