// A machine under QEMU that boots a kernel of Debian's into the file system of this one: read through virtiofs, written to memory.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, watch } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeInitramfs } from './initramfs.mjs'

const kFileServers = ['/usr/lib/qemu/virtiofsd', '/usr/libexec/virtiofsd']

/** QEMU without what a bare kernel doesn't need. TCG: it runs anywhere, inside of other virtual machines too. */
export const kQemu = ['-accel', 'tcg', '-cpu', 'max', '-nodefaults', '-no-user-config', '-nographic', '-no-reboot']

/** A word for sh. */
const quote = word => `'${word.replaceAll("'", `'\\''`)}'`

/**
 * Boots, runs a command as the machine's first process and waits for its end.
 * @param {import('./debian-kernel.mjs').Kernel} kernel
 * @param {{ command: readonly string[], console: string, report: string, cpus: number, memory: string, signal?: AbortSignal }} options
 *   `console` and `report` are the files that take what the machine writes to /dev/ttyS0 and /dev/ttyS1
 * @returns {Promise<void>} ends with the machine, whatever became of it
 */
export async function runMachine(kernel, { command, console, report, cpus, memory, signal }) {
  const folder = mkdtempSync(join(tmpdir(), 'netmode-machine-'))
  const initramfs = join(folder, 'initramfs')
  const socket = join(folder, 'files')
  writeInitramfs(kernel, initramfs, { modules: ['virtio_pci', 'virtiofs', 'overlay'], script: intoThisFileSystem(kernel, command) })
  const log = openSync(`${console}.files`, 'w')
  const files = startFileServer(socket, log)
  try {
    await isThere(socket, files)
    signal?.throwIfAborted()
    const qemu = spawn(
      'qemu-system-x86_64',
      [
        ...kQemu,
        ...['-smp', String(cpus), '-m', memory],
        // Its clock goes by the instructions that it has run: on a busy host no time-out in it fires early. For one processor only.
        ...(cpus === 1 ? ['-icount', 'shift=1,sleep=on'] : []),
        // virtiofs reads from and writes to the guest's memory: that has to be shared with the file server.
        ...['-object', `memory-backend-memfd,id=memory,size=${memory},share=on`, '-numa', 'node,memdev=memory'],
        ...['-chardev', `socket,id=files,path=${socket}`, '-device', 'vhost-user-fs-pci,chardev=files,tag=files'],
        ...['-kernel', kernel.image, '-initrd', initramfs],
        ...['-append', 'console=ttyS0 loglevel=4 panic=-1 mitigations=off'],
        ...['-serial', `file:${console}`, '-serial', `file:${report}`],
      ],
      { stdio: ['ignore', log, log] },
    )
    const stop = () => qemu.kill()
    signal?.addEventListener('abort', stop, { once: true })
    const [status] = await once(qemu, 'exit')
    signal?.removeEventListener('abort', stop)
    if (status && !signal?.aborted) throw new Error(`qemu-system-x86_64 ended with status ${status}; see ${console}.files`)
  } finally {
    files.kill()
    closeSync(log)
    rmSync(folder, { recursive: true, force: true })
  }
}

function startFileServer(socket, log) {
  const program = kFileServers.find(path => existsSync(path))
  if (!program) throw new Error(`virtiofsd is missing (looked for ${kFileServers.join(', ')}); node scripts/setup.mjs --kernels`)
  const args = [`--socket-path=${socket}`, '-o', 'source=/', '-o', 'cache=always', '-o', 'sandbox=chroot', '-f']
  return spawn(program, args, { stdio: ['ignore', log, log] })
}

/** Waits for the socket of the file server, which is there when it listens. */
async function isThere(socket, server) {
  const ended = once(server, 'exit').then(() => {
    throw new Error('virtiofsd ended before it listened: it needs root')
  })
  const watcher = watch(join(socket, '..'))
  try {
    while (!existsSync(socket)) await Promise.race([once(watcher, 'change'), ended])
  } finally {
    watcher.close()
    ended.catch(() => {})
  }
}

/** The end of the init: this file system below, memory above, the kernel's own modules in their place. */
function intoThisFileSystem({ folder, release }, command) {
  return `mkdir /files /memory /root
mount -t virtiofs -o ro files /files
mount -t tmpfs memory /memory
mkdir /memory/upper /memory/work
mount -t overlay -o lowerdir=/files,upperdir=/memory/upper,workdir=/memory/work root /root
rm -rf /root/lib/modules
mkdir -p /root/lib/modules /root/dev /root/proc /root/sys /root/run
ln -s ${quote(join(folder, 'lib/modules', release))} /root/lib/modules/
mount --move /dev /root/dev
mount --move /proc /root/proc
mount --move /sys /root/sys
exec switch_root /root ${command.map(quote).join(' ')}`
}
