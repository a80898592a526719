// Reads a test report, vitest's JSON or ctest's JUnit XML, for .ci/run:
//
//   node scripts/test-report.mjs FILE             prints `PASSED FAILED`
//   node scripts/test-report.mjs FILE --failures  prints what failed and why
import { readFileSync } from 'node:fs'
import { relative } from 'node:path'

const [file = '', what] = process.argv.slice(2)
const text = readFileSync(file, 'utf8')
/** What is shown of a message: the cause stands first, and a log that is cut has room for all. */
const kMessageLines = 14

/** vitest counts tests only: a file that failed to load holds none, and is counted as one failure. */
function fromJson({ numPassedTests, testResults }) {
  const failures = testResults.flatMap(({ name, status, message, assertionResults }) => {
    const where = relative(process.cwd(), name)
    const failed = assertionResults.filter(test => test.status === 'failed')
    if (status === 'failed' && failed.length === 0) return [{ test: where, message }]
    return failed.map(test => ({ test: `${where} > ${test.fullName}`, message: test.failureMessages.join('\n') }))
  })
  return { passed: numPassedTests, failures }
}

function fromJunit(xml) {
  const cases = xml.match(/<testcase [^>]*status="\w+"[\s\S]*?<\/testcase>/g) ?? []
  const ended = status => cases.filter(entry => entry.includes(`status="${status}"`))
  const failures = ended('fail').map(entry => ({
    test: /name="([^"]*)"/.exec(entry)[1],
    message: /<system-out>([\s\S]*?)<\/system-out>/.exec(entry)?.[1] ?? '',
  }))
  return { passed: ended('run').length, failures }
}

const { passed, failures } = file.endsWith('.xml') ? fromJunit(text) : fromJson(JSON.parse(text))
if (what === '--failures') {
  for (const { test, message } of failures) {
    const lines = message.trim().split('\n').slice(0, kMessageLines)
    console.log([`FAILED ${test}`, ...lines.map(line => `    ${line}`)].join('\n'))
  }
} else {
  console.log(`${passed} ${failures.length}`)
}
