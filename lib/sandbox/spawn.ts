/**
 * Starts a command inside a network namespace, as `child_process.spawn` starts one here. In between stands netmode-exec
 * (native/exec), a small program that enters the namespace, makes the mounts and becomes the command.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { EventEmitter } from 'node:events'
import { closeSync, constants, openSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { getSystemErrorName } from 'node:util'

import { invalid } from '../errors.js'

/** Where a command runs, and what it finds there. */
export interface SpawnPlace {
  /** Path of netmode-exec; it lies beside the addon. */
  readonly program: string
  /** Path of the network namespace: `/run/netns/web`, `/proc/1234/ns/net`. */
  readonly netnsPath: string
  /** Bound over the targets, for this command only. A target that does not exist is passed over. */
  readonly files?: readonly { readonly source: string; readonly target: string }[]
  /** Show the namespace's own links in /sys/class/net, as `ip netns exec` does. Passed over where it is not permitted. Default true. */
  readonly sysfs?: boolean
  /** What `hostname` says there (a UTS namespace of its own). Default: the host's. */
  readonly hostname?: string
  /** `NET_RAW`, `CAP_NET_RAW` or `ALL`, as `docker run --cap-drop`. */
  readonly dropCapabilities?: readonly string[]
  /** Told what was passed over: `/etc/hosts`, `/sys`. */
  readonly onSkipped?: (skipped: { readonly what: 'mount' | 'sysfs'; readonly errno: number; readonly detail: string }) => void
}

/** One line of netmode-exec on the error pipe. */
type Line = { readonly errno: number; readonly detail: string } & ({ readonly stage: string } | { readonly skipped: 'mount' | 'sysfs' })
type Emission = [name: string | symbol, ...args: unknown[]]
type StartError = Error & { readonly errno: number }
type StdioEntry = Exclude<SpawnOptions['stdio'], undefined | string>[number]

/** What is executed in the end, `shell` being resolved. */
interface Target {
  readonly file: string
  readonly argv0: string
  readonly args: readonly string[]
}

/**
 * As `child_process.spawn(command, args, options)`, in the namespace. All its options are taken: `stdio` (its descriptors, and no
 * other, reach the command), `env`, `cwd`, `uid`, `gid`, `shell`, `detached`, `signal`, `timeout`. A command that cannot be started
 * is an `error` event like Node's own (`spawn nosuch ENOENT`, with `code`, `errno`, `syscall`, `path`), then `close`; if it failed
 * before, the error says at which `stage` (`setns`, `mount`, `capabilities`, …). `spawn` is emitted when the command itself runs.
 *
 * Throws a TypeError or RangeError with code ERR_NETMODE_INVALID_ARGUMENT on a wrong argument, and what `fs.openSync` throws if the
 * namespace is not there.
 */
export function spawnIn(place: SpawnPlace, command: string, args: readonly string[] = [], options: SpawnOptions = {}): ChildProcess {
  checkCommand(command, args)
  const { uid, gid, shell, argv0, stdio, ...rest } = options
  const target = targetOf(command, args, shell, argv0)
  const entries = stdioEntries(stdio)
  const netns = openSync(place.netnsPath, constants.O_RDONLY | constants.O_NONBLOCK) // a FIFO in its place must not hang us
  try {
    const identity = [...numberOption('--uid', 'uid', uid), ...numberOption('--gid', 'gid', gid)]
    const before = [...programArguments(place, entries), ...identity, '--argv0', target.argv0, '--', target.file]
    const child = spawn(place.program, [...before, ...target.args], { ...rest, stdio: [...entries, netns, 'pipe'] })
    watch(child, entries.length, target, place)
    return child
  } finally {
    closeSync(netns)
  }
}

function checkCommand(command: unknown, args: unknown): void {
  const fits = (text: unknown): text is string => typeof text === 'string' && !text.includes('\0')
  if (!fits(command) || command === '') throw invalid('command', 'a non-empty string without null bytes', command)
  if (!Array.isArray(args)) throw invalid('args', 'an array of strings', args)
  for (const [index, arg] of args.entries()) {
    if (!fits(arg)) throw invalid(`args[${index}]`, 'a string without null bytes', arg)
  }
}

function targetOf(command: string, args: readonly string[], shell: SpawnOptions['shell'], argv0: string | undefined): Target {
  if (!shell) return { file: command, argv0: argv0 ?? command, args }
  const file = typeof shell === 'string' ? shell : '/bin/sh'
  return { file, argv0: argv0 ?? file, args: ['-c', [command, ...args].join(' ')] }
}

/** The user's part of `stdio`, spelled out: Node's defaults are `pipe` for the first three and `ignore` beyond. */
function stdioEntries(stdio: SpawnOptions['stdio'] | null): StdioEntry[] {
  const given = Array.isArray(stdio) ? stdio : [stdio, stdio, stdio]
  const entries = Array.from({ length: Math.max(3, given.length) }, (_, index) => given[index] ?? (index < 3 ? 'pipe' : 'ignore'))
  return entries as StdioEntry[] // a string that is none of Node's words is for Node to refuse
}

function numberOption(flag: string, field: string, value: number | undefined): string[] {
  if (value === undefined) return []
  const whole = 'a whole number from 0 to 2147483647'
  if (!Number.isInteger(value) || value < 0 || value > 0x7fffffff) throw invalid(field, whole, value, { range: true })
  return [flag, String(value)]
}

function programArguments(place: SpawnPlace, entries: readonly StdioEntry[]): string[] {
  const count = entries.length
  const result = ['--error-fd', String(count + 1), '--netns-fd', String(count), '--keep-fds', String(count)] // the error pipe first: it then tells of the rest
  // Nothing is put at an ignored place, so that a descriptor that another library left open across fork would come through there.
  for (const [index, entry] of entries.entries()) if (index > 2 && entry === 'ignore') result.push('--close-fd', String(index))
  for (const { source, target } of place.files ?? []) result.push('--mount', source, target)
  if (place.sysfs ?? true) result.push('--sysfs')
  if (place.hostname !== undefined) result.push('--hostname', place.hostname)
  for (const name of place.dropCapabilities ?? []) result.push('--drop-cap', name)
  return result
}

/**
 * Makes `child` look as if Node had started the command itself: hides the two extra descriptors, and holds its end back until the
 * error pipe has told whether the command runs.
 */
function watch(child: ChildProcess, count: number, target: Target, place: SpawnPlace): void {
  const pipe = child.stdio?.[count + 1] as Readable | undefined
  Object.assign(child, { spawnfile: target.file, spawnargs: [target.argv0, ...target.args], stdio: child.stdio?.slice(0, count) })
  if (child.pid === undefined || !pipe) return // Node could not even start the program, and says so itself

  const gate = new EventGate(child)
  let text = ''
  pipe.setEncoding('utf8')
  pipe.on('data', (chunk: string) => {
    text += chunk
  })
  pipe.on('error', () => {}) // as good as its end: what was said is judged below
  pipe.on('close', () => {
    let failure: StartError | undefined
    for (const line of linesOf(text)) {
      if ('stage' in line) failure = startError(line, target)
      else place.onSkipped?.({ what: line.skipped, errno: -line.errno, detail: line.detail })
    }
    if (failure) gate.fail(failure)
    else gate.open()
  })
}

/** Lets the events of a child through only when it is known whether its command runs. */
class EventGate {
  readonly #child: ChildProcess
  readonly #held: Emission[] = []
  #failed: StartError | undefined

  constructor(child: ChildProcess) {
    this.#child = child
    const emit = (...event: Emission): boolean => this.#emit(event)
    Object.defineProperty(child, 'emit', { value: emit, configurable: true, writable: true })
  }

  /** It runs: what was held back is emitted, and all that follows passes. */
  open(): void {
    Reflect.deleteProperty(this.#child, 'emit')
    for (const event of this.#held) this.#pass(event)
  }

  /** It does not: as after a failed spawn of Node's there is `error` and `close`, with the negative errno for a status, and no `exit`. */
  fail(error: StartError): void {
    this.#failed = error
    const held = this.#held.splice(0)
    this.#pass(['error', error])
    for (const event of held) this.#emit(event)
  }

  #emit(event: Emission): boolean {
    const [name] = event
    if (name !== 'spawn' && name !== 'exit' && name !== 'close') return this.#pass(event)
    if (!this.#failed) {
      this.#held.push(event)
      return this.#child.listenerCount(name) > 0
    }
    if (name !== 'close') return false
    Object.assign(this.#child, { exitCode: this.#failed.errno, signalCode: null })
    return this.#pass(['close', this.#failed.errno, null])
  }

  #pass(event: Emission): boolean {
    return EventEmitter.prototype.emit.apply(this.#child, event)
  }
}

function linesOf(text: string): Line[] {
  const lines = text.split('\n')
  lines.pop() // what follows the last newline: nothing, or a line cut short by a kill
  return lines.map(line => JSON.parse(line) as Line)
}

function startError(report: Line & { readonly stage: string }, target: Target): StartError {
  const errno = -report.errno
  const code = getSystemErrorName(errno)
  const syscall = `spawn ${target.file}`
  const fields = { errno, code, syscall, path: target.file, spawnargs: [...target.args] }
  if (report.stage === 'exec') return Object.assign(new Error(`${syscall} ${code}`), fields)
  const { stage, detail } = report
  return Object.assign(new Error(`${syscall} ${code}: ${stage} (${detail})`), fields, { stage, detail })
}
