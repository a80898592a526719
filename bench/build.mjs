// Builds what the benchmark runs on into build-bench: native programs and bundles. What has not changed is not built again.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { availableParallelism, homedir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { build } from 'esbuild'
import { isNativeCurrent } from '../scripts/native-build.mjs'
import { filesBelow, fingerprint, isCurrent, record, root } from '../scripts/stamp.mjs'

export const kFolder = 'build-bench'
const kStamp = `${kFolder}/native.stamp`
const kPrograms = {
  floor: ['bench/floor.cc', 'bench/bare.cc'],
  yardstick: ['bench/native/yardstick.cc', 'bench/native/bare_crowd.cc', 'bench/native/traffic.cc', 'bench/bare.cc'],
  codec: ['bench/native/codec.cc'],
}
const kProbe = 'bench/native/probe.cc'
const kWarnings = ['-Wall', '-Wextra', '-Wpedantic', '-Werror']
const kFlags = ['-std=c++23', '-O3', '-fno-exceptions', '-fno-rtti', ...kWarnings, '-Inative', '-Ibench', '-Ibench/native']

/** The addon's own object files: native code is measured against itself. */
function addonObjects() {
  if (!isNativeCurrent()) throw new Error('the native part is not built, or not of this tree: node scripts/setup.mjs --dist')
  const sources = JSON.parse(readFileSync(join(root, 'native/sources.json'), 'utf8')).addon
  const objects = sources
    .filter(file => !file.startsWith('native/binding/') || /\/(object|read_\w+)\.cc$/.test(file)) // what reads plans has no N-API
    .map(file => `build/Release/obj.target/netmode/${file.replace(/\.cc$/, '.o')}`)
  const missing = objects.find(file => !existsSync(join(root, file)))
  if (missing !== undefined) throw new Error(`${missing} is gone: node scripts/native-build.mjs --force`)
  return objects
}

/** Node's headers: beside Node, or where node-gyp has put them. */
function nodeHeaders() {
  const folders = [
    join(dirname(process.execPath), '../include/node'),
    join(homedir(), `.cache/node-gyp/${process.versions.node}/include/node`),
  ]
  return folders.find(folder => existsSync(join(folder, 'node_api.h'))) ?? folders[0]
}

/** The native programs, with all of native/ but N-API; libnftnl is linked here, as nothing loads it lazily. */
export function buildPrograms() {
  const library = addonObjects()
  const value = fingerprint(
    [...filesBelow('bench'), ...filesBelow('native')].filter(file => /\.(cc|h|json)$|bench\/build\.mjs$/.test(file)),
    process.version,
  )
  if (isCurrent(kStamp, value)) return
  process.stderr.write('netmode bench: building the native programs\n')
  const objectOf = source => `${kFolder}/${source.replaceAll('/', '_')}.o`
  const sources = [...new Set(Object.values(kPrograms).flat())]
  const programs = Object.entries(kPrograms).map(([name, own]) => {
    const objects = own.map(objectOf).join(' ')
    return `${kFolder}/${name}: ${objects}\n\tg++ -o $@ ${objects} ${library.join(' ')} -lnftnl -l:libmnl.so.0\n`
  })
  const rules = [
    `all: ${kFolder}/probe.node ${Object.keys(kPrograms)
      .map(name => `${kFolder}/${name}`)
      .join(' ')}\n`,
    `${kFolder}/probe.node: ${kProbe}\n\tg++ ${kFlags.join(' ')} -isystem ${nodeHeaders()} -DNAPI_VERSION=9 -shared -fPIC -o $@ $<\n`,
    ...programs,
    ...sources.map(source => `${objectOf(source)}: ${source}\n\tg++ ${kFlags.join(' ')} -c -o $@ $<\n`),
  ]
  mkdirSync(join(root, kFolder), { recursive: true })
  // make for its jobs; -B because the fingerprint has already decided.
  const { status } = spawnSync('make', ['-B', '-s', '-f', '-', '-j', String(availableParallelism()), 'all'], {
    cwd: root,
    input: rules.join(''),
    stdio: ['pipe', 'inherit', 'inherit'],
  })
  if (status !== 0) throw new Error('the native programs could not be built')
  record(kStamp, value)
}

/** The benchmark as JavaScript. What it imports from lib/index.js is taken from dist/: that is what users run. */
export async function bundle() {
  const published = {
    name: 'published',
    setup: ({ onResolve }) => {
      onResolve({ filter: /^(\.\.\/)+lib\/index\.js$/ }, () => ({
        path: relative(join(root, kFolder), join(root, 'dist/index.js')),
        external: true,
      }))
    },
  }
  await build({
    absWorkingDir: root,
    entryPoints: { main: 'bench/main.ts', row: 'bench/row-process.ts', create: 'bench/create.ts' },
    outdir: kFolder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    external: ['bindings'],
    plugins: [published],
    logLevel: 'warning',
  })
}
