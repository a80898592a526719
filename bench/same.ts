/** Makes sure that rivals do the same: looks at what two samples left in the kernel and on disk. */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { type Sample, substitute } from './rivals.js'

const common: Sample = { name: 'SANDBOX', hostIfname: 'LINK', mac: 'MAC', address: 'ADDRESS' }

/** All that a sample consists of as text, with its own names and addresses replaced by common ones. */
export function describe(sample: Sample, stateDir: string, { full }: { readonly full: boolean }): string {
  const inside = (...command: string[]): string => run('nsenter', `--net=/run/netns/${sample.name}`, ...command)
  const kernel = [
    run('ip', '-d', '-o', 'link', 'show', sample.hostIfname),
    inside('ip', '-d', '-o', 'link', 'show'),
    inside('ip', '-4', '-o', 'address', 'show'),
    inside('ip', '-4', 'route', 'show', 'table', 'all'),
  ]
  const rest = [
    inside('cat', '/proc/sys/net/ipv4/conf/eth0/arp_notify', '/proc/sys/net/ipv6/conf/eth0/disable_ipv6'),
    run('nft', 'list', 'table', 'inet', 'netmode'),
    filesOf(sample, stateDir),
  ]
  const text = [...kernel, ...(full ? rest : [])].join('\n')
  return substitute(text, sample, common)
    .replace(/[0-9a-f]{64}/g, 'ID')
    .replace(/"created":"[^"]*"/g, '"created":"TIME"')
    .replace(/\d+: LINK@if\d+/g, 'LINK')
    .replace(/eth0@if\d+/g, 'eth0')
    .replace(/link\/ether \S+ brd ff:ff:ff:ff:ff:ff link-netns \S+/g, 'link/ether')
    .replace(/(veth|state) (\S+ )?(state|mode)/g, '$1 $3')
    .replace(/_timer\s+[0-9.]+/g, '_timer')
    .replace(/port_(id|no) \S+/g, 'port_$1')
}

function filesOf({ name, address }: Sample, stateDir: string): string {
  const record = readFileSync(join(stateDir, 'sandboxes', name, 'state.json'), 'utf8')
  const leases = readdirSync(join(stateDir, 'leases')).filter(id => existsSync(join(stateDir, 'leases', id)))
  const held = leases.flatMap(id => readdirSync(join(stateDir, 'leases', id))).filter(lease => lease === address)
  const ports = readdirSync(join(stateDir, 'ports'), { recursive: true }).map(String).sort()
  return [record, ...held, ...ports].join('\n')
}

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: 'utf8' })
}
