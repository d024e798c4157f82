/** What the targets share: values at random, and what counts as a proper refusal. */
import { type ErrorCode, isIdunnoError, type Rng } from '../../src/base/index.js';
import { encode, type Wire } from '../../src/net/index.js';
import type { Verdict } from '../types.js';

const TEXTS = [
  '',
  'n1',
  'a/b',
  'c'.repeat(64),
  'x'.repeat(300),
  '\0',
  '__proto__',
  'é🙂',
  'digits',
];
const NUMBERS = [
  0,
  1,
  2,
  -1,
  -129,
  0.5,
  2 ** 31,
  2 ** 32,
  2 ** 53 - 1,
  -(2 ** 53) + 1,
  2 ** 40 + 0.25,
  127,
];
const DEPTH_MAX = 3;

/** What the code under test threw: refused with one of these codes, or a failure. */
export function refusedWith(error: unknown, ...codes: readonly ErrorCode[]): Verdict {
  if (isIdunnoError(error) && codes.includes(error.code)) return 'refused';
  throw error;
}

/** A value is what it is written as. */
export function requireSame(a: unknown, b: unknown, what: string): void {
  const same = Buffer.compare(encode(a as Wire), encode(b as Wire)) === 0;
  if (!same) throw new Error(`${what}: ${JSON.stringify(a)} became ${JSON.stringify(b)}`);
}

export function pick<T>(rng: Rng, choices: readonly T[]): T {
  const chosen = choices[rng.int(choices.length)];
  if (chosen === undefined) throw new Error('nothing to choose from');
  return chosen;
}

export function bytesOf(rng: Rng, lengthMax: number): Uint8Array {
  return Uint8Array.from({ length: rng.int(lengthMax + 1) }, () => rng.int(256));
}

export function randomWire(rng: Rng, depth = 0): Wire {
  switch (rng.int(depth >= DEPTH_MAX ? 5 : 8)) {
    case 0:
      return null;
    case 1:
      return rng.int(2) === 0;
    case 2:
      return pick(rng, NUMBERS);
    case 3:
      return pick(rng, TEXTS);
    case 4:
      return bytesOf(rng, 20);
    case 5: {
      const names = Array.from({ length: rng.int(4) }, () => `k${rng.int(9)}`);
      return Object.fromEntries(names.map((name) => [name, randomWire(rng, depth + 1)]));
    }
    default:
      return Array.from({ length: rng.int(5) }, () => randomWire(rng, depth + 1));
  }
}

/** Cut into pieces at places that the bytes themselves decide: the same input, the same pieces. */
export function* piecesOf(bytes: Uint8Array): Generator<Uint8Array> {
  let step = bytes.length % 7;
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + ((step * 31 + (bytes[at] ?? 0)) % 23);
    yield bytes.slice(at, at + length);
    at += length;
    step += 1;
  }
}

export async function* bodyOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield* piecesOf(bytes);
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

export function dictionaryOf(...words: readonly string[]): readonly Uint8Array[] {
  return words.map((word) => new TextEncoder().encode(word));
}
