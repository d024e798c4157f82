/**
 * Narrowing command and query arguments: they come from clients, so what does not fit is refused
 * with BAD_ARGUMENT and a sentence that names the argument.
 */
import { IdunnoError } from '../base/index.js';
import type { Wire } from '../net/index.js';

export type WireObject = { readonly [key: string]: Wire };

export function badArgument(what: string): IdunnoError {
  return new IdunnoError('BAD_ARGUMENT', what);
}

export function parseObject(value: Wire | undefined, what: string): WireObject {
  const isPlain =
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Uint8Array);
  if (!isPlain) throw badArgument(`${what} is not an object`);
  return value as WireObject;
}

/** An integer in [0, max]. */
export function parseCount(
  value: Wire | undefined,
  what: string,
  max = Number.MAX_SAFE_INTEGER,
): number {
  const fits = typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
  if (!fits || value > max) throw badArgument(`${what} is not an integer in 0..${max}`);
  return value;
}

/** A string of at most `bytesMax` bytes of UTF-8, at least one. */
export function parseText(value: Wire | undefined, what: string, bytesMax: number): string {
  if (typeof value !== 'string' || value.length === 0) throw badArgument(`${what} is not a text`);
  const bytes = Buffer.byteLength(value);
  if (bytes > bytesMax) throw badArgument(`${what} has ${bytes} bytes; at most ${bytesMax}`);
  return value;
}

export function parseOneOf<T extends string>(
  value: Wire | undefined,
  what: string,
  choices: readonly T[],
): T {
  const found = choices.find((choice) => choice === value);
  if (found === undefined) throw badArgument(`${what} is none of ${choices.join(', ')}`);
  return found;
}
