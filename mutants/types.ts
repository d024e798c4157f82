/** A mistake made on purpose, and what must notice it. */

/** In one source file; `find` must occur exactly once. */
export interface Edit {
  /** Under `src`. */
  readonly file: string;
  readonly find: string;
  readonly put: string;
}

export interface Mutation {
  readonly id: string;
  /** What is done wrong, as one phrase. */
  readonly mistake: string;
  readonly edits: readonly Edit[];
  /** Test files under `test`, without `.test.ts`, that may notice it. */
  readonly tests: readonly string[];
  /** The simulator runs this code: false for what lies outside the consensus core. */
  readonly isSimulated: boolean;
}
