/**
 * A host with an outside neighbour and one sandbox behind it, three times alike: made by netmode, by hand with iptables, and by hand with
 * nothing but routes.
 *
 *     outside 198.51.100.2 ── 198.51.100.1 host 10.99.0.1 ── bridge ── box
 */
import { writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'

import { type Host, openHost } from '../lib/index.js'
import { freshHost, type PrivateHost, PrivateNamespace } from '../test/setup/namespace.js'
import { Yardstick } from './yardstick.js'

const subnet = '10.99.0.0/16'
/** What an administrator may write to keep sandboxes from being somebody else, and others from coming in unasked. */
const keptApart = `
table bridge byhand {
  set senders {
    type ifname . ether_addr . ipv4_addr
    elements = { "veth2" . 02:42:0a:63:00:02 . 10.99.0.2, "veth3" . 02:42:0a:63:00:03 . 10.99.0.3 }
  }
  chain prerouting {
    type filter hook prerouting priority -300
    iifname != "veth*" accept
    ether type ip iifname . ether saddr . ip saddr @senders accept
    iifname . ether saddr . arp saddr ip @senders accept
    drop
  }
}
table inet byhand {
  chain prerouting {
    type filter hook prerouting priority raw
    ip daddr 127.0.0.0/8 iifname != "lo" drop
    ip saddr 127.0.0.0/8 iifname "br0" drop
  }
  chain forward {
    type filter hook forward priority filter
    ct state established,related accept
    iifname "br0" accept
    oifname "br0" drop
  }
}`

/** Published together, while others are. */
const batch = 1000
/** The processor that all servers run on. */
export const serversAt = availableParallelism() - 1
/** Of the host, towards outside. */
export const hostAddress = '198.51.100.1'
/** Ports that servers in sandboxes listen on. */
export const ports = { refuse: 80, serve: 81 } as const

/** A sandbox of a lab, with servers in it. */
export interface Box {
  readonly address: string
  readonly stick: Yardstick
}

export class Lab implements AsyncDisposable {
  readonly host: PrivateHost
  readonly boxes: readonly Box[]
  /** Works in the neighbour's namespace, where servers listen too. */
  readonly outside: Yardstick
  readonly netmode: Host | undefined

  private constructor(host: PrivateHost, outside: Yardstick, boxes: readonly Box[], netmode?: Host) {
    this.host = host
    this.outside = outside
    this.boxes = boxes
    this.netmode = netmode
  }

  /** Two sandboxes by netmode, the first one with its port 80 on the host's 8080, the last of `published` ports. */
  static async byNetmode(published: number): Promise<Lab> {
    const host = await freshHost()
    const netmode = await openHost({ netns: host.netns, stateDir: host.stateDir })
    await netmode.networks.create({ name: 'lab', subnets: [subnet] })
    const boxes: Box[] = []
    for (const [i, name] of ['first', 'second'].entries()) {
      const sandbox = await netmode.sandboxes.create({ name: `${host.name}-${name}`, network: 'lab' })
      if (i === 0) {
        for (const range of ranges(published - 1)) await sandbox.publish(`${range}:${range}`)
        await sandbox.publish(`8080:${ports.refuse}`)
      }
      boxes.push(await box(sandbox, sandbox.endpoints[0]?.ipv4?.address ?? ''))
    }
    return new Lab(host, await outsideOf(host), boxes, netmode)
  }

  /** The same by hand. Of `dnat` rules of iptables the last one, which is the newest, leads from 8080 to the first sandbox's port 80. */
  static async byHand({ dnat = 0, masquerade = false, guarded = false }): Promise<Lab> {
    const host = await freshHost()
    await host.ip('link', 'add', 'br0', 'type', 'bridge')
    await host.ip('address', 'add', '10.99.0.1/16', 'dev', 'br0')
    await host.ip('link', 'set', 'br0', 'up')
    await host.run('sysctl', '-qw', 'net.ipv4.ip_forward=1')
    await host.outside.ip('route', 'add', subnet, 'via', hostAddress)
    const boxes: Box[] = []
    for (const last of [2, 3]) {
      const place = new PrivateNamespace(`${host.name}-box${last}`)
      const address = `10.99.0.${last}`
      await host.run('ip', 'netns', 'add', place.name)
      const peer = ['name', 'eth0', 'address', `02:42:0a:63:00:0${last}`, 'netns', place.name]
      await host.ip('link', 'add', `veth${last}`, 'type', 'veth', 'peer', ...peer)
      await host.ip('link', 'set', `veth${last}`, 'master', 'br0', 'up')
      await place.ip('link', 'set', 'lo', 'up')
      await place.ip('address', 'add', `${address}/16`, 'dev', 'eth0')
      await place.ip('link', 'set', 'eth0', 'up')
      await place.ip('route', 'add', 'default', 'via', '10.99.0.1')
      boxes.push(await box(place, address))
    }
    if (masquerade) {
      await host.nft('add table ip byhand; add chain ip byhand out { type nat hook postrouting priority srcnat; }')
      await host.nft('add', 'rule', 'ip', 'byhand', 'out', 'ip', 'saddr', subnet, 'oifname', '!=', 'br0', 'masquerade')
    }
    if (guarded) {
      const file = `/run/${host.name}.nft`
      await writeFile(file, keptApart)
      await host.nft('-f', file)
    }
    if (dnat > 0) {
      const others = Array.from({ length: dnat - 1 }, (_, i) => dnatRule(10_000 + i, `10.99.0.2:${10_000 + i}`))
      const file = `/run/${host.name}.rules`
      await writeFile(file, ['*nat', ...others, dnatRule(8080, `10.99.0.2:${ports.refuse}`), 'COMMIT', ''].join('\n'))
      await host.run('iptables-restore', file)
    }
    return new Lab(host, await outsideOf(host), boxes)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.netmode?.close()
    await Promise.all([this.outside, ...this.boxes.map(({ stick }) => stick)].map(stick => stick[Symbol.asyncDispose]()))
  }
}

/** `count` ports from 10000 on, in ranges that are published one after the other. */
export function ranges(count: number): readonly string[] {
  return Array.from({ length: Math.ceil(count / batch) }, (_, i) => {
    const first = 10_000 + i * batch
    return `${first}-${Math.min(first + batch, 10_000 + count) - 1}`
  })
}

/** A port of the host's that leads elsewhere, as iptables-save prints it. */
export function dnatRule(hostPort: number, to: string): string {
  return `-A PREROUTING ${match(hostPort)} -j DNAT --to-destination ${to}`
}

export function match(hostPort: number): string {
  return `-p tcp -m addrtype --dst-type LOCAL -m tcp --dport ${hostPort}`
}

async function box(place: { readonly netns: string }, address: string): Promise<Box> {
  const stick = new Yardstick(place)
  await serve(stick)
  return { address, stick }
}

async function outsideOf(host: PrivateHost): Promise<Yardstick> {
  const stick = new Yardstick(host.outside)
  await serve(stick)
  return stick
}

async function serve(stick: Yardstick): Promise<void> {
  await stick.ask('pin', serversAt)
  await stick.ask('refuse', ports.refuse)
  await stick.ask('serve', ports.serve)
  await stick.ask('roam')
}
