// Builds what is published: the native part, the declarations (tsc) and the bundle (esbuild).
//
//   node scripts/build.mjs               all of it
//   node scripts/build.mjs --no-native   dist/ alone
//
// What the library uses of zod, commander, dns-packet and ipaddr.js is bundled: that makes an import several times faster. So does what V8
// has made of the bundles before (code-cache.mjs).
// So is `bindings`, which is told where the package is: to look for another package takes longer than to look for the addon.
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { makeCodeCaches } from './code-cache.mjs'
import { filesBelow, fingerprint, isCurrent, record, root } from './stamp.mjs'

const kStamp = 'dist/.stamp'
const kEntries = { netmode: 'lib/index.ts', command: 'lib/cli/main.ts' }

const kScripts = ['scripts/build.mjs', 'scripts/code-cache.mjs', 'scripts/load.cjs']

const distFingerprint = () =>
  fingerprint(['lib', 'package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', ...kScripts], process.version)

/** True when dist/ is what this tree would build. */
export const isDistCurrent = () => isCurrent(kStamp, distFingerprint())

/** Loaded at the first use, since an import of the library does not need them: node:crypto alone takes as long as a fifth of all else. */
const kLazy = [
  'node:child_process',
  'node:cluster',
  'node:crypto',
  'node:dgram',
  'node:fs/promises',
  'node:http',
  'node:net',
  'node:timers/promises',
]
/** Their classes that lib/ uses, none of which it extends. */
const kLazyClasses = ['Agent', 'Socket', 'SocketAddress']

/** The names that lib/ imports from a module, but for types. */
function importedNames(module) {
  const clause = new RegExp(`^import (?!type)[^'{]*{([^}]*)} from '${module}'`, 'gm')
  const clauses = filesBelow('lib').flatMap(file => [...readFileSync(join(root, file), 'utf8').matchAll(clause)])
  const names = clauses.flatMap(([, list]) => list.split(',').map(name => name.trim().replace(/ as .*/s, '')))
  return [...new Set(names)].filter(name => name !== '' && !name.startsWith('type '))
}

/** The names alone: a copy of all there are would look at each, and some load more when they are looked at. */
function namedModule(path) {
  const exports = importedNames(path).map(name => `export const ${name} = module.${name}`)
  return [`const module = require(${JSON.stringify(path)})`, ...exports].join('\n')
}

/** A module of functions that load the real one when they are called first: each `require` costs microseconds, loaded or not. */
function lazyModule(path) {
  const module = 'module()'
  const loading = `let loaded; const module = () => (loaded ??= require(${JSON.stringify(path)}))`
  if (path === 'node:cluster') return `${loading}; export default { get isWorker() { return ${module}.isWorker } }`
  const names = importedNames(path)
  const unknown = names.find(name => /^[A-Z]/.test(name) && !kLazyClasses.includes(name))
  if (unknown)
    throw new Error(
      `lib/ uses ${unknown} of ${path}: take that module out of kLazy, or add the class to kLazyClasses if nothing extends it`,
    )
  const functions = names.map(name =>
    kLazyClasses.includes(name)
      ? `export function ${name}(...args) { return new (${module}.${name})(...args) }
         Object.defineProperty(${name}, Symbol.hasInstance, { value: it => it instanceof ${module}.${name} })`
      : `export function ${name}(...args) { return ${module}.${name}(...args) }`,
  )
  return [loading, ...functions].join('\n')
}

/** How the bundle gets at modules that are not in it. None is imported: what import makes of a built-in module takes milliseconds. */
const externals = {
  name: 'externals',
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /^(node:|bindings$)/ }, ({ path, namespace, kind }) =>
      kind === 'import-statement' && namespace === 'file' ? { path, namespace: 'external-module' } : undefined,
    )
    onLoad({ filter: /.*/, namespace: 'external-module' }, ({ path }) => {
      if (path === 'bindings') return { contents: `export default options => require('bindings')(options)`, resolveDir: root }
      return { contents: kLazy.includes(path) ? lazyModule(path) : namedModule(path) }
    })
  },
}

function declarations() {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const { status } = spawnSync(process.execPath, [tsc, '--project', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
  if (status !== 0) throw new Error('the type check failed')
}

/**
 * One file each, in CommonJS, whose compiled code can be kept (load.cjs). What is loaded on demand is in it too: until then it costs next to
 * nothing. They lie one below the package's folder, as lib/ does: from there the addon is found.
 */
async function bundle() {
  const { build } = await import('esbuild')
  const bundles = Object.entries(kEntries).map(([name, entry]) =>
    build({
      absWorkingDir: root,
      entryPoints: { [name]: entry },
      outdir: 'dist',
      entryNames: '[name]-[hash]',
      outExtension: { '.js': '.cjs' },
      bundle: true,
      format: 'cjs',
      platform: 'node',
      target: 'node20.19',
      define: { 'import.meta.dirname': '__dirname' },
      plugins: [externals],
      legalComments: 'none',
      minifyWhitespace: true,
      minifySyntax: true,
      lineLimit: 160, // Node shows the line that an error nobody caught came from
      metafile: true,
      logLevel: 'warning',
    }),
  )
  const made = (await Promise.all(bundles)).map(({ metafile }) => metafile)
  const [library, command] = made.map(({ outputs }) => basename(Object.keys(outputs)[0]))
  copyFileSync(join(root, 'scripts/load.cjs'), join(root, 'dist/load.cjs'))
  writeFileSync(join(root, 'dist/index.js'), libraryEntry(library))
  mkdirSync(join(root, 'dist/cli'), { recursive: true })
  writeFileSync(join(root, 'dist/cli/package.json'), '{ "type": "commonjs" }\n')
  writeFileSync(
    join(root, 'dist/cli/main.js'),
    `#!/usr/bin/env node\nrequire('../load.cjs').load(require('node:path').join(__dirname, '../${command}'))\n`,
  )
  chmodSync(join(root, 'dist/cli/main.js'), 0o755)
  return made.flatMap(({ inputs }) => Object.keys(inputs))
}

/** What `import` finds. */
function libraryEntry(file) {
  const names = Object.keys(createRequire(import.meta.url)(join(root, 'dist', file))).join(', ')
  return `const require = process.getBuiltinModule('node:module').createRequire(import.meta.url)
export const { ${names} } = require('./load.cjs').load(require.resolve('./${file}'))
`
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

async function buildDist() {
  const value = distFingerprint()
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  declarations()
  notices(await bundle())
  if (!makeCodeCaches()) throw new Error('what V8 makes of the bundles could not be kept: node scripts/code-cache.mjs')
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
