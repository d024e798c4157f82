/**
 * A small reader with mistakes made on purpose, for the tests of the fuzzer: `u8 length | bytes | u8
 * sum`, as text of small letters.
 */
import { IdunnoError, type Rng } from '../../src/base/index.js';
import type { FuzzTarget, Verdict } from '../../fuzz/types.js';

export type Mistake = 'none' | 'length' | 'untyped' | 'meaning' | 'hang' | 'exit' | 'memory';

function refuse(why: string): IdunnoError {
  return new IdunnoError('PROTOCOL', why);
}

function sumOf(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte) => (sum + byte) & 0xff, 0);
}

function write(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  return Uint8Array.from([bytes.length, ...bytes, sumOf(bytes)]);
}

function read(input: Uint8Array, mistake: Mistake): string {
  const length = input[0] ?? 0;
  const isLengthRight = mistake === 'length' || input.length === length + 2;
  if (!isLengthRight) throw refuse('its length is wrong');
  const bytes = input.slice(1, -1);
  if (sumOf(bytes) !== input.at(-1)) throw refuse('its sum is wrong');
  const text = Buffer.from(bytes).toString('latin1');
  if (text.includes('q')) blunder(mistake);
  if (!/^[a-z]*$/.test(text)) throw refuse('no small letters');
  return mistake === 'meaning' ? text.replace('x', 'y') : text;
}

/** What a "q" leads to. */
function blunder(mistake: Mistake): void {
  if (mistake === 'untyped') throw new TypeError('undefined is not a function');
  if (mistake === 'exit') process.kill(process.pid, 'SIGKILL');
  while (mistake === 'hang');
  const hoard: number[][] = [];
  while (mistake === 'memory') hoard.push(Array(100_000).fill(0.5));
}

export function planted(mistake: Mistake): FuzzTarget {
  return {
    name: mistake,
    summary: `a reader with this mistake: ${mistake}`,
    cases: 1,
    casesInTests: 1,
    sample: (rng: Rng) => {
      const letters = Array.from({ length: rng.int(9) }, () => 'abcdqx'.charAt(rng.int(6)));
      return write(letters.join(''));
    },
    repair(bytes) {
      const inner = bytes.slice(1, -1);
      return Uint8Array.from([inner.length, ...inner, sumOf(inner)]);
    },
    check(input): Verdict {
      let text: string;
      try {
        text = read(input, mistake);
      } catch (error) {
        if (error instanceof IdunnoError) return 'refused';
        throw error;
      }
      if (Buffer.compare(write(text), input) !== 0) throw new Error('it means something else');
      return 'accepted';
    },
  };
}

export const TARGETS: readonly FuzzTarget[] = (['hang', 'exit', 'memory'] as const).map(planted);
