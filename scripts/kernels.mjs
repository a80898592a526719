// Runs test files on Debian's kernels under QEMU and prints one table: test file × kernel.
//
//   node scripts/kernels.mjs                    test/kernel and test/traffic, whole, on 6.1 and 6.12
//   node scripts/kernels.mjs --quick            a few files, and those that need what other kernels may lack (types of links)
//   node scripts/kernels.mjs FILE...            these files or folders
//   node scripts/kernels.mjs --kernel 6.12 …    on this kernel alone; may be given again
//   node scripts/kernels.mjs -t PATTERN …       only tests whose names match, as vitest's -t
//
// The machines run at once, and share the processors. Each boots into the file system of this one: it reads it through virtiofs and writes
// to memory, so it tests the tree as it stands, native build included. One test is for the kernel as a guest: QEMU boots it on TAPs of ours, on
// this machine. A failed test, a tainted kernel and a machine that died are failures.
// What a machine printed is in build-kernels/results/RELEASE.log, its report beside it in RELEASE.json, the table in table.txt.
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, constants } from 'node:os'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { fetchKernel, kKernelsFolder } from './kernels/debian-kernel.mjs'
import { kGuestScene, runGuestScene } from './kernels/guest-scene.mjs'
import { runMachine } from './kernels/machine.mjs'
import { resultTable } from './kernels/result-table.mjs'
import { filesBelow, root } from './stamp.mjs'

const kVersions = ['6.1', '6.12']
const kWhole = ['test/kernel', 'test/traffic']
const kQuick = ['test/kernel/read-back.test.ts', 'test/kernel/firewall.test.ts']
const kMemory = '2G'
const kResults = join(kKernelsFolder, 'results')
const say = text => process.stderr.write(`netmode kernels: ${text}\n`)

/** The files to run: as named, or chosen. */
function chooseFiles(named, quick) {
  const tests = kWhole.flatMap(filesBelow).filter(file => file.endsWith('.test.ts'))
  if (named.length > 0) return named.flatMap(filesBelow).filter(file => file.endsWith('.test.ts'))
  if (!quick) return tests
  const picky = tests.filter(file => needs(file, 'link:'))
  return [...new Set([...kQuick, kGuestScene, ...picky])]
}

/** By the words that its tests ask for in `requires` (test/setup/privilege.ts). */
const needs = (file, word) => readFileSync(join(root, file), 'utf8').includes(`'${word}`)
/** Beside such a file no other may run. */
const changesMachine = file => needs(file, 'ownMachine')

/** The machine that boots it runs the files, and ends with them. */
async function runInside(kernel, files, { cpus, log, lines, signal }) {
  const pattern = values.testNamePattern === undefined ? [] : ['-t', values.testNamePattern]
  const report = `${lines}.inside`
  const [shared, alone] = [false, true].map(own => files.filter(file => changesMachine(file) === own).join(' '))
  const command = [join(root, 'scripts/kernels/guest.sh'), process.execPath, shared, alone, ...pattern]
  say(`${kernel.release}: ${files.length} test files, ${cpus} processors; tail -f ${relative(process.cwd(), log)}`)
  await runMachine(kernel, { command, console: log, report, cpus, memory: kMemory, signal })
  appendFileSync(lines, readFileSync(report))
  rmSync(report)
}

/** Runs the files on one kernel. A file without a report is one that the machine did not live to end. */
async function runOn(kernel, files, cpus, signal) {
  const [log, lines, guestLog] = ['log', 'lines', 'guest.log'].map(kind => join(kResults, `${kernel.release}.${kind}`))
  for (const file of [log, lines, guestLog]) rmSync(file, { force: true })
  const inside = files.filter(file => file !== kGuestScene)
  if (inside.length < files.length) {
    say(`${kernel.release}: as a guest of ours; ${relative(process.cwd(), guestLog)}`)
    await runGuestScene(kernel, { log: guestLog, report: lines, signal })
    signal.throwIfAborted()
  }
  if (inside.length > 0) await runInside(kernel, inside, { cpus, log, lines, signal })
  signal.throwIfAborted()
  const reports = readFileSync(lines, 'utf8')
    .split('\n')
    .filter(line => line.startsWith('{'))
    .map(line => JSON.parse(line))
  rmSync(lines)
  const result = {
    release: kernel.release,
    // null: there was no machine to come to an end.
    end: inside.length > 0 ? reports.find(({ taint }) => taint !== undefined) : null,
    files: reports.filter(({ file }) => file),
  }
  writeFileSync(join(kResults, `${kernel.release}.json`), `${JSON.stringify(result, null, 2)}\n`)
  return result
}

/** Vitest's own form, as far as scripts/test-report.mjs reads it. */
function reportOf(results, problems) {
  const count = key => results.flatMap(({ files }) => files).reduce((sum, file) => sum + file[key], 0)
  return { numPassedTests: count('passed'), numFailedTests: problems, testResults: [] }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    kernel: { type: 'string', multiple: true, default: kVersions },
    testNamePattern: { type: 'string', short: 't' },
  },
})
const files = chooseFiles(positionals, values.quick)
if (files.length === 0) throw new Error(`no test file is at or below ${positionals.join(', ')}`)
const kernels = values.kernel.map(version => fetchKernel(version, say))
mkdirSync(kResults, { recursive: true })
const cpus = Math.max(1, Math.floor(availableParallelism() / kernels.length))
// Who is told to end takes the machines along: nobody else knows of them.
const ending = new AbortController()
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(name, () => ending.abort(name))
const runs = kernels.map(kernel => runOn(kernel, files, cpus, ending.signal))
await Promise.allSettled(runs)
if (ending.signal.aborted) {
  say(`ended by ${ending.signal.reason}`)
  process.exit(128 + constants.signals[ending.signal.reason])
}
const results = await Promise.all(runs)
const { text, problems } = resultTable(files, results)
process.stdout.write(text)
writeFileSync(join(kResults, 'table.txt'), text)
if (process.env.NETMODE_TEST_REPORT) writeFileSync(process.env.NETMODE_TEST_REPORT, JSON.stringify(reportOf(results, problems)))
process.exitCode = problems === 0 ? 0 : 1
