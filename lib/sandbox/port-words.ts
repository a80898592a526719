/** Published ports in plans that are written once and filled in (plan/form.ts). Pure. */
import type { PortRecord } from '../state/records.js'

/** What publishes more ports is drawn up each time. */
const mostPorts = 4
/** Beyond what a port can be, with as many digits each. */
const noPort = 1_000_000_000

/** Plans that publish ports of one kind differ in words only. */
export function kindOf(ports: readonly PortRecord[]): string {
  return ports.map(({ protocol, hostIp }) => `${protocol} ${hostIp}`).join()
}

/** Are they few, for everybody, and does each lead to a port of its own? Two that lead to one share an element. */
export function areOrdinary(ports: readonly PortRecord[]): boolean {
  return (
    ports.length <= mostPorts &&
    ports.every((one, i) => one.allow === undefined && ports.findIndex(other => other.containerPort === one.containerPort) === i)
  )
}

/** The words of ports, in plans. */
export function wordsOfPorts(ports: readonly PortRecord[]): readonly string[] {
  return ports.flatMap(({ hostPort, containerPort }) => [String(hostPort), String(containerPort)])
}

/** Ports of the same kind that no text has. */
export function blankPorts(ports: readonly PortRecord[]): PortRecord[] {
  return ports.map((port, i) => ({ ...port, hostPort: noPort + 2 * i, containerPort: noPort + 2 * i + 1 }))
}
