/** Programs on the machine that take links for theirs, and what keeps them from it. Pure. */
import type { Finding } from '../contract.js'
import { type Check, type Facts, outgoing } from './facts.js'

type Configuration = Facts['configuration']

/** Texts of the files in such folders. */
const textsIn = (configuration: Configuration, folder: RegExp): readonly string[] =>
  Object.entries(configuration).flatMap(([path, text]) => (folder.test(path) ? [text] : []))

/** Names of links as those programs write them: the host's ends, and the bridges. */
function patterns({ networks }: Facts): readonly string[] {
  const usual = ['veth*', 'br-*', 'netmode*']
  const others = networks.map(({ device }) => device).filter(device => !usual.some(pattern => fits(device, pattern)))
  return [...usual, ...others]
}

/** With `*` and `?`, as in a shell. */
function fits(name: string, pattern: string): boolean {
  const escaped = pattern.replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`).test(name)
}

/** Without a file that matches them, networkd leaves links alone: but one that matches everything is common. */
const networkd: Check = facts => {
  const files = textsIn(facts.configuration, /\/systemd\/network\/[^/]*\.network$/)
  const leaves = (text: string) => /^\s*Unmanaged\s*=\s*(yes|true|1)/m.test(text)
  const claims = files.filter(text => /^\s*Name\s*=.*(\*|veth|br-|netmode)/m.test(text) && !leaves(text))
  if (claims.length === 0 || files.some(text => leaves(text) && /veth\*/.test(text))) return []
  const file = `[Match]\\nName=${patterns(facts).join(' ')}\\n\\n[Link]\\nUnmanaged=yes\\n`
  return [taken('systemd-networkd', `printf '${file}' > /etc/systemd/network/00-netmode.network && networkctl reload`)]
}

/** It manages every link that its configuration doesn't except; on a veth pair's end without an address it even asks for one. */
const networkManager: Check = facts => {
  const left = textsIn(facts.configuration, /\/NetworkManager\//).flatMap(unmanaged)
  const wanted = ['veth0', ...facts.networks.map(({ device }) => device)]
  if (wanted.every(name => left.some(pattern => fits(name, pattern)))) return []
  const devices = patterns(facts).map(pattern => `interface-name:${pattern}`)
  const file = `[keyfile]\\nunmanaged-devices=${devices.join(';')}\\n`
  return [taken('NetworkManager', `printf '${file}' > /etc/NetworkManager/conf.d/netmode.conf && nmcli general reload`)]
}

/** Patterns of names of links; those by other properties are not known here. */
function unmanaged(text: string): readonly string[] {
  const values = [...text.matchAll(/^\s*unmanaged-devices\s*\+?=(.*)$/gm)].flatMap(([, value = '']) => value.split(/[;,]/))
  return values.map(value => value.trim().replace(/^interface-name:=?/, '')).filter(value => value !== '')
}

function taken(name: string, remedy: string): Finding {
  return {
    id: `claimed-by-${name.toLowerCase()}`,
    severity: 'warning',
    message: `${name} is running, and may take netmode's links for its own: addresses and masters would be taken away again`,
    remedy,
  }
}

/** The table of firewalld's own, in the family inet. */
export const firewalldTable = 'firewalld'

/** A bridge of no zone is in the default one. That rejects what is forwarded, unless its target is ACCEPT. */
const firewalld: Check = facts => {
  const devices = outgoing(facts).map(({ device }) => device)
  const rejected = devices.filter(device => forwards(facts, device) === false)
  const unknown = devices.filter(device => forwards(facts, device) === undefined && !hasZone(facts.configuration, device))
  const stopped = [...rejected, ...unknown]
  if (stopped.length === 0) return []
  const zones = stopped.map(device => `firewall-cmd --permanent --zone=trusted --add-interface=${device}`)
  return [
    {
      id: 'claimed-by-firewalld',
      severity: rejected.length > 0 ? 'error' : 'warning',
      message: `firewalld is running, and ${stopped.join(', ')} ${stopped.length > 1 ? 'are' : 'is'} in a zone that ${rejected.length > 0 ? 'rejects' : 'may reject'} what sandboxes send beyond their bridge`,
      remedy: [...zones, 'firewall-cmd --reload'].join(' && '),
    },
  ]
}

/** Whether the zone of a device forwards all; undefined where its rules are elsewhere (iptables), or can't be read. */
function forwards({ ruleset }: Facts, device: string): boolean | undefined {
  const rules = (ruleset?.rules ?? []).filter(({ family, table }) => family === 'inet' && table === firewalldTable)
  const choices = rules.filter(({ chain, oifname }) => chain === 'filter_FORWARD_ZONES' && oifname === undefined)
  const zone = choices.find(({ iifname }) => iifname === undefined || fits(device, iifname))?.target
  return zone === undefined
    ? undefined
    : rules.some(
        ({ chain, expressions, verdict }) =>
          chain === zone && verdict === 'accept' && expressions.every(name => name === 'immediate' || name === 'counter'),
      )
}

const hasZone = (configuration: Configuration, device: string): boolean =>
  textsIn(configuration, /\/firewalld\/zones\//).some(text => text.includes(`<interface name="${device}"`))

/** By their names in /proc/PID/comm (15 bytes). */
const managers: Readonly<Record<string, Check>> = { 'systemd-network': networkd, NetworkManager: networkManager, firewalld }

export const claimedLinks: Check = facts =>
  facts.networks.length === 0
    ? []
    : Object.entries(managers).flatMap(([program, check]) => (facts.managers.includes(program) ? check(facts) : []))
