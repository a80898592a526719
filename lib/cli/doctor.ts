/** `netmode doctor`: what is wrong with this host, and the command that mends it. Status 1 if something is broken. */
import type { Finding } from '../contract.js'
import { isNetmodeError } from '../errors.js'
import type { Fill } from './cli.js'

export const doctor: Fill = (command, cli) => {
  command.action(async () => {
    const findings = await cli.withHost((host, op) => host.doctor(op), { repair: false }).catch(withoutHost)
    cli.print(
      findings,
      findings.length === 0
        ? 'nothing found\n'
        : findings.map(({ id, severity, message, remedy }) => `${severity}: ${message} [${id}]\n  remedy: ${remedy}\n`).join(''),
    )
    if (findings.some(({ severity }) => severity === 'error')) process.exitCode = 1
  })
}

/** A host that may not be opened: what this process lacks is a finding too. */
async function withoutHost(error: unknown): Promise<readonly Finding[]> {
  if (!isNetmodeError(error) || error.code !== 'ERR_NETMODE_PERMISSION') throw error
  const [{ effectiveCapabilities }, { missingCapabilities }] = await Promise.all([
    import('../doctor/collect.js'),
    import('../doctor/privilege.js'),
  ])
  const findings = missingCapabilities({ capabilities: await effectiveCapabilities() })
  if (findings.length === 0) throw error
  return findings
}
