/**
 * Makes a failing seed smaller: cuts time, leaves out kinds of fault, then single strikes, then
 * operations, and keeps each step after which the same promise is still broken. What is left is
 * what the failure needs, more or less: a run with less in it may fail by another way, so this
 * looks for a small one, not for the smallest (Zeller and Hildebrandt, "Simplifying and Isolating
 * Failure-Inducing Input", 2002).
 */
import { FAULT_KINDS } from './plan.js';
import { type Reduction, type RunResult, WHOLE } from './run.js';

/** Runs of one shrink; a run takes a tenth of a second or less, so this is a minute or two. */
const RUNS_MAX = 1_500;
/**
 * Whatever is left out, messages after it meet another fate. So each smaller run is tried with a few
 * fates before it counts as one that does not fail.
 */
const SALTS = 6;

export interface Shrunken {
  readonly reduction: Reduction;
  readonly result: RunResult;
  readonly runs: number;
}

/** Undefined: the seed does not fail. `run` runs it with a reduction. */
export function shrink(
  run: (reduction: Reduction) => RunResult,
  onProgress: (text: string) => void = () => {},
  start: Reduction = WHOLE,
): Shrunken | undefined {
  const result = run(start);
  if (result.violation === undefined) return undefined;
  const search = new ShrinkSearch(run, start, result);
  const steps = [
    // Time first: short runs make all that follows cheap.
    ['time', () => search.cutTime()],
    ['kinds of fault', () => search.dropKinds()],
    ['strikes', () => search.dropStrikes()],
    ['operations', () => search.cutOperations()],
    ['time again', () => search.cutTime()],
  ] as const;
  for (const [what, step] of steps) {
    step();
    onProgress(`${what}: ${search.runs} runs, fails at ${Math.round(search.atMs)} ms`);
  }
  return { reduction: search.best, result: search.result, runs: search.runs };
}

class ShrinkSearch {
  best: Reduction;
  result: RunResult;
  runs = 1;
  readonly #run: (reduction: Reduction) => RunResult;
  readonly #invariant: string | undefined;

  constructor(run: (reduction: Reduction) => RunResult, start: Reduction, result: RunResult) {
    this.#run = run;
    this.best = start;
    this.result = result;
    this.#invariant = result.violation?.invariant;
  }

  get atMs(): number {
    return this.result.violation?.atMs ?? 0;
  }

  dropKinds(): void {
    for (const kind of FAULT_KINDS) {
      if (this.best.without.has(kind)) continue;
      this.#maybe({ ...this.best, without: new Set([...this.best.without, kind]) });
    }
  }

  /** Up to the failure where that is early enough; then half of it, as long as it still fails. */
  cutTime(): void {
    const end = Math.ceil(this.atMs) + 1;
    if (end < this.result.plan.safetyMs) this.#maybe({ ...this.best, safetyMs: end });
    let half = Math.floor(this.result.plan.safetyMs / 2);
    while (half >= 100 && this.#maybe({ ...this.best, safetyMs: half }))
      half = Math.floor(half / 2);
  }

  /** Halves, quarters, and so on of the strikes, down to single ones (delta debugging). */
  dropStrikes(): void {
    const left = (): number[] =>
      Array.from({ length: this.result.strikes }, (_, at) => at + 1).filter(
        (strike) => !this.best.skip.has(strike),
      );
    for (let size = Math.ceil(left().length / 2); size >= 1; size = Math.floor(size / 2)) {
      const strikes = left();
      for (let at = 0; at < strikes.length; at += size) {
        const skip = new Set([...this.best.skip, ...strikes.slice(at, at + size)]);
        this.#maybe({ ...this.best, skip });
      }
    }
  }

  /** The fewest operations by halving; each step is checked, for less may fail in another way. */
  cutOperations(): void {
    let enough = this.result.history.length;
    let tooFew = 0;
    while (enough - tooFew > 1) {
      const middle = Math.floor((enough + tooFew) / 2);
      if (this.#maybe({ ...this.best, operationsMax: middle })) enough = middle;
      else tooFew = middle;
    }
  }

  #maybe(reduction: Reduction): boolean {
    for (let more = 0; more < SALTS; more += 1) {
      if (this.#keeps({ ...reduction, salt: reduction.salt + more })) return true;
    }
    return false;
  }

  /** Keeps the reduction if the same promise is broken with it. */
  #keeps(reduction: Reduction): boolean {
    if (this.runs >= RUNS_MAX) return false;
    this.runs += 1;
    const result = this.#run(reduction);
    if (result.violation === undefined || result.violation.invariant !== this.#invariant) {
      return false;
    }
    this.best = reduction;
    this.result = result;
    return true;
  }
}
