/** `netmode doctor`: what is wrong with this host, and the command that mends it. Status 1 if something is broken. */
import type { Fill } from './cli.js'

export const doctor: Fill = (command, cli) => {
  command.action(async () => {
    const findings = await cli.withHost((host, op) => host.doctor(op), { repair: false })
    cli.print(
      findings,
      findings.length === 0
        ? 'nothing found\n'
        : findings.map(({ id, severity, message, remedy }) => `${severity}: ${message} [${id}]\n  remedy: ${remedy}\n`).join(''),
    )
    if (findings.some(({ severity }) => severity === 'error')) process.exitCode = 1
  })
}
