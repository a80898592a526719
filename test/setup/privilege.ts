import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, TestRunner, test } from 'vitest'

declare module 'vitest' {
  interface TaskMeta {
    /** On a test file: what `requires` found missing. For reporters. */
    lacking?: string[]
  }
}

/**
 * What a test may need beside Node:
 * - `root`: root in a private network namespace (scripts/in-namespace.sh gives it, without being root too);
 * - `realRoot`: root of the machine, not only of a user namespace (device nodes, other users' processes);
 * - `program:NAME`: a program in PATH;
 * - `link:KIND`: a link type that this kernel can make, as `ip link add type KIND`;
 * - `/dev/net/tun`: the kernel's TUN/TAP;
 * - `userns`: anyone may make a user namespace, with namespaces of networks and mounts in it;
 * - `br_netfilter`: the kernel's bridge filter is loaded;
 * - `ownMachine`: nobody else is on this machine, so its kernel's limits may be changed: QEMU's (scripts/kernels.mjs);
 * - `nftProtocolKeys`: the nft here can put in rules whose key begins with the protocol. 1.0.6 has them swap the bytes of that one byte, which
 *   6.12.117 refuses (ours don't);
 * - `managers`: NetworkManager and firewalld, unpacked (scripts/setup.mjs --peers), and overlayfs to lay them over this system;
 * - `dockerd`: Docker, and a machine on which it can run containers, which another container is not (NETMODE_TEST_WITHOUT_DOCKER=1).
 */
export type Need =
  | 'root'
  | 'realRoot'
  | 'br_netfilter'
  | 'ownMachine'
  | 'userns'
  | 'dockerd'
  | 'managers'
  | 'nftProtocolKeys'
  | `program:${string}`
  | `link:${string}`
  | '/dev/net/tun'

const isPrivateRoot = (): boolean => process.getuid?.() === 0 && process.env.NETMODE_PRIVATE === '1'

function isInPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some(folder => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** True outside of user namespaces: there the first line of uid_map covers every id. */
function isMachineRoot(): boolean {
  return isPrivateRoot() && spawnSync('grep', ['-qE', '^ +0 +0 +4294967295$', '/proc/self/uid_map']).status === 0
}

function canMakeLink(kind: string): boolean {
  if (!isPrivateRoot()) return false
  const ip = (...args: string[]): boolean => spawnSync('ip', args, { stdio: 'ignore' }).status === 0
  // macvlan, ipvlan and vlan want a parent; the others ignore that there is one.
  ip('link', 'add', 'probe0', 'type', 'bridge')
  const parent = ['macvlan', 'macvtap', 'ipvlan', 'vlan'].includes(kind) ? ['link', 'probe0'] : []
  const extra = kind === 'vlan' ? ['id', '7'] : kind === 'vxlan' ? ['id', '7', 'dstport', '4789'] : []
  const made = ip('link', 'add', ...parent, 'name', 'probe1', 'type', kind, ...extra)
  ip('link', 'delete', 'probe1')
  ip('link', 'delete', 'probe0')
  return made
}

function canPutInProtocolKeys(): boolean {
  if (!isPrivateRoot()) return false
  const key = 'add rule inet probe one meta l4proto . th dport @keys'
  const set = 'add set inet probe keys { type inet_proto . inet_service; flags interval; }'
  const nft = (input: string): boolean => spawnSync('nft', ['-f', '-'], { input, stdio: ['pipe', 'ignore', 'ignore'] }).status === 0
  const could = nft(`add table inet probe\n${set}\nadd chain inet probe one\n${key}\n`)
  nft('delete table inet probe\n')
  return could
}

/** Where scripts/peers/managers.mjs unpacks them. */
export const managersFolder = fileURLToPath(new URL('../../build-peers/managers', import.meta.url))

/** `privilege`: the machine could give it, CI must. `kernel`: this kernel, or this container, lacks it, and no setting changes that. */
function lacking(need: Need): { kind: 'privilege' | 'kernel'; text: string } | undefined {
  if (need === 'root') return isPrivateRoot() ? undefined : { kind: 'privilege', text: 'root in a private namespace' }
  if (need === 'realRoot') return isMachineRoot() ? undefined : { kind: 'privilege', text: 'root of the machine' }
  if (need === 'br_netfilter') return existsSync('/proc/sys/net/bridge') ? undefined : { kind: 'kernel', text: 'br_netfilter' }
  if (need === 'ownMachine')
    return process.env.NETMODE_OWN_MACHINE === '1' ? undefined : { kind: 'kernel', text: 'a machine of its own (npm run test:kernels)' }
  if (need === 'nftProtocolKeys')
    return canPutInProtocolKeys()
      ? undefined
      : { kind: 'kernel', text: 'an nft whose rules with protocols in their keys this kernel takes' }
  if (need === 'userns')
    return spawnSync('unshare', ['-Urnm', 'true']).status === 0 ? undefined : { kind: 'kernel', text: 'user namespaces for anyone' }
  if (need === 'dockerd') {
    return process.env.NETMODE_TEST_WITHOUT_DOCKER === '1' ? { kind: 'kernel', text: 'a machine for dockerd' } : lacking('program:dockerd')
  }
  if (need === 'managers') {
    const there = existsSync(managersFolder) && readFileSync('/proc/filesystems', 'utf8').includes('\toverlay\n')
    return there ? undefined : { kind: 'kernel', text: 'NetworkManager and firewalld (scripts/setup.mjs --peers)' }
  }
  if (need === '/dev/net/tun') return existsSync(need) ? undefined : { kind: 'kernel', text: need }
  const [kind, name = ''] = need.split(':', 2)
  if (kind === 'program') return isInPath(name) ? undefined : { kind: 'privilege', text: `the program ${name}` }
  if (!isPrivateRoot()) return { kind: 'privilege', text: 'root in a private namespace' }
  return canMakeLink(name) ? undefined : { kind: 'kernel', text: `links of type ${name}` }
}

/**
 * `test` and `describe` for tests with these needs: `const { test } = requires('root', 'link:macvlan')`.
 *
 * Where a privilege or a program is missing the tests are skipped by name, and with CI=true the file fails: there they must run.
 * What the *kernel* (or a container) lacks is skipped everywhere, and said on stderr.
 */
export function requires(...needs: Need[]): { test: ReturnType<typeof test.skipIf>; describe: ReturnType<typeof describe.skipIf> } {
  const missing = needs.map(lacking).filter(lack => lack !== undefined)
  const privileges = missing.filter(lack => lack.kind === 'privilege')
  if (privileges.length > 0 && process.env.CI === 'true') {
    throw new Error(`in CI these tests must run; they need ${privileges.map(lack => lack.text).join(' and ')}`)
  }
  if (missing.length > 0) {
    process.stderr.write(`skipped: this needs ${missing.map(lack => lack.text).join(' and ')}\n`)
    const { file } = TestRunner.getCurrentSuite()
    if (file) file.meta.lacking = [...new Set([...(file.meta.lacking ?? []), ...missing.map(lack => lack.text)])]
  }
  return { test: test.skipIf(missing.length > 0), describe: describe.skipIf(missing.length > 0) }
}
