/**
 * A real machine on our TAPs: QEMU boots a kernel of Debian's, which speaks through virtio-net. `npm run test:kernels` runs this, on this
 * machine's own kernel, and says which image and first file system to boot; otherwise it is skipped.
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { expect, describe as plainDescribe, test as plainTest } from 'vitest'
import type { Host } from '../../lib/index.js'
import type { GuestSeat } from '../setup/guests.js'
import type { PrivateHost } from '../setup/namespace.js'
import { addressOf, families, greet, type Peer, type Place } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'
import { onStage } from '../setup/stage.js'

const { NETMODE_GUEST_KERNEL: kernel = '', NETMODE_GUEST_INITRAMFS: initramfs = '' } = process.env
const needed =
  kernel === ''
    ? { describe: plainDescribe.skip, test: plainTest.skip }
    : requires('root', 'program:qemu-system-x86_64', 'program:setpriv', 'program:nft', '/dev/net/tun')

/** Without what a bare kernel doesn't need. Emulated: it runs in virtual machines too. */
const kQemu = [
  '-accel',
  'tcg',
  '-cpu',
  'max',
  '-nodefaults',
  '-no-user-config',
  '-nographic',
  '-no-reboot',
  '-m',
  '256M',
  '-serial',
  'stdio',
]

/** A guest that is being run. */
class QemuGuest implements AsyncDisposable {
  readonly #qemu: ChildProcess
  readonly #lines: AsyncIterator<string>
  readonly #seen: string[] = []

  private constructor(qemu: ChildProcess) {
    if (!qemu.stdout) throw new Error('needs pipes')
    this.#qemu = qemu
    this.#lines = createInterface(qemu.stdout)[Symbol.asyncIterator]()
  }

  /** Boots one in a seat, started by `spawn`, and waits until it is up. */
  static async boot(
    spawn: (command: string, args: string[]) => ChildProcess,
    { tap, mac, addresses }: Omit<GuestSeat, 'netns'>,
  ): Promise<QemuGuest> {
    const own = addresses.map(({ address, prefix }) => `${address}/${prefix}`).join(' ')
    const gateways = addresses.flatMap(({ gateway }) => gateway ?? []).join(' ')
    const guest = new QemuGuest(
      // It ends with this process, however that ends.
      spawn('setpriv', [
        ...['--pdeathsig', 'KILL', 'qemu-system-x86_64'],
        ...kQemu,
        ...['-kernel', kernel, '-initrd', initramfs],
        ...['-append', `console=ttyS0 loglevel=3 panic=-1 mitigations=off addresses="${own}" gateways="${gateways}"`],
        ...['-netdev', `tap,id=net0,ifname=${tap},script=no,downscript=no`, '-device', `virtio-net-pci,netdev=net0,mac=${mac}`],
      ]),
    )
    await guest.#line(/^up$/)
    return guest
  }

  /** What a server says to it. */
  async ask(address: string, port: number): Promise<string> {
    this.#qemu.stdin?.write(`${address} ${port}\n`)
    return (await this.#line(/^heard: (.*)$/))[1] ?? ''
  }

  async #line(wanted: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const { value, done } = await this.#lines.next()
      if (done) throw new Error(`the machine ended; it had said:\n${this.#seen.join('\n')}`)
      this.#seen.push(value)
      const found = wanted.exec(value.trimEnd())
      if (found) return found
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#qemu.exitCode === null && this.#qemu.kill()) await once(this.#qemu, 'exit')
  }
}

/** What a web server says, the header aside. */
async function page(place: Place, host: string, port: number): Promise<string> {
  const socket = await place.dial({ host, port })
  socket.write('GET / HTTP/1.0\r\n\r\n')
  return (await text(socket)).split('\r\n\r\n')[1] ?? ''
}

needed.describe('a guest that QEMU runs', () => {
  let machine: PrivateHost
  let host: Host
  let outside: Peer
  onStage(async stage => {
    ;({ machine, host, outside } = stage)
    await host.networks.create({ name: 'lan', subnets: ['10.7.0.0/24', 'fd07::/64'] })
    for (const family of families) await greet(outside, family.outside, 9000)
  })

  needed.test('inside of a sandbox takes its place: it goes out masqueraded, to neighbours, and its port is published', async () => {
    const web = await host.sandboxes.create({ name: 'web', network: 'lan' })
    const vm = await host.sandboxes.create({
      name: 'vm',
      network: 'lan',
      guest: { address: '172.16.0.2/30', address6: 'fd16::2/126', vnetHdr: true },
      publish: ['8080:80'],
    })
    if (vm.guest?.ipv6 === undefined) throw new Error('it has no guest')
    const { tap, mac, address, prefix, gateway, ipv6 } = vm.guest
    await using guest = await QemuGuest.boot((command, args) => vm.spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] }), {
      tap,
      mac,
      addresses: [{ address, prefix, gateway }, ipv6],
    })
    for (const family of families) {
      await greet(web, addressOf(web, family), 80)
      expect(await guest.ask(family.outside, 9000)).toBe(family.host)
      expect(await guest.ask(addressOf(web, family), 80)).toBe(addressOf(vm, family))
      expect(await page(outside, family.host, 8080)).toBe('from the guest\n')
      expect(await page(web, addressOf(vm, family), 80)).toBe('from the guest\n')
    }
  })

  needed.test('on a bridge by a TAP on the host has the addresses that were leased', async () => {
    const web = await host.sandboxes.create({ name: 'web', network: 'lan' })
    const vm = await host.sandboxes.create({ name: 'vm', network: 'lan', tap: { vnetHdr: true }, publish: ['8080:80'] })
    const [endpoint] = vm.endpoints
    if (endpoint === undefined) throw new Error('it has no endpoint')
    const { ifname: tap, mac, ipv4, ipv6 } = endpoint
    await using guest = await QemuGuest.boot((command, args) => machine.spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] }), {
      tap,
      mac,
      addresses: [ipv4, ipv6].filter(one => one !== undefined),
    })
    for (const family of families) {
      await greet(web, addressOf(web, family), 80)
      expect(await guest.ask(family.outside, 9000)).toBe(family.host)
      expect(await guest.ask(addressOf(web, family), 80)).toBe(addressOf(vm, family))
      expect(await page(outside, family.host, 8080)).toBe('from the guest\n')
      expect(await page(web, addressOf(vm, family), 80)).toBe('from the guest\n')
    }
  })
})
