/** What a sandbox stands on: only what is surely gone counts as gone. */
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { hasNamespace } from '../../lib/recovery/judgement.js'
import type { SandboxRecord } from '../../lib/state/records.js'

const folder = mkdtempSync(join(tmpdir(), 'netmode-judgement-'))
afterAll(() => rmSync(folder, { recursive: true }))

const adopted = (path: string) => ({ name: 'web', mode: 'none', netns: { path, owned: false } }) as SandboxRecord

test.each([
  ['a path where something is', '/proc/self/ns/net', true],
  ['a path where nothing is', join(folder, 'nothing'), false],
  ['a path below a file', '/proc/version/ns', false],
  ['a path that can’t be followed to its end', join(folder, 'loop'), true],
])('an adopted namespace at %s', (_, path, there) => {
  symlinkSync('loop', join(folder, 'loop'))
  expect(hasNamespace(adopted(path), new Set())).toBe(there)
  rmSync(join(folder, 'loop'))
})
