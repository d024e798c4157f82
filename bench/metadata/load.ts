/**
 * What one process of clients does: so many clients, each sending its next operation when the last
 * is answered, for a while; latencies and the process's own CPU time are counted after a warm-up.
 * The same for every system under test: only the `Target` differs.
 */

export type Operation = 'write' | 'read';

/** A system under test as a client sees it. Operations throw when they fail. */
export interface Target {
  write(key: string, value: string): Promise<void>;
  /** Linearizable. Answers undefined where there is nothing. */
  read(key: string): Promise<string | undefined>;
  close(): Promise<void>;
}

export interface LoadPlan {
  readonly operation: Operation;
  readonly clients: number;
  readonly warmMs: number;
  readonly measureMs: number;
  /** Tells this process's keys from those of others. */
  readonly prefix: string;
  readonly valueBytes: number;
}

export interface LoadResult {
  readonly count: number;
  readonly failed: number;
  readonly seconds: number;
  /** Of this process while it was measured, percent of one core. */
  readonly cpuPercent: number;
  readonly histogram: readonly number[];
}

/** Keys that reads choose among, and that writes go round over. */
const KEYS = 1_000;

export async function runLoad(target: Target, plan: LoadPlan): Promise<LoadResult> {
  const value = 'v'.repeat(plan.valueBytes);
  const keyOf = (i: number): string => `${plan.prefix}/${i % KEYS}`;
  // Something to read.
  if (plan.operation === 'read') await target.write(keyOf(0), value);
  const histogram = new Histogram();
  const startedMs = performance.now();
  const fromMs = startedMs + plan.warmMs;
  const toMs = fromMs + plan.measureMs;
  let failed = 0;
  let next = 0;
  const client = async (): Promise<void> => {
    for (;;) {
      const beganMs = performance.now();
      if (beganMs >= toMs) return;
      try {
        if (plan.operation === 'write') await target.write(keyOf(next++), value);
        else await target.read(keyOf(0));
      } catch {
        failed += 1;
        continue;
      }
      const endedMs = performance.now();
      if (beganMs >= fromMs && endedMs <= toMs) histogram.add(endedMs - beganMs);
    }
  };
  const cpu = cpuWithin(fromMs, toMs);
  await Promise.all(Array.from({ length: plan.clients }, client));
  return {
    count: histogram.count,
    failed,
    seconds: plan.measureMs / 1000,
    cpuPercent: await cpu,
    histogram: histogram.counts,
  };
}

/** Part of a core that this process uses between two moments, percent. */
async function cpuWithin(fromMs: number, toMs: number): Promise<number> {
  await sleepUntil(fromMs);
  const before = process.cpuUsage();
  const beganMs = performance.now();
  await sleepUntil(toMs);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 10 / (performance.now() - beganMs);
}

function sleepUntil(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms - performance.now())));
}

/** Steps of 2 %, from 10 µs: good enough for percentiles, small enough to send. */
const BASE_MS = 0.01;
const STEP = 1.02;
const BUCKETS = 900;

/** Latencies by size, in buckets that grow by 2 %. */
export class Histogram {
  readonly counts: number[];

  constructor(counts?: readonly number[]) {
    this.counts = counts === undefined ? new Array<number>(BUCKETS).fill(0) : [...counts];
  }

  get count(): number {
    return this.counts.reduce((sum, each) => sum + each, 0);
  }

  add(ms: number): void {
    const at = Math.ceil(Math.log(Math.max(ms, BASE_MS) / BASE_MS) / Math.log(STEP));
    const bucket = Math.min(BUCKETS - 1, at);
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
  }

  merge(counts: readonly number[]): void {
    for (const [at, count] of counts.entries()) {
      this.counts[at] = (this.counts[at] ?? 0) + count;
    }
  }

  /** Upper edge of the bucket, ms; NaN of nothing. */
  percentile(p: number): number {
    const rank = Math.max(1, Math.ceil((p / 100) * this.count));
    let seen = 0;
    for (const [at, count] of this.counts.entries()) {
      seen += count;
      if (count > 0 && seen >= rank) return BASE_MS * STEP ** at;
    }
    return Number.NaN;
  }
}
