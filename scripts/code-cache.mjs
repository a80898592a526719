// What V8 makes of the bundles in dist/, kept beside them: a process that opens a host, or the command, then compiles next to nothing.
//
//   node scripts/code-cache.mjs      for this version of Node; done by the build, and where the package is installed
//
// V8 keeps what has been run, so that a rehearsal comes first: a host is opened, used and closed on a kernel that is played here and on a
// state folder that goes again. Nothing of the machine's networking is touched.
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { root } from './stamp.mjs'

const self = fileURLToPath(import.meta.url)
const require = createRequire(self)
const kBundle = /^(netmode|command)-\w+\.cjs$/

/** Makes it for each bundle. @returns false where that fails: then V8 compiles as ever. */
export function makeCodeCaches() {
  const folder = join(root, 'dist')
  const { NODE_OPTIONS: _, ...env } = process.env // what V8 makes under other options it takes under no others
  const bundles = fs.readdirSync(folder).filter(name => kBundle.test(name))
  return bundles
    .map(name => spawnSync(process.execPath, [self, join(folder, name)], { env, stdio: ['ignore', 'ignore', 'inherit'], timeout: 60_000 }))
    .every(({ status }) => status === 0)
}

/** Rehearses one bundle and writes what has come of it. */
async function rehearse(bundle) {
  const { cacheOf, compile } = require(join(dirname(bundle), 'load.cjs'))
  const folder = fs.mkdtempSync(join(tmpdir(), 'netmode-rehearsal-'))
  const stateDir = join(folder, 'state')
  const given = stage(createRequire(bundle), folder)
  try {
    const library = fs.readdirSync(dirname(bundle)).find(name => name.startsWith('netmode-') && name.endsWith('.cjs'))
    const isLibrary = library !== undefined && bundle.endsWith(library)
    const { script, exports } = compile(isLibrary ? bundle : join(dirname(bundle), library), undefined, given)
    const options = { stateDir, config: {}, nameService: false }
    const host = await exports.openHost(options)
    await host.networks.create({ name: 'rehearsal', subnets: ['10.1.0.0/16'] })
    await host.sandboxes.create({ name: 'one', network: 'rehearsal', publish: ['8080:80'] })
    await host.close()
    await (await exports.openHost(options)).close()
    if (isLibrary) return write(cacheOf(bundle), script)
    process.argv = [process.execPath, bundle, 'ps', '--state-dir', stateDir]
    const command = compile(bundle, undefined, given)
    await command.exports.ended
    write(cacheOf(bundle), command.script)
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

function write(file, script) {
  const draft = `${file}.${process.pid}`
  fs.writeFileSync(draft, script.createCachedData())
  fs.renameSync(draft, file)
}

/** What the bundle requires: the addon is one that plays, and folders outside of the rehearsal are seen as they should be and left alone. */
function stage(real, folder) {
  const inside = path => `${path}`.startsWith(folder)
  const files = {
    ...fs,
    mkdirSync: (path, options) => (inside(path) ? fs.mkdirSync(path, options) : undefined),
    readdirSync: (path, options) => (path === '/run/netns' ? ['one'] : fs.readdirSync(path, options)),
  }
  return name => {
    if (name.endsWith('.node')) return kAddon
    return name === 'node:fs' ? files : real(name)
  }
}

const kIdentity = { dev: 1n, inode: 1n, cookie: 1n }
const kLists = ['link.list', 'address.list', 'route.list', 'neighbor.list', 'rule.list', 'claim.list']

/** What an op answers; those of the state folder are done. */
function perform(op) {
  switch (op.op) {
    case 'folder.create':
      return fs.mkdirSync(op.path, { recursive: true }) && undefined
    case 'folder.remove':
      return fs.rmSync(op.path, { recursive: true, force: true })
    case 'file.write':
      return fs.writeFileSync(op.path, op.text)
    case 'file.rename':
      return fs.renameSync(op.path, op.to)
    case 'file.look':
      return op.paths.flatMap(() => [undefined, undefined])
    case 'sysctl.get':
      return '0'
    case 'netns.identify':
    case 'netns.create':
      return kIdentity
    case 'link.add':
      return 2
    case 'nft.list':
      return { tables: [], elements: [] }
    case 'nft.rules':
      return { chains: [], rules: [] }
    default:
      return kLists.includes(op.op) ? [] : undefined
  }
}

const kAddon = {
  Session: class {
    run(plan, done) {
      const outputs = JSON.parse(plan).map(({ apply }) => perform(apply))
      setImmediate(done, { outputs, undo: [] })
      return 1
    }
    cancel() {}
    order() {
      return true
    }
    cancelOrder() {}
    expect() {}
    close(done) {
      setImmediate(done)
    }
  },
  Watch: class {
    take() {
      return []
    }
    hold() {}
    close(done) {
      setImmediate(done)
    }
  },
}

const [, script, bundle] = process.argv
if (script === self) {
  // Whatever it waits for in vain, Node ends it then with a status that is not 0.
  if (bundle) await rehearse(bundle)
  else if (!makeCodeCaches()) process.exitCode = 1
}
