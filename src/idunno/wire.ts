/**
 * Narrowing of what comes over the wire or out of the log, for this module's commands, queries and
 * calls. What does not fit is refused with BAD_ARGUMENT and a sentence that names it.
 */
import type { Wire } from '../net/index.js';
import { badArgument, parseCount, parseText } from '../store/index.js';

/** An array with at least this many values. */
export function readTuple(
  value: Wire | undefined,
  what: string,
  length: number,
): readonly (Wire | undefined)[] {
  if (!Array.isArray(value) || value.length < length) {
    throw badArgument(`${what} is not a list of ${length} values`);
  }
  return value as readonly Wire[];
}

/** An array of at most `max` items, each read by `read`. */
export function readList<T>(
  value: Wire | undefined,
  what: string,
  max: number,
  read: (item: Wire | undefined) => T,
): T[] {
  if (!Array.isArray(value)) throw badArgument(`${what} is not a list`);
  if (value.length > max) throw badArgument(`${what}: ${value.length} items, at most ${max}`);
  return (value as readonly Wire[]).map(read);
}

/** Bytes, at most `max` of them. */
export function readBytes(value: Wire | undefined, what: string, max: number): Uint8Array {
  if (!(value instanceof Uint8Array)) throw badArgument(`${what} is not bytes`);
  if (value.length > max) throw badArgument(`${what}: ${value.length} bytes, at most ${max}`);
  return value;
}

/** A text that may be empty; what is too long is cut. */
export function readReason(value: Wire | undefined, what: string, charsMax: number): string {
  if (typeof value !== 'string') throw badArgument(`${what} is not a text`);
  return value.length > charsMax ? `${value.slice(0, charsMax - 1)}…` : value;
}

const SHA256_HEX = /^[0-9a-f]{64}$/;

/** A SHA-256 in lower-case hexadecimal. */
export function readHash(value: Wire | undefined, what: string): string {
  if (typeof value !== 'string' || !SHA256_HEX.test(value)) {
    throw badArgument(`${what} is not 64 hexadecimal digits`);
  }
  return value;
}

const MODEL_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** The name of a model: as a node's, 1-64 letters, digits, `.`, `_` or `-`. */
export function readModelName(value: Wire | undefined): string {
  const name = parseText(value, 'the name of a model', 256);
  if (!MODEL_NAME.test(name)) {
    throw badArgument(`"${name}" cannot name a model: use 1 to 64 letters, digits, ".", "_", "-"`);
  }
  return name;
}

/** The number of a job. */
export function readJobId(value: Wire | undefined): number {
  return parseCount(value, 'the number of a job');
}
