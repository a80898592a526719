import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isNetmodeError } from '../../lib/errors.js'
import {
  exposeInputs,
  formatPortRequest,
  formatPortSelector,
  formatPublished,
  parseExpose,
  parsePortRef,
  parsePublish,
  portRefs,
  publishInputs,
  selects,
} from '../../lib/sandbox/port-grammar.js'

const tcp = 'tcp' as const

describe('-p', () => {
  it.each([
    ['80', { containerPort: 80, protocol: tcp }],
    [':80', { containerPort: 80, protocol: tcp }],
    ['53/udp', { containerPort: 53, protocol: 'udp' }],
    ['53/UDP', { containerPort: 53, protocol: 'udp' }],
    ['8080:80', { hostPort: 8080, containerPort: 80, protocol: tcp }],
    ['8080:80/sctp', { hostPort: 8080, containerPort: 80, protocol: 'sctp' }],
    ['127.0.0.1:8080:80', { hostIp: '127.0.0.1', hostPort: 8080, containerPort: 80, protocol: tcp }],
    ['127.0.0.1::80', { hostIp: '127.0.0.1', containerPort: 80, protocol: tcp }],
    ['[::1]:8080:80', { hostIp: '::1', hostPort: 8080, containerPort: 80, protocol: tcp }],
    ['[FD00:0::1]::80/udp', { hostIp: 'fd00::1', containerPort: 80, protocol: 'udp' }],
    ['[::]:1:65535', { hostIp: '::', hostPort: 1, containerPort: 65535, protocol: tcp }],
    // Docker: a host range with one container port is the first free one of the range.
    ['8000-8010:80', { hostPort: 8000, hostPortEnd: 8010, containerPort: 80, protocol: tcp }],
    ['8000-8000:80-80', { hostPort: 8000, containerPort: 80, protocol: tcp }],
  ])('%s', (text, request) => {
    expect(parsePublish(text)).toEqual([request])
  })

  it('pairs ranges of equal length', () => {
    expect(parsePublish('0.0.0.0:8000-8001:90-91/udp')).toEqual([
      { hostIp: '0.0.0.0', hostPort: 8000, containerPort: 90, protocol: 'udp' },
      { hostIp: '0.0.0.0', hostPort: 8001, containerPort: 91, protocol: 'udp' },
    ])
    expect(parsePublish('90-91')).toEqual([
      { containerPort: 90, protocol: 'tcp' },
      { containerPort: 91, protocol: 'tcp' },
    ])
    expect(parsePublish('1-65535:1-65535')).toHaveLength(65_535)
  })

  it.each([
    ['', 'containerPort', TypeError],
    ['8080:', 'containerPort', TypeError],
    ['0', 'containerPort', RangeError],
    ['65536', 'containerPort', RangeError],
    ['0:80', 'hostPort', RangeError],
    ['65536:80', 'hostPort', RangeError],
    ['99999999999:80', 'hostPort', TypeError],
    ['-1:80', 'hostPort', TypeError],
    ['080:80', 'hostPort', TypeError],
    ['0x50:80', 'hostPort', TypeError],
    ['8 0:80', 'hostPort', TypeError],
    ['8080:80\n', 'containerPort', TypeError],
    ['8010-8000:80', 'hostPort', RangeError],
    ['8000-8001:90-92', 'hostPort', RangeError],
    ['8000:90-92', 'hostPort', RangeError],
    ['1-2-3', 'containerPort', TypeError],
    ['http:80', 'hostPort', TypeError],
    ['80/icmp', 'protocol', TypeError],
    ['80/', 'protocol', TypeError],
    ['80/tcp/udp', 'protocol', TypeError],
    ['127.1:80:80', 'hostIp', TypeError],
    ['256.0.0.1:80:80', 'hostIp', TypeError],
    ['224.0.0.1:80:80', 'hostIp', TypeError],
    ['[127.0.0.1]:80:80', 'hostIp', TypeError],
    ['[fe80::1%eth0]:80:80', 'hostIp', TypeError],
    ['[]:80:80', 'hostIp', TypeError],
  ])('%o is refused for its %s', (text, part, Kind) => {
    const parse = () => publishInputs(['1', text])
    expect(parse).toThrow(Kind)
    expect(parse).toThrow(expect.objectContaining({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field: `publish[1].${part}` }))
  })

  it.each(['::1:80:80', '1:2:3', '127.0.0.1:80', '[::1]:80'])('%o is refused as a whole', text => {
    expect(() => parsePublish(text)).toThrow(expect.objectContaining({ field: 'publish' }))
  })
})

describe('publish', () => {
  it('takes one or several, text or mapping', () => {
    expect(publishInputs('80')).toEqual([{ containerPort: 80, protocol: 'tcp' }])
    const mapping = {
      containerPort: 80,
      hostPort: 8080,
      hostIp: '127.0.0.1',
      protocol: 'udp',
      allow: ['10.0.0.0/8', '1.2.3.4', '10.0.0.0/8', 'fd00::1'],
    }
    expect(publishInputs(mapping)).toEqual([{ ...mapping, allow: ['10.0.0.0/8', '1.2.3.4/32', 'fd00::1/128'] }])
    expect(publishInputs(['8080:80', { containerPort: 81, hostPort: undefined }])).toEqual([
      { hostPort: 8080, containerPort: 80, protocol: 'tcp' },
      { containerPort: 81, protocol: 'tcp' },
    ])
    expect(publishInputs([])).toEqual([])
  })

  it.each([
    [{ hostPort: 80 }, 'publish[0].containerPort', TypeError],
    [{ containerPort: 0 }, 'publish[0].containerPort', RangeError],
    [{ containerPort: 65_536 }, 'publish[0].containerPort', RangeError],
    [{ containerPort: 80.5 }, 'publish[0].containerPort', RangeError],
    [{ containerPort: Number.NaN }, 'publish[0].containerPort', RangeError],
    [{ containerPort: '80' }, 'publish[0].containerPort', TypeError],
    [{ containerPort: 80n }, 'publish[0].containerPort', TypeError],
    [{ containerPort: 80, hostPort: 0 }, 'publish[0].hostPort', RangeError],
    [{ containerPort: 80, hostPort: -1 }, 'publish[0].hostPort', RangeError],
    [{ containerPort: 80, hostIp: 'localhost' }, 'publish[0].hostIp', TypeError],
    [{ containerPort: 80, protocol: 'TCP' }, 'publish[0].protocol', TypeError],
    [{ containerPort: 80, allow: [] }, 'publish[0].allow', TypeError],
    [{ containerPort: 80, allow: ['10.0.0.1/8'] }, 'publish[0].allow[0]', TypeError],
    [{ containerPort: 80, port: 1 }, 'publish[0].port', TypeError],
    [80, 'publish[0]', TypeError],
    [null, 'publish[0]', TypeError],
    [['80'], 'publish[0]', TypeError],
  ])('refuses %o', (input, field, Kind) => {
    expect(() => publishInputs([input])).toThrow(Kind)
    expect(() => publishInputs([input])).toThrow(expect.objectContaining({ field }))
  })

  it.each([
    [['8080:80', '8080:81']],
    [['8080:80', '8080:80']],
    [['8080:80', '0.0.0.0:8080:81']],
    [['127.0.0.1:8080:80', '0.0.0.0:8080:81']],
    [['[::]:8080:80', '[::1]:8080:81']],
    [['8000-8002:80-82', '8001:90']],
  ])('refuses the same host port twice: %j', input => {
    expect(() => publishInputs(input)).toThrow('Expected each host port once for publish[1].hostPort but received')
  })

  it.each([
    [['8080:80', '8080:80/udp']],
    [['127.0.0.1:8080:80', '127.0.0.2:8080:80']],
    [['0.0.0.0:8080:80', '[::]:8080:80']],
    [['80', '80']],
    [['8000-8010:80', '8000-8010:81']],
  ])('allows %j', input => {
    expect(publishInputs(input)).toHaveLength(2)
  })
})

describe('unpublish', () => {
  it.each([
    ['8080', [{ hostPort: 8080, protocol: tcp }]],
    ['8080/udp', [{ hostPort: 8080, protocol: 'udp' }]],
    ['8080:80', [{ hostPort: 8080, containerPort: 80, protocol: tcp }]],
    ['127.0.0.1:8080', [{ hostIp: '127.0.0.1', hostPort: 8080, protocol: tcp }]],
    ['[::1]:8080:80/udp', [{ hostIp: '::1', hostPort: 8080, containerPort: 80, protocol: 'udp' }]],
    [
      '8000-8001',
      [
        { hostPort: 8000, protocol: tcp },
        { hostPort: 8001, protocol: tcp },
      ],
    ],
    [
      '8000-8001:80-81',
      [
        { hostPort: 8000, containerPort: 80, protocol: tcp },
        { hostPort: 8001, containerPort: 81, protocol: tcp },
      ],
    ],
    [
      '8000-8001:80',
      [
        { hostPort: 8000, containerPort: 80, protocol: tcp },
        { hostPort: 8001, containerPort: 80, protocol: tcp },
      ],
    ],
  ])('%s', (text, selectors) => {
    expect(parsePortRef(text)).toEqual(selectors)
  })

  it.each(['', ':80', '127.0.0.1::80', '/tcp', '1:2:3', '0', '65536', '8000-8001:1-3', 'x'])('refuses %o, naming the field', text => {
    expect(() => portRefs([text])).toThrow(
      expect.objectContaining({ code: 'ERR_NETMODE_INVALID_ARGUMENT', field: expect.stringMatching(/^ports\[0\]\.(host|container)Port$/) }),
    )
  })

  it('takes what publish answered', () => {
    const published = { hostIp: '0.0.0.0', hostPort: 8080, containerPort: 80, protocol: tcp }
    expect(portRefs(published)).toEqual([published])
    expect(portRefs([published, '8080', '8080'])).toEqual([published, { hostPort: 8080, protocol: 'tcp' }])
    expect(() => portRefs({ containerPort: 80, protocol: 'tcp', hostIp: '0.0.0.0' })).toThrow(
      expect.objectContaining({ field: 'ports.hostPort' }),
    )
  })

  it('finds published ports by what it names', () => {
    const published = { hostIp: '127.0.0.1', hostPort: 8080, containerPort: 80, protocol: tcp }
    const found = (text: string) => parsePortRef(text).some(one => selects(one, published))
    expect(['8080', '8080:80', '127.0.0.1:8080', '8079-8081:80'].filter(found)).toHaveLength(4)
    expect(['8081', '8080:81', '127.0.0.2:8080', '8080/udp'].filter(found)).toHaveLength(0)
  })
})

describe('--expose', () => {
  it('takes ports and ranges, each once', () => {
    expect(parseExpose('80')).toEqual([{ containerPort: 80, protocol: 'tcp' }])
    expect(exposeInputs(['80/udp', '80-81/tcp', '81'])).toEqual([
      { containerPort: 80, protocol: 'udp' },
      { containerPort: 80, protocol: 'tcp' },
      { containerPort: 81, protocol: 'tcp' },
    ])
  })

  it.each(['', '80:80', '0/tcp', '80/http', '9-8', '65535-65536'])('refuses %o', text => {
    expect(() => exposeInputs([text])).toThrow(expect.objectContaining({ field: expect.stringMatching(/^expose\[0\]/) }))
  })
})

describe('docker port', () => {
  it.each([
    [{ hostIp: '0.0.0.0', hostPort: 8080, containerPort: 80, protocol: tcp }, '80/tcp -> 0.0.0.0:8080'],
    [{ hostIp: '::', hostPort: 53, containerPort: 5353, protocol: 'udp' as const }, '5353/udp -> [::]:53'],
  ])('%o', (published, text) => {
    expect(formatPublished(published)).toBe(text)
  })
})

describe('any input', () => {
  const port = fc.integer({ min: 1, max: 65_535 })
  const address = fc.option(
    fc.oneof(
      fc.constantFrom('0.0.0.0', '::', '::1', 'fd00::1'),
      fc.nat(255).map(n => `10.1.2.${n}`),
    ),
    { nil: undefined },
  )
  const protocol = fc.constantFrom('tcp', 'udp', 'sctp')

  it('a request comes back from its text', () => {
    fc.assert(
      fc.property(address, fc.option(port, { nil: undefined }), port, protocol, (hostIp, hostPort, containerPort, proto) => {
        const request = { ...(hostIp && { hostIp }), ...(hostPort && { hostPort }), containerPort, protocol: proto }
        expect(parsePublish(formatPortRequest(request))).toEqual([request])
      }),
    )
  })

  it('a selector comes back from its text', () => {
    fc.assert(
      fc.property(address, port, fc.option(port, { nil: undefined }), protocol, (hostIp, hostPort, containerPort, proto) => {
        const selector = { ...(hostIp && { hostIp }), hostPort, ...(containerPort && { containerPort }), protocol: proto }
        expect(parsePortRef(formatPortSelector(selector))).toEqual([selector])
      }),
    )
  })

  it('gives requests in range or a typed error', () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(/^[0-9a-f:.\-[\]]{0,30}(\/(tcp|udp))?$/))
    fc.assert(
      fc.property(fc.oneof(text, fc.anything({ withBigInt: true, withNullPrototype: true })), input => {
        for (const parse of [publishInputs, portRefs, exposeInputs]) {
          try {
            for (const one of parse(input)) {
              const numbers = Object.values(one).filter(value => typeof value === 'number')
              expect(numbers.every(value => Number.isInteger(value) && value >= 1 && value <= 65_535)).toBe(true)
            }
          } catch (error) {
            if (!isNetmodeError(error)) throw error
          }
        }
      }),
      { numRuns: 500 },
    )
  })
})
