import { inspect } from 'node:util'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { errnoName, fail, fromKernel, invalid, isNetmodeError, NetmodeError, rejection, show } from '../../lib/errors.js'

describe('invalid', () => {
  it('says what was expected, for which field, and what came', () => {
    const error = invalid('publish[1].hostPort', 'a port', 'x')
    expect(error).toBeInstanceOf(TypeError)
    expect(error).not.toBeInstanceOf(RangeError)
    expect(error.message).toBe('Expected a port for publish[1].hostPort but received "x"')
    expect(error.code).toBe('ERR_NETMODE_INVALID_ARGUMENT')
    expect(error.field).toBe('publish[1].hostPort')
  })

  it('is a RangeError for the right type outside of what is allowed', () => {
    const error = invalid('mtu', 'a whole number from 68 to 65535', 9, { range: true })
    expect(error).toBeInstanceOf(RangeError)
    expect(error.message).toBe('Expected a whole number from 68 to 65535 for mtu but received 9')
  })

  it('has a stack that begins at the caller', () => {
    expect(invalid('a', 'b', 1).stack?.split('\n')[1]).toContain('errors.test.ts')
  })
})

describe('show', () => {
  it.each([
    [undefined, 'undefined'],
    [10n, '10n'],
    [Symbol('x'), 'Symbol(x)'],
    ["it's", '"it\'s"'],
    ['a\nb\0\u202e', '"a\\nb\\u0000\\u{202e}"'],
    [{ a: [1] }, '{ a: [ 1 ] }'],
    [null, 'null'],
  ])('%o', (value, text) => {
    expect(show(value)).toBe(text)
  })

  it('runs nothing of the value', () => {
    const armed = {
      get a(): never {
        throw new Error('getter ran')
      },
      [inspect.custom]: () => {
        throw new Error('custom inspection ran')
      },
      toJSON: () => {
        throw new Error('toJSON ran')
      },
    }
    expect(show(armed)).toContain('[Getter]')
    const trap = () => {
      throw new Error('trap ran')
    }
    expect(show(new Proxy({}, { get: trap, ownKeys: trap, getPrototypeOf: trap }))).toBe(
      'Proxy [ {}, { get: [Function: trap], ownKeys: [Function: trap], getPrototypeOf: …',
    )
  })

  it('is one short printable line for anything', () => {
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withObjectString: true }),
        value => {
          const text = show(value)
          expect(text.length).toBeLessThanOrEqual(81)
          expect(text).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u)
        },
      ),
    )
  })
})

describe('fail', () => {
  it('carries code and fields, and no others', () => {
    const cause = new Error('why')
    const error = fail('PORT_IN_USE', 'Port 80 is taken', { holder: 'web', cause })
    expect(error).toBeInstanceOf(NetmodeError)
    expect({ ...error }).toEqual({ code: 'ERR_NETMODE_PORT_IN_USE', holder: 'web' })
    expect(error.cause).toBe(cause)
    expect(String(error)).toBe('NetmodeError: Port 80 is taken')
    expect('errno' in error).toBe(false)
    expect('cause' in fail('STATE', 'x')).toBe(false)
  })
})

describe('isNetmodeError', () => {
  it('knows its own by code, wherever they were made', () => {
    expect(isNetmodeError(fail('BUSY', 'x'))).toBe(true)
    expect(isNetmodeError(invalid('a', 'b', 1))).toBe(true)
    expect(isNetmodeError(runInNewContext('Object.assign(new TypeError("x"), { code: "ERR_NETMODE_BUSY" })'))).toBe(true)
  })

  it.each([
    [new Error('x')],
    [Object.assign(new Error('x'), { code: 'ENOENT' })],
    [{ code: 'ERR_NETMODE_BUSY' }],
    [null],
    [undefined],
    ['ERR_NETMODE_BUSY'],
  ])('does not take %o for one', value => {
    expect(isNetmodeError(value)).toBe(false)
  })
})

describe('fromKernel', () => {
  it('names verb, subject, errno, and the kernel text', () => {
    const error = fromKernel({ errno: 22, syscall: 'link.add', subject: 'br-1', detail: 'Device is a loop', offset: 36 })
    expect(error.message).toBe('link.add br-1 failed: EINVAL (invalid argument): Device is a loop at byte 36 of the message')
    expect({ ...error }).toEqual({
      code: 'ERR_NETMODE_KERNEL',
      errno: -22,
      syscall: 'link.add',
      subject: 'br-1',
      detail: 'Device is a loop',
    })
  })

  it.each([
    ['link.add', 1, 'PERMISSION', 'CAP_NET_ADMIN'],
    ['netns.create', -1, 'PERMISSION', 'CAP_SYS_ADMIN'],
    ['file.write', 13, 'PERMISSION', 'write access to the state folder'],
    ['port.claim', 13, 'PERMISSION', 'CAP_NET_BIND_SERVICE'],
    ['link.add', 95, 'UNSUPPORTED', 'ENOTSUP'],
    ['link.add', 93, 'UNSUPPORTED', 'EPROTONOSUPPORT'],
    ['link.add', 17, 'EXISTS', 'EEXIST'],
    ['link.set', 54, 'CAPACITY', 'EXFULL'],
    ['link.delete', 19, 'NOT_FOUND', 'ENODEV'],
    ['port.claim', 98, 'PORT_IN_USE', 'EADDRINUSE'],
    ['address.add', 98, 'ADDRESS_IN_USE', 'EADDRINUSE'],
    ['netns.open', 2, 'NAMESPACE_GONE', 'ENOENT'],
    ['netns.open', 22, 'NOT_A_NAMESPACE', 'EINVAL'],
    ['nft.rule.add', 85, 'KERNEL', 'ERESTART'],
  ])('%s with errno %i is %s', (syscall, errno, code, text) => {
    const error = fromKernel({ errno, syscall })
    expect(error.code).toBe(`ERR_NETMODE_${code}`)
    expect(error.errno).toBe(-Math.abs(errno))
    expect(error.message).toContain(text === 'EXFULL' ? errnoName(54) : text)
  })

  it('lets the caller say what an errno means there', () => {
    const error = fromKernel(
      { errno: 17, syscall: 'claim', holder: 'web' },
      { code: 'ADDRESS_IN_USE', message: 'Address 10.0.0.2 is in use' },
    )
    expect(error.code).toBe('ERR_NETMODE_ADDRESS_IN_USE')
    expect(error.message).toBe('Address 10.0.0.2 is in use: EEXIST (file already exists); held by web')
    expect(error.holder).toBe('web')
  })

  it('keeps what failed while rolling back', () => {
    const error = fromKernel({ errno: 17, syscall: 'link.add', undo: [{ errno: 16, syscall: 'netns.delete', subject: 'web' }] })
    expect(error.undo).toHaveLength(1)
    expect(error.undo?.[0]).toMatchObject({ code: 'ERR_NETMODE_BUSY', syscall: 'netns.delete', subject: 'web' })
  })
})

describe('rejection', () => {
  it('is the reason of the signal when the plan was called off', () => {
    const reason = { mine: true }
    expect(rejection({ errno: 125, syscall: 'lock' }, AbortSignal.abort(reason))).toBe(reason)
    expect(rejection({ errno: 17, syscall: 'lock' }, AbortSignal.abort(reason))).toBeInstanceOf(NetmodeError)
    expect(rejection({ errno: 125, syscall: 'lock' }, new AbortController().signal)).toBeInstanceOf(NetmodeError)
  })
})
