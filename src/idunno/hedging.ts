/**
 * Which running tasks deserve a second copy on another worker. Pure.
 *
 * At once, those whose worker SWIM suspects: waiting for the verdict would cost a second or two.
 * And, where a worker would otherwise stand idle, those that have taken several times what tasks
 * of their job take on average: the slowest worker must not decide when a job ends. The first
 * result counts. Source of the factor: Spark 4.0 (3 × median), less eager than before.
 */
import type { Ms } from '../base/index.js';
import type { LeaseRow } from './tables.js';

const STRAGGLER_FACTOR = 3;
/** Below this a second copy costs more than it can bring. */
const STRAGGLER_MIN_MS = 1_000;
/** Copies considered in one round. */
const HEDGES_MAX = 10;

export interface HedgeInput {
  readonly leases: readonly LeaseRow[];
  readonly isSuspect: (node: string) => boolean;
  /** Of the job, µs; 0 when nothing has finished yet. */
  readonly meanMicros: (job: number) => number;
  readonly ageMs: (lease: LeaseRow) => Ms;
}

/** Leases to copy now, oldest first. */
export function suspectLeases(input: HedgeInput): LeaseRow[] {
  return input.leases.filter((lease) => input.isSuspect(lease.node)).slice(0, HEDGES_MAX);
}

/** Leases to copy when a worker has nothing else to do. */
export function stragglers(input: HedgeInput): LeaseRow[] {
  return input.leases
    .filter((lease) => input.ageMs(lease) >= patienceMs(input.meanMicros(lease.job)))
    .slice(0, HEDGES_MAX);
}

/** How old a lease must be to be called slow; for ever while nothing is known about its job. */
export function patienceMs(meanMicros: number): Ms {
  if (meanMicros === 0) return Number.POSITIVE_INFINITY;
  return Math.max(STRAGGLER_MIN_MS, (STRAGGLER_FACTOR * meanMicros) / 1000);
}
