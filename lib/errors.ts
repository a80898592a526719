/**
 * Errors: one class for what the kernel or the state refuses, TypeError and RangeError for wrong arguments.
 * All carry a stable `code`; decide by that (or by `errno`), never by the message.
 */
import { constants } from 'node:os'
import { getSystemErrorMap, inspect, types } from 'node:util'

/** A code without its prefix: `'NOT_FOUND'`. */
export type ShortCode =
  | 'INVALID_ARGUMENT'
  | 'NOT_FOUND'
  | 'EXISTS'
  | 'MISMATCH'
  | 'IN_USE'
  | 'ADDRESS_IN_USE'
  | 'PORT_IN_USE'
  | 'EXHAUSTED'
  | 'CAPACITY'
  | 'SUBNET_OVERLAP'
  | 'NOT_A_NAMESPACE'
  | 'NAMESPACE_GONE'
  | 'BUSY'
  | 'CLOSED'
  | 'PERMISSION'
  | 'UNSUPPORTED'
  | 'STATE'
  | 'NATIVE_LOAD'
  | 'KERNEL'

/** What went wrong, as a program reads it. */
export type ErrorCode = `ERR_NETMODE_${ShortCode}`

/** What every error of netmode carries. Wrong arguments are a TypeError or RangeError with code ERR_NETMODE_INVALID_ARGUMENT and `field`. */
export interface ErrorFields {
  readonly code: ErrorCode
  /** The argument that was wrong: `publish[1].hostPort`. */
  readonly field?: string
  /** Negative, as in Node's system errors. */
  readonly errno?: number
  /** The op: `link.add`. */
  readonly syscall?: string
  /** What it was done to. */
  readonly subject?: string
  /** The kernel's extended ack. */
  readonly detail?: string
  /** Sandbox or process that holds the address, port or name. */
  readonly holder?: string
  /** Failures while rolling back. */
  readonly undo?: readonly Error[]
}

/** A failed operation. `cause` is set where another error was the reason. */
export class NetmodeError extends Error implements ErrorFields {
  // `declare`: an absent field is an absent property, so that a printed error shows only what is known.
  declare readonly code: ErrorCode
  declare readonly field?: string
  declare readonly errno?: number
  declare readonly syscall?: string
  declare readonly subject?: string
  declare readonly detail?: string
  declare readonly holder?: string
  declare readonly undo?: readonly Error[]

  constructor(message: string, fields: ErrorFields & { readonly cause?: unknown }) {
    const { cause, ...known } = fields
    super(message, cause === undefined ? undefined : { cause })
    setFields(this, known)
  }

  static {
    NetmodeError.prototype.name = 'NetmodeError'
  }
}

function setFields(error: Error, fields: ErrorFields): void {
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) Object.defineProperty(error, key, { value, enumerable: true, writable: false, configurable: true })
  }
}

/** True for every error that netmode makes, wrong arguments included, also across bundles, realms and threads. */
export function isNetmodeError(e: unknown): e is Error & ErrorFields {
  if (!(e instanceof Error || types.isNativeError(e)) || !('code' in e)) return false
  return typeof e.code === 'string' && e.code.startsWith('ERR_NETMODE_')
}

const shownLength = 80
// Control, bidirectional and invisible characters.
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** A value as text for a message: one line, at most about 80 characters, nothing that a terminal would obey. Runs no getter. */
export function show(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value.slice(0, shownLength + 1)) : inspected(value)
  const line = text.replace(unprintable, c => `\\u{${c.codePointAt(0)?.toString(16)}}`)
  return line.length > shownLength ? `${line.slice(0, shownLength)}…` : line
}

function inspected(value: unknown): string {
  try {
    return inspect(value, {
      depth: 1,
      breakLength: Infinity,
      compact: true,
      maxArrayLength: 8,
      maxStringLength: shownLength,
      customInspect: false,
      showProxy: true,
    })
  } catch {
    return 'an object that cannot be shown' // a throwing Symbol.toStringTag, for one
  }
}

/**
 * A wrong argument, to be thrown: "Expected X for FIELD but received Y". TypeError, or RangeError with `range`
 * (right type, value outside what is allowed); code ERR_NETMODE_INVALID_ARGUMENT.
 */
export function invalid(
  field: string,
  expected: string,
  received: unknown,
  options: { readonly range?: boolean } = {},
): (TypeError | RangeError) & ErrorFields {
  const Kind = options.range ? RangeError : TypeError
  const error = new Kind(`Expected ${expected} for ${field} but received ${show(received)}`)
  const fields: ErrorFields = { code: 'ERR_NETMODE_INVALID_ARGUMENT', field }
  setFields(error, fields)
  Error.captureStackTrace(error, invalid)
  return error as Error as TypeError & ErrorFields
}

/** A NetmodeError, to be thrown: `throw fail('NOT_FOUND', 'No network called "x"', { subject: 'x' })`. */
export function fail(
  code: ShortCode,
  message: string,
  fields: Omit<ErrorFields, 'code'> & { readonly cause?: unknown } = {},
): NetmodeError {
  const error = new NetmodeError(message, { ...fields, code: `ERR_NETMODE_${code}` })
  Error.captureStackTrace(error, fail)
  return error
}

/** What the addon reports about the op that failed. */
export interface KernelFailure {
  /** As the kernel gives it; its sign doesn't matter. */
  readonly errno: number
  /** The op: `link.add`. */
  readonly syscall: string
  /** The kernel's extended ack, or what the native side knows besides. */
  readonly detail?: string | undefined
  readonly holder?: string | undefined
  /** Byte offset of the offending attribute in the message (extended ack). */
  readonly offset?: number | undefined
  /** What it was done to: a link, an address, a path. */
  readonly subject?: string | undefined
  /** What failed while the steps before were taken back. */
  readonly undo?: readonly KernelFailure[] | undefined
}

/** What a kernel answers that neither libuv nor os.constants has a name for (asm-generic/errno.h). */
const kernelOnly: Readonly<Record<number, string>> = { 54: 'EXFULL', 77: 'EBADFD', 85: 'ERESTART' }

/** The name of an errno: `-17` → `'EEXIST'`. */
export function errnoName(errno: number): string {
  const negative = -Math.abs(errno)
  const known = getSystemErrorMap().get(negative)?.[0] ?? kernelOnly[-negative]
  return known ?? Object.entries(constants.errno).find(([, value]) => value === -negative)?.[0] ?? `errno ${-negative}`
}

/**
 * A kernel error as a NetmodeError. `code` overrides the mapping where only the caller knows what an EEXIST means
 * (a sandbox's folder: EXISTS; an address: ADDRESS_IN_USE); `message` replaces the words before the errno.
 */
export function fromKernel(failure: KernelFailure, options: { readonly code?: ShortCode; readonly message?: string } = {}): NetmodeError {
  const { syscall, subject, detail, holder, offset } = failure
  const errno = -Math.abs(failure.errno)
  const name = errnoName(errno)
  const code = options.code ?? codeOf(name, syscall)
  const what = options.message ?? `${syscall}${subject === undefined ? '' : ` ${subject}`} failed`
  const text = getSystemErrorMap().get(errno)?.[1]
  const message = [
    `${what}: ${name}${text === undefined ? '' : ` (${text})`}`,
    detail ? `: ${detail}` : '',
    offset ? ` at byte ${offset} of the message` : '',
    holder ? `; held by ${holder}` : '',
    code === 'PERMISSION' ? `; ${syscall} ${needOf(syscall)}` : '',
  ].join('')
  const undo = failure.undo?.map(one => fromKernel(one))
  const error = new NetmodeError(message, {
    code: `ERR_NETMODE_${code}`,
    errno,
    syscall,
    ...(subject !== undefined && { subject }),
    ...(detail && { detail }),
    ...(holder && { holder }),
    ...(undo?.length && { undo }),
  })
  Error.captureStackTrace(error, fromKernel)
  return error
}

/** Was a plan called off? What has failed by itself before may be tried again, or be told of. */
export function isCalledOff({ errno }: Pick<KernelFailure, 'errno'>, signal?: AbortSignal): signal is AbortSignal {
  return signal?.aborted === true && errnoName(errno) === 'ECANCELED'
}

/** What to reject with: the signal's reason if the plan was called off, else the kernel's error. */
export function rejection(failure: KernelFailure, signal?: AbortSignal, options?: Parameters<typeof fromKernel>[1]): unknown {
  return isCalledOff(failure, signal) ? signal.reason : fromKernel(failure, options)
}

const codes: Readonly<Record<string, ShortCode>> = {
  EPERM: 'PERMISSION',
  EACCES: 'PERMISSION',
  EROFS: 'PERMISSION',
  EOPNOTSUPP: 'UNSUPPORTED',
  ENOTSUP: 'UNSUPPORTED', // the same number, libuv's name
  EPROTONOSUPPORT: 'UNSUPPORTED',
  EAFNOSUPPORT: 'UNSUPPORTED',
  ENOSYS: 'UNSUPPORTED',
  EEXIST: 'EXISTS',
  EADDRINUSE: 'ADDRESS_IN_USE',
  ENODEV: 'NOT_FOUND',
  EBUSY: 'BUSY',
  EAGAIN: 'BUSY',
  EXFULL: 'CAPACITY', // a bridge with 1,023 ports
  ENOSPC: 'CAPACITY',
  EMFILE: 'CAPACITY',
  ENFILE: 'CAPACITY',
}

// The native side says ENOTSUP (which is EOPNOTSUPP too) of what it could open.
const notANamespace: ReadonlySet<string> = new Set(['EINVAL', 'ENOTTY', 'EBADF', 'ENOTDIR', 'ENOTSUP', 'EOPNOTSUPP'])

function codeOf(errno: string, op: string): ShortCode {
  if (op === 'port.claim' && errno === 'EADDRINUSE') return 'PORT_IN_USE'
  if (op === 'netns.open' || op === 'netns.identify') {
    if (errno === 'ENOENT' || errno === 'ESRCH' || errno === 'ESTALE') return 'NAMESPACE_GONE' // stale: another is in its place
    if (notANamespace.has(errno)) return 'NOT_A_NAMESPACE'
  }
  if (op.startsWith('sysctl.') && errno === 'ENOENT') return 'NOT_FOUND'
  return codes[errno] ?? 'KERNEL'
}

function needOf(op: string): string {
  if (op.startsWith('netns.')) return 'needs CAP_SYS_ADMIN'
  if (op === 'port.claim')
    return 'needs CAP_NET_BIND_SERVICE (ports below net.ipv4.ip_unprivileged_port_start) or write access to the state folder'
  if (/^(lock|claim|release|port|folder|file)\b/.test(op)) return 'needs write access to the state folder'
  return 'needs CAP_NET_ADMIN in the user namespace that owns this network namespace'
}
