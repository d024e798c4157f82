/**
 * Start-time fair queueing by items, in integers: which job gets the next lease.
 *
 * Each job has a virtual time `v`. The next lease goes to the active job with the smallest v (ties:
 * the one with fewer leases, so that a job that joins starts at once; then the older), and v grows
 * by items × SCALE / weight. Two jobs that both have work therefore
 * never differ by more than one task each in what they were leased, divided by their weights,
 * whatever a task costs: rates become equal without any estimate of cost. The history is in the
 * replicated rows, so a new leader goes on where the old one stopped.
 *
 * A job is active while it has ready work and a warm worker. When it becomes so (again), v is
 * raised to the smallest v of the active jobs: never to 0, which would starve the others, and never
 * above its own, which would starve it. With no other job active the system's virtual time (the
 * largest v ever leased at) stands in for them, so that a job that had the cluster for itself is
 * not punished for it when the next one comes.
 *
 * Pure, no floats: v stays below 2^53 for 10^10 items of weight 1.
 * Source: Goyal, Vin, Cheng, "Start-time Fair Queuing", SIGCOMM 1996, §2.
 */

/** Divisible by 1 … 16, so that common weights divide exactly. */
export const SCALE = 720_720;

/** What the queue needs to know and change about a job. */
export interface FairJob {
  readonly id: number;
  readonly weight: number;
  /** Outstanding leases. */
  readonly leases: number;
  v: number;
  active: boolean;
}

/** What leasing so many items adds to v. */
export function chargeOf(items: number, weight: number): number {
  return Math.floor((items * SCALE) / weight);
}

/**
 * Brings `active` up to date and returns the jobs that were changed. `isEligible`: has ready work
 * and a warm worker. `systemV`: largest v at which anything was ever leased.
 */
export function refreshActivity<J extends FairJob>(
  jobs: Iterable<J>,
  isEligible: (job: J) => boolean,
  systemV: number,
): J[] {
  const changed: J[] = [];
  const joining: J[] = [];
  let floor = Number.POSITIVE_INFINITY;
  for (const job of jobs) {
    const eligible = isEligible(job);
    if (job.active && eligible) floor = Math.min(floor, job.v);
    if (job.active === eligible) continue;
    job.active = eligible;
    changed.push(job);
    if (eligible) joining.push(job);
  }
  const start = floor === Number.POSITIVE_INFINITY ? systemV : floor;
  for (const job of joining) job.v = Math.max(job.v, start);
  return changed;
}

/** The active job to serve next among those that `canServe` lets through. */
export function pickNext<J extends FairJob>(
  jobs: Iterable<J>,
  canServe: (job: J) => boolean,
): J | undefined {
  let best: J | undefined;
  for (const job of jobs) {
    if (!job.active) continue;
    if ((best === undefined || compare(job, best) < 0) && canServe(job)) best = job;
  }
  return best;
}

function compare(a: FairJob, b: FairJob): number {
  return a.v - b.v || a.leases - b.leases || a.id - b.id;
}
