/** Paths that mean something else in every process. */
import type { NamespaceRef } from '../contract.js'

/** The reference as other threads and processes can use it: `self` is this process, and a path to one of its descriptors is that. */
export function sharedRef(ref: NamespaceRef): NamespaceRef {
  if (typeof ref !== 'string') return ref
  const own = `/proc/${process.pid}/`
  const path = ref.replace(/^\/dev\/fd\//, `${own}fd/`).replace(/^\/proc\/(?:thread-)?self\//, own)
  if (path === `${own}ns/net`) return { pid: process.pid }
  return path.startsWith(`${own}fd/`) ? { fd: Number(path.slice(own.length + 3)) } : path
}
