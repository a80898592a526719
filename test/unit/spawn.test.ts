import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { readlink } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect } from 'vitest'
import { type SpawnPlace, spawnIn } from '../../lib/sandbox/spawn.js'
import { freshNamespace, type PrivateNamespace } from '../setup/namespace.js'
import { requires } from '../setup/privilege.js'

const { test } = requires('root')
const program = fileURLToPath(new URL('../../build/Release/netmode-exec', import.meta.url))

let namespace: PrivateNamespace
let place: SpawnPlace

beforeAll(async () => {
  namespace = await freshNamespace()
  place = { program, netnsPath: namespace.netns }
})
afterAll(() => namespace.remove())

/** stdout of a shell command there; its failure is the test's. */
async function output(where: SpawnPlace, script: string, options = {}): Promise<string> {
  const child = spawnIn(where, 'sh', ['-c', script], options)
  const [out, [code]] = await Promise.all([text(child.stdout as NonNullable<ChildProcess['stdout']>), once(child, 'close')])
  expect(code).toBe(0)
  return out.trim()
}

/** All events of a child, in order. */
async function events(child: ChildProcess): Promise<unknown[][]> {
  const seen: unknown[][] = []
  for (const name of ['spawn', 'error', 'exit']) child.on(name, (...args) => seen.push([name, ...args]))
  await new Promise<void>(resolve => {
    child.on('close', (...args) => {
      seen.push(['close', ...args])
      resolve()
    })
  })
  return seen
}

test('the command is in the namespace, and so is its /sys', async () => {
  expect(await output(place, 'readlink /proc/self/ns/net')).not.toBe(await readlink('/proc/self/ns/net'))
  expect(await output(place, 'ls /sys/class/net')).toBe('lo')
  expect(await output({ ...place, hostname: 'web' }, 'hostname')).toBe('web')
})

test('files are bound for the command only; missing targets are passed over', async () => {
  writeFileSync('/run/hosts', '192.0.2.1 db\n')
  const skipped: unknown[] = []
  const files = [
    { source: '/run/hosts', target: '/etc/hosts' },
    { source: '/run/hosts', target: '/etc/no-such-file' },
  ]
  expect(await output({ ...place, files, onSkipped: what => skipped.push(what) }, 'cat /etc/hosts')).toBe('192.0.2.1 db')
  expect(skipped).toEqual([{ what: 'mount', errno: -2, detail: '/etc/no-such-file' }])
  expect(await output(place, 'cat /etc/hosts')).not.toContain('192.0.2.1')
})

test('a file is bound through the symbolic link that its target is', async () => {
  writeFileSync('/run/resolv.conf', 'nameserver 192.0.2.53\n')
  const script = 'ln -s /run/behind /run/link; echo old > /run/behind'
  await output(place, script)
  const files = [{ source: '/run/resolv.conf', target: '/run/link' }]
  expect(await output({ ...place, files }, 'cat /run/link')).toBe('nameserver 192.0.2.53')
  expect(await output(place, 'cat /run/link')).toBe('old')
})

test('no descriptor but the own stdio reaches the command', async () => {
  const folder = openSync('/', 'r')
  try {
    const list = 'for n in $(seq 0 40); do test -e /proc/$$/fd/$n && echo $n; done; readlink /proc/$$/fd/4'
    const shown = await output(place, list, { stdio: ['ignore', 'pipe', 'ignore', 'ignore', folder] })
    expect(shown.split('\n')).toEqual(['0', '1', '2', '4', '/'])
  } finally {
    closeSync(folder)
  }
})

test('stdio shows the entries that were asked for, and no more', async () => {
  const child = spawnIn(place, 'cat', [], { stdio: ['pipe', 'pipe', 'inherit', 'pipe'] })
  expect(child.stdio).toHaveLength(4)
  expect(child.stdio[2]).toBeNull()
  expect(child.spawnfile).toBe('cat')
  expect(child.spawnargs).toEqual(['cat'])
  child.stdin?.end('through')
  expect(await text(child.stdout as NonNullable<ChildProcess['stdout']>)).toBe('through')
})

test('spawn comes before exit, exit before close', async () => {
  expect(await events(spawnIn(place, 'sh', ['-c', 'exit 3']))).toEqual([['spawn'], ['exit', 3, null], ['close', 3, null]])
  expect(await events(spawnIn(place, 'sh', ['-c', 'kill -TERM $$']))).toEqual([
    ['spawn'],
    ['exit', null, 'SIGTERM'],
    ['close', null, 'SIGTERM'],
  ])
})

test('a command that is not there fails as in child_process.spawn', async () => {
  for (const [command, options] of [
    ['no-such-command', {}],
    ['/etc', {}],
    ['true', { cwd: '/no-such-folder' }],
  ] as const) {
    const ours = await events(spawnIn(place, command, ['a'], options))
    const nodes = await events(spawn(command, ['a'], options))
    expect(ours).toEqual(nodes)
    const [[name, error]] = ours as [[string, NodeJS.ErrnoException]]
    expect(name).toBe('error')
    expect({ ...error }).toEqual({ ...(nodes as [[string, Error]])[0][1] })
    expect(error.message).toBe((nodes as [[string, Error]])[0][1].message)
  }
})

test('what fails before the command says at which stage', async () => {
  const cases: [SpawnPlace, object][] = [
    [
      { ...place, netnsPath: '/dev/null' },
      { code: 'EINVAL', stage: 'setns', syscall: 'spawn true', path: 'true' },
    ],
    [
      { ...place, dropCapabilities: ['NONSENSE'] },
      { code: 'EINVAL', stage: 'arguments', detail: '--drop-cap NONSENSE' },
    ],
    [
      { ...place, files: [{ source: '/run/none', target: '/etc/hosts' }] },
      { code: 'ENOENT', stage: 'mount', detail: '/run/none on /etc/hosts' },
    ],
  ]
  for (const [where, expected] of cases) {
    const child = spawnIn(where, 'true')
    const [[name, error]] = (await events(child)) as [[string, Error]]
    expect(name).toBe('error')
    expect(error).toMatchObject(expected)
  }
  expect(() => spawnIn({ ...place, netnsPath: '/run/netns/none' }, 'true')).toThrow(expect.objectContaining({ code: 'ENOENT' }))
})

test('capabilities, user and group are given up', async () => {
  const sets = 'grep -E "^Cap(Prm|Eff|Bnd)" /proc/self/status | cut -f2 | sort -u'
  expect(await output({ ...place, dropCapabilities: ['ALL'] }, sets)).toBe('0000000000000000')
  const netRaw = 1n << 13n
  for (const name of ['NET_RAW', 'cap_net_raw']) {
    const masks = (await output({ ...place, dropCapabilities: [name] }, sets)).split('\n').map(mask => BigInt(`0x${mask}`) & netRaw)
    expect(masks).not.toContain(netRaw)
  }
  const all = (await output(place, sets)).split('\n').map(mask => BigInt(`0x${mask}`) & netRaw)
  expect(all).toContain(netRaw)
  expect(await output(place, 'id -u; id -g; id -G', { uid: 12, gid: 34 })).toBe('12\n34\n34')
})

test('shell, argv0, env and cwd are taken', async () => {
  const child = spawnIn(place, 'echo $GREETING; pwd', [], { shell: true, env: { GREETING: 'hello', PATH: process.env.PATH }, cwd: '/usr' })
  expect(await text(child.stdout as NonNullable<ChildProcess['stdout']>)).toBe('hello\n/usr\n')
  const named = spawnIn(place, 'sh', ['-c', 'echo $0'], { argv0: 'other' })
  expect(await text(named.stdout as NonNullable<ChildProcess['stdout']>)).toBe('other\n')
})

test('an AbortSignal and a timeout end the command', async () => {
  const controller = new AbortController()
  const aborted = spawnIn(place, 'sleep', ['60'], { signal: controller.signal })
  const seen = events(aborted)
  await once(aborted, 'spawn')
  controller.abort()
  expect((await seen).map(([name]) => name)).toEqual(['spawn', 'error', 'exit', 'close'])
  expect(await events(spawnIn(place, 'sleep', ['60'], { timeout: 50 }))).toContainEqual(['exit', null, 'SIGTERM'])
})

test('an IPC channel is one of the own stdio entries', async () => {
  const script = 'process.on("message", m => { process.send(m + 1); process.disconnect() })'
  const child = spawnIn(place, process.execPath, ['-e', script], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  child.send(41)
  const [answer] = await once(child, 'message')
  expect(answer).toBe(42)
  await once(child, 'close')
})

test('wrong arguments are refused by name', () => {
  const wrong = (field: string) => expect.objectContaining({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field })
  expect(() => spawnIn(place, '')).toThrow(wrong('command'))
  expect(() => spawnIn(place, 'a\0b')).toThrow(wrong('command'))
  expect(() => spawnIn(place, 'true', [7 as unknown as string])).toThrow(wrong('args[0]'))
  expect(() => spawnIn(place, 'true', [], { uid: -1 })).toThrow(wrong('uid'))
})
