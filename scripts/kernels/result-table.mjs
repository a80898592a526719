// Words for what became of test files on several kernels.

/**
 * @typedef {import('../../test/setup/line-reporter.js').FileReport} FileReport
 * @typedef {{ release: string, files: readonly FileReport[], end?: { status: number, taint: number } | null }} KernelResult
 *   `end`: null where no machine was needed, absent where one died
 */

/**
 * The table, what failed and why, and what was skipped and why.
 * @param {readonly string[]} files all that were to run
 * @param {readonly KernelResult[]} results
 * @returns {{ text: string, problems: number }} `problems`: failed tests, and files and machines that came to no end
 */
export function resultTable(files, results) {
  const rows = [
    ['test file', ...results.map(({ release }) => release)],
    ...files.map(file => [file, ...results.map(result => inWords(reportFor(result, file)))]),
    ['kernel taint', ...results.map(({ end }) => (end ? String(end.taint) : end === null ? '' : 'the machine died'))],
  ]
  const problems = results.map(result => problemsOf(result, files))
  const notes = results.flatMap((result, index) => [...skippedOn(result), ...problems[index]])
  return { text: [...aligned(rows), ...notes, ''].join('\n'), problems: problems.flat().length }
}

const reportFor = ({ files }, name) => files.find(({ file }) => file === name)

function inWords(report) {
  if (report === undefined) return 'no report'
  const { passed, failures, skipped } = report
  const parts = [
    [passed, 'passed'],
    [failures.length, 'failed'],
    [skipped, 'skipped'],
  ]
  return parts.flatMap(([count, word]) => (count > 0 ? [`${count} ${word}`] : [])).join(', ') || 'empty'
}

function problemsOf({ release, files, end }, names) {
  const failed = files.flatMap(({ file, failures }) => failures.map(({ test, message }) => `${file}: ${test}: ${firstLine(message)}`))
  const unheard = names.filter(name => !files.some(({ file }) => file === name)).map(name => `${name}: no report`)
  const machine = end === undefined ? ['the machine died; its last words are in the log'] : end?.taint ? [`tainted: ${end.taint}`] : []
  return [...failed, ...unheard, ...machine].map(text => `${release}: FAILED ${text}`)
}

function skippedOn({ release, files }) {
  const skipped = files.filter(file => file.skipped > 0)
  return skipped.map(({ file, skipped, lacking }) => `${release}: ${skipped} skipped in ${file}: ${reasons(lacking)}`)
}

const reasons = lacking => (lacking.length > 0 ? `needs ${lacking.join(', ')}` : 'the test says why')

const firstLine = text => String(text).split('\n')[0]

function aligned(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => row[column].length)))
  return rows.map(row =>
    row
      .map((cell, column) => cell.padEnd(widths[column]))
      .join('  ')
      .trimEnd(),
  )
}
