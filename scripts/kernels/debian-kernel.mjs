// Debian's kernels, unpacked below build-kernels/ and never installed: what a machine needs to boot one.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../stamp.mjs'

/** Where kernels are kept: one folder a release, as `6.1.0-50-cloud-amd64`. */
export const kKernelsFolder = join(root, 'build-kernels')

/**
 * A kernel of Debian's that is there.
 * @typedef {{ version: string, release: string, folder: string, image: string }} Kernel
 *   `version` as asked for ('6.1'), `release` as `uname -r`, `folder` with boot/ and lib/modules/, `image` the file to boot
 */

/** @returns {Kernel | undefined} the newest release of this version that has been fetched */
export function fetchedKernel(version) {
  if (!existsSync(kKernelsFolder)) return undefined
  const folders = readdirSync(kKernelsFolder, { withFileTypes: true }).filter(entry => entry.isDirectory())
  const releases = folders.map(({ name }) => name).filter(name => name.startsWith(`${version}.`))
  const release = releases.sort(new Intl.Collator('en', { numeric: true }).compare).at(-1)
  if (release === undefined) return undefined
  const folder = join(kKernelsFolder, release)
  return { version, release, folder, image: join(folder, 'boot', `vmlinuz-${release}`) }
}

/**
 * The kernel of this version, fetched through apt where it is not there yet. Debian's cloud flavour: a third of the download, with all
 * that netmode uses.
 * @returns {Kernel}
 */
export function fetchKernel(version, say) {
  const there = fetchedKernel(version)
  if (there) return there
  let name = packageOf(version)
  if (name === undefined && process.getuid() === 0) {
    say('apt-get update')
    spawnSync('apt-get', ['update', '-q'], { stdio: 'ignore' })
    name = packageOf(version)
  }
  if (name === undefined)
    throw new Error(`apt knows no linux-image-${version}…-cloud-amd64; Debian 12 with its security archive has 6.1 and 6.12`)

  mkdirSync(kKernelsFolder, { recursive: true })
  const work = mkdtempSync(join(kKernelsFolder, '.fetch-'))
  try {
    say(`apt-get download ${name}`)
    execFileSync('apt-get', ['download', '-q', name], { cwd: work, stdio: ['ignore', 'ignore', 'pipe'] })
    const archive = readdirSync(work).find(file => file.endsWith('.deb'))
    const folder = join(work, 'unpacked')
    execFileSync('dpkg-deb', ['--extract', join(work, archive), folder])
    const [release] = readdirSync(join(folder, 'lib/modules'))
    execFileSync('depmod', ['-b', folder, release])
    rmSync(join(kKernelsFolder, release), { recursive: true, force: true })
    renameSync(folder, join(kKernelsFolder, release))
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  return fetchedKernel(version)
}

/** The package that holds the newest kernel of a version: what one of Debian's two meta-packages depends on. */
function packageOf(version) {
  for (const meta of [`linux-image-${version}-cloud-amd64`, 'linux-image-cloud-amd64']) {
    const { stdout } = spawnSync('apt-cache', ['show', '--no-all-versions', meta], { encoding: 'utf8' })
    const name = /^Depends:.*?(linux-image-\S+)/m.exec(stdout ?? '')?.[1]
    if (name?.startsWith(`linux-image-${version}.`)) return name
  }
  return undefined
}

/** Files of a module and of all that it needs, in the order to load them; what is built in has none. */
export function moduleFiles({ folder, release }, names) {
  const lines = names.flatMap(name =>
    execFileSync('modprobe', ['-d', folder, '-S', release, '--show-depends', name], { encoding: 'utf8' }).split('\n'),
  )
  return [...new Set(lines.filter(line => line.startsWith('insmod ')).map(line => line.split(' ')[1]))]
}
