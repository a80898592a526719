/** Messages in a TCP connection (RFC 1035, 4.2.2): each with two bytes of length in front. */
import type { Socket } from 'node:net'

const lengthBytes = 2

/** The messages as they come; ends with the connection, or at one that is empty or longer than `most` bytes. */
export async function* frames(socket: Socket, most = 0xffff): AsyncGenerator<Buffer, void> {
  let chunks: Buffer[] = []
  let held = 0
  let wanted = lengthBytes
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    held += chunk.length
    if (held < wanted) continue // put together only when there is enough: one byte at a time must not cost a copy each
    let bytes = Buffer.concat(chunks)
    for (wanted = lengthBytes; bytes.length >= lengthBytes; wanted = lengthBytes) {
      const length = bytes.readUInt16BE(0)
      if (length === 0 || length > most) return
      wanted += length
      if (bytes.length < wanted) break
      yield bytes.subarray(lengthBytes, wanted)
      bytes = bytes.subarray(wanted)
    }
    chunks = [bytes]
    held = bytes.length
  }
}
