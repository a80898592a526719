// Runs a benchmark in a network and mount namespace of its own, on what is published (dist/) and on a native program to compare with.
//
//   npm run bench                        all of create.ts
//   npm run bench -- create --samples 200
//   npm run bench -- create --help
//
// Builds what it needs into build-bench, unless nothing has changed that it is made from.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { basename, join, relative } from 'node:path'
import { build } from 'esbuild'
import { filesBelow, fingerprint, isCurrent, record, root } from '../scripts/stamp.mjs'

const kFolder = 'build-bench'
const kStamp = `${kFolder}/floor.stamp`
const kFloorSources = ['bench/floor.cc', 'bench/bare.cc', 'bench/plan_text.cc']
// As node-gyp builds the addon, so that native code is measured against itself.
const kFlags = ['-std=c++23', '-O3', '-fno-exceptions', '-fno-rtti', '-Wall', '-Wextra', '-Wpedantic', '-Werror', '-Inative', '-Ibench']

/** The program of floor.cc with all of native/ but the binding, whose libnftnl is linked here as nothing loads it lazily. */
function buildFloor() {
  const sources = [...JSON.parse(readFileSync(join(root, 'native/sources.json'), 'utf8')).addon, ...kFloorSources].filter(
    file => !file.startsWith('native/binding/'),
  )
  const headers = ['bench', 'native'].flatMap(filesBelow).filter(file => file.endsWith('.h'))
  const value = fingerprint([...sources, ...headers, 'bench/run.mjs'])
  if (isCurrent(kStamp, value)) return
  process.stderr.write('netmode bench: building the floor\n')
  const objectOf = source => `${kFolder}/${source.replaceAll('/', '_')}.o`
  const lines = sources.map(source => `${objectOf(source)}: ${source}\n\tg++ ${kFlags.join(' ')} -c -o $@ $<\n`)
  const objects = sources.map(objectOf).join(' ')
  const rules = [`${kFolder}/floor: ${objects}\n\tg++ -o $@ ${objects} -lnftnl -lmnl\n`, ...lines].join('')
  mkdirSync(join(root, kFolder), { recursive: true })
  // make for its jobs; -B because the fingerprint has already decided.
  const { status } = spawnSync('make', ['-B', '-s', '-f', '-', '-j', String(availableParallelism())], {
    cwd: root,
    input: rules,
    stdio: ['pipe', 'inherit', 'inherit'],
  })
  if (status !== 0) throw new Error('the floor could not be built')
  record(kStamp, value)
}

/** The benchmark as JavaScript. What it imports from lib/ is taken from dist/: that is what users run. */
async function bundle(name) {
  const outfile = join(root, kFolder, `${name}.mjs`)
  const published = {
    name: 'published',
    setup: ({ onResolve }) => {
      onResolve({ filter: /^\.\.\/lib\/index\.js$/ }, () => ({
        path: relative(join(root, kFolder), join(root, 'dist/index.js')),
        external: true,
      }))
    },
  }
  await build({
    absWorkingDir: root,
    entryPoints: [`bench/${name}.ts`],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    plugins: [published],
    logLevel: 'warning',
  })
  return outfile
}

const [first = 'create', ...others] = process.argv.slice(2)
const [name, options] = first.startsWith('-') ? ['create', [first, ...others]] : [basename(first, '.ts'), others]
buildFloor()
const script = await bundle(name)
const { status, signal } = spawnSync(join(root, 'scripts/in-namespace.sh'), [process.execPath, script, ...options], { stdio: 'inherit' })
process.exitCode = signal ? 1 : status
