/**
 * A sum over all rows of the state that follows each write at once: replicas compare it at equal
 * applied index without reading anything, and a boot compares it with the rows that the database
 * gives back. LevelDB loses a damaged stretch without a word, and may return a flipped byte as a
 * value; both change the sum.
 *
 * Each row is hashed to 32 bits (CRC32C over key and value); the sum holds the number of rows, the
 * sum of the hashes, and the sum of the hashes mixed once more, each modulo 2^32. The order of the
 * rows does not matter, so a row that changes is taken out and put in. One damaged row of the same
 * length always shows; other damage goes unseen with a probability of about 2^-64. It is no defence
 * against someone who means harm.
 * Source: Bellare and Micciancio, "A New Paradigm for Collision-Free Hashing" (1997), AdHash.
 */
import { crc32c } from '../base/index.js';

export interface RowSum {
  readonly rows: number;
  readonly a: number;
  readonly b: number;
}

const EMPTY: RowSum = { rows: 0, a: 0, b: 0 };

export class RunningSum {
  #rows: number;
  #a: number;
  #b: number;

  constructor({ rows, a, b }: RowSum = EMPTY) {
    this.#rows = rows;
    this.#a = a;
    this.#b = b;
  }

  get value(): RowSum {
    return { rows: this.#rows, a: this.#a, b: this.#b };
  }

  add(key: Uint8Array, value: Uint8Array): void {
    const hash = hashOf(key, value);
    this.#rows += 1;
    this.#a = (this.#a + hash) >>> 0;
    this.#b = (this.#b + mix(hash)) >>> 0;
  }

  remove(key: Uint8Array, value: Uint8Array): void {
    const hash = hashOf(key, value);
    this.#rows -= 1;
    this.#a = (this.#a - hash) >>> 0;
    this.#b = (this.#b - mix(hash)) >>> 0;
  }
}

export function isSameSum(one: RowSum, other: RowSum): boolean {
  return one.rows === other.rows && one.a === other.a && one.b === other.b;
}

/** `12-9f3a00c1-0b7e4d52`: rows and the two sums. */
export function describeSum({ rows, a, b }: RowSum): string {
  return `${rows}-${hex(a)}-${hex(b)}`;
}

/** The length of the key tells (k, v) from another split of the same bytes. */
function hashOf(key: Uint8Array, value: Uint8Array): number {
  return crc32c(value, (crc32c(key) ^ key.length) >>> 0);
}

/** The finalizer of MurmurHash3: every bit of the hash moves every bit of the result. */
function mix(hash: number): number {
  let h = hash;
  h = Math.imul(h ^ (h >>> 16), 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}
