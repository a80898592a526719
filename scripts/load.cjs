// Loads a bundle of dist/ with what V8 has made of it before (code-cache.mjs), where that was this very version of V8; else V8 compiles it.
// It is copied to dist/.
'use strict'

const { existsSync, readFileSync } = require('node:fs')
const { createRequire, wrap } = require('node:module')
const { dirname } = require('node:path')
const { Script } = require('node:vm')

/** Named for the version, since V8 looks at no more than the length of the source beside it; the bundle's name has a hash of its content. */
const cacheOf = file => `${file}.${process.versions.v8}-${process.arch}.cache`

/** What the bundle exports, and its script. `given`: what it requires from. */
function compile(file, cachedData, given = createRequire(file)) {
  const script = new Script(wrap(readFileSync(file, 'utf8')), { filename: file, cachedData })
  const module = { exports: {} }
  script.runInThisContext()(module.exports, given, module, file, dirname(file))
  return { script, exports: module.exports }
}

function load(file) {
  const cache = cacheOf(file)
  // Without one it is loaded as any other, which an application's own cache (module.enableCompileCache) may know.
  return existsSync(cache) ? compile(file, readFileSync(cache)).exports : require(file)
}

module.exports = { cacheOf, compile, load }
