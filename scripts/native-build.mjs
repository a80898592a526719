// Builds the addon and netmode-exec with node-gyp into build/Release, unless nothing that they are made from has changed.
// Needs node_modules (node-gyp, node-addon-api), a C++23 compiler, make and Python; --force builds in any case.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { fingerprint, isCurrent, record, root } from './stamp.mjs'

const kStamp = 'build/Release/netmode.stamp'

/** What the native build is made from, the versions of Node and of the tools included. */
function nativeFingerprint() {
  const versionOf = name => JSON.parse(readFileSync(createRequire(import.meta.url).resolve(`${name}/package.json`), 'utf8')).version
  return fingerprint(
    ['native', 'binding.gyp', 'scripts/native-build.mjs'],
    process.version,
    process.arch,
    versionOf('node-gyp'),
    versionOf('node-addon-api'),
  )
}

/** True when build/Release holds what this tree and this Node would build. */
export function isNativeCurrent() {
  const built = ['netmode.node', 'netmode-exec'].every(name => existsSync(join(root, 'build/Release', name)))
  return built && isCurrent(kStamp, nativeFingerprint())
}

/**
 * Builds when there is something to build; answers whether it built.
 * The compiler's own output is shown only when it fails. Throws with the failing command's exit status.
 */
export function buildNative({ force = false } = {}) {
  if (!force && isNativeCurrent()) return false
  const value = nativeFingerprint()
  // Headers of the running Node, where they lie beside it; otherwise node-gyp fetches those of its version.
  const prefix = join(dirname(process.execPath), '..')
  const headers = existsSync(join(prefix, 'include/node/node_api.h')) ? ['--nodedir', prefix] : []
  const gyp = join(dirname(createRequire(import.meta.url).resolve('node-gyp/package.json')), 'bin/node-gyp.js')
  const result = spawnSync(
    process.execPath,
    [gyp, 'rebuild', '--release', '--loglevel=warn', '--jobs', String(availableParallelism()), ...headers],
    {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      // binding.gyp asks `node` for paths: let it be this one.
      env: { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH ?? ''}` },
    },
  )
  if (result.status !== 0) {
    process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`)
    throw new Error(`the native build failed (node-gyp: ${result.error?.message ?? `status ${result.status}`})`)
  }
  refuseUndefined()
  record(kStamp, value)
  return true
}

/** An addon may have undefined symbols (Node's, libnftnl's), so the linker can't say that one of our own files is not in the list. */
function refuseUndefined() {
  const { stdout, status } = spawnSync('nm', ['-DCu', join(root, 'build/Release/netmode.node')], { encoding: 'utf8' })
  const own = status === 0 ? stdout.split('\n').filter(line => line.includes('netmode::')) : []
  if (own.length > 0) throw new Error(`these are used and defined nowhere; is their file in native/sources.json?\n${own.join('\n')}`)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    console.log(buildNative({ force: process.argv.includes('--force') }) ? 'netmode: native part built' : 'netmode: native part is current')
  } catch (error) {
    console.error(`netmode: ${error.message}`)
    process.exitCode = 1
  }
}
