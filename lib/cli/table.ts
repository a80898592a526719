/** Tables as docker prints them: a heading in capitals, columns three spaces apart, nothing after the last. */

const gap = '   '

/** The rows under their heading, with a newline at the end; without rows the heading alone. */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [heading, ...rows]
  const widths = heading.map((_, column) => Math.max(...lines.map(line => line[column]?.length ?? 0)))
  return lines
    .map(
      line =>
        `${heading
          .map((_, column) => (line[column] ?? '').padEnd(widths[column] ?? 0))
          .join(gap)
          .trimEnd()}\n`,
    )
    .join('')
}

/** One value a line. */
export function list(values: readonly string[]): string {
  return values.map(value => `${value}\n`).join('')
}

/** An id as docker shows it: its first twelve digits. */
export function shortId(id: string): string {
  return id.slice(0, 12)
}
