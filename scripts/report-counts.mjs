// Prints `PASSED FAILED` for a test report: vitest's JSON or ctest's JUnit XML. Used by .ci/run.
import { readFileSync } from 'node:fs'

const file = process.argv[2] ?? ''
const text = readFileSync(file, 'utf8')

/** vitest counts tests only: a file that failed to load holds none, and is counted as one failure. */
function fromJson({ numPassedTests, numFailedTests, testResults }) {
  const broken = testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && !assertionResults.some(test => test.status === 'failed'),
  )
  return [numPassedTests, numFailedTests + broken.length]
}

function fromJunit(xml) {
  const cases = xml.match(/<testcase [^>]*status="\w+"/g) ?? []
  const passed = cases.filter(line => line.endsWith('status="run"')).length
  return [passed, cases.filter(line => line.endsWith('status="fail"')).length]
}

console.log((file.endsWith('.xml') ? fromJunit(text) : fromJson(JSON.parse(text))).join(' '))
