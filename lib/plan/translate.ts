/** What a plan's failure means to the caller. */
import { errnoName, fromKernel, rejection, type ShortCode } from '../errors.js'
import { PlanFailure } from './mechanism.js'
import type { LinkKind, Op } from './op.js'

interface Meaning {
  readonly code: ShortCode
  readonly message: (subject: string, op: Op) => string
}

/** What an existing name means, op by op: only policy knows what is behind it. */
const meanings: Partial<Record<Op['op'], Readonly<Record<string, Meaning>>>> = {
  claim: { EEXIST: { code: 'ADDRESS_IN_USE', message: path => `Address ${path.slice(path.lastIndexOf('/') + 1)} is in use` } },
  'port.claim': { EADDRINUSE: { code: 'PORT_IN_USE', message: port => `Port ${port} is already allocated` } },
  'file.rename': {
    EEXIST: {
      code: 'EXISTS',
      message: (path, op) => {
        const to = op.op === 'file.rename' ? op.to : path
        return `A sandbox called ${to.slice(to.lastIndexOf('/') + 1)} exists`
      },
    },
  },
  'folder.create': { EEXIST: { code: 'EXISTS', message: path => `A sandbox called ${path.slice(path.lastIndexOf('/') + 1)} exists` } },
  'expect.absent': {
    EEXIST: { code: 'EXISTS', message: path => `A network namespace called ${path.slice(path.lastIndexOf('/') + 1)} exists` },
  },
  'netns.attach': { EEXIST: { code: 'EXISTS', message: name => `A network namespace called ${name} exists` } },
  'netns.create': { EEXIST: { code: 'EXISTS', message: name => `A network namespace called ${name} exists` } },
  'link.set': {
    EEXIST: { code: 'EXISTS', message: (name, op) => `A link called ${op.op === 'link.set' ? (op.name ?? name) : name} exists` },
  },
  'tap.add': { EEXIST: { code: 'EXISTS', message: name => `A link called ${name} exists` } },
  'link.add': {
    // Of a pair it is the peer whose name somebody chose.
    EEXIST: { code: 'EXISTS', message: (name, op) => `A link called ${op.op === 'link.add' ? (op.peer?.name ?? name) : name} exists` },
    EXFULL: { code: 'CAPACITY', message: () => 'The bridge has no port left (a Linux bridge takes 1,023)' },
  },
}

/** Where the kernel has such links, if it has them. */
const features: Readonly<Partial<Record<LinkKind, string>>> = {
  veth: 'CONFIG_VETH, module veth',
  bridge: 'CONFIG_BRIDGE, module bridge',
  macvlan: 'CONFIG_MACVLAN, module macvlan',
  ipvlan: 'CONFIG_IPVLAN, module ipvlan',
  vlan: 'CONFIG_VLAN_8021Q, module 8021q',
}

/** A link that the kernel knows nothing of, or that its parent doesn't bear. */
function linkMeaning(op: Op, errno: string): Meaning | undefined {
  if (op.op !== 'link.add') return undefined
  const feature = features[op.kind]
  const parent = op.parent?.name
  if (errno === 'ENOTSUP' && feature !== undefined)
    return { code: 'UNSUPPORTED', message: () => `This kernel makes no links of type ${op.kind} (it lacks ${feature})` }
  if (parent === undefined) return undefined
  if (errno === 'EBUSY')
    return { code: 'BUSY', message: () => `Link ${parent} has children of another kind or is a port already, so it bears no ${op.kind}` }
  if (errno === 'EINVAL' && op.kind === 'macvlan')
    return { code: 'BUSY', message: () => `Link ${parent} bears no ${op.kind} beside those it has (one in mode passthru is always alone)` }
  return undefined
}

/** A PlanFailure as the error that the caller is promised; anything else as it is. */
export function translate(error: unknown, signal?: AbortSignal): unknown {
  if (!(error instanceof PlanFailure)) return error
  const errno = errnoName(error.errno)
  const meaning = meanings[error.op.op]?.[errno] ?? linkMeaning(error.op, errno)
  const { subject = '' } = error.failure
  return rejection(error.failure, signal, meaning && { code: meaning.code, message: meaning.message(subject, error.op) })
}

/** Did a plan stop because a namespace is gone, or something else is in its place? After any other failure it may well be there. */
export function namespaceGone(error: unknown): boolean {
  if (!(error instanceof PlanFailure) || error.op.op !== 'netns.open') return false
  const { code } = fromKernel(error.failure)
  return code === 'ERR_NETMODE_NAMESPACE_GONE' || code === 'ERR_NETMODE_NOT_A_NAMESPACE'
}

/** Did a plan stop because a link that it was to make has a name that is taken? */
export function linkNameTaken(error: unknown): boolean {
  return error instanceof PlanFailure && error.op.op === 'link.add' && errnoName(error.errno) === 'EEXIST'
}

/** Did a plan stop because the record that it was drawn up from is not the current one any more, or a change of it has broken off? */
export function changedMeanwhile(error: unknown): boolean {
  if (!(error instanceof PlanFailure)) return false
  const { op } = error
  const errno = errnoName(error.errno)
  if (op.op === 'expect.unchanged' || op.op === 'expect.version') return errno === 'ESTALE' || errno === 'ENOENT'
  return (op.op === 'lock' && errno === 'ENOENT') || (op.op === 'file.write' && op.how === 'start' && errno === 'EEXIST')
}
