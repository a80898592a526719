/** `netmode graph`: the host, its networks and who hangs on them, drawn as a tree. */
import type { Endpoint, Network, NetworkInfo, PublishedPort, Sandbox } from '../contract.js'
import type { Fill } from './cli.js'

export const graph: Fill = (command, cli) => {
  command.action(async () => {
    const { networks, sandboxes } = await cli.withHost(
      async (host, op) => {
        const found = await host.networks.list({}, op)
        return {
          networks: await Promise.all(found.map(async network => ({ network, info: await network.inspect(op) }))),
          sandboxes: await host.sandboxes.list({}, op),
        }
      },
      { repair: false },
    )
    cli.print(graphObject(networks, sandboxes), drawing(networks, sandboxes))
  })
}

interface Shown {
  readonly network: Network
  readonly info: NetworkInfo
}

function graphObject(networks: readonly Shown[], sandboxes: readonly Sandbox[]): object {
  return {
    networks: networks.map(({ network: { name, driver, device, subnets }, info }) => ({
      name,
      driver,
      device,
      subnets,
      internal: info.Internal,
    })),
    sandboxes: sandboxes.map(({ name, mode, guest, endpoints, ports }) => ({ name, mode, ...(guest && { guest }), endpoints, ports })),
  }
}

interface Node {
  readonly text: string
  readonly below: readonly Node[]
}

/**
 * A sandbox stands below each network that it is on; its ports below the first, as it has them once. What is on none stands below the
 * host, and below a sandbox those that share its namespace.
 */
export function drawing(networks: readonly Shown[], sandboxes: readonly Sandbox[]): string {
  const sharing = (name: string): readonly Node[] =>
    sandboxes
      .filter(one => one.mode === 'container' && sharedWith(one, sandboxes) === name)
      .map(({ name }) => ({ text: `${name} (same namespace)`, below: [] }))
  const onNetwork = (network: Network): readonly Node[] =>
    sandboxes.flatMap(sandbox => {
      const at = sandbox.endpoints.findIndex(endpoint => endpoint.network === network.name)
      const endpoint = sandbox.endpoints[at]
      if (endpoint === undefined) return []
      const below = at === 0 ? [...guestNodes(sandbox), ...sandbox.ports.map(portNode), ...sharing(sandbox.name)] : []
      return { text: endpointText(sandbox, endpoint), below }
    })
  const alone = sandboxes
    .filter(({ endpoints, mode }) => endpoints.length === 0 && mode !== 'container')
    .map(
      (sandbox): Node => ({
        text: `${sandbox.name} (${sandbox.mode === 'host' ? "the host's own namespace" : 'no network'})`,
        below: [...guestNodes(sandbox), ...sharing(sandbox.name)],
      }),
    )
  return draw({
    text: 'host',
    below: [...networks.map(shown => ({ text: networkText(shown), below: onNetwork(shown.network) })), ...alone],
  })
}

/** Whose namespace a sandbox of mode container is in. */
function sharedWith({ netns }: Sandbox, sandboxes: readonly Sandbox[]): string | undefined {
  return sandboxes.find(one => one.mode !== 'container' && one.netns === netns)?.name
}

function networkText({ network: { name, driver, device, subnets }, info: { Internal } }: Shown): string {
  const addresses = subnets.map(({ subnet, gateway }) => `${gateway}/${subnet.slice(subnet.indexOf('/') + 1)}`)
  return [`${name}:`, driver, device ?? '', ...addresses, ...(Internal === true ? ['(internal)'] : [])].filter(Boolean).join(' ')
}

function endpointText({ name }: Sandbox, { ifname, hostIfname, ipv4, ipv6, tap }: Endpoint): string {
  const addresses = [ipv4, ipv6].flatMap(one => (one ? one.address : []))
  return [hostIfname ? `${hostIfname} ── ` : '', `${name} `, tap ? 'guest' : ifname, ...addresses.map(one => ` ${one}`)].join('')
}

/** A virtual machine behind a TAP inside. */
function guestNodes({ guest }: Sandbox): readonly Node[] {
  if (guest === undefined) return []
  return [{ text: [guest.tap, '──', 'guest', guest.address, ...(guest.ipv6 ? [guest.ipv6.address] : [])].join(' '), below: [] }]
}

function portNode({ hostIp, hostPort, containerPort, protocol }: PublishedPort): Node {
  return { text: `${hostIp.includes(':') ? `[${hostIp}]` : hostIp}:${hostPort} → ${containerPort}/${protocol}`, below: [] }
}

function draw({ text, below }: Node): string {
  const lines = (node: Node): readonly string[] =>
    node.below.flatMap((child, i) => {
      const last = i === node.below.length - 1
      return [`${last ? '└─' : '├─'} ${child.text}`, ...lines(child).map(line => `${last ? '  ' : '│ '} ${line}`)]
    })
  return `${[text, ...lines({ text, below })].join('\n')}\n`
}
