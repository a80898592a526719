/** NetworkManager and firewalld themselves (scripts/peers/managers.mjs), as if they were installed, with a system bus of their own. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { type PrivateHost, run } from './namespace.js'
import { managersFolder } from './privilege.js'

/** Lays their files over /usr, /etc and /var, for this test file alone; what they write goes to memory. Once a file. */
export async function installManagers(): Promise<void> {
  mkdirSync('/run/over')
  await run('mount', ['-t', 'tmpfs', 'over', '/run/over'])
  await run('mount', ['-t', 'overlay', '-o', `lowerdir=${managersFolder}/usr:/usr`, 'over', '/usr'])
  for (const name of ['etc', 'var']) {
    const [upper, work] = [`/run/over/${name}`, `/run/over/${name}-work`]
    for (const folder of [upper, work]) mkdirSync(folder)
    const lower = `lowerdir=${managersFolder}/${name}:/${name}`
    await run('mount', ['-t', 'overlay', '-o', `${lower},upperdir=${upper},workdir=${work}`, 'over', `/${name}`])
  }
}

/** A program that runs until it is disposed of. */
class Daemon implements AsyncDisposable {
  readonly process: ChildProcess
  readonly #ended: Promise<unknown>
  #errors = ''

  constructor(process: ChildProcess) {
    this.process = process
    this.#ended = once(process, 'exit')
    process.stderr?.on('data', text => {
      this.#errors = `${this.#errors}${text}`.slice(-4096)
    })
  }

  /** Runs a command until it succeeds; an error once the daemon has ended. */
  async until(ready: () => Promise<boolean>): Promise<void> {
    while (!(await ready())) {
      if (this.process.exitCode !== null || this.process.signalCode !== null) throw new Error(`the daemon has ended: ${this.#errors}`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill()
    await this.#ended
  }
}

const kBus = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/></policy>
</busconfig>
`

export async function startBus(machine: PrivateHost): Promise<Daemon> {
  mkdirSync('/run/dbus', { recursive: true })
  writeFileSync('/run/bus.conf', kBus)
  const bus = new Daemon(machine.spawn('dbus-daemon', ['--config-file=/run/bus.conf', '--nofork', '--nopidfile', '--print-address']))
  if (bus.process.stdout) await once(bus.process.stdout, 'data')
  return bus
}

/** With a /sys that can't be written it doesn't wait for udev, which is not in a namespace. */
export async function startNetworkManager(machine: PrivateHost): Promise<Daemon> {
  writeFileSync('/etc/NetworkManager/conf.d/test.conf', '[main]\nauth-polkit=false\ndns=none\nhostname-mode=none\n')
  const start = 'mount -t sysfs -o ro sysfs /sys; exec NetworkManager --debug'
  const manager = new Daemon(machine.spawn('unshare', ['--mount', '--uts', 'sh', '-ec', start]))
  await manager.until(() => machine.succeeds('nm-online', '--wait-for-startup', '--quiet'))
  return manager
}

export async function startFirewalld(machine: PrivateHost): Promise<Daemon> {
  const firewalld = new Daemon(machine.spawn('firewalld', ['--nofork', '--nopid']))
  await firewalld.until(() => machine.succeeds('firewall-cmd', '--state'))
  return firewalld
}
