/**
 * Shapes of data that is read back: type guards, put together. Records are read a thousand at a time when a host opens, so that a check costs
 * little more than the look at each value, and loads nothing. Pure.
 */

export type Shape<T> = (value: unknown) => value is T
/** What a shape lets through. */
export type Infer<S> = S extends (value: unknown) => value is infer T ? T : never

/** A key that may be absent. */
interface Optional<T> {
  readonly optional: Shape<T>
}
type Fields = Readonly<Record<string, Shape<unknown> | Optional<unknown>>>
type OptionalKey<F extends Fields> = { [K in keyof F]: F[K] extends Optional<unknown> ? K : never }[keyof F]
type Shaped<F extends Fields> = Flat<
  { [K in Exclude<keyof F, OptionalKey<F>>]: Infer<F[K]> } & {
    [K in OptionalKey<F>]?: F[K] extends Optional<infer T> ? T : never
  }
>
type Flat<T> = { [K in keyof T]: T[K] }

export const text: Shape<string> = value => typeof value === 'string'
export const flag: Shape<boolean> = value => typeof value === 'boolean'
export const number: Shape<number> = value => typeof value === 'number'
export const integer: Shape<number> = (value): value is number => Number.isSafeInteger(value)

export function matching(pattern: RegExp): Shape<string> {
  return (value): value is string => typeof value === 'string' && pattern.test(value)
}

export function oneOf<const T extends string | number>(...values: readonly T[]): Shape<T> {
  return (value): value is T => values.includes(value as T)
}

export function list<T>(shape: Shape<T>): Shape<T[]> {
  return (value): value is T[] => Array.isArray(value) && value.every(shape)
}

/** Any keys, with values of one shape. */
export function table<T>(shape: Shape<T>): Shape<Record<string, T>> {
  return (value): value is Record<string, T> => isObject(value) && Object.values(value).every(shape)
}

/** These keys; others are passed over. */
export function object<F extends Fields>(fields: F): Shape<Shaped<F>> {
  const keys = Object.entries(fields).map(([key, field]) => ({
    key,
    isOptional: 'optional' in field,
    shape: 'optional' in field ? field.optional : field,
  }))
  return (value): value is Shaped<F> => {
    if (!isObject(value)) return false
    for (const { key, isOptional, shape } of keys) {
      const one = value[key]
      if (!(one === undefined ? isOptional : shape(one))) return false
    }
    return true
  }
}

/** The key may be absent, or undefined. */
export function optional<T>(shape: Shape<T>): Optional<T | undefined> {
  return { optional: (value): value is T | undefined => value === undefined || shape(value) }
}

/** The key may be absent. */
export function absentOr<T>(shape: Shape<T>): Optional<T> {
  return { optional: shape }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
