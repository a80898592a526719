/** All rows, in the order of the table. */
import type { Row } from '../row.js'
import { burst } from './burst.js'
import { codec } from './codec.js'
import { connections } from './connections.js'
import { create } from './create.js'
import { eventLoop } from './event-loop.js'
import { growth } from './growth.js'
import { list } from './list.js'
import { memory } from './memory.js'
import { peers } from './peers.js'
import { pool } from './pool.js'
import { publish } from './publish.js'
import { remove } from './remove.js'
import { removeOne } from './remove-one.js'
import { spoofCheck } from './spoof-check.js'
import { startUp } from './start-up.js'
import { throughput } from './throughput.js'

export const rows: readonly Row[] = [
  create,
  spoofCheck,
  growth,
  peers,
  burst,
  pool,
  remove,
  removeOne,
  publish,
  connections,
  throughput,
  list,
  eventLoop,
  startUp,
  memory,
  codec,
]
