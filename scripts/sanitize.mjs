// The development build (CMakeLists.txt through cmake-js) and what runs on it.
//
//   node scripts/sanitize.mjs configure              build-dev/compile_commands.json, for clang-tidy and editors
//   node scripts/sanitize.mjs native [CTEST…]        native tests under AddressSanitizer and UndefinedBehaviorSanitizer
//   node scripts/sanitize.mjs native-thread [CTEST…] native tests under ThreadSanitizer
//   node scripts/sanitize.mjs suite [VITEST…]        the test suite on a sanitized addon, in a stock Node
//   node scripts/sanitize.mjs leaks                  test/leaks/*.mjs on it, with LeakSanitizer
//
// Everything runs in a private namespace; the sanitized files are mounted over build/Release there, so nothing else sees them.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { isNativeCurrent } from './native-build.mjs'
import { root } from './stamp.mjs'

const kInNamespace = join(root, 'scripts/in-namespace.sh')
const kMemory = { folder: 'build-asan', sanitize: 'address,undefined', runtimes: ['libasan.so', 'libstdc++.so.6'] }
const kThread = { folder: 'build-tsan', sanitize: 'thread', runtimes: [] }
const kPlain = { folder: 'build-dev', sanitize: '', runtimes: [] }

/** Ends this process with the command's status unless that is 0. */
function must(command, args, { env = {}, quiet = false } = {}) {
  const stdio = quiet ? ['ignore', 'pipe', 'pipe'] : 'inherit'
  const result = spawnSync(command, args, { cwd: root, stdio, encoding: 'utf8', maxBuffer: 1 << 28, env: { ...process.env, ...env } })
  if (result.status === 0) return
  if (quiet) process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`)
  console.error(`failed: ${command} ${args.join(' ')} (${result.error?.message ?? result.signal ?? `status ${result.status}`})`)
  process.exit(result.status || 1)
}

function cmake(verb, { folder, sanitize }, ...more) {
  const tool = join(dirname(createRequire(import.meta.url).resolve('cmake-js/package.json')), 'bin/cmake-js')
  const args = [
    tool,
    verb,
    '--out',
    folder,
    '--config',
    'RelWithDebInfo',
    '--prefer-make',
    '--prefer-gnu',
    `--CDNETMODE_SANITIZE=${sanitize}`,
  ]
  must(process.execPath, [...args, '--parallel', String(availableParallelism()), ...more], { quiet: true })
}

/** Memory errors end the process at once; leaks are looked for only where a process ends by itself. */
const sanitizerOptions = leaks => ({
  ASAN_OPTIONS: `detect_leaks=${leaks ? 1 : 0}:halt_on_error=1:strict_string_checks=1:detect_stack_use_after_return=1`,
  UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
  TSAN_OPTIONS: 'halt_on_error=1:second_deadlock_stack=1',
})

/** Environment for scripts/in-namespace.sh: the sanitized build in the place of the released one, its run-time library in Node. */
function onSanitizedAddon() {
  if (!isNativeCurrent()) must(process.execPath, ['scripts/native-build.mjs'])
  cmake('build', kMemory)
  const find = name => spawnSync('g++', [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout.trim()
  return { NETMODE_TEST_BUILD: join(root, kMemory.folder, 'out'), NETMODE_TEST_PRELOAD: kMemory.runtimes.map(find).join(':') }
}

function nativeTests(build, args) {
  cmake('build', build)
  const ctest = ['ctest', '--test-dir', build.folder, '--output-on-failure', '--no-tests=ignore', ...args]
  must(kInNamespace, ctest, { env: sanitizerOptions(true) })
}

// What kills the sanitized process on purpose, compares with other programs, or measures, shows nothing of the addon's memory.
const kOutsideSuite = ['test/peers/**', 'test/reliability/**', 'test/process/bench.test.ts'].flatMap(folder => ['--exclude', folder])

function suite(args) {
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  must(process.execPath, [vitest, 'run', ...kOutsideSuite, ...args], { env: { ...onSanitizedAddon(), ...sanitizerOptions(false) } })
}

/** A check that finds nothing proves nothing: one leak is planted, in an addon of its own, and has to be told of. */
function seeThePlantedOne(env) {
  const addon = join(root, kMemory.folder, 'plant.node')
  must('g++', ['-shared', '-fPIC', '-g', '-fsanitize=address', join(root, 'test/leaks/plant.cc'), '-o', addon])
  const args = [process.execPath, join(root, 'test/leaks/plant.mjs'), addon]
  const { status, stderr } = spawnSync(kInNamespace, args, { cwd: root, encoding: 'utf8', env: { ...process.env, ...env } })
  if (status !== 0 && /LeakSanitizer[\s\S]*4321 byte/.test(stderr)) return console.log('a planted leak is seen')
  process.stderr.write(stderr)
  console.error('failed: a leak was planted, and nothing told of it')
  process.exit(1)
}

function leaks() {
  const folder = join(root, 'test/leaks')
  const scripts = existsSync(folder) ? readdirSync(folder).filter(name => name.endsWith('.mjs') && name !== 'plant.mjs') : []
  const env = { ...onSanitizedAddon(), ...sanitizerOptions(true) }
  seeThePlantedOne(env)
  for (const script of scripts.sort()) {
    must(kInNamespace, [process.execPath, join(folder, script)], { env })
    console.log(`no leak: test/leaks/${script}`)
  }
}

const [task, ...rest] = process.argv.slice(2)
switch (task) {
  case 'configure':
    cmake('configure', kPlain)
    break
  case 'native':
    nativeTests(kMemory, rest)
    break
  case 'native-thread':
    nativeTests(kThread, rest)
    break
  case 'suite':
    suite(rest)
    break
  case 'leaks':
    leaks()
    break
  default:
    console.error('usage: node scripts/sanitize.mjs configure | native [CTEST…] | native-thread [CTEST…] | suite [VITEST…] | leaks')
    process.exitCode = 2
}
