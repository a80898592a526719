/** A dockerd of its own in a test's network namespace, with its own mounts and processes: it ends with the last of them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, copyFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { run } from '../setup/namespace.js'

/** Mounts the machine's cgroups below a folder as they are outside: every controller with a hierarchy of its own, or the one of version 2. */
const mountCgroups = `
mount_cgroups() {
  controllers=$(awk '!/^#/ && $2 > 0 { print $1 }' /proc/cgroups)
  if [ -z "$controllers" ]; then
    mount -t cgroup2 cgroup2 "$1"
    return
  fi
  mount -t tmpfs tmpfs "$1"
  for controller in $controllers; do
    mkdir "$1/$controller"
    mount -t cgroup -o "$controller" cgroup "$1/$controller"
  done
}
`

/**
 * Everything that dockerd writes is on a tmpfs of its mount namespace, but for cgroups, of which there is one set: there it stays below
 * one folder.
 */
const script = `
set -eu
${mountCgroups}
for folder in /run /var/lib /etc/docker /tmp; do mount -t tmpfs tmpfs $folder; done
mkdir /run/lock
mount_cgroups /sys/fs/cgroup
exec dockerd --host unix:///run/docker.sock --storage-driver vfs --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "$1" \\
  --experimental --ip6tables --log-level warn
`

/** Empty cgroups are folders: removed from the bottom up. */
const cleaning = `
set -eu
${mountCgroups}
mount_cgroups /mnt
find /mnt -depth -type d -path "*$1*" -exec rmdir {} ';'
`

export class DockerDaemon implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly #parent: string
  #pid = 0
  #log = ''

  private constructor(machine: { readonly netns: string }) {
    this.#parent = `/netmode-test-${process.pid}`
    // It ends with this process (pdeathsig), and as the first of a process namespace it ends all others with itself, containers included.
    const inside = ['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc']
    const command = ['setpriv', '--pdeathsig', 'KILL', 'unshare', ...inside, 'sh', '-c', script, 'sh', this.#parent]
    this.#process = spawn('nsenter', [`--net=${machine.netns}`, '--', ...command], { stdio: ['ignore', 'pipe', 'pipe'] })
    const note = (chunk: Buffer): void => {
      this.#log += chunk.toString()
    }
    this.#process.stdout?.on('data', note)
    this.#process.stderr?.on('data', note)
  }

  /** Resolves when the daemon answers. */
  static async start(machine: { readonly netns: string }): Promise<DockerDaemon> {
    const daemon = new DockerDaemon(machine)
    while (true) {
      if (daemon.#process.exitCode !== null) throw new Error(`dockerd ended: ${daemon.#log}`)
      try {
        daemon.#pid = await childOf(daemon.#process.pid ?? 0)
        await daemon.docker('version')
        return daemon
      } catch {
        await delay(200)
      }
    }
  }

  /** What dockerd has written. */
  get log(): string {
    return this.#log
  }

  /** The API's socket, as seen from here. */
  get socket(): string {
    return this.#inside('/run/docker.sock')
  }

  /** `docker …`; answers stdout. */
  async docker(...args: string[]): Promise<string> {
    return (await run('docker', ['--host', `unix://${this.socket}`, ...args])).trim()
  }

  /** An image with busybox and nothing else. */
  async importImage(name: string, busybox: string): Promise<void> {
    const folder = `/run/docker-image-${process.pid}`
    await mkdir(join(folder, 'bin'), { recursive: true })
    await copyFile(busybox, join(folder, 'bin/busybox'))
    await chmod(join(folder, 'bin/busybox'), 0o755)
    await run('tar', ['-C', folder, '-cf', `${folder}.tar`, '.'])
    await this.docker('import', `${folder}.tar`, name)
    await Promise.all([rm(folder, { recursive: true }), rm(`${folder}.tar`)])
  }

  /** Gives the container's namespace its name in /run/netns. */
  async name(container: string): Promise<void> {
    const key = await this.docker('inspect', '--format', '{{.NetworkSettings.SandboxKey}}', container)
    const path = `/run/netns/${container}`
    await writeFile(path, '')
    await run('mount', ['--bind', this.#inside(key.replace('/var/run/', '/run/')), path])
  }

  /** What a container finds in a file of its own. */
  async fileOf(container: string, file: string): Promise<string> {
    const pid = await this.docker('inspect', '--format', '{{.State.Pid}}', container)
    // The pid is that of the daemon's process namespace, and so is its /proc.
    return run('cat', [this.#inside(`/proc/${pid}/root${file}`)])
  }

  /** A path of the daemon's as seen from here. */
  #inside(path: string): string {
    return `/proc/${this.#pid}/root${path}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#process, 'exit')
    process.kill(this.#pid, 'SIGKILL')
    await ended
    await run('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', cleaning, 'sh', this.#parent])
  }
}

/** nsenter becomes unshare, which waits for its only child: dockerd. */
async function childOf(pid: number): Promise<number> {
  const [child] = (await run('cat', [`/proc/${pid}/task/${pid}/children`])).trim().split(' ')
  if (!child) throw new Error('not yet')
  return Number(child)
}
