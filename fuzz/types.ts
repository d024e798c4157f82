/**
 * What is fuzzed. A target makes valid bytes and judges any bytes; between the two, mutate.ts does the
 * damage. Everything of a case follows from (target, seed, number), so a case is replayed byte for byte.
 */
import type { Rng } from '../src/base/index.js';

/** What the code under test made of an input. Anything else that it does is a failure. */
export type Verdict = 'accepted' | 'refused';

export interface FuzzTarget {
  readonly name: string;
  /** What reads these bytes. */
  readonly summary: string;
  /** When it is run by itself, and as one of all. */
  readonly cases: number;
  /** Within the project's tests: about half a second. */
  readonly casesInTests: number;
  /** Valid bytes; unless `isSampleLoose` they must be accepted as they are. */
  sample(rng: Rng): Uint8Array;
  readonly isSampleLoose?: true;
  /** What the format is made of: pieces that mutations put in. */
  readonly dictionary?: readonly Uint8Array[];
  /** Makes damaged bytes pass the outer checks (lengths, checksums), so that what is behind is met. */
  repair?(bytes: Uint8Array): Uint8Array;
  /**
   * Feeds the code under test. `refused` only for the typed errors that are promised; throws
   * whatever else was thrown, and a sentence where a value does not mean what was read.
   */
  check(input: Uint8Array): Verdict | Promise<Verdict>;
}

export interface Failure {
  /** Of the case; undefined: a file of the corpus. */
  readonly at: number | undefined;
  readonly input: Uint8Array;
  /** The smallest input found that fails in the same way. */
  readonly shrunk: Uint8Array;
  readonly problem: string;
}

export interface FuzzResult {
  readonly target: string;
  readonly cases: number;
  readonly corpus: number;
  readonly accepted: number;
  readonly refused: number;
  readonly failures: readonly Failure[];
}
