/** Measures one row, in the namespaces that this process was started in, and writes the result to a file. */
import { writeFileSync } from 'node:fs'
import { Scale } from './row.js'
import { rows } from './rows/rows.js'

const [name, samples, crowd, peers, out] = process.argv.slice(2)
if (process.env.NETMODE_PRIVATE !== '1')
  throw new Error('a benchmark changes networking only in a private namespace: start it with `npm run bench`')
const row = rows.find(one => one.name === name)
if (row === undefined || out === undefined) throw new Error(`usage: row-process NAME SAMPLES CROWD PEERS OUT; there is no row ${name}`)
const result = await row.measure(new Scale({ samples: Number(samples), crowd: Number(crowd) }, peers === 'true'))
writeFileSync(out, JSON.stringify(result))
