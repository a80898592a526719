/** `host.doctor`: what breaks container networking on this host, and what mends it. */
import type { Finding } from '../contract.js'
import type { Check, Facts } from './facts.js'
import { foreignDrop, legacyFilter, ownTable } from './foreign-rules.js'
import { bridgeFilter, conntrackFull, forwardingOff, forwardingOffOnDevice, neighborTableFull, strictReversePath } from './forwarding.js'
import { claimedLinks } from './managers.js'
import { overlappingRoutes, staleRecords } from './neighborhood.js'
import { missingCapabilities, missingFeatures } from './privilege.js'

const checks: readonly Check[] = [
  missingCapabilities,
  missingFeatures,
  ownTable,
  forwardingOff,
  forwardingOffOnDevice,
  foreignDrop,
  legacyFilter,
  strictReversePath,
  bridgeFilter,
  conntrackFull,
  neighborTableFull,
  overlappingRoutes,
  claimedLinks,
  staleRecords,
]

/** Errors first. Pure. */
export function findingsOf(facts: Facts): readonly Finding[] {
  const findings = checks.flatMap(check => check(facts))
  return [...findings.filter(({ severity }) => severity === 'error'), ...findings.filter(({ severity }) => severity === 'warning')]
}
