// How the demo tells what it did.
import { stripVTControlCharacters, styleText } from 'node:util'

const paint = (style, text) => (process.stdout.isTTY ? styleText(style, text) : text)
const good = paint('green', '✔')
const bad = paint('red', '✘')

/** Collects what is done and found, prints it as tables, and knows in the end whether all was as promised. */
export class Report {
  #steps = []
  #checks = []
  #broken = 0

  title(text) {
    console.log(`\n${paint('bold', text)}\n`)
  }

  text(text) {
    console.log(`\n${text}`)
  }

  /** Does something, and notes how long it took. */
  async time(what, work) {
    const start = performance.now()
    const result = await work()
    this.#steps.push([what, `${(performance.now() - start).toFixed(2)} ms`])
    return result
  }

  /** Prints what `time` noted since. */
  steps() {
    table(['', 'time'], this.#steps.splice(0), [false, true])
  }

  /** Notes an answer beside the one that was promised. */
  check(from, to, answer, promised, note = '') {
    const kept = answer === promised
    if (!kept) this.#broken++
    this.#checks.push([kept ? good : bad, from, to, kept ? answer : `${answer} (promised: ${promised})`, note])
  }

  /** Prints what `check` noted since. */
  checks() {
    table(['', 'from', 'to', 'answer', ''], this.#checks.splice(0))
  }

  /** How much there was of everything before, while the sandboxes lived, and after; and what differs in the end. */
  leftovers(before, during, after) {
    const differences = Object.keys(before).flatMap(kind => [
      ...before[kind].filter(line => !after[kind].includes(line)).map(line => `${kind}: gone: ${line}`),
      ...after[kind].filter(line => !before[kind].includes(line)).map(line => `${kind}: left behind: ${line}`),
    ])
    console.log()
    table(
      ['', 'before', 'with sandboxes', 'after', ''],
      Object.keys(before).map(kind => {
        const same = before[kind].join('\n') === after[kind].join('\n')
        if (!same) this.#broken++
        return [
          kind,
          ...[before, during, after].map(one => `${one[kind].length}`),
          same ? `${good} line by line the same` : `${bad} differs`,
        ]
      }),
      [false, true, true, true, false],
    )
    for (const line of differences) console.log(`  ${bad} ${line}`)
  }

  /** Settings that are left on, which is meant. */
  settings(before, after) {
    const changed = Object.keys(before).filter(key => before[key] !== after[key])
    for (const key of changed) console.log(`  ${key} was ${before[key]} and stays ${after[key]}, as with Docker`)
  }

  /** Prints the last line; the exit code. */
  verdict() {
    const text = this.#broken === 0 ? `${good} Everything as promised.` : `${bad} ${this.#broken} not as promised.`
    console.log(`\n${paint('bold', text)}\n`)
    return this.#broken === 0 ? 0 : 1
  }
}

/** Prints rows under their heading; columns are as wide as their widest cell. */
function table(heading, rows, right = []) {
  const widths = heading.map((title, i) => Math.max(...[title, ...rows.map(row => row[i])].map(lengthOf)))
  const line = cells =>
    `  ${cells
      .map((cell, i) => (right[i] ? pad(widths[i] - lengthOf(cell)) + cell : cell + pad(widths[i] - lengthOf(cell))))
      .join('   ')
      .trimEnd()}`
  console.log(paint('dim', line(heading)))
  for (const row of rows) console.log(line(row))
}

const pad = count => ' '.repeat(Math.max(0, count))
const lengthOf = text => stripVTControlCharacters(text).length

/** The topology, with its real names and addresses. */
export function drawing({ outside, network, sandboxes }) {
  const subnets = network.subnets.map(({ subnet, gateway }) => `${gateway}/${subnet.split('/')[1]}`).join('   ')
  const bridge = `      ${network.device}   network ${network.name}   ${subnets}`
  const cell = 30
  const width = Math.max(cell * sandboxes.length + 4, bridge.length + 4)
  const row = (text = '') => `│ ${text.padEnd(width - 2)} │`
  const box = (left, text, right, size) => `${left}${text}${'─'.repeat(Math.max(0, size - text.length))}${right}`
  const columns = (of, margin) => sandboxes.map(sandbox => (margin + of(sandbox)).padEnd(cell)).join('')
  const ports = sandboxes.flatMap(({ name, ports }) =>
    ports.map(({ hostIp, hostPort, containerPort, protocol }) => {
      const at = hostIp.includes(':') ? `[${hostIp}]:${hostPort}` : `${hostIp}:${hostPort}`
      return row(`      │   ${at}/${protocol}  ──▶  ${name}:${containerPort}`)
    }),
  )
  const inside = sandboxes.map(({ name, endpoints: [endpoint] }) => {
    const lines = [
      `${endpoint.ifname}  ${endpoint.mac}`,
      ...[endpoint.ipv4, endpoint.ipv6].filter(Boolean).map(ip => `      ${ip.address}/${ip.prefix}`),
    ]
    return [box('┌─────┴', `─ ${name} `, '┐', cell - 10), ...lines.map(line => `│ ${line.padEnd(cell - 6)} │`), box('└', '', '┘', cell - 4)]
  })
  return [
    `        outside   ${outside.own4}   ${outside.own6}`,
    '        │',
    box('┌───────┼', '─ host ', '┐', width - 8),
    row(`      ${outside.device}   ${outside.host4}   ${outside.host6}`),
    row('      │'),
    ...ports,
    row('      │'),
    row(bridge),
    row(
      `      ${sandboxes.map((_, i) => (i === sandboxes.length - 1 ? '' : (i === 0 ? '├' : '┬').padEnd(cell, '─'))).join('')}${sandboxes.length > 1 ? '┐' : '│'}`,
    ),
    row(columns(({ endpoints: [{ hostIfname }] }) => hostIfname, '      ')),
    `└${[...sandboxes.map((_, i) => (i === 0 ? '───────┼' : '┼').padEnd(i === 0 ? cell + 7 : cell, '─'))].join('').slice(0, width).padEnd(width, '─')}┘`,
    ...inside[0].map((_, line) => `  ${inside.map(lines => lines[line].padEnd(cell)).join('')}`.trimEnd()),
  ]
    .map(line => `  ${line}`)
    .join('\n')
}
