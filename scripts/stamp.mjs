// Decides whether a build step has anything to do: a stamp is the hash of all that the step reads.
// Node builtins only: this runs before node_modules exists.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The project's folder. */
export const root = fileURLToPath(new URL('..', import.meta.url))

/** All files at or below `path`, sorted, relative to the project's folder; none when the path does not exist. */
export function filesBelow(path) {
  const full = join(root, path)
  if (!existsSync(full)) return []
  if (statSync(full).isFile()) return [path]
  return readdirSync(full)
    .sort()
    .flatMap(name => filesBelow(join(path, name)))
}

/** Hash of the named files and folders (names and contents) and of `extra` strings. */
export function fingerprint(paths, ...extra) {
  const hash = createHash('sha256')
  for (const file of paths.flatMap(filesBelow))
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(root, file)))
      .update('\0')
  for (const text of extra) hash.update(`${text}\0`)
  return hash.digest('hex')
}

/** True when the stamp file holds exactly this fingerprint. */
export function isCurrent(stampFile, value) {
  const file = join(root, stampFile)
  return existsSync(file) && readFileSync(file, 'utf8') === value
}

/** Records that the step was done for this fingerprint. */
export function record(stampFile, value) {
  const file = join(root, stampFile)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, value)
}
