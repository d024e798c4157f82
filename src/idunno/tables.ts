/**
 * Everything about models, jobs and tasks that is replicated, on one page: the tables, their keys
 * and their rows. Rows are written by the commands of this module only (command-*.ts).
 *
 * Vocabulary: a query is (item, repetition), numbered 0 … items × repeat − 1; query q asks for item
 * q mod items, so a dataset is gone through once before it is gone through again. A task is a
 * range of queries [from, to) and is named by (job, from). A lease is one attempt at a task.
 *
 * Invariants, which `verify` recomputes:
 * - the task rows of a job and its uncut rest [cursor, queries) tile [0, queries) without overlap;
 * - a task that is Success or Dead never changes its range again, and never becomes anything else;
 * - `gen` grows whenever the range behind a `from` changes, so that a completion computed for
 *   another range can be told from one for this range.
 */
import { defineTable } from '../store/index.js';
import type { JobState, ModelState, TaskState, WorkersWanted } from './types.js';

export type WorkerState = 'assigned' | 'fetched' | 'loading' | 'warm' | 'failed';

/**
 * Key [name]. `serving` is the revision that new jobs take, `deploying` the one that workers are
 * loading to take its place; 0 where there is none.
 */
export interface ModelRow {
  readonly name: string;
  readonly newest: number;
  readonly serving: number;
  readonly deploying: number;
  /** Not listed any more; the row stays, so that no revision's number is given twice. */
  readonly isRemoved: boolean;
}

export interface ModelFile {
  readonly name: string;
  readonly version: number;
  readonly bytes: number;
}

/** Key [name, revision]. */
export interface RevisionRow {
  readonly name: string;
  readonly revision: number;
  readonly state: ModelState;
  readonly description: string;
  /** SDFS files at fixed versions. */
  readonly files: readonly ModelFile[];
  /** Where it is to be loaded at first. */
  readonly workers: WorkersWanted;
  readonly createdMs: number;
  readonly deployedMs: number | null;
  readonly error: string | null;
}

/** Key [name, revision, node]: what one worker has done with a revision that it was given. */
export interface AssignmentRow {
  readonly name: string;
  readonly revision: number;
  readonly node: string;
  readonly epoch: number;
  readonly state: WorkerState;
  readonly error: string | null;
  /** Log index at which it was given: a worker that is given it anew says again how far it is. */
  readonly given: number;
}

/** Key [name, revision, node]: a worker has the files of a revision on its disk. */
export interface CopyRow {
  readonly name: string;
  readonly revision: number;
  readonly node: string;
  /** Of the process that said so; rows of earlier ones say nothing. */
  readonly epoch: number;
}

/** Key [number mod DECISIONS_KEPT_MAX]: why a model was given to workers, or taken from them. */
export interface DecisionRow {
  readonly number: number;
  readonly atMs: number;
  readonly name: string;
  readonly revision: number;
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly reason: string;
}

/** Key [id]. Everything that changes with a task, but for the statistics. */
export interface JobRow {
  readonly id: number;
  readonly model: string;
  readonly revision: number;
  /** The pinned input list: an SDFS file at a fixed version (see inputs.ts). */
  readonly manifest: string;
  readonly manifestVersion: number;
  readonly items: number;
  readonly repeat: number;
  readonly owner: string;
  readonly label: string;
  readonly weight: number;
  readonly createdMs: number;
  /** Failed items allowed before the job fails; null: any number. */
  readonly maxFailed: number | null;
  batch: number;
  state: JobState;
  /** Why it failed or was cancelled. */
  reason: string;
  /** First query that was never part of a task. */
  cursor: number;
  /** Rows of this job in the table of ready ranges, and of leases. */
  ready: number;
  leases: number;
  /** Queries with an accepted result, those of them that are errors, and tasks. */
  done: number;
  failed: number;
  tasksDone: number;
  /** Fair queue: virtual time, and whether the job takes part (fair-queue.ts). */
  v: number;
  active: boolean;
  activeSinceMs: number;
  startedMs: number | null;
  firstMs: number | null;
  finishedMs: number | null;
  /** Results that still ride in the tables: tasks and bytes; number of the last segment file. */
  inlineTasks: number;
  inlineBytes: number;
  segments: number;
}

/** Key [job, from]. */
export interface TaskRow {
  to: number;
  gen: number;
  state: TaskState;
  /** Attempts granted so far; each lease bears the number of its own. */
  attempt: number;
  /** Attempts that hold a lease now: none, one, or two while it is hedged. */
  holders: number[];
  /** Evidence against the range: see task-machine.ts. */
  strikes: number;
  /** Of the accepted result: processing time, worker, time of acceptance, failed queries. */
  micros: number;
  node: string;
  atMs: number;
  failed: number;
  /** SHA-256 of its JSON lines, hex, and where they lie; segment 0 is the results table. */
  hash: string;
  bytes: number;
  segment: number;
  offset: number;
}

/** Key [job, from, attempt]. Its row is deleted when the lease ends, however it ends. */
export interface LeaseRow {
  readonly job: number;
  readonly from: number;
  readonly attempt: number;
  readonly to: number;
  readonly gen: number;
  readonly node: string;
  readonly epoch: number;
  /** What the job's virtual time was charged for it; 0 for a hedge. */
  readonly charge: number;
  readonly atMs: number;
}

/** Key [job, from]: a range that was leased before and waits to be leased again. */
export interface ReadyRow {
  readonly job: number;
  readonly from: number;
}

/** Key [job, from]: JSON lines of a finished task until they are compacted. */
export interface ResultRow {
  readonly bytes: Uint8Array;
}

/** Key [job, segment]: an SDFS file of JSON lines of finished tasks. */
export interface SegmentRow {
  readonly file: string;
  readonly version: number;
  readonly bytes: number;
}

/** Key [job, from]: queries of a finished task that ended in an error, the first of them named. */
export interface FailureRow {
  readonly job: number;
  readonly from: number;
  readonly count: number;
  readonly named: readonly (readonly [query: number, reason: string])[];
}

/** Key [job]: see stats.ts and rates.ts for the two arrays. */
export interface StatsRow {
  readonly count: number;
  readonly mean: number;
  readonly m2: number;
  /** Pairs (bucket, count), by bucket. */
  readonly buckets: readonly number[];
  /** Triples (slot, items, tasks), by slot. */
  readonly slots: readonly number[];
}

/** Key [0]: the one row of what is counted over all jobs. */
export interface TotalsRow {
  /** Number of the newest job. */
  readonly jobs: number;
  /** Result bytes in the tables. */
  readonly inlineBytes: number;
  /** The fair queue's system virtual time. */
  readonly v: number;
  /** Decisions about where models are loaded, so far. */
  readonly decisions: number;
}

export const models = defineTable<ModelRow>({ bucket: 20, name: 'models' });
export const revisions = defineTable<RevisionRow>({ bucket: 21, name: 'model-revisions' });
export const assignments = defineTable<AssignmentRow>({ bucket: 22, name: 'model-workers' });
export const jobs = defineTable<JobRow>({ bucket: 23, name: 'jobs' });
export const tasks = defineTable<TaskRow>({ bucket: 24, name: 'tasks' });
export const leases = defineTable<LeaseRow>({ bucket: 25, name: 'leases' });
export const ready = defineTable<ReadyRow>({ bucket: 26, name: 'ready-ranges' });
export const results = defineTable<ResultRow>({ bucket: 27, name: 'results' });
export const segments = defineTable<SegmentRow>({ bucket: 28, name: 'result-segments' });
export const failures = defineTable<FailureRow>({ bucket: 29, name: 'failures' });
export const stats = defineTable<StatsRow>({ bucket: 30, name: 'job-stats' });
export const totals = defineTable<TotalsRow>({ bucket: 31, name: 'job-totals' });
export const copies = defineTable<CopyRow>({ bucket: 32, name: 'model-copies' });
export const decisions = defineTable<DecisionRow>({ bucket: 33, name: 'scaling-decisions' });

export const ALL_TABLES = [
  models,
  revisions,
  assignments,
  jobs,
  tasks,
  leases,
  ready,
  results,
  segments,
  failures,
  stats,
  totals,
  copies,
  decisions,
] as const;

export const NO_TOTALS: TotalsRow = { jobs: 0, inlineBytes: 0, v: 0, decisions: 0 };

/** No further tasks, no change of mind. */
export function isFinal(state: JobState): boolean {
  return (
    state === 'succeeded' ||
    state === 'succeeded-with-errors' ||
    state === 'failed' ||
    state === 'cancelled'
  );
}

/** Tasks of it may be leased. */
export function isRunnable(state: JobState): boolean {
  return state === 'queued' || state === 'running';
}

/** Items × repetitions. */
export function queriesOf(job: Pick<JobRow, 'items' | 'repeat'>): number {
  return job.items * job.repeat;
}
