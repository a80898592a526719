/** Opening a host until what is whole is known to be (lib/recovery/seals.ts). */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { open } from './between.js'
import type { PrivateHost } from './namespace.js'

/** What was changed an instant ago can't be known again: until that is past, each opening judges anew. */
export async function sealAll(machine: PrivateHost, names: readonly string[]): Promise<void> {
  for (;;) {
    await (await open(machine)).close()
    const text = await readFile(join(machine.stateDir, 'whole.json'), 'utf8').catch(() => '{}')
    const { folders = '', sandboxes = {} } = JSON.parse(text) as { folders?: string; sandboxes?: object }
    if (folders !== '' && names.every(name => name in sandboxes)) return
  }
}
