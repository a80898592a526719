// The benchmark: builds what it needs and starts bench/main.ts. See bench/README.md, or
//
//   npm run bench -- --help
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { root } from '../scripts/stamp.mjs'

// What the comparison needs beside what the tests need, as Debian names it.
const kPeers = [
  'netavark',
  'containernetworking-plugins',
  'docker.io',
  'busybox-static',
  'python3-pyroute2',
  'golang',
  'golang-github-vishvananda-netlink-dev',
  'iptables',
  'valgrind',
]

function installPeers() {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  for (const args of [
    ['update', '-q'],
    ['install', '-y', '--no-install-recommends', ...kPeers],
  ]) {
    const { status } = spawnSync('apt-get', args, { env, stdio: 'inherit' })
    if (status !== 0) throw new Error(`apt-get ${args.join(' ')} failed`)
  }
}

const options = process.argv.slice(2)
if (options.includes('--install')) {
  installPeers()
} else {
  const { buildPrograms, bundle, kFolder } = await import('./build.mjs')
  buildPrograms()
  await bundle()
  const { status, signal } = spawnSync(process.execPath, [join(root, kFolder, 'main.mjs'), ...options], { stdio: 'inherit' })
  process.exitCode = signal ? 1 : status
}
