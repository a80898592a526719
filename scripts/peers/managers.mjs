// NetworkManager and firewalld as Debian packs them, unpacked below build-peers/ and never installed: their services would start on this
// machine and take its links.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../stamp.mjs'

/** Laid over / in a mount namespace (test/setup/managers.ts), it is as if they were installed. */
const kManagersFolder = join(root, 'build-peers/managers')
const kPackages = ['network-manager', 'firewalld', 'dbus-daemon']

/** Fetches them through apt, with what they need and this machine lacks. Without apt there are none, and tests with them are skipped. */
export function fetchManagers(say) {
  if (existsSync(kManagersFolder)) return
  let names = missingPackages()
  if (names.length === 0 && process.getuid() === 0) {
    spawnSync('apt-get', ['update', '-q'], { stdio: 'ignore' })
    names = missingPackages()
  }
  if (names.length === 0) return say(`apt knows no ${kPackages.join(', ')}: no tests with them`)

  mkdirSync(join(root, 'build-peers'), { recursive: true })
  const work = mkdtempSync(join(root, 'build-peers/.fetch-'))
  try {
    say(`apt-get download ${kPackages.join(' ')} and what they need`)
    execFileSync('apt-get', ['download', '-q', ...names], { cwd: work, stdio: ['ignore', 'ignore', 'pipe'] })
    const folder = join(work, 'unpacked')
    for (const archive of readdirSync(work).filter(file => file.endsWith('.deb')))
      execFileSync('dpkg-deb', ['--extract', join(work, archive), folder])
    renameSync(folder, kManagersFolder)
  } catch (error) {
    say(`not fetched, so no tests with them: ${error.message}`)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** What apt would install anew; what it would only bring up to date serves as it is. */
function missingPackages() {
  const { stdout } = spawnSync('apt-get', ['install', '-s', '--no-install-recommends', ...kPackages], { encoding: 'utf8' })
  return [...(stdout ?? '').matchAll(/^Inst (\S+) \(/gm)].map(([, name]) => name)
}
