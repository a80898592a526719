/** How a failure is told: on stderr, in one line, and by the exit status. */
import { CommanderError } from 'commander'
import { type ErrorFields, isNetmodeError } from '../errors.js'
import { Interrupted } from './signals.js'

const usageCode = 'ERR_NETMODE_INVALID_ARGUMENT'

/** `run` and `exec` give their command's own status, so that their own failures need another one. */
export const ownFailure = 125

/** The command of `run` or `exec` that could not be started, with the status that the shell gives: 127 not found, 126 not executable. */
export class NotStarted extends Error {
  readonly code: string
  readonly status: 126 | 127

  constructor(file: string, cause: NodeJS.ErrnoException) {
    const absent = cause.code === 'ENOENT'
    super(`${file}: ${absent ? 'not found' : 'not executable'} (${cause.code})`, { cause })
    this.code = cause.code ?? ''
    this.status = absent ? 127 : 126
  }
}

/** 2 for wrong usage, 128 + n after a signal, else 1; with `runsCommand` 125 for all but signals. */
export function exitStatus(error: unknown, runsCommand: boolean): number {
  if (error instanceof Interrupted || error instanceof NotStarted) return error.status
  if (runsCommand) return ownFailure
  return error instanceof CommanderError || (isNetmodeError(error) && error.code === usageCode) ? 2 : 1
}

/** What goes to stderr: `netmode: message`, or an object under `error`; a line for each of an AggregateError's. */
export function failureText(error: unknown, format: 'table' | 'json'): string {
  if (error instanceof Interrupted) return ''
  if (error instanceof AggregateError) return error.errors.map(one => failureText(one, format)).join('')
  if (format === 'json') return `${JSON.stringify({ error: failureObject(error) })}\n`
  const { message, undo = [] } = failureObject(error)
  return `netmode: ${[message, ...undo.map(text => `could not be taken back: ${text}`)].join('; ')}\n`
}

type FailureObject = Partial<Omit<ErrorFields, 'code' | 'undo'>> & { code?: string; message: string; undo?: readonly string[] }

function failureObject(error: unknown): FailureObject {
  if (error instanceof CommanderError) return { code: usageCode, message: oneLine(error.message.replace(/^error: /, '')) }
  if (!(error instanceof Error)) return { message: oneLine(String(error)) }
  const message = oneLine(error.message)
  if (!isNetmodeError(error)) return { ...('code' in error && typeof error.code === 'string' && { code: error.code }), message }
  // Spread takes own enumerable properties: the fields that are known, neither message nor stack.
  const { code, undo, ...fields }: ErrorFields = { ...error }
  return { code, message, ...fields, ...(undo && { undo: undo.map(one => oneLine(one.message)) }) }
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, ' ')
}
