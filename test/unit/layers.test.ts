/** The house is as ARCHITECTURE.md says: its tables of layers are read from there and held against every import and include. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const page = read('ARCHITECTURE.md')

/** Files below a folder, relative to it. */
function filesBelow(folder: string, ending: RegExp): readonly string[] {
  return (readdirSync(join(root, folder), { recursive: true }) as string[]).filter(name => ending.test(name)).sort()
}

/** The rows of the table under a heading, each a list of cells; the head left out. */
function rowsUnder(heading: string): readonly (readonly string[])[] {
  const section = page.split(/^## /m).find(text => text.startsWith(`${heading}\n`)) ?? ''
  const rows = section.split('\n').filter(line => line.startsWith('|'))
  return rows.slice(2).map(line =>
    line
      .split('|')
      .slice(1, -1)
      .map(cell => cell.trim()),
  )
}

const names = (cell = ''): readonly string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name)

// ---------------------------------------------------------------------------------------------------- lib/

interface Import {
  /** A file of lib/, or the name of a package. */
  readonly of: string
  readonly isType: boolean
}

const files = filesBelow('lib', /\.ts$/)

/** What a file imports, `export … from` and `import()` included. */
function importsOf(file: string): readonly Import[] {
  const found: Import[] = []
  const add = (specifier: ts.Expression | undefined, isType: boolean): void => {
    if (!specifier || !ts.isStringLiteral(specifier)) return
    const { text } = specifier
    found.push({ of: text.startsWith('.') ? normalize(join(dirname(file), text)).replace(/\.js$/, '.ts') : text, isType })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, node.importClause?.isTypeOnly ?? false)
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly)
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) add(node.arguments[0], false)
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(file, read(join('lib', file)), ts.ScriptTarget.Latest))
  return found
}

const imports = new Map(files.map(file => [file, importsOf(file)]))
const importers = (wanted: (one: Import) => boolean): readonly string[] => files.filter(file => imports.get(file)?.some(wanted))

const layers = rowsUnder('Layers of lib/').map(([number, cell]) => ({ number: Number(number), patterns: names(cell) }))

/** The row of a file: that of its own name, else that of the folder it is in. */
function layerOf(file: string): number | undefined {
  const holds = (pattern: string): boolean => (pattern.endsWith('/') ? file.startsWith(pattern) : file === pattern)
  const matches = layers.flatMap(({ number, patterns }) => patterns.filter(holds).map(pattern => ({ number, pattern })))
  return matches.sort((a, b) => b.pattern.length - a.pattern.length)[0]?.number
}

describe('lib/', () => {
  test('every file has its row, and every row its files', () => {
    expect(layers.length).toBeGreaterThan(10)
    expect(files.filter(file => layerOf(file) === undefined)).toEqual([])
    const patterns = layers.flatMap(layer => layer.patterns)
    expect(patterns.filter(pattern => !files.some(file => file === pattern || file.startsWith(pattern)))).toEqual([])
  })

  test('a file imports from its own row or one above', () => {
    const wrong = files.flatMap(file =>
      (imports.get(file) ?? [])
        .filter(one => files.includes(one.of) && Number(layerOf(one.of)) > Number(layerOf(file)))
        .map(one => `${file} (${layerOf(file)}) imports ${one.of} (${layerOf(one.of)})`),
    )
    expect(wrong).toEqual([])
  })

  test('no two files need each other at run time', () => {
    const circles: string[] = []
    const done = new Set<string>()
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' > '))
      if (done.has(file)) return
      done.add(file)
      for (const { of, isType } of imports.get(file) ?? []) if (!isType && imports.has(of)) visit(of, [...path, file])
    }
    for (const file of files) visit(file, [])
    expect(circles).toEqual([])
  })

  test('packages stay where they belong', () => {
    expect(importers(one => one.of === 'bindings')).toEqual(['native.ts'])
    expect(importers(one => one.of.startsWith('zod'))).toEqual(['config-schema.ts'])
    expect(importers(one => one.of === 'dns-packet')).toEqual(['dns/message.ts'])
    expect(importers(one => one.of === 'commander').filter(file => !file.startsWith('cli/'))).toEqual([])
  })

  test('only plan/mechanism.ts calls the addon', () => {
    const callers = files.filter(file => /\bnative\(\)/.test(read(join('lib', file))) && file !== 'native.ts')
    expect(callers).toEqual(['plan/mechanism.ts'])
  })

  test('only spawn and the command may start programs', () => {
    const starters = importers(one => /^(node:)?child_process$/.test(one.of) && !one.isType)
    expect(starters.filter(file => !file.startsWith('cli/'))).toEqual(['sandbox/spawn.ts'])
  })

  test('what calls itself pure does no I/O', () => {
    const pure = files.filter(file => /^\/\*\*[^/]*\bPure\b[^/]*\*\//.test(read(join('lib', file))))
    expect(pure).toEqual(expect.arrayContaining(['firewall/elements.ts', 'network/cidr.ts', 'sandbox/plans.ts']))
    const doesIo = ({ of, isType }: Import): boolean =>
      !isType && /^node:(?!crypto$|net$|util$)|^native\.ts$|^plan\/mechanism\.ts$|^state\/store\.ts$/.test(of)
    expect(pure.filter(file => imports.get(file)?.some(doesIo))).toEqual([])
  })
})

// ---------------------------------------------------------------------------------------------------- native/

describe('native/', () => {
  const sources = filesBelow('native', /\.(cc|h)$/)
  const includes = (file: string): readonly string[] =>
    [...read(join('native', file)).matchAll(/^\s*#\s*include\s+["<]([^">]+)[">]/gm)].map(([, path = '']) => path)
  const allowed = new Map(rowsUnder('Layers of native/').map(([folder, may]) => [names(folder)[0] ?? '', names(may)]))
  // The native tests look at everything, the fuzzers too.
  const judged = sources.filter(file => !/^(test|fuzz)\//.test(file))
  const folderOf = (path: string): string => path.split('/')[0] ?? ''

  test('every folder has its row, and every row its folder', () => {
    expect([...allowed.keys()].sort()).toEqual([...new Set(judged.map(folderOf))].sort())
  })

  test('a file includes what its folder may', () => {
    const wrong = judged.flatMap(file =>
      includes(file)
        .filter(
          path =>
            allowed.has(folderOf(path)) && folderOf(path) !== folderOf(file) && !allowed.get(folderOf(file))?.includes(folderOf(path)),
        )
        .map(path => `${file} includes ${path}`),
    )
    expect(wrong).toEqual([])
  })

  test.each([
    ['binding', 'N-API', /^(napi|node_api|js_native_api|node)\b.*\.h$|^(uv|v8)\.h$/],
    ['nft', 'libnftnl', /^libnftnl\//],
  ])('only %s knows %s', (folder, _, header) => {
    const users = judged.filter(file => includes(file).some(path => header.test(path)))
    expect([...new Set(users.map(folderOf))]).toEqual([folder])
  })
})

// ---------------------------------------------------------------------------------------------------- what is public

test('every public name has a docstring', () => {
  const index = join(root, 'lib/index.ts')
  const options: ts.CompilerOptions = { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, noLib: true }
  const program = ts.createProgram([index], { ...options, types: [], skipLibCheck: true })
  const checker = program.getTypeChecker()
  const source = program.getSourceFile(index)
  const module = source && checker.getSymbolAtLocation(source)
  const exported = module ? checker.getExportsOfModule(module) : []
  expect(exported.map(({ name }) => name)).toEqual(expect.arrayContaining(['openHost', 'Host', 'isNetmodeError']))
  const bare = exported.filter(symbol => {
    const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
    return target.getDocumentationComment(checker).length === 0
  })
  expect(bare.map(({ name }) => name)).toEqual([])
})
