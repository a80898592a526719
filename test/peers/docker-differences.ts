/** Two answers to one question, held against each other key by key; and the reasons for what differs. Pure. */

/** One place where two answers differ; `undefined`: the key isn't there. */
export interface Difference {
  readonly path: string
  readonly docker: string | undefined
  readonly netmode: string | undefined
}

/** Why the values at these places differ. */
export interface Reason {
  /** Of the whole path: `plain /etc/hosts`, `web NetworkSettings.SandboxKey`. */
  readonly path: RegExp
  /** Only if these are the values, where given. */
  readonly docker?: RegExp
  readonly netmode?: RegExp
  readonly because: string
  /** Some versions of Docker don't need it. */
  readonly optional?: boolean
}

/** Every leaf by its path; an empty object or array is a leaf, and so is an array of plain values. */
export function leaves(value: unknown, path = ''): ReadonlyMap<string, string> {
  const isTree = value !== null && typeof value === 'object' && Object.keys(value).length > 0
  if (!isTree || (Array.isArray(value) && value.every(one => typeof one !== 'object'))) return new Map([[path, normal(value)]])
  const below = Object.entries(value).flatMap(([key, one]) => [...leaves(one, path === '' ? key : `${path}.${key}`)])
  return new Map(below.map(([key, text]) => [key.replaceAll(/[0-9a-f]{64}/g, '<id>'), text]))
}

/** Ids and dates are new each time. */
function normal(value: unknown): string {
  return (typeof value === 'string' ? value : JSON.stringify(value))
    .replaceAll(/[0-9a-f]{64}/g, '<id>')
    .replaceAll(/\d{4}-\d\d-\d\d[T ][\d:.]+(Z| \+0000 UTC)/g, '<date>')
}

export function differencesOf(subject: string, docker: unknown, netmode: unknown): readonly Difference[] {
  const [theirs, ours] = [leaves(docker), leaves(netmode)]
  return [...new Set([...theirs.keys(), ...ours.keys()])]
    .filter(path => theirs.get(path) !== ours.get(path))
    .map(path => ({ path: `${subject} ${path}`, docker: theirs.get(path), netmode: ours.get(path) }))
}

/** Reasons, and which of them have been needed. */
export class Reasons {
  readonly #reasons: readonly Reason[]
  readonly #used = new Set<Reason>()

  constructor(reasons: readonly Reason[]) {
    this.#reasons = reasons
  }

  /** Those differences that no reason is given for. */
  unexplained(differences: readonly Difference[]): readonly Difference[] {
    return differences.filter(({ path, docker, netmode }) => {
      const fits = (pattern: RegExp | undefined, value: string | undefined) => pattern === undefined || pattern.test(value ?? '(absent)')
      const found = this.#reasons.find(one => one.path.test(path) && fits(one.docker, docker) && fits(one.netmode, netmode))
      if (found) this.#used.add(found)
      return found === undefined
    })
  }

  /** Reasons for what doesn't differ any more. */
  get unused(): readonly string[] {
    return this.#reasons.filter(one => !one.optional && !this.#used.has(one)).map(({ path, because }) => `${path}: ${because}`)
  }
}

/** Keys that both have, in the order in which the first has them, at every level: equal where a reader sees the same order. */
export function sharedOrder(one: unknown, other: unknown): unknown {
  if (!isObject(one) || !isObject(other)) return undefined
  return Object.keys(one)
    .filter(key => key in other)
    .map(key => [key.replaceAll(/[0-9a-f]{64}/g, '<id>'), sharedOrder(one[key], other[key])])
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}
