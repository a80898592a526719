// A kernel as the guest of ours: the test that has QEMU boot it on TAPs of netmode's. It runs on this machine, not in one.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../stamp.mjs'
import { writeInitramfs } from './initramfs.mjs'

export const kGuestScene = 'test/traffic/qemu-guest.test.ts'

/**
 * @param {import('./debian-kernel.mjs').Kernel} kernel
 * @param {{ log: string, report: string, signal?: AbortSignal }} options files: what vitest prints, and a line of JSON as test/setup/line-reporter.ts writes it
 * @returns {Promise<void>} ends with the test, whatever became of it
 */
export async function runGuestScene(kernel, { log, report, signal }) {
  const folder = mkdtempSync(join(tmpdir(), 'netmode-guest-'))
  const initramfs = join(folder, 'initramfs')
  const output = openSync(log, 'w')
  try {
    const script = readFileSync(join(root, 'test/setup/guest-boot.sh'), 'utf8')
    writeInitramfs(kernel, initramfs, { modules: ['virtio_pci', 'virtio_net'], script })
    const vitest = spawn(
      process.execPath,
      ['node_modules/vitest/vitest.mjs', 'run', '--reporter=verbose', '--reporter=./test/setup/line-reporter.ts', kGuestScene],
      {
        cwd: root,
        stdio: ['ignore', output, output],
        env: { ...process.env, NETMODE_GUEST_KERNEL: kernel.image, NETMODE_GUEST_INITRAMFS: initramfs, NETMODE_TEST_LINES: report },
      },
    )
    const stop = () => vitest.kill()
    signal?.addEventListener('abort', stop, { once: true })
    await once(vitest, 'exit')
    signal?.removeEventListener('abort', stop)
  } finally {
    closeSync(output)
    rmSync(folder, { recursive: true, force: true })
  }
}
