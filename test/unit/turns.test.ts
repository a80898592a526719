import { setImmediate as turnOver } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { ownTurn } from '../../lib/plan/turns.js'

test('whoever asks in the same turn of the event loop gets one of his own, in order', async () => {
  let turn = 0
  const seen: [who: number, turn: number][] = []
  const asked = [0, 1, 2, 3].map(async who => {
    await ownTurn()
    seen.push([who, turn])
  })
  let left = 4
  void Promise.all(asked.map(one => one.then(() => left--)))
  while (left > 0) {
    await turnOver()
    turn++
  }
  expect(seen.map(([who]) => who)).toEqual([0, 1, 2, 3])
  expect(new Set(seen.map(([, at]) => at)).size).toBe(4)
})

test('a turn that nobody has taken costs no wait', async () => {
  await turnOver()
  await turnOver()
  await turnOver()
  expect(ownTurn()).toBeUndefined()
  expect(ownTurn()).toBeInstanceOf(Promise)
})
