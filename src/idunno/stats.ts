/**
 * Processing times of a job's tasks, kept in one small replicated row: count, mean and variance by
 * Welford's method, and a histogram for the percentiles.
 *
 * The histogram is log-linear: 32 buckets for each power of two, so a bucket is at most 1/32 of its
 * value wide and a percentile, interpolated inside its bucket, is right to about 2 %. Its bounds
 * are found with integers only (no logarithm, whose last digit differs between machines), and the
 * sums are IEEE doubles added in log order, so all replicas hold the same row.
 *
 * Pure. Times are whole microseconds. Source: Knuth, TAOCP vol. 2, §4.2.2 (Welford).
 */
import type { StatsRow } from './tables.js';

const SUB_BITS = 5;
const SUB_BUCKETS = 2 ** SUB_BITS;

export const EMPTY_STATS: StatsRow = { count: 0, mean: 0, m2: 0, buckets: [], slots: [] };

/** Seconds. All zero when nothing has finished. */
export interface Summary {
  readonly count: number;
  readonly mean: number;
  readonly std: number;
  readonly p25: number;
  readonly p50: number;
  readonly p75: number;
  readonly p99: number;
}

/** The bucket of a time: exact below 64 µs, then 32 buckets for each doubling. */
export function bucketOf(micros: number): number {
  let shift = 0;
  let rest = micros;
  while (rest >= 2 * SUB_BUCKETS) {
    rest = Math.floor(rest / 2);
    shift += 1;
  }
  return shift * SUB_BUCKETS + rest;
}

/** The smallest time of a bucket, µs. */
export function bucketFloor(bucket: number): number {
  if (bucket < 2 * SUB_BUCKETS) return bucket;
  const shift = Math.floor(bucket / SUB_BUCKETS) - 1;
  return (bucket - shift * SUB_BUCKETS) * 2 ** shift;
}

/** The row with one more processing time; rates are added apart (rates.ts). */
export function addTime(row: StatsRow, micros: number): StatsRow {
  const count = row.count + 1;
  const delta = micros - row.mean;
  const mean = row.mean + delta / count;
  const m2 = row.m2 + delta * (micros - mean);
  return { ...row, count, mean, m2, buckets: addToBuckets(row.buckets, bucketOf(micros)) };
}

function addToBuckets(buckets: readonly number[], bucket: number): number[] {
  const next = buckets.slice();
  let at = 0;
  while (at < next.length && (next[at] ?? 0) < bucket) at += 2;
  if (next[at] === bucket) next[at + 1] = (next[at + 1] ?? 0) + 1;
  else next.splice(at, 0, bucket, 1);
  return next;
}

/** Sample standard deviation (n − 1), as a spreadsheet's STDEV. */
export function summarize(row: StatsRow): Summary {
  const { count } = row;
  return {
    count,
    mean: row.mean / 1e6,
    std: count < 2 ? 0 : Math.sqrt(row.m2 / (count - 1)) / 1e6,
    p25: quantile(row, 0.25) / 1e6,
    p50: quantile(row, 0.5) / 1e6,
    p75: quantile(row, 0.75) / 1e6,
    p99: quantile(row, 0.99) / 1e6,
  };
}

/** By linear position (n − 1) × q among the sorted times, interpolated inside the bucket. */
function quantile(row: StatsRow, q: number): number {
  if (row.count === 0) return 0;
  const position = (row.count - 1) * q;
  let before = 0;
  for (let at = 0; at + 1 < row.buckets.length; at += 2) {
    const bucket = row.buckets[at] ?? 0;
    const inside = row.buckets[at + 1] ?? 0;
    if (position < before + inside) {
      const low = bucketFloor(bucket);
      const width = bucketFloor(bucket + 1) - low;
      return low + (width * Math.min(inside, position - before + 0.5)) / inside;
    }
    before += inside;
  }
  return bucketFloor((row.buckets[row.buckets.length - 2] ?? 0) + 1);
}
