/**
 * How much work the demonstration gives the cluster. Measured first, because a laptop and a server
 * differ by an order of magnitude and both shall see about the same length of film.
 *
 * With fair rates two jobs that cost c1 and c2 seconds per query (whole cluster on it) run at
 * r = 1 / (c1 + c2) queries per second each; alone, the first runs at 1 / c1.
 */

export interface DemoPlan {
  /** How often each image is queried, for the first and the second job. */
  readonly repeatFirst: number;
  readonly repeatSecond: number;
  /** Queries per task: the same for both jobs. */
  readonly batchSize: number;
  /** Queries per second of each job while both run, as expected. */
  readonly rateExpected: number;
}

/** Tasks per job in a 10 s window: the rate gap is about 1/n on average, 3/n at p99. */
const TASKS_PER_WINDOW = 150;
const BATCH_MAX = 64;

/**
 * `secondsPerQuery`: measured with the whole cluster on one model, first job's then second job's.
 * `headStartSeconds`: how long the first job runs alone.
 */
export function planWork(
  images: number,
  secondsPerQuery: readonly [number, number],
  workSeconds: number,
  headStartSeconds: number,
): DemoPlan {
  const [first, second] = secondsPerQuery;
  const rateExpected = 1 / (first + second);
  const together = Math.max(1, workSeconds - headStartSeconds) * rateExpected;
  const alone = headStartSeconds / first;
  const batchSize = Math.round((rateExpected * 10) / TASKS_PER_WINDOW);
  return {
    repeatFirst: Math.max(1, Math.round((alone + together) / images)),
    repeatSecond: Math.max(1, Math.round(together / images)),
    batchSize: Math.min(BATCH_MAX, Math.max(1, batchSize)),
    rateExpected,
  };
}
