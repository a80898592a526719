/**
 * The same set-up by Debian's dockerd and by netmode: what a container sees (addresses, MAC, routes, MTU, files, whom it reaches), and what
 * `inspect` says of it. Each difference has its reason here; one without is a failure, and so is a reason that nothing needs any more.
 */
import { existsSync } from 'node:fs'
import { beforeAll, expect } from 'vitest'
import { type Host, type NetworkOptions, openHost, type SandboxOptions } from '../../lib/index.js'
import { Command } from '../setup/command.js'
import { freshHost, type PrivateHost, PrivateNamespace, run } from '../setup/namespace.js'
import { ask, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'
import { answer } from '../setup/talk.js'
import { DockerDaemon } from './docker-daemon.js'
import { differencesOf, Reasons, sharedOrder } from './docker-differences.js'

const { describe, test } = requires('realRoot', 'dockerd', 'program:busybox')

// ---------------------------------------------------------------------------------------------------- the cases

interface NetworkCase {
  readonly options: NetworkOptions
  readonly docker: readonly string[]
}

const networks: readonly NetworkCase[] = [
  {
    options: { name: 'dual', subnets: ['10.71.0.0/24', 'fd71::/64'], labels: { tier: 'front' } },
    docker: ['--ipv6', '--subnet', '10.71.0.0/24', '--subnet', 'fd71::/64', '--label', 'tier=front'],
  },
  {
    options: {
      name: 'narrow',
      subnets: [{ subnet: '10.72.0.0/24', range: '10.72.0.128/25', gateway: '10.72.0.254', reserved: { router: '10.72.0.128' } }],
      mtu: 1400,
    },
    docker: [
      ...['--subnet', '10.72.0.0/24', '--ip-range', '10.72.0.128/25', '--gateway', '10.72.0.254', '--aux-address', 'router=10.72.0.128'],
      ...['--opt', 'com.docker.network.driver.mtu=1400'],
    ],
  },
  { options: { name: 'inner', subnets: ['10.73.0.0/24'], internal: true }, docker: ['--subnet', '10.73.0.0/24', '--internal'] },
  {
    options: { name: 'apart', subnets: ['10.74.0.0/24'], icc: false },
    docker: ['--subnet', '10.74.0.0/24', '--opt', 'com.docker.network.bridge.enable_icc=false'],
  },
]

interface ContainerCase {
  readonly options: SandboxOptions
  readonly docker: readonly string[]
}

const containers: readonly ContainerCase[] = [
  {
    options: { name: 'plain', publish: ['8080:80', '127.0.0.1:9000:9000/udp'], expose: ['443'], labels: { a: 'b' } },
    docker: ['--publish', '8080:80', '--publish', '127.0.0.1:9000:9000/udp', '--expose', '443', '--label', 'a=b'],
  },
  {
    options: {
      name: 'told',
      hostname: 'front.example.com',
      addHosts: ['db:10.0.0.9', 'six:fd00::9'],
      dns: ['192.0.2.53', '2001:db8::53'],
      dnsSearch: ['example.com', 'example.net'],
      dnsOptions: ['ndots:2'],
    },
    docker: [
      ...['--hostname', 'front.example.com', '--add-host', 'db:10.0.0.9', '--add-host', 'six:fd00::9', '--dns', '192.0.2.53'],
      ...['--dns', '2001:db8::53', '--dns-search', 'example.com', '--dns-search', 'example.net', '--dns-option', 'ndots:2'],
    ],
  },
  { options: { name: 'one', network: 'dual', publish: ['8081:80'] }, docker: ['--network', 'dual', '--publish', '8081:80'] },
  {
    options: { name: 'two', network: 'dual', ip: '10.71.0.77', ip6: 'fd71::77', hostname: 'two' },
    docker: ['--network', 'dual', '--ip', '10.71.0.77', '--ip6', 'fd71::77', '--hostname', 'two'],
  },
  { options: { name: 'thin', network: 'narrow' }, docker: ['--network', 'narrow'] },
  { options: { name: 'cell1', network: 'inner' }, docker: ['--network', 'inner'] },
  { options: { name: 'cell2', network: 'inner' }, docker: ['--network', 'inner'] },
  { options: { name: 'lone1', network: 'apart' }, docker: ['--network', 'apart'] },
  { options: { name: 'lone2', network: 'apart' }, docker: ['--network', 'apart'] },
  { options: { name: 'bare', network: 'none' }, docker: ['--network', 'none'] },
  { options: { name: 'open', network: 'host' }, docker: ['--network', 'host'] },
  { options: { name: 'mate', network: 'container:plain' }, docker: ['--network', 'container:plain'] },
]
const names = containers.map(({ options }) => options.name)
/** Those whose host name is left to the default, is given in the case, or can't be given. */
const own: readonly string[] = ['plain', 'told', 'two', 'open', 'mate']
const networkNames = ['bridge', ...networks.map(({ options }) => options.name)]
const files = ['hosts', 'hostname', 'resolv.conf'] as const

// ---------------------------------------------------------------------------------------------------- what is seen

/** Of one container: everything by a path of words, so that two can be compared line by line. */
type Seen = Readonly<Record<string, string>>

/** Interfaces, addresses and routes, as iproute2 tells them in the namespace; link-local ones come and go by themselves. */
async function seenInside(namespace: PrivateNamespace): Promise<Seen> {
  const seen: Record<string, string> = {}
  for (const { ifname, address, mtu, operstate, addr_info = [] } of (await namespace.ipJson('address')) as unknown as IpLink[]) {
    if (!/^(lo|eth\d+)$/.test(ifname)) continue
    seen[`link ${ifname}`] = `${ifname === 'lo' ? '' : `${address} `}mtu ${mtu} ${operstate}`
    const own = addr_info.filter(({ scope }) => scope !== 'link')
    seen[`addresses ${ifname}`] = own.map(({ local, prefixlen, broadcast = '' }) => `${local}/${prefixlen} ${broadcast}`.trim()).join(', ')
  }
  for (const family of ['-4', '-6'] as const) {
    const routes = (await namespace.ipJson(family, 'route')) as unknown as IpRoute[]
    const kept = routes.filter(({ dst }) => !/^(fe80|ff00|multicast)/.test(dst))
    seen[`routes ${family}`] = kept
      .map(({ dst, gateway, dev, prefsrc, metric }) =>
        [dst, gateway && `via ${gateway}`, `dev ${dev}`, prefsrc && `src ${prefsrc}`, metric && `metric ${metric}`]
          .filter(Boolean)
          .join(' '),
      )
      .sort()
      .join(', ')
  }
  return seen
}
interface IpLink {
  readonly ifname: string
  readonly address: string
  readonly mtu: number
  readonly operstate: string
  readonly addr_info?: readonly { local: string; prefixlen: number; broadcast?: string; scope: string }[]
}
interface IpRoute {
  readonly dst: string
  readonly gateway?: string
  readonly dev: string
  readonly prefsrc?: string
  readonly metric?: number
}

/** ms to wait for what may come or not: long enough for a busy machine. */
const kPatience = 2_000

/** Whom a client reaches: the first address of each container by its name, published ports, and the outside. */
async function reachOf(machine: PrivateHost, addresses: ReadonlyMap<string, string>): Promise<Readonly<Record<string, string>>> {
  const asked = [...[...addresses].map(([name, address]) => [name, address, 80] as const), ...published]
  const clients = [...addresses.keys(), machine.name, machine.outside.name]
  const peers = new Map(clients.map(name => [name, new Peer(new PrivateNamespace(name).netns)]))
  const reach: Record<string, string> = {}
  try {
    for (const [name, address] of addresses) await answer(peers.get(name) as Peer, address, 80)
    await Promise.all(
      clients.flatMap(from =>
        asked.map(async ([to, address, port]) => {
          const place = peers.get(from) as Peer
          const client = from.replace(machine.name, 'host')
          reach[`reach ${client} -> ${to}`] = await ask(place, address, port, { within: kPatience })
        }),
      ),
    )
  } finally {
    for (const peer of peers.values()) await peer[Symbol.asyncDispose]()
  }
  return reach
}
const published = [
  ['port 8080 of the host', '198.51.100.1', 8080],
  ['port 8081 of the host', '198.51.100.1', 8081],
  ['port 8080 of ::', '2001:db8:100::1', 8080],
] as const

/** Docker before 25 writes `fe00::0` in hosts for what is `fe00::` since. */
const lately = (text: string): string => text.replaceAll(/^(f[ef]00::)0\t/gm, '$1\t')

interface World {
  readonly seen: ReadonlyMap<string, Seen>
  readonly reach: Readonly<Record<string, string>>
  readonly inspect: ReadonlyMap<string, object>
  readonly networks: ReadonlyMap<string, object>
  readonly list: readonly object[]
}

async function observe(
  machine: PrivateHost,
  file: (name: string, file: string) => Promise<string>,
): Promise<Pick<World, 'seen' | 'reach'>> {
  const seen = new Map<string, Seen>()
  const addresses = new Map<string, string>()
  for (const name of names) {
    const namespace = new PrivateNamespace(name)
    while ((await namespace.ip('-6', 'address', 'show', 'tentative')).trim() !== '') await new Promise(resolve => setTimeout(resolve, 20))
    const etc = Object.fromEntries(await Promise.all(files.map(async one => [`/etc/${one}`, lately(await file(name, one))] as const)))
    const inside: Seen = { ...(name === 'open' ? {} : await seenInside(namespace)), ...etc }
    seen.set(name, inside)
    const [address] = inside['addresses eth0']?.split('/') ?? []
    if (address && name !== 'mate') addresses.set(name, address)
  }
  return { seen, reach: await reachOf(machine, addresses) }
}

async function byDocker(): Promise<World> {
  await using machine = await freshHost('machine')
  await using daemon = await DockerDaemon.start(machine)
  const busybox = ['/usr/bin/busybox', '/bin/busybox'].find(path => existsSync(path)) ?? ''
  await daemon.importImage('busybox', busybox)
  for (const { options, docker } of networks) await daemon.docker('network', 'create', ...docker, options.name)
  for (const { options, docker } of containers) {
    const hostname = own.includes(options.name) ? [] : ['--hostname', options.name]
    await daemon.docker('run', '--detach', '--name', options.name, ...hostname, ...docker, 'busybox', '/bin/busybox', 'sleep', '1000000')
    if (options.name !== 'mate') await daemon.name(options.name)
  }
  // Who shares a namespace has no key of its own.
  await run('touch', ['/run/netns/mate'])
  await run('mount', ['--bind', '/run/netns/plain', '/run/netns/mate'])
  const inspect = async (...words: string[]) => (JSON.parse(await daemon.docker(...words)) as [object])[0]
  try {
    return {
      ...(await observe(machine, (name, file) => daemon.fileOf(name, `/etc/${file}`))),
      inspect: new Map(await Promise.all(names.map(async name => [name, await inspect('inspect', name)] as const))),
      networks: new Map(await Promise.all(networkNames.map(async name => [name, await inspect('network', 'inspect', name)] as const))),
      list: (await daemon.docker('network', 'ls', '--no-trunc', '--format', '{{json .}}'))
        .split('\n')
        .map(line => JSON.parse(line) as object),
    }
  } finally {
    for (const name of names) await run('umount', [`/run/netns/${name}`]).then(() => run('rm', [`/run/netns/${name}`]))
  }
}

async function byNetmode(): Promise<World> {
  await using command = await Command.bundle()
  await using machine = await freshHost('machine')
  const host: Host = await openHost({ netns: machine.netns, stateDir: machine.stateDir })
  try {
    for (const { options } of networks) await host.networks.create(options)
    for (const { options } of containers) await host.sandboxes.create(options)
    // Names that `ip netns` would not have by itself: the host's namespace, and one that is shared.
    for (const [name, path] of [
      ['open', machine.netns],
      ['mate', '/run/netns/plain'],
    ] as const) {
      await run('touch', [`/run/netns/${name}`])
      await run('mount', ['--bind', path, `/run/netns/${name}`])
    }
    const file = async (name: string, one: string) => {
      const sandbox = await host.sandboxes.get(name)
      const child = sandbox?.spawn('cat', [`/etc/${one}`], { stdio: ['ignore', 'pipe', 'inherit'] })
      let text = ''
      for await (const chunk of child?.stdout ?? []) text += String(chunk)
      return text
    }
    return {
      ...(await observe(machine, file)),
      inspect: new Map(await Promise.all(names.map(async name => [name, await host.sandboxes.inspect(name)] as const))),
      networks: new Map(await Promise.all(networkNames.map(async name => [name, await host.networks.inspect(name)] as const))),
      list: (await command.json(machine, 'network', 'ls', '--no-trunc')) as readonly object[],
    }
  } finally {
    for (const name of ['open', 'mate']) await run('umount', [`/run/netns/${name}`]).then(() => run('rm', [`/run/netns/${name}`]))
    await host.sandboxes.removeAll(names)
    await host.close()
  }
}

// ---------------------------------------------------------------------------------------------------- why they differ

const elsewhere =
  'Path|Args|State|Image|LogPath|RestartCount|Driver|Platform|MountLabel|ProcessLabel|AppArmorProfile|ExecIDs|GraphDriver|Mounts|' +
  'HostConfig\\.(Binds|ContainerIDFile|LogConfig|RestartPolicy|AutoRemove|VolumeDriver|VolumesFrom|Cap\\w+|Cgroup\\w*|GroupAdd|IpcMode|Links|' +
  'OomScoreAdj|OomKillDisable|PidMode|Privileged|ReadonlyRootfs|SecurityOpt|UTSMode|UsernsMode|ShmSize|Runtime|ConsoleSize|Isolation|' +
  'Cpu\\w+|Kernel\\w+|Memory\\w*|NanoCpus|Blkio\\w+|Device\\w*|PidsLimit|Ulimits|IOMaximum\\w+|MaskedPaths|ReadonlyPaths)|' +
  'Config\\.(Domainname|User|Attach\\w+|Tty|OpenStdin|StdinOnce|Env|Cmd|Image|Volumes|WorkingDir|Entrypoint|OnBuild)'

/** Every one of them is needed by some difference, but for the optional ones. */
const reasons = new Reasons([
  {
    path: / addresses lo$/,
    docker: /^127\.0\.0\.1\/8$/,
    netmode: /^127\.0\.0\.1\/8, ::1\/128$/,
    because:
      'Docker switches IPv6 off in a container without an IPv6 address, the loopback included; in netmode a server on ::1 works everywhere.',
  },
  {
    path: /^(plain|mate) \/etc\/(hosts|hostname)$|^inspect (plain|mate) Config\.Hostname$/,
    docker: /[0-9a-f]{12}/,
    netmode: /plain/,
    because: 'Without one of its own, the host name is the short id with Docker, and the name with netmode.',
  },
  {
    path: /^inspect open Config\.Hostname$/,
    because: "In host mode Docker tells the machine's host name, netmode that of the sandbox, which it doesn't set.",
  },
  {
    path: /^told \/etc\/resolv\.conf$/,
    docker: /^search example\.com example\.net\nnameserver 192\.0\.2\.53\nnameserver 2001:db8::53\noptions ndots:2\n$/,
    netmode: /^nameserver 192\.0\.2\.53\nnameserver 2001:db8::53\nsearch example\.com example\.net\noptions ndots:2\n$/,
    because: 'The same words in the order of later Dockers.',
  },
  {
    path: / \/etc\/resolv\.conf$/,
    docker: /^nameserver 127\.0\.0\.11\noptions ndots:0\n$/,
    because:
      "On a network of one's own Docker's name server is found on a loopback address by rules inside of the container; netmode's is the gateway.",
  },
  {
    path: /^cell\d routes -4$|^inspect cell\d NetworkSettings\.Networks\.inner\.Gateway$/,
    docker: /10\.73\.0\.1/,
    because: 'Docker 20.10 gives a default route on an internal network, which leads to a rule that drops; netmode gives none.',
  },
  {
    path: /reach cell\d -> /,
    docker: /^silent$/,
    netmode: /^unreachable$/,
    because: 'So a client there hears at once, from its own kernel.',
  },
  {
    path: / -> port 8080 of ::$/,
    docker: /^172\.17\.0\.1 at 172\.17\.0\.2$/,
    netmode: /^refused$/,
    because:
      "Docker's proxy takes IPv6 for a container that has only IPv4, and hides the client; netmode publishes for the families a sandbox has.",
  },
  {
    path: new RegExp(`^inspect \\w+ (${elsewhere})(\\.|$)`),
    netmode: /^\(absent\)$/,
    because: 'Images, processes, storage and limits: none of it is here.',
  },
  {
    path: /^inspect \w+ (ResolvConf|Hostname|Hosts)Path$/,
    because: 'Each has its folder; in host mode a sandbox has no files of its own.',
  },
  {
    path: /^inspect \w+ NetworkSettings\.SandboxKey$/,
    because: "Docker's path is in its own mount namespace; netmode's opens for everybody, shared or not.",
  },
  {
    path: /^inspect \w+ (PortCounters|Redirects)(\.|$)/,
    docker: /^\(absent\)$/,
    because: 'What Docker has no word for: use of published ports, and redirected ones.',
  },
  { path: /^inspect (\w+) Name$/, docker: /^\/\w+$/, because: "Docker's slash is left from links between containers." },
  { path: /^inspect (plain|told) HostConfig\.NetworkMode$/, docker: /^default$/, netmode: /^bridge$/, because: 'The default by its name.' },
  {
    path: /^inspect mate HostConfig\.NetworkMode$/,
    docker: /^container:<id>$/,
    netmode: /^container:plain$/,
    because: 'As it was asked for.',
  },
  {
    path: /HostConfig\.PublishAllPorts$/,
    netmode: /^\(absent\)$/,
    because: 'What was published is in Ports; whether each was asked for or all were is not recorded.',
  },
  {
    path: /NetworkSettings\.Ports\.\S+ ?/,
    docker: /^(::|8080|8081)$/,
    netmode: /^\(absent\)$/,
    because: 'A port is published for the families that the sandbox has.',
  },
  {
    path: /Networks\.\w+\.IPAMConfig/,
    because: 'Docker keeps the addresses that were asked for beside those that were given, which are the same.',
  },
  {
    path: /Networks\.\w+\.Aliases$/,
    docker: /[0-9a-f]{12}/,
    netmode: /^null$/,
    because: "Docker adds the short id, which is nobody's name here.",
  },
  { path: /Networks\.(none|host)\.(NetworkID|EndpointID)$/, netmode: /^$/, because: 'In these modes there is no network and no endpoint.' },
  {
    path: /^network bridge Options\.com\.docker\.network\.bridge\.name$/,
    docker: /^docker0$/,
    netmode: /^netmode0$/,
    because: 'So that both work on one machine.',
  },
  {
    path: /^network bridge Options\.com\.docker\.network\.bridge\.(default_bridge|host_binding_ipv4)$/,
    netmode: /^\(absent\)$/,
    because: "Settings of Docker's that netmode doesn't take.",
  },
  {
    path: /^network \w+ Options(\.com\.docker\.network\.\S+)?$/,
    because: 'Docker lists the options that were given, netmode those that are in force.',
  },
  {
    path: /^network \w+ IPAM\.Config\.\d\.Gateway$/,
    docker: /^\(absent\)$/,
    because: 'Docker lists a gateway that was asked for, netmode the one there is.',
  },
  {
    path: /^network \w+ Status\.IPAM\./,
    docker: /^\(absent\)$/,
    because: 'How many addresses are used, in the words of API 1.52; this Docker is older.',
  },
  {
    path: /^ls (host|none)\./,
    netmode: /^\(absent\)$/,
    because: 'Docker has a network for each of these modes; in netmode they are modes and nothing else.',
  },
  { path: /^ls \w+\.IPv4$/, because: 'A client newer than the daemon adds it.', optional: true },
])

/** Ids are new each time, and so is their order. */
const membersByName = (network: { readonly Containers?: object } = {}): object => ({
  ...network,
  Containers: byName(Object.values(network.Containers ?? {}) as readonly { Name: string }[]),
})
const byName = (list: readonly { readonly Name?: string }[]): object => Object.fromEntries(list.map(one => [one.Name ?? '', one]).sort())

describe('beside a real dockerd', { timeout: 300_000 }, () => {
  let docker: World
  let netmode: World

  beforeAll(async () => {
    docker = await byDocker()
    netmode = await byNetmode()
  }, 300_000)

  test.each(names)('%s sees the same', name => {
    expect(reasons.unexplained(differencesOf(name, docker.seen.get(name), netmode.seen.get(name)))).toEqual([])
  })

  test('the same ones reach each other, and are seen alike', () => {
    expect(reasons.unexplained(differencesOf('', docker.reach, netmode.reach))).toEqual([])
  })

  test.each(names)('inspect says the same of %s, in the same order', name => {
    const [theirs, ours] = [docker.inspect.get(name), netmode.inspect.get(name)]
    expect(reasons.unexplained(differencesOf(`inspect ${name}`, theirs, ours))).toEqual([])
    expect(sharedOrder(ours, theirs)).toEqual(sharedOrder(theirs, ours))
  })

  test.each(networkNames)('network inspect says the same of %s, in the same order', name => {
    const [theirs, ours] = [membersByName(docker.networks.get(name)), membersByName(netmode.networks.get(name))]
    expect(reasons.unexplained(differencesOf(`network ${name}`, theirs, ours))).toEqual([])
    expect(sharedOrder(ours, theirs)).toEqual(sharedOrder(theirs, ours))
  })

  test('network ls says the same', () => {
    expect(reasons.unexplained(differencesOf('ls', byName(docker.list), byName(netmode.list)))).toEqual([])
  })

  test('every reason is needed', () => {
    expect(reasons.unused).toEqual([])
  })
})
