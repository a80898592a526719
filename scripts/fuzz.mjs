// libFuzzer on the readers of what the kernel and callers send (native/fuzz), under AddressSanitizer and UndefinedBehaviorSanitizer.
//
//   node scripts/fuzz.mjs                    each program on its corpus and for some seconds more, as CI does
//   node scripts/fuzz.mjs --seconds 600      so long each; what it finds new stays in build-fuzz/found
//   node scripts/fuzz.mjs --merge            takes of that what reaches new code into native/fuzz/corpus
//   node scripts/fuzz.mjs --coverage         how many lines of the readers the corpus reaches (g++ and gcov)
//   node scripts/fuzz.mjs json nft           only these
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { basename, join } from 'node:path'
import { root } from './stamp.mjs'

const kSources = JSON.parse(readFileSync(join(root, 'native/sources.json'), 'utf8')).addon
/** All of a folder of the addon's. */
const sourcesIn = name =>
  kSources.filter(file => file.startsWith(`native/${name}/`)).map(file => file.slice('native/'.length, -'.cc'.length))
const kNetlink = ['base/inet', ...sourcesIn('netlink')]
/** What each program is made of, beside its own source. */
const kPrograms = {
  json: ['base/json'],
  netlink: [...kNetlink, ...sourcesIn('rtnl'), 'watch/event', 'watch/loss', 'watch/subscribe'],
  nft: [...kNetlink, 'nft/datum', 'nft/dump', 'nft/list_rules', 'nft/user_data'],
}
const kCommon = ['-std=c++23', '-fno-exceptions', '-fno-rtti', '-Wall', '-Wextra', '-Inative']
const kFuzzing = {
  folder: 'build-fuzz',
  compiler: 'clang++-19',
  flags: ['-O1', '-gline-tables-only', '-fsanitize=fuzzer,address,undefined', '-fno-sanitize-recover=all'],
}
const kCovering = { folder: 'build-fuzz/coverage', compiler: 'g++', flags: ['-O0', '--coverage'] }
/** Functions that read, but for those that read the text of an address: their callers in lib/ have fast-check (test/unit/addresses.test.ts). */
const kReaders =
  /(Parse|Read|Feed|Find|Match|ForEach|AttributesOf|ValueOf|PairUp|Present|Decrement|Text|Split|Skip|Take|Value|Number|String|Literal|Array|Object|Escape)\w*\(/
const kTexts = /ParseIp\(|ParseMac\(|ParsePrefix\(|PutString|Put\w*\(|NestedString/

function must(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', encoding: 'utf8', maxBuffer: 1 << 28, ...options })
  if (result.status === 0) return result.stdout ?? ''
  console.error(`failed: ${command} ${args.join(' ')} (${result.error?.message ?? result.signal ?? `status ${result.status}`})`)
  process.exit(result.status || 1)
}

const newest = Math.max(
  ...readdirSync(join(root, 'native'), { recursive: true })
    .filter(file => /\.(cc|h)$/.test(file))
    .map(file => statSync(join(root, 'native', file)).mtimeMs),
)

/** Builds the programs that are older than any source. */
function build(names, { folder, compiler, flags }, more = []) {
  const due = names.filter(name => !existsSync(join(root, folder, name)) || statSync(join(root, folder, name)).mtimeMs < newest)
  if (due.length === 0) return
  const objects = join(folder, 'objects')
  mkdirSync(join(root, objects), { recursive: true })
  const object = file => join(objects, `${file.replaceAll('/', '-')}.o`)
  const files = [...new Set(due.flatMap(name => [`fuzz/${name}`, ...kPrograms[name]])), ...more]
  const lines = files.map(file => [`native/${file}.cc`, '-o', object(file)].join(' ')).join('\n')
  must('xargs', ['-P', String(availableParallelism()), '-L', '1', compiler, ...kCommon, ...flags, '-c'], {
    input: lines,
    stdio: ['pipe', 'inherit', 'inherit'],
  })
  for (const name of due) must(compiler, [...flags, ...[`fuzz/${name}`, ...kPrograms[name], ...more].map(object), '-o', join(folder, name)])
}

const corpusOf = name => join('native/fuzz/corpus', name)
const foundOf = name => join(kFuzzing.folder, 'found', name)

function fuzz(names, seconds) {
  build(names, kFuzzing)
  for (const name of names) {
    mkdirSync(join(root, foundOf(name)), { recursive: true })
    const args = [foundOf(name), corpusOf(name), `-max_total_time=${seconds}`, '-timeout=10', '-rss_limit_mb=2048', '-max_len=4096']
    const artifacts = `-artifact_prefix=${join(kFuzzing.folder, `${name}-`)}`
    const { status, stderr } = spawnSync(join(kFuzzing.folder, name), [...args, artifacts, '-print_final_stats=1'], {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    })
    if (status !== 0) {
      process.stderr.write(stderr)
      process.exit(1)
    }
    console.log(`fuzz ${name}: ${stderr.match(/number_of_executed_units: *(\d+)/)?.[1] ?? '?'} inputs, none that does harm`)
  }
}

function merge(names) {
  build(names, kFuzzing)
  for (const name of names) must(join(kFuzzing.folder, name), ['-merge=1', corpusOf(name), foundOf(name)], { stdio: 'ignore' })
}

/** Runs the corpus through programs that count lines. */
function coverage(names) {
  rmSync(join(root, kCovering.folder), { recursive: true, force: true })
  build(names, kCovering, ['fuzz/replay'])
  for (const name of names)
    must(join(kCovering.folder, name), [...readdirSync(join(root, corpusOf(name))).map(file => join(corpusOf(name), file))])
  const lines = new Map()
  for (const file of readdirSync(join(root, kCovering.folder, 'objects')).filter(one => one.endsWith('.gcda'))) {
    const text = must('gcov', ['--json-format', '--stdout', '--demangled-names', join(kCovering.folder, 'objects', file)], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    for (const report of text.split('\n').filter(one => one.startsWith('{'))) note(JSON.parse(report), lines)
  }
  const all = [...lines.values()]
  const reached = all.filter(count => count > 0).length
  for (const [place, count] of lines) if (count === 0) console.log(`not reached: ${place}`)
  console.log(`lines of the readers that the corpus reaches: ${reached} of ${all.length}, ${((100 * reached) / all.length).toFixed(1)} %`)
}

function note({ files }, lines) {
  for (const { file, functions, lines: counts } of files) {
    if (!file.startsWith('native/') || file.startsWith('native/fuzz/')) continue
    const readers = functions.filter(one => kReaders.test(one.demangled_name) && !kTexts.test(one.demangled_name))
    for (const { line_number: line, count } of counts) {
      if (!readers.some(one => one.start_line <= line && line <= one.end_line)) continue
      const place = `${file}:${line}`
      lines.set(place, (lines.get(place) ?? 0) + count)
    }
  }
}

const args = process.argv.slice(2)
const at = args.indexOf('--seconds')
const names = args.filter((one, i) => !one.startsWith('--') && (at < 0 || i !== at + 1)).map(one => basename(one))
const chosen = names.length > 0 ? names : Object.keys(kPrograms)
if (args.includes('--merge')) merge(chosen)
else if (args.includes('--coverage')) coverage(chosen)
else fuzz(chosen, at < 0 ? 8 : Number(args[at + 1]))
