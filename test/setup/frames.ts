/** Frames made by hand, as somebody with root in a sandbox can send them, and who gets to see them. */
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { PrivateNamespace } from './namespace.js'

/** Six bytes of `02:…`. */
const macBytes = (mac: string): Buffer => Buffer.from(mac.replaceAll(':', ''), 'hex')
const ip4Bytes = (address: string): Buffer => Buffer.from(address.split('.').map(Number))

/** Sixteen bytes; `::` once at most. */
function ip6Bytes(address: string): Buffer {
  const [head = '', tail] = address.split('::')
  const words = (text: string): number[] => (text === '' ? [] : text.split(':').map(word => Number.parseInt(word, 16)))
  const [front, back] = [words(head), words(tail ?? '')]
  const all = [...front, ...Array<number>(8 - front.length - back.length).fill(0), ...back]
  return Buffer.from(all.flatMap(word => [word >> 8, word & 255]))
}

const word16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255])

/** RFC 1071 */
function checksum(data: Buffer): Buffer {
  let sum = 0
  for (let i = 0; i < data.length; i += 2) sum += (data[i] ?? 0) * 256 + (data[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16)
  return word16(~sum & 0xffff)
}

export const broadcastMac = 'ff:ff:ff:ff:ff:ff'
export const allNodesMac = '33:33:00:00:00:01'

/** `vlan`: with a tag of that number. */
export function frame(to: string, from: string, type: number, payload: Buffer, vlan?: number): Buffer {
  const tag = vlan === undefined ? [] : [word16(0x8100), word16(vlan)]
  return Buffer.concat([macBytes(to), macBytes(from), ...tag, word16(type), payload])
}

/** ARP's payload; an announcement unless a target is given. */
export function arp(mac: string, address: string, target = address, operation = 1): Buffer {
  return Buffer.concat([
    Buffer.from('000108000604', 'hex'),
    word16(operation),
    macBytes(mac),
    ip4Bytes(address),
    Buffer.alloc(6),
    ip4Bytes(target),
  ])
}

/** A UDP datagram over IPv4, without a checksum of its own. */
export function udp4(from: string, to: string, port = 9, data = ''): Buffer {
  const body = Buffer.concat([word16(4000), word16(port), word16(8 + data.length), word16(0), Buffer.from(data)])
  const head = (sum: Buffer): Buffer =>
    Buffer.concat([Buffer.from([0x45, 0]), word16(20 + body.length), Buffer.from([0, 0, 0, 0, 64, 17]), sum, ip4Bytes(from), ip4Bytes(to)])
  return Buffer.concat([head(checksum(head(word16(0)))), body])
}

/** ICMPv6; `hopByHop`: behind an empty header of options, where naive filters don't look. */
export function icmp6(from: string, to: string, message: Buffer, { hopByHop = false } = {}): Buffer {
  const ends = Buffer.concat([ip6Bytes(from), ip6Bytes(to)])
  const pseudo = Buffer.concat([ends, Buffer.from([0, 0]), word16(message.length), Buffer.from([0, 0, 0, 58]), message])
  const body = Buffer.concat([message.subarray(0, 2), checksum(pseudo), message.subarray(4)])
  const options = hopByHop ? Buffer.from([58, 0, 1, 4, 0, 0, 0, 0]) : Buffer.alloc(0)
  const head = Buffer.concat([Buffer.from([0x60, 0, 0, 0]), word16(options.length + body.length), Buffer.from([hopByHop ? 0 : 58, 255])])
  return Buffer.concat([head, ends, options, body])
}

/** RFC 4861: `option` is a link-layer address (1 source, 2 target). */
const option = (type: 1 | 2, mac: string): Buffer => Buffer.concat([Buffer.from([type, 1]), macBytes(mac)])
export const solicitation = (target: string, mac?: string): Buffer =>
  Buffer.concat([Buffer.from([135, 0, 0, 0, 0, 0, 0, 0]), ip6Bytes(target), ...(mac ? [option(1, mac)] : [])])
export const advertisement = (target: string, mac: string): Buffer =>
  Buffer.concat([Buffer.from([136, 0, 0, 0, 0x20, 0, 0, 0]), ip6Bytes(target), option(2, mac)])
/** A router's: for half an hour, with the prefix 2001:db8:bad::/64 to make addresses from. */
export const routerAdvertisement = (mac: string): Buffer =>
  Buffer.concat([
    Buffer.from([134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0]),
    option(1, mac),
    Buffer.from([3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0]),
    ip6Bytes('2001:db8:bad::'),
  ])
export const redirectTo = (router: string, destination: string): Buffer =>
  Buffer.concat([Buffer.from([137, 0, 0, 0, 0, 0, 0, 0]), ip6Bytes(router), ip6Bytes(destination)])

const sender = `
import socket, sys
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[1], 0))
for line in sys.argv[2:]: out.send(bytes.fromhex(line))
`

const watcher = `
import socket, sys
seen = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
seen.bind((sys.argv[1], 0))
print('ready', flush=True)
data = b''
while b'<fence>' not in data:
  data = seen.recv(4096)
  print(data.hex(), flush=True)
`

/** As a socket sees it: the kernel takes a VLAN tag out of the frame. */
function seen(data: Buffer): string {
  const hex = data.toString('hex')
  return hex.slice(24, 28) === '8100' ? hex.slice(0, 24) + hex.slice(32) : hex
}

/** The end of a wire: a device in a namespace. */
export interface End {
  readonly place: PrivateNamespace
  readonly device: string
}

/**
 * Sends frames out of a device, and answers the names of those that came out at the other end, in the order of their sending. Behind
 * them goes an ARP frame from `mac` and `address`, which must come through: then all before it have come, or never will.
 */
export async function deliver(
  from: End & { readonly mac: string; readonly address: string },
  to: End,
  frames: Readonly<Record<string, Buffer>>,
): Promise<readonly string[]> {
  const watching = to.place.spawn('python3', ['-c', watcher, to.device], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = createInterface({ input: watching.stdout as NodeJS.ReadableStream })
  const arrived: string[] = []
  await once(lines, 'line')
  lines.on('line', line => arrived.push(line))
  const closed = once(lines, 'close')
  const fence = Buffer.concat([frame(broadcastMac, from.mac, 0x0806, arp(from.mac, from.address)), Buffer.from('<fence>')])
  await from.place.run('python3', '-c', sender, from.device, ...[...Object.values(frames), fence].map(data => data.toString('hex')))
  await closed
  return Object.keys(frames).filter(name => arrived.includes(seen(frames[name] as Buffer)))
}
