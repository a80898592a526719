/** Where a host's configuration comes from: an object, or a file of the same. */
import { readFileSync } from 'node:fs'

import { defaultConfig, type HostConfig } from './config.js'
import { invalid, isNetmodeError } from './errors.js'

/** Read where nothing else is given; it need not be there. */
export const defaultConfigFile = '/etc/netmode/config.json'

/** What `openHost` was given, or what the default file says. Throws ERR_NETMODE_INVALID_ARGUMENT naming key and file. */
export async function readHostConfig(given: object | string | undefined): Promise<HostConfig> {
  if (typeof given === 'object') return checked(given)
  const file = given ?? defaultConfigFile
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (given === undefined && (code === 'ENOENT' || code === 'ENOTDIR')) return defaultConfig
    throw invalid('config', 'a file that can be read', message)
  }
  try {
    return await checked(parsed(text))
  } catch (error) {
    if (isNetmodeError(error)) {
      error.message = `${file}: ${error.message}`
      Error.captureStackTrace(error, readHostConfig) // a stack begins with the message
    }
    throw error
  }
}

/** With a library that most programs never need: it is loaded here. */
async function checked(config: unknown): Promise<HostConfig> {
  const { hostConfig } = await import('./config-schema.js')
  return hostConfig(config)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw invalid('config', 'JSON', (error as Error).message)
  }
}
