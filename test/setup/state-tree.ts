/** A state folder in a form that can be compared. */
import { readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { type Dump, kSeals, type PrivateHost } from './namespace.js'

/**
 * Everything below a folder, by path: the text of files, `-> TARGET` for links (leases and port claims are links), `/` for folders.
 * Without who serves names just now, and what was found whole at the last opening: that comes and goes with processes and describes nothing.
 */
export async function stateTree(folder: string): Promise<Readonly<Record<string, string>>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const described = await Promise.all(
    entries
      .filter(({ parentPath, name }) => parentPath !== join(folder, 'name-service') && join(parentPath, name) !== join(folder, kSeals))
      .map(async entry => {
        const path = join(entry.parentPath, entry.name)
        const what = entry.isDirectory() ? '/' : entry.isSymbolicLink() ? `-> ${await readlink(path)}` : await readFile(path, 'utf8')
        return [path.slice(folder.length + 1), what] as const
      }),
  )
  return Object.fromEntries(described.sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** All that a host of `freshHost` holds, its state folder with claims and folders included: equal means unchanged. */
export async function worldOf(machine: PrivateHost): Promise<Dump> {
  return { ...(await machine.dump()), state: await stateTree(machine.stateDir) }
}
