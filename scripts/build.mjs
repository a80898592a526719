// Builds what is published: the native part, the declarations (tsc) and the bundle (esbuild).
//
//   node scripts/build.mjs               all of it
//   node scripts/build.mjs --no-native   dist/ alone
//
// What the library uses of zod, commander, dns-packet and ipaddr.js is bundled: that makes an import several times faster.
// `bindings` stays a dependency: it looks for the addon from the file that calls it.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { fingerprint, isCurrent, record, root } from './stamp.mjs'

const kStamp = 'dist/.stamp'
const kEntries = { index: 'lib/index.ts', 'cli/main': 'lib/cli/main.ts' }

const distFingerprint = () =>
  fingerprint(['lib', 'package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts/build.mjs'], process.version)

/** True when dist/ is what this tree would build. */
export const isDistCurrent = () => isCurrent(kStamp, distFingerprint())

function declarations() {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const { status } = spawnSync(process.execPath, [tsc, '--project', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
  if (status !== 0) throw new Error('the type check failed')
}

async function bundle() {
  const { build } = await import('esbuild')
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: kEntries,
    outdir: 'dist',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    external: ['bindings'],
    chunkNames: '[name]-[hash]',
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning',
    // commander and dns-packet are CommonJS and ask for Node's own modules with require.
    banner: { js: "import { createRequire as netmodeRequire } from 'node:module'; const require = netmodeRequire(import.meta.url);" },
  })
  return Object.keys(metafile.inputs)
}

/** The licences of the packages that the bundle holds, in one file beside it. */
function notices(inputs) {
  const packages = new Set(inputs.map(input => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[1]).filter(name => name !== undefined))
  const texts = [...packages].sort().map(name => {
    const folder = join(root, 'node_modules', name)
    const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    const file = readdirSync(folder).find(entry => /^(licen[cs]e|copying)/i.test(entry))
    if (!file) throw new Error(`${name} is bundled and has no licence file`)
    return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`
  })
  const head = 'The files in this folder hold code of these packages.\n\n'
  writeFileSync(join(root, 'dist/THIRD-PARTY-LICENSES.txt'), head + texts.join(`\n${'-'.repeat(72)}\n\n`))
}

function makeExecutable(file) {
  const text = readFileSync(file, 'utf8')
  if (!text.startsWith('#!')) writeFileSync(file, `#!/usr/bin/env node\n${text}`)
  chmodSync(file, 0o755)
}

async function buildDist() {
  const value = distFingerprint()
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  declarations()
  notices(await bundle())
  makeExecutable(join(root, 'dist/cli/main.js'))
  record(kStamp, value)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  if (!process.argv.includes('--no-native')) {
    const { buildNative } = await import('./native-build.mjs')
    buildNative()
  }
  const missing = Object.values(kEntries).filter(entry => !existsSync(join(root, entry)))
  if (missing.length > 0) throw new Error(`there is no ${missing.join(' and no ')}`)
  await buildDist()
}
