/**
 * What happened when, by the demonstration's own clock: progress of both jobs, events worth a mark
 * in the chart, and what follows from them (rates, gap, time from the kill to the next task).
 */
import type { JobInfo } from '../src/idunno/index.js';

export interface ProgressSample {
  /** performance.now() when the answer came. */
  readonly atMs: number;
  readonly jobs: readonly JobInfo[];
}

export interface RatePoint {
  /** Seconds since the start. */
  readonly x: number;
  /** Queries per second. */
  readonly y: number;
}

const RATE_SPAN_MS = 1000;

export class Timeline {
  readonly startedMs = performance.now();
  readonly samples: ProgressSample[] = [];
  readonly marks: { readonly x: number; readonly label: string }[] = [];

  add(jobs: readonly JobInfo[]): void {
    this.samples.push({ atMs: performance.now(), jobs });
  }

  mark(label: string, atMs = performance.now()): void {
    this.marks.push({ x: (atMs - this.startedMs) / 1000, label });
  }

  /** Rate of one job over the last second, at each sample. */
  rates(id: number): RatePoint[] {
    const points: RatePoint[] = [];
    let from = 0;
    for (const sample of this.samples) {
      const done = doneOf(sample, id);
      if (done === undefined) continue;
      while ((this.samples[from]?.atMs ?? 0) < sample.atMs - RATE_SPAN_MS) from += 1;
      const before = this.samples[from];
      const doneBefore = before === undefined ? undefined : doneOf(before, id);
      if (before === undefined || doneBefore === undefined || before === sample) continue;
      const seconds = (sample.atMs - before.atMs) / 1000;
      if (seconds < 0.3) continue;
      points.push({ x: (sample.atMs - this.startedMs) / 1000, y: (done - doneBefore) / seconds });
    }
    return points;
  }

  /**
   * (max − min) / max of the queries of both jobs over the time in which both had work: from the
   * second's first result to the first's or second's end. Undefined when that was under a second.
   */
  gap(first: number, second: number): number | undefined {
    const both = this.samples.filter((sample) => {
      const jobs = [first, second].map((id) => sample.jobs.find((job) => job.id === id));
      return jobs.every((job) => job?.state === 'running' && job.queriesDone > 0);
    });
    const begin = both[0];
    const end = both[both.length - 1];
    if (begin === undefined || end === undefined || end.atMs - begin.atMs < 1000) return undefined;
    const done = [first, second].map((id) => (doneOf(end, id) ?? 0) - (doneOf(begin, id) ?? 0));
    const most = Math.max(...done);
    return most === 0 ? undefined : (most - Math.min(...done)) / most;
  }
}

function doneOf(sample: ProgressSample, id: number): number | undefined {
  return sample.jobs.find((job) => job.id === id)?.queriesDone;
}
