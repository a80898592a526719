// What the demo needs around netmode: a neighbour to talk to, and a look at the machine that does not ask netmode.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { get } from 'node:http'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** Runs a tool; its stdout. */
async function run(command, ...args) {
  const { stdout } = await execute(command, args)
  return stdout
}

/** How long a packet that must not come is waited for, in ms. */
const kSilence = 500

/** The text that a server answers with, `refused`, or `nothing comes back`. A connection of its own; with an agent, from where that connects. */
export function ask(url, agent = false) {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent }, response =>
      response
        .setEncoding('utf8')
        .toArray()
        .then(parts => resolve(parts.join('')), reject),
    )
    const timer = setTimeout(() => request.destroy(new Error('nothing comes back')), kSilence)
    request.on('response', () => clearTimeout(timer))
    request.on('error', ({ code, message }) => {
      clearTimeout(timer)
      resolve(code === 'ECONNREFUSED' ? 'refused' : message)
    })
  })
}

/**
 * A neighbour on the host's wire: a namespace with a process in it. It knows no way to the sandboxes but the one that a
 * curious neighbour would try, straight through the host.
 */
export class Outside {
  device = 'eth0'
  host4 = '198.51.100.1'
  host6 = '2001:db8:100::1'
  own4 = '198.51.100.2'
  own6 = '2001:db8:100::2'
  #process

  static async open() {
    if (process.env.NETMODE_PRIVATE !== '1') {
      console.error('The demo changes networking, and only in a private namespace: run `npm run demo`, as root or where users may unshare.')
      process.exit(1)
    }
    const outside = new Outside()
    await outside.#wire()
    const program = fileURLToPath(new URL('outside.mjs', import.meta.url))
    outside.#process = spawn('nsenter', ['--net=/run/netns/outside', process.execPath, program], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    await once(outside.#process, 'message') // it serves
    return outside
  }

  /** host eth0 ── eth0 outside. Fixed link-local addresses, since the kernel's own ones take a second or two. */
  async #wire() {
    const both = (...words) => Promise.all([run('ip', ...words), run('ip', '-n', 'outside', ...words)])
    await run('ip', 'netns', 'add', 'outside')
    await run('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'outside')
    await both('link', 'set', 'eth0', 'addrgenmode', 'none', 'up')
    for (const [namespace, own4, own6, link] of [
      [[], this.host4, this.host6, 'fe80::1'],
      [['-n', 'outside'], this.own4, this.own6, 'fe80::2'],
    ]) {
      await run('ip', ...namespace, 'address', 'add', `${own4}/24`, 'dev', 'eth0')
      for (const address of [own6, link]) await run('ip', ...namespace, 'address', 'add', `${address}/64`, 'dev', 'eth0', 'nodad')
    }
    await run('ip', 'route', 'add', 'default', 'via', this.own4)
    await run('ip', 'route', 'add', 'default', 'via', this.own6)
    await run('ip', '-n', 'outside', 'route', 'add', 'default', 'via', this.host4)
  }

  /** As `ask`, from the neighbour. */
  async ask(url) {
    this.#process.send(url)
    const [answer] = await once(this.#process, 'message')
    return answer
  }

  async close() {
    this.#process.disconnect()
    await once(this.#process, 'exit')
  }
}

/** What is on this machine now, line by line, as ip, nft and the file system tell. */
export async function snapshot() {
  const lines = text => text.split('\n').filter(line => line.trim() !== '')
  const [links, addresses, routes4, routes6, rules] = await Promise.all([
    run('ip', '-brief', 'link'),
    run('ip', '-brief', 'address'),
    run('ip', '-4', 'route', 'show', 'table', 'all'),
    run('ip', '-6', 'route', 'show', 'table', 'all'),
    run('nft', 'list', 'ruleset'),
  ])
  // A host that forwards IPv6 answers for the anycast addresses of its subnets; the kernel sees to that.
  const routes = [...lines(routes4), ...lines(routes6)].filter(line => !line.startsWith('anycast '))
  const state = await readdir('/run/netmode', { recursive: true, withFileTypes: true }).catch(() => [])
  return {
    namespaces: (await readdir('/run/netns')).sort(),
    links: lines(links),
    addresses: lines(addresses),
    routes: routes.sort(),
    'firewall lines': lines(rules),
    'state files': state
      .filter(entry => entry.isFile())
      .map(entry => `${entry.parentPath}/${entry.name}`)
      .sort(),
  }
}

/** Settings of the host that netmode turns on where sandboxes need them, and leaves on: others may have come to need them too. */
export async function settings() {
  const read = async key => [key, (await readFile(`/proc/sys/${key.replaceAll('.', '/')}`, 'utf8')).trim()]
  return Object.fromEntries(await Promise.all(['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding'].map(read)))
}
