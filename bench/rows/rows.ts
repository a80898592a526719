/** All rows, in the order of the table. */
import type { Row } from '../row.js'
import { burst } from './burst.js'
import { codec } from './codec.js'
import { create } from './create.js'
import { eventLoop } from './event-loop.js'
import { growth } from './growth.js'
import { list } from './list.js'
import { memory } from './memory.js'
import { publish } from './publish.js'
import { remove } from './remove.js'
import { removeOne } from './remove-one.js'
import { startUp } from './start-up.js'

export const rows: readonly Row[] = [create, growth, burst, remove, removeOne, publish, list, eventLoop, startUp, memory, codec]
