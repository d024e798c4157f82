/**
 * Seeds on several cores: each worker runs one at a time and says how it went. Results come in any
 * order; whoever wants an order has the seeds' numbers.
 */
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { type RunResult, runSeed } from './run.js';

/** What a worker tells of a run. History and plan are not sent: the seed gives them again. */
export type SeedSummary = Omit<RunResult, 'history' | 'plan'>;

export function summaryOf(result: RunResult): SeedSummary {
  const { history: _history, plan: _plan, ...summary } = result;
  return summary;
}

export interface PoolOptions {
  readonly firstSeed: number;
  readonly seedCount: number;
  readonly workers: number;
  /** False: no further seeds are begun. */
  readonly onResult: (summary: SeedSummary) => boolean;
}

/** Resolves when all seeds have been run, or no more are wanted. */
export async function runSeeds(options: PoolOptions): Promise<void> {
  const end = options.firstSeed + options.seedCount;
  let next = options.firstSeed;
  let isWanted = true;
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL(import.meta.url));
      const more = (): void => {
        if (isWanted && next < end) worker.postMessage(next++);
        else worker.terminate().then(() => resolve(), reject);
      };
      worker.on('error', reject);
      worker.on('message', (summary: SeedSummary) => {
        if (!options.onResult(summary)) isWanted = false;
        more();
      });
      more();
    });
  const count = Math.min(options.workers, options.seedCount);
  await Promise.all(Array.from({ length: count }, work));
}

if (!isMainThread && parentPort !== null) {
  const port = parentPort;
  port.on('message', (seed: number) => port.postMessage(summaryOf(runSeed(seed))));
}
