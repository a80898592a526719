/** What a plan's failure means to the caller. */
import { errnoName, fromKernel, type ShortCode } from '../errors.js'
import { PlanFailure } from './mechanism.js'
import type { Op } from './op.js'

/** What an existing name means, op by op: only policy knows what is behind it. */
const meanings: Partial<
  Record<Op['op'], Readonly<Record<string, { readonly code: ShortCode; readonly message: (subject: string, op: Op) => string }>>>
> = {
  claim: { EEXIST: { code: 'ADDRESS_IN_USE', message: path => `Address ${path.slice(path.lastIndexOf('/') + 1)} is in use` } },
  'port.claim': { EADDRINUSE: { code: 'PORT_IN_USE', message: port => `Port ${port} is already allocated` } },
  'folder.create': { EEXIST: { code: 'EXISTS', message: path => `A sandbox called ${path.slice(path.lastIndexOf('/') + 1)} exists` } },
  'expect.absent': {
    EEXIST: { code: 'EXISTS', message: path => `A network namespace called ${path.slice(path.lastIndexOf('/') + 1)} exists` },
  },
  'netns.attach': { EEXIST: { code: 'EXISTS', message: name => `A network namespace called ${name} exists` } },
  'netns.create': { EEXIST: { code: 'EXISTS', message: name => `A network namespace called ${name} exists` } },
  'link.add': {
    // Of a pair it is the peer whose name somebody chose.
    EEXIST: { code: 'EXISTS', message: (name, op) => `A link called ${op.op === 'link.add' ? (op.peer?.name ?? name) : name} exists` },
    EXFULL: { code: 'CAPACITY', message: () => 'The bridge has no port left (a Linux bridge takes 1,023)' },
  },
}

/** A PlanFailure as the error that the caller is promised; anything else as it is. */
export function translate(error: unknown, signal?: AbortSignal): unknown {
  if (!(error instanceof PlanFailure)) return error
  if (signal?.aborted && errnoName(error.errno) === 'ECANCELED') return signal.reason
  const meaning = meanings[error.op.op]?.[errnoName(error.errno)]
  const { subject = '' } = error.failure
  return fromKernel(error.failure, meaning && { code: meaning.code, message: meaning.message(subject, error.op) })
}

/** Did a plan stop because the record that it was drawn up from is not the current one any more? */
export function changedMeanwhile(error: unknown): boolean {
  if (!(error instanceof PlanFailure)) return false
  const errno = errnoName(error.errno)
  return (
    (error.op.op === 'expect.unchanged' && (errno === 'ESTALE' || errno === 'ENOENT')) || (error.op.op === 'lock' && errno === 'ENOENT')
  )
}
