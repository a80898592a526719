// Installs what `npm pack` makes into an empty project, as a user does, and looks at it from there:
// the addon is built once, the library can be imported, its types hold under strict settings, the command answers.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './stamp.mjs'

const folder = mkdtempSync(join(tmpdir(), 'netmode-package-'))
const run = (command, args, cwd = folder) => execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })

try {
  run('npm', ['pack', '--silent', '--pack-destination', folder], root)
  const tarball = readdirSync(folder).find(name => name.endsWith('.tgz'))
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n')
  run('npm', ['install', '--silent', '--no-audit', '--no-fund', '--prefer-offline', `./${tarball}`])
  const listed = run('tar', ['-tzf', tarball]).split('\n')
  const stray = listed.filter(name => /package\/(test|bench|build|lib)\//.test(name) || /native\/(test|fuzz)\//.test(name))
  if (stray.length > 0) throw new Error(`the package holds ${stray.join(', ')}`)

  const bundles = readdirSync(join(folder, 'node_modules/netmode/dist')).filter(name => /^(netmode|command)-/.test(name))
  const kept = bundles.filter(name => name.endsWith('.cache')).length
  if (kept !== 2) throw new Error(`V8's code is kept for ${kept} of 2 bundles: ${bundles.join(', ')}`)

  const names = run(process.execPath, ['-e', "import('netmode').then(m => console.log(Object.keys(m).sort().join(' ')))"])
  run(process.execPath, [
    '-e',
    "import('netmode').then(m => m.openHost({ netns: '/nowhere' })).then(() => process.exit(1), e => process.exit(e.code ? 0 : 1))",
  ])
  writeFileSync(join(folder, 'use.ts'), "import { type Host, openHost } from 'netmode'\nexport const host: Promise<Host> = openHost()\n")
  const strict = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--lib', 'es2023,esnext.disposable']
  const types = ['--typeRoots', join(root, 'node_modules/@types'), '--types', 'node']
  run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...strict, ...types, 'use.ts'])
  const version = run(join(folder, 'node_modules/.bin/netmode'), ['--version']).trim()
  console.log(`the package installs: exports ${names.trim()}; netmode --version says ${version}`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
