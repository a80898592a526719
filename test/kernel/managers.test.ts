/** `host.doctor` beside NetworkManager and firewalld themselves: what they do to our links, and that the remedy, as it is written, ends it. */
import { afterEach, beforeAll, beforeEach, expect } from 'vitest'
import type { Finding, Host, Sandbox } from '../../lib/index.js'
import { open } from '../setup/between.js'
import { installManagers, startBus, startFirewalld, startNetworkManager } from '../setup/managers.js'
import { freshHost, type PrivateHost } from '../setup/namespace.js'
import { ask, greet, Peer } from '../setup/peers.js'
import { requires } from '../setup/privilege.js'

const { describe, test } = requires('root', 'realRoot', 'managers')

describe('with a network whose bridge has a name of its own', () => {
  let machine: PrivateHost
  let host: Host
  let web: Sandbox
  let outside: Peer

  beforeAll(installManagers)
  beforeEach(async () => {
    machine = await freshHost()
    host = await open(machine, { repair: false })
    await host.networks.create({ name: 'lan', subnets: ['10.9.0.0/24'], bridge: 'lan0' })
    web = await host.sandboxes.create({ name: 'web', network: 'lan', publish: ['8080:80'] })
    await greet(web, '10.9.0.2', 80)
    outside = new Peer(machine.outside.netns)
    await greet(outside, '198.51.100.2', 9000)
  })
  afterEach(async () => {
    await outside[Symbol.asyncDispose]()
    await web.remove()
    await host.close()
    await machine.remove()
  })

  /** Who is seen in the sandbox, and by the sandbox's peer outside. */
  const inward = () => ask(outside, '198.51.100.1', 8080)
  const outward = () => ask(web, '198.51.100.2', 9000)
  const traffic = async () => [await inward(), await outward()]
  const flows = ['198.51.100.2', '198.51.100.1']

  /** What this kernel has anyway, and what others on the machine fill, is nobody's doing here. */
  const findings = async (): Promise<readonly Finding[]> =>
    (await host.doctor()).filter(({ id }) => id !== 'bridge-nf-call' && !id.startsWith('neighbor-table-full'))

  async function only(id: string): Promise<Finding> {
    const found = await findings()
    expect(found.map(one => one.id)).toEqual([id])
    return found[0] as Finding
  }

  test('NetworkManager manages bridge and veth, and leaves both alone after the remedy', async () => {
    expect(await traffic()).toEqual(flows)
    await using _bus = await startBus(machine)
    await using manager = await startNetworkManager(machine)
    const state = async () => {
      const lines = (await machine.run('nmcli', '--terse', '--fields=DEVICE,STATE', 'device')).trim().split('\n')
      const states = new Map(lines.map(line => line.split(':', 2) as [string, string]))
      return ['lan0', web.endpoints[0]?.hostIfname ?? ''].map(name => states.get(name))
    }
    expect(await state()).toEqual(['connected (externally)', 'connected (externally)'])
    const finding = await only('claimed-by-networkmanager')
    expect(finding).toMatchObject({ severity: 'warning', message: expect.stringContaining('NetworkManager is running') })
    await machine.run('sh', '-ec', finding.remedy)
    await manager.until(async () => (await state()).every(one => one === 'unmanaged'))
    expect(await findings()).toEqual([])
    expect(await traffic()).toEqual(flows)
  })

  test('firewalld rejects what sandboxes send, and lets it through after the remedy', async () => {
    expect(await traffic()).toEqual(flows)
    await using _bus = await startBus(machine)
    await using _ = await startFirewalld(machine)
    expect(await traffic()).toEqual(['198.51.100.2', 'unreachable'])
    const finding = await only('claimed-by-firewalld')
    expect(finding).toMatchObject({
      severity: 'error',
      message: 'firewalld is running, and lan0 is in a zone that rejects what sandboxes send beyond their bridge',
    })
    await machine.run('sh', '-ec', finding.remedy)
    expect(await traffic()).toEqual(flows)
    expect(await findings()).toEqual([])
    // What would let it through as well, and is no zone of its own.
    await machine.run('sh', '-ec', 'firewall-cmd --permanent --zone=trusted --remove-interface=lan0 && firewall-cmd --reload')
    expect(await only('claimed-by-firewalld')).toEqual(finding)
    await machine.run('firewall-cmd', '--set-default-zone=trusted')
    expect(await traffic()).toEqual(flows)
    expect(await findings()).toEqual([])
  })
})
