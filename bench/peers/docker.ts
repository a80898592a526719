/** dockerd: a running container is connected to the network and disconnected, through the API's socket. */
import { request } from 'node:http'

import { DockerDaemon } from '../../test/peers/docker-daemon.js'
import { clock } from '../alternate.js'
import { find } from '../shell.js'
import { Missing, type Peer, published, type Start } from './peer.js'

const image = 'bench-busybox'

function post(socketPath: string, path: string, body: object): Promise<void> {
  const text = JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const asked = request(
      { socketPath, path, method: 'POST', headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) } },
      answer => {
        let said = ''
        answer.setEncoding('utf8').on('data', chunk => {
          said += chunk
        })
        answer.on('end', () =>
          (answer.statusCode ?? 500) < 300 ? resolve() : reject(new Error(`dockerd, ${path}: ${answer.statusCode} ${said}`)),
        )
      },
    )
    asked.on('error', reject)
    asked.end(text)
  })
}

export const docker: Start = async ({ bridge, subnet, gateway }): Promise<Peer | Missing> => {
  const busybox = find('/usr/bin/busybox', '/bin/busybox')
  if (!find('dockerd') || !find('docker') || busybox === undefined) return new Missing('dockerd or busybox')
  const daemon = await DockerDaemon.start({ netns: `/proc/${process.pid}/ns/net` })
  try {
    await daemon.importImage(image, busybox)
    const device = `com.docker.network.bridge.name=${bridge}`
    await daemon.docker(
      'network',
      'create',
      '--subnet',
      subnet,
      '--gateway',
      gateway,
      '--ip-range',
      '10.99.204.0/24',
      '-o',
      device,
      'bench',
    )
    const port = `${published.hostPort}:${published.containerPort}`
    const limits = ['--ulimit', 'nofile=1024:1024']
    await daemon.docker(
      'run',
      '--detach',
      '--name',
      'box',
      '--network',
      'bench',
      '--publish',
      port,
      ...limits,
      image,
      '/bin/busybox',
      'sleep',
      '100000',
    )
    await daemon.docker('network', 'disconnect', 'bench', 'box')
  } catch (error) {
    await daemon[Symbol.asyncDispose]()
    throw error
  }
  return {
    who: 'dockerd, network connect',
    lacks: 'making the namespace',
    measure: () => clock(() => post(daemon.socket, '/networks/bench/connect', { Container: 'box' })),
    clear: () => post(daemon.socket, '/networks/bench/disconnect', { Container: 'box' }),
    [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose](),
  }
}
