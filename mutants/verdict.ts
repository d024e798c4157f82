/**
 * What the end of a run says about the code that ran. Only a broken promise or a failed test is a
 * catch. A process that was ended from outside, ran out of time, or fell over nonsense that no
 * mutation is about, has shown nothing.
 */

export interface Ended {
  /** Undefined: a signal ended it. */
  readonly status: number | undefined;
  readonly signal: string | undefined;
  readonly isTimeout: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

export type Verdict =
  /** Noticed: by which test or promise, and for a simulation at which seed. */
  | { readonly kind: 'caught'; readonly by: string; readonly seed?: number }
  | { readonly kind: 'missed'; readonly seeds?: number }
  /** Says nothing about the mutation. */
  | { readonly kind: 'broken'; readonly why: string };

/** Mistakes of the language, not of the protocol: a mutant that dies of these was badly made. */
const NONSENSE = /\b(SyntaxError|ReferenceError|ERR_MODULE_NOT_FOUND|is not a function)\b/;

/** Of a test file that was run by itself and printed TAP. */
export function judgeTest(file: string, ended: Ended): Verdict {
  const unfinished = whyUnfinished(ended);
  if (unfinished !== undefined) return { kind: 'broken', why: `${file}: ${unfinished}` };
  const failed = [...ended.stdout.matchAll(/^not ok \d+ - (.*?)(?: # time=.*)?$/gm)];
  const isPlanned = /^1\.\.\d+$/m.test(ended.stdout);
  if (ended.status === 0 && failed.length === 0 && isPlanned) return { kind: 'missed' };
  const nonsense = NONSENSE.exec(ended.stdout + ended.stderr);
  if (nonsense !== null) return { kind: 'broken', why: `${file}: ${nonsense[0]}` };
  const [first] = failed;
  if (first?.[1] === undefined) {
    return { kind: 'broken', why: `${file}: status ${ended.status} without a failed test` };
  }
  return { kind: 'caught', by: `${file}: ${first[1]}` };
}

/** Of the simulator with `--until-violation -o json`. */
export function judgeSimulation(ended: Ended): Verdict {
  const unfinished = whyUnfinished(ended);
  if (unfinished !== undefined) return { kind: 'broken', why: `simulation: ${unfinished}` };
  let violations: { seed: number; invariant: string }[];
  let seeds: number;
  try {
    ({ violations, seeds } = JSON.parse(ended.stdout));
  } catch {
    const [line] = ended.stderr.trim().split('\n').slice(-1);
    return { kind: 'broken', why: `simulation: status ${ended.status}: ${line}` };
  }
  const [first] = violations;
  if (first === undefined) return { kind: 'missed', seeds };
  return { kind: 'caught', by: first.invariant, seed: first.seed };
}

function whyUnfinished({ isTimeout, signal }: Ended): string | undefined {
  if (isTimeout) return 'ran out of time';
  return signal === undefined ? undefined : `ended from outside by ${signal}`;
}
