/**
 * All peers, in the order of the table, with the bar that netmode has to meet beside each: so many times as fast. The last one asks the
 * kernel in the same way as the bare floor does, and for no more: there is no such bar beside it.
 */
import { cni } from './cni.js'
import { docker } from './docker.js'
import { goInPlace, goUsual, pyroute2 } from './libraries.js'
import { netavark } from './netavark.js'
import type { Start } from './peer.js'
import { programs } from './programs.js'

export const peers: readonly { readonly start: Start; readonly bar?: number }[] = [
  { start: programs, bar: 30 },
  { start: cni, bar: 30 },
  { start: netavark, bar: 30 },
  { start: docker, bar: 15 },
  { start: pyroute2, bar: 15 },
  { start: goUsual, bar: 15 },
  { start: goInPlace },
]
