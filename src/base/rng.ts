/**
 * Chance that can be repeated: sfc32 (Chris Doty-Humphrey, PractRand), 128 bits of state, seeded
 * through a hash so that near seeds give unrelated streams. Not for secrets.
 *
 * `fork(name)` depends on the seed and the name only, never on how much was drawn before: adding a
 * draw in one part of a simulation does not change what the others see. Two forks of one name are
 * the same stream, so give each part its own name.
 */
import { randomBytes } from 'node:crypto';
import { assert } from './assert.js';
import type { Rng } from './runtime.js';

type Seed = readonly [number, number, number, number];

class Sfc32 implements Rng {
  readonly #seed: Seed;
  #a: number;
  #b: number;
  #c: number;
  #counter: number;

  constructor(seed: Seed) {
    this.#seed = seed;
    [this.#a, this.#b, this.#c, this.#counter] = seed;
    // The first outputs still show the seed's structure.
    for (let i = 0; i < 12; i++) this.nextU32();
  }

  nextU32(): number {
    const t = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + t) | 0;
    return t >>> 0;
  }

  int(bound: number): number {
    assert(Number.isSafeInteger(bound) && bound > 0, `cannot draw an integer below ${bound}`);
    if (bound > 2 ** 32) return Math.floor(this.float() * bound);
    // Values above the largest multiple of the bound would favour small results: draw again.
    const limit = 2 ** 32 - (2 ** 32 % bound);
    let value = this.nextU32();
    while (value >= limit) value = this.nextU32();
    return value % bound;
  }

  float(): number {
    // 53 bits, as in xoshiro's reference code: 27 high bits and 26 low bits.
    const high = this.nextU32() >>> 5;
    const low = this.nextU32() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  fork(name: string): Rng {
    return new Sfc32(hashSeed(`${this.#seed.join(',')}/${name}`));
  }
}

/** Four words from a text: cyrb128 by bryc (public domain). */
function hashSeed(text: string): Seed {
  let h1 = 1779033703;
  let h2 = 3144134277;
  let h3 = 1013904242;
  let h4 = 2773480762;
  for (let i = 0; i < text.length; i++) {
    const k = text.charCodeAt(i);
    h1 = h2 ^ Math.imul(h1 ^ k, 597399067);
    h2 = h3 ^ Math.imul(h2 ^ k, 2869860233);
    h3 = h4 ^ Math.imul(h3 ^ k, 951274213);
    h4 = h1 ^ Math.imul(h4 ^ k, 2716044179);
  }
  h1 = Math.imul(h3 ^ (h1 >>> 18), 597399067);
  h2 = Math.imul(h4 ^ (h2 >>> 22), 2869860233);
  h3 = Math.imul(h1 ^ (h3 >>> 17), 951274213);
  h4 = Math.imul(h2 ^ (h4 >>> 19), 2716044179);
  const all = h1 ^ h2 ^ h3 ^ h4;
  return [all >>> 0, (h2 ^ all) >>> 0, (h3 ^ all) >>> 0, (h4 ^ all) >>> 0];
}

/** The same seed gives the same stream on every machine. */
export function createSeededRng(seed: number | string): Rng {
  return new Sfc32(hashSeed(String(seed)));
}

/** Seeded by the machine: for real nodes. */
export function createSystemRng(): Rng {
  return new Sfc32(hashSeed(randomBytes(16).toString('hex')));
}
