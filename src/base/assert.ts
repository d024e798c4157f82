/**
 * Assertions state what can only be false through a bug. They stay on in production: a node that
 * stops is repaired by the cluster, a node that goes on with broken state is not.
 * Never assert what comes from outside: parse it or refuse it.
 */
export class AssertionError extends Error {
  constructor(message: string) {
    super(`bug: ${message}`);
    this.name = 'AssertionError';
  }
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** Ends a union: the compiler refuses a case that was forgotten. */
export function assertNever(value: never, what = 'value'): never {
  throw new AssertionError(`unexpected ${what}: ${JSON.stringify(value)}`);
}

/** Returns `value` without its null and undefined; a bug if it has none. */
export function must<T>(value: T | null | undefined, what: string): T {
  assert(value !== null && value !== undefined, `${what} is missing`);
  return value;
}
