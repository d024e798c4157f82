/**
 * Two jobs side by side: how soon the second begins, what share of the workers' time each gets, and
 * how equal their rates are, for one pair of batch sizes.
 */
import { pause } from '../../drills/lib/local-cluster.js';
import type { JobVerdict } from '../../drills/lib/job-load.js';
import { HEAD_START_MS, type Stage } from './stage.js';
import { readTaskLog, type TaskLog } from './task-log.js';

export type BatchSizes = readonly [number, number];

export interface RateTrial {
  readonly batchSizes: BatchSizes;
  /** From the client's request for the second job to its first accepted result. */
  readonly secondJobMs: number;
  /** Length of the window in which both had work. */
  readonly windowMs: number;
  /** Queries per second of the first and the second job in the window. */
  readonly rates: readonly [number, number];
  readonly gap: number;
  /** Part of the workers' computing time that went to each, percent. */
  readonly shares: readonly [number, number];
  readonly verdicts: readonly JobVerdict[];
}

const TOGETHER_SECONDS = 6;
/** The second job's first tasks have just begun: the window opens when its flow is steady. */
const SETTLE_MS = 250;

export async function rateTrial(stage: Stage, batchSizes: BatchSizes): Promise<RateTrial> {
  const [first, second] = stage.plan(TOGETHER_SECONDS);
  const jobA = await stage.submit(first, batchSizes[0]);
  await pause(HEAD_START_MS);
  const askedAtMs = Date.now();
  const jobB = await stage.submit(second, batchSizes[1]);
  const verdicts = await stage.verdicts([jobA, jobB]);
  const log = await readTaskLog(stage.dataDirs());
  const { firstResultMs } = await stage.client.jobInfo(jobB.id);
  return {
    batchSizes,
    secondJobMs: (firstResultMs ?? Number.NaN) - askedAtMs,
    ...compare(log, jobA.id, jobB.id),
    verdicts,
  };
}

/** Over the time in which both had work: from the second's first result to the earlier end. */
function compare(
  log: TaskLog,
  idA: number,
  idB: number,
): Pick<RateTrial, 'windowMs' | 'rates' | 'gap' | 'shares'> {
  const of = (id: number) => log.done.filter(({ job }) => job === id);
  const doneA = of(idA);
  const doneB = of(idB);
  const times = (done: TaskLog['done']) => done.map(({ atMs }) => atMs);
  const fromMs = Math.min(...times(doneB)) + SETTLE_MS;
  const toMs = Math.min(Math.max(...times(doneA)), Math.max(...times(doneB)));
  const within = (done: TaskLog['done']) =>
    done.filter(({ atMs }) => atMs > fromMs && atMs <= toMs);
  const sum = (done: TaskLog['done'], of: 'queries' | 'ms') =>
    within(done).reduce((total, each) => total + each[of], 0);
  const seconds = (toMs - fromMs) / 1000;
  const rates = [sum(doneA, 'queries') / seconds, sum(doneB, 'queries') / seconds] as const;
  const work = [sum(doneA, 'ms'), sum(doneB, 'ms')] as const;
  const shareA = (100 * work[0]) / (work[0] + work[1]);
  const fastest = Math.max(...rates);
  return {
    windowMs: toMs - fromMs,
    rates,
    gap: (fastest - Math.min(...rates)) / fastest,
    shares: [shareA, 100 - shareA],
  };
}
