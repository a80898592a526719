/** What else is on a host: bridges and translations of others, services of the host, name servers. */
import { freshNamespace, PrivateNamespace } from '../setup/namespace.js'
import { away, type Lab, outer, served, subjects } from './matrix-lab.js'

/** Who makes sandboxes: netmode or Docker. */
export interface Maker {
  /** A sandbox on the first network that publishes these ports and serves nothing yet; undefined, or why it was refused. */
  start(name: string, address: Readonly<Record<4 | 6, string>>, publish: readonly string[]): Promise<string | undefined>
  stop(name: string): Promise<void>
}

/** The stage with all that these cases need beside the lab's. */
export interface Company {
  readonly lab: Lab
  readonly maker: Maker
  readonly machine: PrivateNamespace
}

export interface CompanyCase {
  readonly what: string
  readonly expected: string
  readonly because: string
  readonly run: (company: Company, family: 4 | 6, expected?: string) => Promise<string>
}

const guests = { 4: ['10.99.0.2', '10.99.0.3'], 6: ['fd99::2', 'fd99::3'] } as const
const guestBridge = { 4: '10.99.0.1', 6: 'fd99::1' } as const
const [first] = subjects
if (first === undefined) throw new Error('there are networks')
const { target, sibling, ports } = first

/**
 * A bridge that is nobody's but the administrator's, with two guests, and translations written by hand at the usual place:
 * port 7000 of the host leads to a guest, 7001 to a sandbox that publishes nothing, 7002 to one that publishes this port.
 */
export async function inviteGuests(machine: PrivateNamespace, lab: Lab): Promise<void> {
  await machine.ip('link', 'add', 'foreign0', 'type', 'bridge')
  await machine.ip('link', 'set', 'foreign0', 'up')
  await machine.ip('address', 'add', `${guestBridge[4]}/24`, 'dev', 'foreign0')
  await machine.ip('address', 'add', `${guestBridge[6]}/64`, 'dev', 'foreign0', 'nodad')
  for (const [i, name] of ['guest1', 'guest2'].entries()) {
    const guest = await freshNamespace(name)
    await machine.ip('link', 'add', `g${i}`, 'master', 'foreign0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name)
    await machine.ip('link', 'set', `g${i}`, 'up')
    await guest.ip('address', 'add', `${guests[4][i]}/24`, 'dev', 'eth0')
    await guest.ip('address', 'add', `${guests[6][i]}/64`, 'dev', 'eth0', 'nodad')
    await guest.ip('link', 'set', 'eth0', 'up')
    await guest.ip('route', 'add', 'default', 'via', guestBridge[4])
    await guest.ip('-6', 'route', 'add', 'default', 'via', guestBridge[6])
    await lab.serve(name, { 4: guests[4][i] ?? '', 6: guests[6][i] ?? '' })
    await lab.settled(name)
  }
  const outside = new PrivateNamespace(`${machine.name}-outside`)
  await outside.ip('route', 'add', '10.99.0.0/24', 'via', outer[4])
  await outside.ip('-6', 'route', 'add', 'fd99::/64', 'via', outer[6])
  for (const family of [4, 6] as const) {
    const ip = family === 4 ? 'ip' : 'ip6'
    const chain = `${ip} foreign prerouting`
    const to = (address: string) => (family === 4 ? `${address}:${served}` : `[${address}]:${served}`)
    await machine.nft(`add table ${ip} foreign; add chain ${chain} { type nat hook prerouting priority -100; };
      add rule ${chain} iifname eth0 tcp dport 7000 dnat to ${to(guests[family][0])};
      add rule ${chain} iifname eth0 tcp dport 7001 dnat to ${to(sibling.addresses[family])};
      add rule ${chain} iifname eth0 tcp dport 7002 dnat to ${to(target.addresses[family])}`)
  }
  await lab.settled(machine.name)
}

/** Takes the guests' namespaces away; all else goes with the host. */
export async function dismissGuests(): Promise<void> {
  for (const name of ['guest1', 'guest2']) await new PrivateNamespace(name).remove()
}

const tcp = 'tcp' as const
const outsideOf = ({ machine }: Company): string => `${machine.name}-outside`
const fresh = (last: number) => ({ 4: `10.10.1.${last}`, 6: `fd10:1::${last}` })

/** A sandbox with a server on these ports, for the time that `use` takes. Answers why it was refused, if it was. */
async function withSandbox(
  { lab, maker }: Company,
  last: number,
  publish: readonly string[],
  port: number,
  use: () => Promise<string>,
): Promise<string> {
  const name = `late${last}`
  const address = fresh(last)
  const refused = await maker.start(name, address, publish)
  if (refused !== undefined) return refused
  try {
    await lab.serve(name, address, port)
    return await use()
  } finally {
    await lab.leave(name)
    await maker.stop(name)
  }
}

/** Asks and tells who should be found in the answer, whatever the machine is called. */
async function reach(company: Company, from: string, host: string, port: number, expected?: string, protocol: 'tcp' | 'udp' = tcp) {
  const answer = await company.lab.reach({ from, protocol, host, port }, expected)
  return answer.replaceAll(outsideOf(company), 'outside').replaceAll(company.machine.name, 'host')
}

export const companyCases: readonly CompanyCase[] = [
  {
    what: "the outside asks a port that somebody else's table translates to a bridge that isn't ours",
    expected: 'guest1 sees outside',
    because: 'Nothing of netmode looks at it.',
    run: (company, family, expected) => reach(company, outsideOf(company), outer[family], 7000, expected),
  },
  {
    what: "the outside asks a guest on a bridge that isn't ours, straight",
    expected: 'guest1 sees outside',
    because: 'netmode has no policy of drop, and no rule for bridges of others.',
    run: (company, family, expected) => reach(company, outsideOf(company), guests[family][0], served, expected),
  },
  {
    what: "two guests on a bridge that isn't ours",
    expected: 'guest2 sees guest1',
    because: 'netmode has no rule for bridges of others.',
    run: async (company, family, expected) =>
      (await reach(company, 'guest1', guests[family][1], served, expected)).replace(guests[family][0], 'guest1'),
  },
  {
    what: "a guest on a bridge that isn't ours asks the outside",
    expected: 'outside sees guest1',
    because: 'Only subnets of networks with masquerade are masqueraded.',
    run: async (company, family, expected) =>
      (await reach(company, 'guest1', away[family], served, expected)).replace(guests[family][0], 'guest1'),
  },
  {
    what: 'a guest asks a published port',
    expected: `${target.name} sees guest1`,
    because: 'To netmode, a bridge of others is the outside.',
    run: async (company, family, expected) =>
      (await reach(company, 'guest1', outer[family], ports.all, expected)).replace(guests[family][0], 'guest1'),
  },
  {
    what: "a guest asks a sandbox's own address",
    expected: 'silent',
    because: "What isn't published is not reached from beyond the network.",
    run: (company, family, expected) => reach(company, 'guest1', target.addresses[family], served, expected),
  },
  {
    what: "the outside asks a port that somebody else's table translates to a sandbox that publishes nothing",
    expected: 'silent',
    because: 'Only what netmode published passes into its bridges, however it was translated.',
    run: (company, family, expected) => reach(company, outsideOf(company), outer[family], 7001, expected),
  },
  {
    what: "the outside asks a port that somebody else's table translates to a published port of a sandbox",
    expected: `${target.name} sees outside`,
    because: 'This port is open to everybody anyway.',
    run: (company, family, expected) => reach(company, outsideOf(company), outer[family], 7002, expected),
  },
  {
    what: 'publishing a port that a service of the host listens on',
    expected: 'refused',
    because: "The service would be cut off; the error tells the process's name.",
    run: async (company, family) => {
      const stop = await company.lab.serve(company.machine.name, { [family]: outer[family] }, 7100 + family)
      const outcome = await withSandbox(company, 50, [`${7100 + family}:${served}`], served, async () => 'published')
      stop()
      return outcome
    },
  },
  {
    what: 'a service of the host that starts on a port published already',
    expected: `starts; the outside finds: late51 sees outside; after the sandbox is gone: host sees outside`,
    because: 'netmode holds no socket, so the service can start; translation comes first as long as the port is published.',
    run: async (company, family, expected) => {
      const port = 7200 + family
      let late = 'starts'
      let stop = () => {}
      const during = await withSandbox(company, 51, [`${port}:${served}`], served, async () => {
        try {
          stop = await company.lab.serve(company.machine.name, { [family]: outer[family] }, port)
        } catch (error) {
          if (!String(error).includes('EADDRINUSE')) throw error
          late = 'is refused its port'
        }
        return reach(company, outsideOf(company), outer[family], port, expected)
      })
      const after = await reach(company, outsideOf(company), outer[family], port, expected)
      stop()
      return `${late}; the outside finds: ${during}; after the sandbox is gone: ${after}`
    },
  },
  {
    what: 'with port 53 published: a sibling, the stranger and the host ask a name server outside, and the outside asks the host',
    expected: 'udp: outside, outside, outside, late52; tcp: outside, outside, outside, late52',
    because: 'Only what is for an address of this host is translated; queries that are forwarded elsewhere are left alone.',
    run: async (company, family, expected) => {
      const stop = await company.lab.serve(outsideOf(company), away, 53)
      const found = await withSandbox(company, 52, ['53:53/udp', '53:53'], 53, async () => {
        const finders = async (protocol: 'tcp' | 'udp') => {
          const asked = [
            [sibling.name, away],
            ['stranger', away],
            [company.machine.name, away],
            [outsideOf(company), outer],
          ] as const
          const answers = await Promise.all(asked.map(([from, to]) => reach(company, from, to[family], 53, expected, protocol)))
          return `${protocol}: ${answers.map(answer => answer.replace(/ sees .*/, '')).join(', ')}`
        }
        return `${await finders('udp')}; ${await finders('tcp')}`
      })
      stop()
      return found
    },
  },
]
