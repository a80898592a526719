// From a bare clone to a tree that runs: system packages, npm packages, the native build; what is there already is not done again.
//
//   node scripts/setup.mjs          what the tests need
//   node scripts/setup.mjs --dist   and the bundle in dist/ (the command line, the demo, the benchmarks)
//   node scripts/setup.mjs --dev    and the tools of lint, sanitizers and fuzzers
//   node scripts/setup.mjs --kernels  and what boots other kernels (npm run test:kernels)
//   node scripts/setup.mjs --peers    and Docker, NetworkManager and firewalld, for the tests beside them
//
// NETMODE_NO_INSTALL=1 keeps it from installing system packages. Node builtins only: it runs before node_modules exists.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { root } from './stamp.mjs'

const kOptions = ['--dist', '--dev', '--kernels', '--peers', '--locked']
const options = process.argv.slice(2)
const say = text => process.stderr.write(`netmode setup: ${text}\n`)

// Debian's package → what shows that it is there: a program in PATH (sbin included) or a file, by any of its paths.
const kBuildPackages = {
  'g++': ['g++'],
  make: ['make'],
  python3: ['python3'],
  'libnftnl-dev': ['/usr/include/libnftnl/rule.h'],
}
const kTestPackages = {
  'util-linux': ['unshare'],
  iproute2: ['ip'],
  nftables: ['nft'],
  iptables: ['iptables', 'iptables-legacy'],
  'iputils-ping': ['ping'],
  procps: ['ps'],
  strace: ['strace'],
  conntrack: ['conntrack'],
  'bridge-utils': ['brctl'],
  'bind9-dnsutils': ['dig'],
  'busybox-static': ['busybox'],
  systemd: ['/lib/systemd/systemd-networkd'],
}
// The others' own programs, to be compared with: heavy, so only CI and those who ask get them. Without, such tests skip by name.
const kPeerPackages = {
  'docker.io': ['dockerd'],
}
const kDeveloperPackages = {
  cmake: ['cmake'],
  'clang-19': ['clang-19'],
  'clang-format-19': ['clang-format-19'],
  'clang-tidy-19': ['clang-tidy-19'],
  'libclang-rt-19-dev': ['/usr/lib/llvm-19/lib/clang/19/lib/linux'],
  'doctest-dev': ['/usr/include/doctest/doctest.h'],
  'libmnl-dev': ['/usr/include/libmnl/libmnl.h'],
}
const kKernelPackages = {
  'qemu-system-x86': ['qemu-system-x86_64'],
  'busybox-static': ['busybox'],
  kmod: ['modprobe'],
}

function isThere(probe) {
  if (probe.startsWith('/')) return existsSync(probe)
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin']
  return folders.some(folder => {
    try {
      accessSync(join(folder, probe), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** Runs a command with its output shown only when it fails; then ends the set-up with its status. */
function step(title, command, args, { env = process.env } = {}) {
  say(title)
  const result = spawnSync(command, args, { cwd: root, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 })
  if (result.status === 0) return
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`)
  say(`failed: ${command} ${args.join(' ')} (${result.error?.message ?? `status ${result.status}`})`)
  process.exit(result.status || 1)
}

function installSystemPackages(wanted) {
  const missing = Object.keys(wanted).filter(name => !wanted[name].some(isThere))
  if (missing.length === 0) return
  const line = `apt-get install -y --no-install-recommends ${missing.join(' ')}`
  if (!isThere('apt-get') || process.getuid() !== 0 || process.env.NETMODE_NO_INSTALL === '1') {
    say(isThere('apt-get') ? 'system packages are missing; as root run:' : 'system packages are missing (named here as Debian names them):')
    say(`  ${line}`)
    process.exit(1)
  }
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  step('apt-get update', 'apt-get', ['update', '-q'], { env })
  step(line, 'apt-get', line.split(' ').slice(1), { env })
}

/** True when node_modules holds what the lock file names; packages for other platforms may be absent. */
function areModulesCurrent() {
  const installed = join(root, 'node_modules/.package-lock.json')
  if (!existsSync(installed)) return false
  const there = JSON.parse(readFileSync(installed, 'utf8')).packages
  const locked = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
  return Object.entries(locked).every(
    ([path, { version, optional }]) => path === '' || there[path]?.version === version || (optional && !there[path]),
  )
}

function installModules() {
  if (areModulesCurrent()) return
  // Under npm, the npm that runs us; it is a script of Node's.
  const npm = process.env.npm_execpath?.endsWith('.js') ? [process.execPath, process.env.npm_execpath] : ['npm']
  step('npm ci', npm[0], [...npm.slice(1), 'ci', '--no-audit', '--no-fund'])
}

async function main() {
  const unknown = options.filter(option => !kOptions.includes(option))
  if (unknown.length > 0) {
    say(`unknown option ${unknown.join(' ')}; it knows --dist, --dev, --kernels and --peers`)
    process.exit(2)
  }
  const developer = options.includes('--dev') ? kDeveloperPackages : {}
  const kernels = options.includes('--kernels') ? kKernelPackages : {}
  const peers = options.includes('--peers') ? kPeerPackages : {}
  installSystemPackages({ ...kBuildPackages, ...kTestPackages, ...developer, ...kernels, ...peers })
  if (options.includes('--peers')) {
    const { fetchManagers } = await import('./peers/managers.mjs')
    fetchManagers(say)
  }
  installModules()
  const { isNativeCurrent } = await import('./native-build.mjs')
  if (!isNativeCurrent()) step('building the native part', process.execPath, ['scripts/native-build.mjs'])
  if (options.includes('--dist')) {
    const { isDistCurrent } = await import('./build.mjs')
    if (!isDistCurrent()) step('building dist', process.execPath, ['scripts/build.mjs', '--no-native'])
  }
}

if (options.includes('--locked') || !isThere('flock')) {
  await main()
} else {
  // Two at once in one tree (a test run and a demo) take turns; the lock is on this file and the kernel drops it with the process.
  const self = fileURLToPath(import.meta.url)
  const { status, signal } = spawnSync('flock', [self, process.execPath, self, '--locked', ...options], { stdio: 'inherit' })
  process.exitCode = signal ? 1 : status
}
