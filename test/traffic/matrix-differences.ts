/** Where Docker answers otherwise than netmode, and why. Every difference needs a reason: the document can't be written without. */
import { type Case, describeCase, matches, type Pattern } from './matrix.js'

interface Difference {
  readonly cases: Pattern
  readonly docker?: string
  readonly because: string
}

const proxyAnswers =
  'From inside, Docker leads a connection to its proxy on the host. The proxy answers UDP from whatever address the host has on the way back, which a connected socket does not take.'

/** The first that matches a case gives the reason. */
const differences: readonly Difference[] = [
  {
    cases: { from: 'outside', to: 'sandbox' },
    because:
      'Docker before 28 lets whoever knows the way reach the sandbox side of a published port, past the published address. netmode takes only what was translated.',
  },
  {
    cases: { from: 'outside', to: ['allByLoopback', 'loopback'], family: 4 },
    because:
      'Docker before 28 translates packets for 127.0.0.1 that come over a wire, so that neighbours reach what is published for the host alone. netmode drops them.',
  },
  {
    cases: { from: 'sibling', to: 'sandbox', icc: false, bridgeNf: false },
    because: 'icc off is an iptables rule in Docker: without bridge-nf it has no effect. netmode isolates the ports of the bridge.',
  },
  {
    cases: { from: 'sibling', to: 'sandbox', family: 6, internal: true, bridgeNf: true },
    because:
      "Docker 20.10's IPv6 rule for internal networks drops all that is not addressed to the subnet, neighbour discovery within the network included.",
  },
  {
    cases: { from: ['host', 'loopback'], to: ['allByLoopback', 'loopback'], family: 6, bridgeNf: true },
    because:
      "Docker's proxy listens on ::1 itself; netmode has no process that could, and translation needs bridge-nf-call-ip6tables to be 0.",
  },
  {
    cases: { from: 'loopback', to: ['oneByBridge', 'loopbackByHost'], protocol: 'tcp' },
    because: "With netmode ::1 is a local address on the bridge too, so that the closed port's reset is taken in.",
  },
  {
    cases: { from: 'loopback' },
    because:
      'Clients that bind to a loopback address reach nothing beyond it: beside its proxy Docker has no route_localnet. With netmode the bridge stands in for 127.0.0.1, and for ::1 without bridge-nf.',
  },
  {
    cases: { from: 'self', to: 'strangerPublished', masquerade: false },
    because:
      'From a network without masquerade Docker translates the connection instead of leading it to its proxy, and its rules between networks then drop it.',
  },
  {
    cases: { from: ['sibling', 'self'], icc: false, bridgeNf: true },
    docker: 'bridge',
    because:
      "Docker's proxy is a socket of the host: nothing goes from bridge port to bridge port. With netmode isolated ports stay isolated.",
  },
  { cases: { protocol: 'udp', from: ['sibling', 'self', 'stranger'] }, docker: 'heard', because: proxyAnswers },
]

export function differenceOf(one: Case, docker: string): string {
  const found = differences.find(difference => matches(difference.cases, one) && (difference.docker ?? docker) === docker)
  if (found === undefined) throw new Error(`nothing says why Docker's answer is ${docker}: ${describeCase(one)}`)
  return found.because
}

const forwardDrop = "Docker gives the host's forwarding a policy of drop: bridges that it doesn't know need rules of their own."

/** The same for what else is on a host: Docker's answer (a part of it) → why it differs. */
const companyDifferences: readonly (readonly [part: string, because: string])[] = [
  ['is refused its port', "Docker's proxy holds every published port as a socket, so a service can't even start."],
  ['sees 10.99.0.2', 'As from the outside: Docker before 28 lets the sandbox side of a published port be reached straight.'],
  ['sees fd99::2', 'As from the outside: Docker before 28 lets the sandbox side of a published port be reached straight.'],
  ['silent', forwardDrop],
]

export function companyDifferenceOf(docker: string): string {
  const found = companyDifferences.find(([part]) => docker.includes(part))
  if (found === undefined) throw new Error(`nothing says why Docker's answer is: ${docker}`)
  return found[1]
}
