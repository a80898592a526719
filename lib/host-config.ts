/** Where a host's configuration comes from: an object, or a file of the same. */
import { readFile } from 'node:fs/promises'

import { type HostConfig, hostConfig } from './config.js'
import { invalid, isNetmodeError } from './errors.js'

/** Read where nothing else is given; it need not be there. */
export const defaultConfigFile = '/etc/netmode/config.json'

/** What `openHost` was given, or what the default file says. Throws ERR_NETMODE_INVALID_ARGUMENT naming key and file. */
export async function readHostConfig(given: HostConfig | string | undefined): Promise<HostConfig> {
  if (typeof given === 'object') return given
  const file = given ?? defaultConfigFile
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (given === undefined && (code === 'ENOENT' || code === 'ENOTDIR')) return hostConfig({})
    throw invalid('config', 'a file that can be read', message)
  }
  try {
    return hostConfig(parsed(text))
  } catch (error) {
    if (isNetmodeError(error)) {
      error.message = `${file}: ${error.message}`
      Error.captureStackTrace(error, readHostConfig) // a stack begins with the message
    }
    throw error
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw invalid('config', 'JSON', (error as Error).message)
  }
}
