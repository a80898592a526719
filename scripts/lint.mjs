// Checks the form of everything: biome for TypeScript and JSON, clang-format and clang-tidy for C++, and the list of sources.
//
//   node scripts/lint.mjs           checks
//   node scripts/lint.mjs --write   formats in place what can be
//
// clang-tidy reads build-dev/compile_commands.json, which this makes when it is needed.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { filesBelow, root } from './stamp.mjs'

const write = process.argv.includes('--write')
let failed = 0

function check(title, command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  if (status === 0) return
  failed += 1
  console.error(`lint: ${title} failed${error ? `: ${error.message}` : ''}`)
}

/** Each .cc file is in a list of native/sources.json, and each entry there is a file. Fuzzers are built one by one, by hand. */
function checkSources() {
  const listed = Object.values(JSON.parse(readFileSync(join(root, 'native/sources.json'), 'utf8'))).flat()
  const unlisted = filesBelow('native').filter(file => file.endsWith('.cc') && !file.startsWith('native/fuzz/') && !listed.includes(file))
  const absent = listed.filter(file => !existsSync(join(root, file)))
  for (const file of unlisted) console.error(`native/sources.json does not list ${file}`)
  for (const file of absent) console.error(`native/sources.json lists ${file}, which does not exist`)
  if (unlisted.length + absent.length > 0) failed += 1
}

/** clang-tidy over all sources, a few processes at a time: it takes seconds a file. */
function checkTidy(sources) {
  check('configuring with CMake', process.execPath, ['scripts/sanitize.mjs', 'configure'])
  const jobs = String(availableParallelism())
  const args = ['-0', '-n', '2', '-P', jobs, 'clang-tidy-19', '--quiet', '--warnings-as-errors=*', '-p', 'build-dev']
  const { status, stdout } = spawnSync('xargs', args, {
    cwd: root,
    input: sources.join('\0'),
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  if (status === 0) return
  process.stdout.write(stdout)
  failed += 1
  console.error('lint: clang-tidy failed')
}

const native = filesBelow('native').filter(file => /\.(cc|h)$/.test(file))
check('biome', process.execPath, ['node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings', ...(write ? ['--write'] : [])])
check('clang-format', 'clang-format-19', [...(write ? ['-i'] : ['--dry-run', '-Werror']), ...native])
if (!write) {
  checkSources()
  checkTidy(native.filter(file => file.endsWith('.cc') && !file.startsWith('native/fuzz/')))
}
process.exitCode = failed > 0 ? 1 : 0
