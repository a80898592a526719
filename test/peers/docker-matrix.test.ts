/**
 * The cases of the reachability matrix with Docker in the place of netmode: records its answers in docs/reachability-docker.json, which
 * docs/reachability.md shows beside ours. NETMODE_WRITE_DOCS=1 writes them; without it they are compared, if the installed Docker is
 * of the recorded release.
 */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect } from 'vitest'
import { freshHost, type PrivateHost, run } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'
import { casesOf, describeCase, shapes } from '../traffic/matrix.js'
import { companyCases, inviteGuests, type Maker } from '../traffic/matrix-company.js'
import { allCases, companyKey } from '../traffic/matrix-document.js'
import { Lab, type Member, publications, served, strangerPort, strangers, subjects } from '../traffic/matrix-lab.js'
import { type DockerAnswers, dockerAnswersFile, readDockerAnswers, summarize } from '../traffic/matrix-record.js'
import { DockerDaemon } from './docker-daemon.js'

const busybox = ['/usr/bin/busybox', '/bin/busybox'].find(path => existsSync(path))
const version = versionOf('dockerd')
const recorded = readDockerAnswers()
const writing = process.env.NETMODE_WRITE_DOCS === '1'
/** Without the last digits, in which nothing of this changes. */
const release = (version: string | undefined) => version?.split('.').slice(0, 2).join('.')
const comparable = writing || release(recorded?.docker) === release(version)

const { describe, test } = requires('realRoot', 'dockerd', 'program:busybox', 'br_netfilter')

// Another Docker than the recorded one answers otherwise: its answers are recorded by hand, once.
const title = comparable ? 'real Docker' : `real Docker (the answers are those of ${recorded?.docker}, here is ${version})`
describe(title, { timeout: 300_000, skip: !comparable }, () => {
  const answers = new Map<string, string>()
  const company: DockerAnswers['company'] = {}
  /** What has been made, to be taken away in reverse, the daemon above all. */
  const made: AsyncDisposable[] = []
  let machine: PrivateHost
  let daemon: DockerDaemon
  let lab: Lab

  beforeAll(async () => {
    machine = await freshHost()
    made.push(machine)
    daemon = await DockerDaemon.start(machine)
    made.push(daemon)
    await daemon.importImage('busybox', busybox ?? '')
    await build(daemon)
    lab = await Lab.open(machine)
    made.push(lab)
    await inviteGuests(machine, lab)
  }, 300_000)

  afterAll(async () => {
    for (const one of made.reverse()) await one[Symbol.asyncDispose]()
  }, 60_000)

  // Docker switches bridge-nf on for networks without icc; whether it is on afterwards is the administrator's business.
  describe.each([true, false])('with bridge-nf %s', bridgeNf => {
    beforeAll(async () => {
      const value = Number(bridgeNf)
      await machine.run('sysctl', '-qw', `net.bridge.bridge-nf-call-iptables=${value}`, `net.bridge.bridge-nf-call-ip6tables=${value}`)
    })

    test.each(shapes)('icc $icc, internal $internal, masquerade $masquerade', async shape => {
      const cases = casesOf({ ...shape, bridgeNf })
      await Promise.all(cases.map(async one => answers.set(describeCase(one), await lab.probe(one))))
    })

    describe.each([4, 6] as const)('in company over IPv%i', family => {
      test.each(companyCases)('$what', async ({ what, run }) => {
        company[companyKey(what, family, bridgeNf)] = await run({ lab, machine, maker: makerOf(daemon, lab) }, family)
      })
    })
  })

  test('answers as recorded', async () => {
    const matrix = summarize(allCases, one => String(answers.get(describeCase(one))))
    if (writing) {
      const found: DockerAnswers = {
        docker: version ?? '',
        date: new Date().toISOString().slice(0, 10),
        kernel: (await run('uname', ['-r'])).trim(),
        matrix,
        company,
      }
      await writeFile(dockerAnswersFile, `${JSON.stringify(found, undefined, 2)}\n`)
    } else {
      expect({ matrix, company }).toEqual({ matrix: recorded?.matrix, company: recorded?.company })
    }
  })
})

/** `Docker version 20.10.24+dfsg1, build …`; undefined: not installed. */
function versionOf(program: string): string | undefined {
  try {
    return execFileSync(program, ['--version'], { encoding: 'utf8' }).replace(/^Docker version ([^,]+),[\s\S]*$/, '$1')
  } catch {
    return undefined
  }
}

async function build(daemon: DockerDaemon): Promise<void> {
  for (const subject of subjects) {
    const { network, shape, target, sibling } = subject
    const option = (name: string, value: boolean) => ['--opt', `com.docker.network.bridge.${name}=${value}`]
    await createNetwork(daemon, subject, [
      ...option('enable_icc', shape.icc),
      ...option('enable_ip_masquerade', shape.masquerade),
      ...(shape.internal ? ['--internal'] : []),
    ])
    await start(daemon, network, target, publications(subject))
    await start(daemon, network, sibling, [])
  }
  await createNetwork(daemon, strangers, [])
  await start(daemon, strangers.network, strangers.stranger, [`${strangerPort}:${served}`, `${strangerPort}:${served}/udp`])
}

async function createNetwork(
  daemon: DockerDaemon,
  { network, subnets }: { network: string; subnets: readonly string[] },
  options: string[],
): Promise<void> {
  await daemon.docker('network', 'create', '--ipv6', ...subnets.flatMap(subnet => ['--subnet', subnet]), ...options, network)
}

/** A container that sleeps; the servers are ours, in its namespace. */
async function start(
  daemon: DockerDaemon,
  network: string,
  { name, addresses }: Pick<Member, 'name' | 'addresses'>,
  publish: readonly string[],
): Promise<void> {
  const ports = publish.flatMap(port => ['--publish', port])
  const address = ['--ip', addresses[4], '--ip6', addresses[6]]
  await daemon.docker(
    'run',
    '--detach',
    '--name',
    name,
    '--network',
    network,
    ...address,
    ...ports,
    'busybox',
    '/bin/busybox',
    'sleep',
    '1000000',
  )
  await daemon.name(name)
}

/** Docker as the maker of further sandboxes. */
function makerOf(daemon: DockerDaemon, lab: Lab): Maker {
  return {
    start: async (name, addresses, publish) => {
      try {
        await start(daemon, subjects[0]?.network ?? '', { name, addresses }, publish)
        await lab.settled(name)
        return undefined
      } catch (error) {
        if (!/address already in use|port is already allocated/.test(String(error))) throw error
        await daemon.docker('rm', '--force', name)
        return 'refused'
      }
    },
    stop: async name => {
      await run('umount', [`/run/netns/${name}`])
      await run('rm', [`/run/netns/${name}`])
      await daemon.docker('rm', '--force', name)
    },
  }
}
