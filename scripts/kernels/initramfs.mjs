// The first file system of a machine under QEMU: busybox, some kernel modules, and an init of ours.
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { moduleFiles } from './debian-kernel.mjs'

/**
 * Writes an initramfs to `file`.
 * @param {import('./debian-kernel.mjs').Kernel} kernel
 * @param {string} file
 * @param {{ modules: readonly string[], script: string }} content modules that are loaded first, with what they need; then the script
 *   goes on, as sh of busybox, with all of its commands in the PATH and /dev, /proc and /sys mounted
 */
export function writeInitramfs(kernel, file, { modules, script }) {
  const folder = mkdtempSync(join(tmpdir(), 'netmode-initramfs-'))
  try {
    for (const name of ['bin', 'dev', 'proc', 'sys', 'modules']) mkdirSync(join(folder, name))
    const busybox = execFileSync('sh', ['-c', 'command -v busybox'], { encoding: 'utf8' }).trim()
    copyFileSync(busybox, join(folder, 'bin/busybox'))
    // Loaded by number: busybox's insmod knows nothing of dependencies, nor of compression.
    for (const [index, module] of moduleFiles(kernel, modules).entries()) {
      const name = `${String(index).padStart(3, '0')}-${basename(module, '.xz')}`
      const content = module.endsWith('.xz') ? execFileSync(busybox, ['xzcat', module], { maxBuffer: 1 << 28 }) : undefined
      if (content) writeFileSync(join(folder, 'modules', name), content)
      else copyFileSync(module, join(folder, 'modules', name))
    }
    writeFileSync(join(folder, 'init'), `${kBegin}${script}\n`, { mode: 0o755 })
    const archive = execFileSync('sh', ['-c', `find . | "$0" cpio -o -H newc`, busybox], {
      cwd: folder,
      maxBuffer: 1 << 28,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    writeFileSync(file, archive)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const kBegin = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in /modules/*; do insmod "$module"; done
`
