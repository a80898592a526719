/** Where the package is. */
import { join } from 'node:path'

/** The folder of package.json: this file is in lib/ (tests) or dist/ (what ships), both one below. */
export const packageFolder = join(import.meta.dirname, '..')
