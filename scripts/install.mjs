// Runs when the package is installed from a registry or a tarball: takes the prebuilt addon where there is one, else builds it.
// In a source checkout it does nothing: there the set-up script builds, and `npm ci` must not build a second time.
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { root } from './stamp.mjs'

/** True when this platform's prebuilt addon is there and loads on this Node. */
function prebuiltLoads() {
  const folder = join(root, 'prebuilds', `${process.platform}-${process.arch}`)
  if (!existsSync(join(folder, 'netmode.node')) || !existsSync(join(folder, 'netmode-exec'))) return false
  try {
    createRequire(import.meta.url)(join(folder, 'netmode.node'))
    return true
  } catch {
    return false
  }
}

if (existsSync(join(root, 'scripts/setup.mjs'))) process.exit()
const { makeCodeCaches } = await import('./code-cache.mjs')
makeCodeCaches()
if (!prebuiltLoads()) {
  const { buildNative } = await import('./native-build.mjs')
  try {
    buildNative()
  } catch (error) {
    console.error(`netmode: ${error.message}`)
    console.error('netmode: it needs g++ 12 or newer, make, python3 and the headers of libnftnl (Debian: libnftnl-dev)')
    process.exitCode = 1
  }
}
