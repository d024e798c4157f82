/**
 * Runs a target's cases in this process: makes each input from (target, seed, number), judges what
 * came of it, and shrinks what failed. A hang or a crash ends this process: see watched.ts.
 */
import { createSeededRng } from '../src/base/index.js';
import { mutated, noise } from './mutate.js';
import { shrink } from './shrink.js';
import type { Failure, FuzzResult, FuzzTarget, Verdict } from './types.js';

/** More would say the same again. */
const FAILURES_MAX = 3;

export interface FuzzRun {
  readonly seed: string;
  readonly cases: number;
  /** The first case; default 0. */
  readonly from?: number;
  /** Inputs that once failed; tried first. */
  readonly corpus?: readonly Uint8Array[];
  /** Told before each case, so that it is known should it never end. */
  readonly onCase?: (at: number) => void;
}

interface Case {
  readonly input: Uint8Array;
  /** A sample as it was made: to refuse it is a failure. */
  readonly isValid: boolean;
}

/** One in eight is valid as it is, one in eight noise, the others damaged, half of them repaired. */
export function caseOf(target: FuzzTarget, seed: string, at: number): Case {
  const rng = createSeededRng(`${target.name}/${seed}/${at}`);
  const kind = rng.int(8);
  if (kind === 0) return { input: noise(rng), isValid: false };
  const sample = target.sample(rng);
  if (kind === 1) return { input: sample, isValid: target.isSampleLoose !== true };
  const damaged = mutated(sample, rng, target.sample(rng), target.dictionary);
  const input = rng.int(2) === 0 ? damaged : (target.repair?.(damaged) ?? damaged);
  return { input, isValid: false };
}

export async function runCases(target: FuzzTarget, run: FuzzRun): Promise<FuzzResult> {
  const counts = { accepted: 0, refused: 0 };
  const failures: Failure[] = [];
  const corpus = run.corpus ?? [];
  const judge = async (at: number | undefined, { input, isValid }: Case): Promise<void> => {
    const outcome = await outcomeOf(target, input, isValid);
    if (typeof outcome === 'string') {
      counts[outcome] += 1;
      return;
    }
    const { problem } = outcome;
    const fails = async (candidate: Uint8Array): Promise<boolean> => {
      const again = await outcomeOf(target, candidate, isValid);
      return typeof again !== 'string' && signatureOf(again.problem) === signatureOf(problem);
    };
    // What was to be accepted must stay valid: it cannot be cut.
    const shrunk = isValid ? input : await shrink(input, fails);
    failures.push({ at, input, shrunk, problem });
  };
  for (const input of corpus) await judge(undefined, { input, isValid: false });
  const from = run.from ?? 0;
  let at = from;
  for (; at < from + run.cases && failures.length < FAILURES_MAX; at += 1) {
    run.onCase?.(at);
    await judge(at, caseOf(target, run.seed, at));
  }
  return { target: target.name, cases: at - from, corpus: corpus.length, ...counts, failures };
}

async function outcomeOf(
  target: FuzzTarget,
  input: Uint8Array,
  isValid: boolean,
): Promise<Verdict | { readonly problem: string }> {
  try {
    // A copy: what keeps or changes its input must not change the case.
    const verdict = await target.check(Uint8Array.from(input));
    if (isValid && verdict === 'refused') return { problem: 'a valid sample was refused' };
    return verdict;
  } catch (error) {
    return { problem: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
  }
}

/** Failures of one kind say the same but for their numbers. */
function signatureOf(problem: string): string {
  return problem.replace(/\d+/g, '#').slice(0, 60);
}
