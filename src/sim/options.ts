/** The command line of the simulator. */
import { parseArgs } from 'node:util';
import { FAULT_KINDS, type FaultKind } from './plan.js';
import { type Reduction, WHOLE } from './run.js';

export interface SimOptions {
  readonly firstSeed: number;
  readonly seedCount: number;
  /** One seed, with its trace. */
  readonly isReplay: boolean;
  /** One seed, made smaller while it still fails. */
  readonly isShrink: boolean;
  readonly reduction: Reduction;
  readonly isUntilViolation: boolean;
  /** `hashes`: one line per seed, for the comparison with another process. */
  readonly output: 'text' | 'json' | 'hashes';
  /** Undefined: one per core. */
  readonly workers: number | undefined;
  /** Where to draw the history of the replayed seed. */
  readonly timelinePath: string | undefined;
}

export const USAGE = `usage: npm run sim -- [--seeds N] [--from SEED] [--until-violation] [--workers N] [-o json]
       npm run sim -- --seed SEED                     replays one seed, its trace on stderr
              [--timeline FILE.html]                  draws what its clients saw
              [--without KIND,KIND] [--skip 3,7-9]    leaves out kinds of fault, single strikes,
              [--operations N] [--safety MS]          operations, time
              [--salt N]                              another fate for each message
       npm run sim -- --seed SEED --shrink            makes a failing seed smaller`;

const OPTIONS = {
  seeds: { type: 'string' },
  seed: { type: 'string' },
  from: { type: 'string' },
  'until-violation': { type: 'boolean' },
  workers: { type: 'string' },
  shrink: { type: 'boolean' },
  without: { type: 'string' },
  skip: { type: 'string' },
  operations: { type: 'string' },
  safety: { type: 'string' },
  salt: { type: 'string' },
  timeline: { type: 'string' },
  output: { type: 'string', short: 'o' },
} as const;

/** Parts of a reduction that are numbers. */
const NUMBERS = ['operations', 'safety', 'salt'] as const;

type Values = {
  -readonly [Name in keyof typeof OPTIONS]?: (typeof OPTIONS)[Name]['type'] extends 'string'
    ? string
    : boolean;
};

/** Returns what is wrong with the arguments as text. */
export function parseOptions(args: readonly string[]): SimOptions | string {
  let values: Values;
  try {
    ({ values } = parseArgs({ args: [...args], options: OPTIONS }));
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const problem = findProblem(values);
  if (problem !== undefined) return problem;
  const isOne = values.seed !== undefined;
  return {
    firstSeed: Number(values.seed ?? values.from ?? 1),
    seedCount: isOne ? 1 : Math.max(1, Number(values.seeds ?? 200)),
    isReplay: isOne,
    isShrink: values.shrink === true,
    reduction: reductionOf(values),
    isUntilViolation: values['until-violation'] === true,
    output: (values.output ?? 'text') as SimOptions['output'],
    workers: values.workers === undefined ? undefined : Math.max(1, Number(values.workers)),
    timelinePath: values.timeline,
  };
}

function findProblem(values: Values): string | undefined {
  for (const name of ['seeds', 'seed', 'from', 'workers', ...NUMBERS] as const) {
    const text = values[name];
    if (text !== undefined && !/^\d{1,9}$/.test(text)) return `--${name} "${text}" is not a number`;
  }
  if (!['text', 'json', 'hashes', undefined].includes(values.output)) {
    return `"${values.output}" is not an output format: use json or text`;
  }
  const unknown = list(values.without).find((kind) => !FAULT_KINDS.includes(kind as FaultKind));
  if (unknown !== undefined) {
    return `"${unknown}" is not a kind of fault: use some of ${FAULT_KINDS.join(', ')}`;
  }
  const range = list(values.skip).find((text) => !/^\d{1,6}(-\d{1,6})?$/.test(text));
  if (range !== undefined) return `"${range}" is no strike's number, and no range like 3-7`;
  const needsSeed = ['shrink', 'without', 'skip', 'timeline', ...NUMBERS] as const;
  const alone = needsSeed.find((name) => values[name] !== undefined && values.seed === undefined);
  return alone === undefined ? undefined : `--${alone} goes with --seed`;
}

function reductionOf({ without, skip, operations, safety, salt }: Values): Reduction {
  if ([without, skip, operations, safety, salt].every((text) => text === undefined)) return WHOLE;
  return {
    without: new Set(list(without) as FaultKind[]),
    skip: new Set(list(skip).flatMap(expand)),
    operationsMax: operations === undefined ? Number.POSITIVE_INFINITY : Number(operations),
    safetyMs: safety === undefined ? undefined : Number(safety),
    salt: Number(salt ?? 0),
  };
}

/** The arguments that give this reduction again. */
export function describeReduction(reduction: Reduction): string {
  const { without, skip, operationsMax, safetyMs, salt } = reduction;
  const parts: string[] = [];
  if (without.size > 0) parts.push(`--without ${[...without].join(',')}`);
  if (skip.size > 0) parts.push(`--skip ${ranges([...skip]).join(',')}`);
  if (Number.isFinite(operationsMax)) parts.push(`--operations ${operationsMax}`);
  if (safetyMs !== undefined) parts.push(`--safety ${safetyMs}`);
  if (salt !== 0) parts.push(`--salt ${salt}`);
  return parts.join(' ');
}

function list(text: string | undefined): string[] {
  return text === undefined || text === '' ? [] : text.split(',');
}

function expand(range: string): number[] {
  const [first = 0, last = first] = range.split('-').map(Number);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, at) => first + at);
}

function ranges(numbers: readonly number[]): string[] {
  const sorted = [...numbers].sort((a, b) => a - b);
  const found: { first: number; last: number }[] = [];
  for (const number of sorted) {
    const last = found.at(-1);
    if (last !== undefined && last.last + 1 === number) last.last = number;
    else found.push({ first: number, last: number });
  }
  return found.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`));
}
