/** What the queries share: the job that is asked about, and answers as the wire carries them. */
import type { Wire } from '../net/index.js';
import type { ReadView } from '../store/index.js';
import { jobNotFound } from './command-jobs.js';
import { type JobRow, jobs } from './tables.js';
import { readJobId } from './wire.js';

/** Throws JOB_NOT_FOUND. */
export function findJob(view: ReadView, args: readonly Wire[]): JobRow {
  const id = readJobId(args[0]);
  const job = view.get(jobs, [id]);
  if (job === undefined) throw jobNotFound(id);
  return job;
}

/** Undefined becomes absent: a msgpack-safe copy of a plain value. */
export function toWire(value: unknown): Wire {
  if (Array.isArray(value)) return value.map(toWire);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) {
    return (value ?? null) as Wire;
  }
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  return Object.fromEntries(entries.map(([key, each]) => [key, toWire(each)]));
}
