/**
 * Seeded random numbers for the drawings, and the few shapes of choice that they need.
 *
 * mulberry32 (Tommy Ettinger, public domain): 32 bits of state, good enough for pictures and the
 * same on every machine. Not for anything that must not be guessed.
 */

/** A source of numbers in [0, 1). */
export interface Rng {
  next(): number;
}

/** A generator whose whole sequence follows from `seed` (its low 32 bits). */
export function createRng(seed: number): Rng {
  let state = seed >>> 0;
  return {
    next() {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    },
  };
}

/** The generator of picture `index` of a set: picture 7 is the same in a set of 10 or 10,000. */
export function createItemRng(seed: number, index: number): Rng {
  const mixed = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(index + 1, 0xc2b2ae35);
  return createRng(mixed ^ (mixed >>> 13));
}

/** Evenly from [low, high). */
export function between(rng: Rng, low: number, high: number): number {
  return low + (high - low) * rng.next();
}

/** A whole number from low to high, both included. */
export function wholeBetween(rng: Rng, low: number, high: number): number {
  return low + Math.floor(rng.next() * (high - low + 1));
}

/** True with probability `chance`. */
export function happens(rng: Rng, chance: number): boolean {
  return rng.next() < chance;
}

/** One of the items, each as likely; throws on an empty list. */
export function pick<T>(rng: Rng, items: readonly T[]): T {
  const index = Math.floor(rng.next() * items.length);
  if (index >= items.length) throw new RangeError('nothing to pick from');
  return items[index] as T;
}
