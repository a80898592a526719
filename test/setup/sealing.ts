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
    const { folders = '', names: sealed = [] } = JSON.parse(text.split('\n')[0] ?? '') as { folders?: string; names?: readonly string[] }
    if (folders !== '' && names.every(name => sealed.includes(name))) return
  }
}
