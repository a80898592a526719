/** The one loader of the addon, and its typed contract. Nothing else in lib/ knows that there is one. */
import { join } from 'node:path'
import bindings from 'bindings'

import { fail } from './errors.js'
import { packageFolder } from './package-folder.js'
import type { Address, Counter, Link, Neighbor, NeighborTable, Route, Rule, Ruleset } from './plan/kernel-objects.js'
import type { ClaimGroups, Datum, NetnsCreate, Plan, Sights } from './plan/op.js'

/** An op that failed; `errno` is positive here. */
export interface Trouble {
  readonly step: number
  readonly errno: number
  readonly syscall: string
  readonly detail?: string
  readonly holder?: string
  readonly offset?: number
}

/** Who a namespace is. */
export interface Identity {
  readonly dev: bigint
  readonly inode: bigint
  /** From kernel 5.14; never reused until the next boot. */
  readonly cookie?: bigint
}

/** What `nft.list` answers. */
export interface NftListing {
  readonly tables?: readonly { readonly name: string; readonly handle: bigint; readonly flags: number; readonly comment?: string }[]
  readonly elements?: readonly {
    readonly key: readonly Datum[]
    readonly end?: readonly Datum[]
    readonly data?: readonly Datum[]
    readonly comment?: string
    /** Where the set counts. */
    readonly counter?: Counter
  }[]
  /** Key in words (its parts with blanks between them), packets, bytes; and so on. */
  readonly counts?: readonly (string | number)[]
}

/** What an op answers: nothing, a sysctl's value, an index or a count, or what was listed. */
export type Output =
  | undefined
  | string
  | number
  | Identity
  | NftListing
  | Sights
  | ClaimGroups
  | Ruleset
  | readonly Link[]
  | readonly Address[]
  | readonly Route[]
  | readonly Neighbor[]
  | readonly NeighborTable[]
  | readonly Rule[]

/** What became of a plan. With `failure`, everything was taken back but for what `undo` lists. */
export interface Report {
  readonly outputs: readonly Output[]
  readonly failure?: Trouble
  /** Beside `failure`. */
  readonly undo?: readonly Trouble[]
}

/** A host namespace that plans work from. */
export interface NativeSession {
  /** Runs the plan on a native thread; answers an id for `cancel`. A malformed one fails with EINVAL, before anything is done. */
  run(plan: JsonOf<Plan>, done: (report: Report) => void): number
  cancel(id: number): void
  /** Has the namespace of a `netns.create` made that is to come, whatever its name; false: one is being made already. */
  order(like: JsonOf<Omit<NetnsCreate, 'op'>>): boolean
  /** No plan will come for it. */
  cancelOrder(): void
  /** A plan will come in a moment: a native thread looks out for it. */
  expect(): void
  /** The descriptor that a `socket.open` has answered is the caller's from now on; false: it was closed with the session. */
  adopt(fd: number): boolean
  /** `done` is called when its plans have ended, with what they do behind their answer, and nothing of it is open any more. */
  close(done: () => void): void
}

/** The text of one of these. V8 writes it, and the addon reads it, in a fraction of the time that a look at every property would take. */
export type JsonOf<T> = string & { readonly of?: T }

export function toJson<T>(value: T): JsonOf<T> {
  return JSON.stringify(value)
}

/** What a watcher tells. `file`: a name in a folder has come, gone or been replaced; '' is the folder itself. */
export type NativeEvent =
  | { readonly type: 'link' | 'address' | 'route' | 'neighbor'; readonly action: 'new' | 'delete'; readonly object: object }
  | { readonly type: 'ruleset'; readonly action: 'new' | 'delete'; readonly object: RulesetObject }
  | { readonly type: 'file'; readonly action: 'new' | 'delete'; readonly folder: string; readonly name: string }
  | Loss
  | { readonly type: 'overrun' }

/** Something of a link went, or the link itself, on the host or in a namespace that it is linked with. */
export interface Loss {
  readonly type: 'loss'
  /** `port`: it left its bridge; `name`: it has another; `namespace`: its id `nsid` means nothing any more. */
  readonly what: 'link' | 'down' | 'port' | 'name' | 'address' | 'route' | 'namespace'
  /** The link's. */
  readonly index?: number
  /** Where it happened, as the host calls it; absent: on the host. */
  readonly nsid?: number
  /** Of a link that went or is down. */
  readonly name?: string
  readonly alias?: string
}

/** `name`: of the chain or set; of a rule's chain, an element's set. */
export interface RulesetObject {
  readonly kind: 'table' | 'chain' | 'rule' | 'set' | 'element' | 'object' | 'flowtable'
  readonly family: string
  readonly table: string
  readonly name?: string
}

/** What to watch. */
export interface WatchWish {
  readonly kinds?: readonly ('link' | 'address' | 'route' | 'neighbor')[]
  /** Every change of nf_tables. */
  readonly ruleset?: boolean
  /** Only tables, chains and rules: what changes elements wakes nobody. */
  readonly tables?: boolean
  /** What goes from links. What is made wakes nobody. */
  readonly losses?: boolean
  readonly folders?: readonly string[]
  /** With the folders directly below. */
  readonly trees?: readonly string[]
  /** Only names that go from them. */
  readonly removals?: readonly string[]
}

/** A native thread that waits for events. */
export interface NativeWatch {
  /** The events since the last call. */
  take(): readonly NativeEvent[]
  /** Whether it keeps the process alive; at first it doesn't. */
  hold(on: boolean): void
  /** No more events; `done` is called when the thread has ended. Idempotent. */
  close(done: () => void): void
}

interface Addon {
  /** @throws an Error with errno and syscall */
  readonly Watch: new (
    session: NativeSession,
    wish: JsonOf<WatchWish>,
    onEvents: () => void,
  ) => NativeWatch
  readonly Session: new (ref?: JsonOf<{ readonly path?: string; readonly pid?: number; readonly fd?: number }>) => NativeSession
}

let loaded: Addon | undefined

/** Loads the addon at the first call. @throws NATIVE_LOAD, saying how to build it. */
export function native(): Addon {
  loaded ??= load()
  return loaded
}

/** Path of a program that is built beside the addon. */
export function programPath(name: string): string {
  return join(packageFolder, 'build', 'Release', name)
}

function load(): Addon {
  try {
    return bindings({
      bindings: 'netmode.node',
      module_root: packageFolder,
      try: [
        ['module_root', 'build', 'Release', 'bindings'],
        ['module_root', 'prebuilds', `linux-${process.arch}`, 'bindings'],
      ],
    }) as Addon
  } catch (cause) {
    throw fail(
      'NATIVE_LOAD',
      'The native addon could not be loaded; `npm run build:native` builds it (needs g++, make, python3, libnftnl-dev)',
      { cause },
    )
  }
}
