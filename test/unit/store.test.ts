/** What the store reads of a folder in which a sandbox is just being taken from a warm pool, or changed. */
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Layout } from '../../lib/state/layout.js'
import { format, formatDraft, type SandboxRecord } from '../../lib/state/records.js'
import { Store } from '../../lib/state/store.js'
import { sandbox } from '../setup/records.js'

let layout: Layout
let store: Store
beforeEach(() => {
  layout = new Layout(mkdtempSync(join(tmpdir(), 'netmode-store-')))
  for (const folder of layout.folders) mkdirSync(folder, { recursive: true })
  store = new Store(layout, {
    // As the native thread does: a version of each, and the text where it is another one.
    files: async ({ paths, known = [] }) =>
      paths.flatMap((path, i) => {
        try {
          const text = readFileSync(path, 'utf8')
          return [text, known[i] === text ? undefined : text]
        } catch {
          return [undefined, undefined]
        }
      }),
    claims: async () => [],
  })
})
afterEach(() => rmSync(layout.root, { recursive: true }))

const recordOf = (name: string, phase: SandboxRecord['phase']) => sandbox(name, { phase, mode: 'none', endpoints: [] })

function write(name: string, phase: SandboxRecord['phase']): void {
  mkdirSync(layout.sandbox(name))
  writeFileSync(layout.sandboxRecord(name), format(recordOf(name, phase)))
}

test.each([1, 20])("one of %i that is being taken is first the pool's, then in the making, then ready", async count => {
  for (let i = 1; i < count; i++) write(`box-${i}`, 'ready')
  write('~1', 'pooled')
  writeFileSync(layout.sandboxInMaking('~1'), formatDraft(recordOf('web', 'creating')))
  const seen = async () => {
    const { records, damaged } = await store.sandboxes()
    expect(damaged).toEqual([])
    expect(records).toHaveLength(count)
    return records.filter(({ name }) => !name.startsWith('box-')).map(({ name, phase }) => `${name} ${phase}`)
  }
  expect(await seen()).toEqual(['~1 pooled'])
  renameSync(layout.sandbox('~1'), layout.sandbox('web'))
  expect(await seen()).toEqual(['web creating'])
  expect(await store.sandbox('web')).toEqual(recordOf('web', 'creating'))
  renameSync(layout.sandboxInMaking('web'), layout.sandboxRecord('web'))
  expect(await seen()).toEqual(['web ready'])
  expect(await store.sandbox('web')).toEqual(recordOf('web', 'ready'))
})

test('one record that can not be read keeps nobody from another one', async () => {
  write('good', 'ready')
  mkdirSync(layout.sandboxRecord('bad'), { recursive: true })
  const [good, bad] = await Promise.allSettled(['good', 'bad'].map(name => store.sandbox(name)))
  expect(good).toEqual({ status: 'fulfilled', value: recordOf('good', 'ready') })
  expect(bad).toMatchObject({ status: 'rejected', reason: { code: 'ERR_NETMODE_STATE' } })
})

test.each([1, 20])('one of %i that is being changed has all that it had and may have by now, until the change is done', async count => {
  for (let i = 1; i < count; i++) write(`box-${i}`, 'ready')
  write('web', 'ready')
  const before = recordOf('web', 'ready')
  const port = { hostIp: '0.0.0.0', hostPort: 80, containerPort: 80, protocol: 'tcp' } as const
  const text = format({ ...before, ports: [port] })
  const seen = async () => (await store.sandboxes()).records.find(({ name }) => name === 'web')
  const change = layout.sandboxInChange('web')
  writeFileSync(change, text)
  const pending = { ports: [port], endpoints: [], redirects: [], before, text }
  expect(await seen()).toEqual({ ...before, phase: 'changing', ports: [port], pending })
  expect(await store.sandbox('web')).toEqual(await seen())
  // Who has died before all of it was written has done nothing else.
  writeFileSync(change, text.slice(0, 100))
  expect(await seen()).toEqual({ ...before, phase: 'changing', pending: { ...pending, ports: [], text: text.slice(0, 100) } })
  writeFileSync(change, text)
  renameSync(change, layout.sandboxRecord('web'))
  expect(await seen()).toEqual({ ...before, ports: [port] })
  expect(await store.sandbox('web')).toEqual({ ...before, ports: [port] })
})
