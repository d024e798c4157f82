/**
 * What can happen to a task, step by step. Pure: every step works on the command's book.
 *
 *            lease                      accept
 *   (rest) ─────────▶ Waiting ───────────────────▶ Success
 *              ▲        │ │ fail, alone, 4 strikes
 *        lease │        │ └──────────────────────▶ Dead
 *              │        ▼ release, or fail
 *            Ready ◀────┴──▶ two Ready halves (fail, 2 strikes, more than one query)
 *
 * Exactly once: a completion is accepted exactly when its task is not final and its generation is
 * the range's. Which attempt it comes from does not matter: releasing a lease does not bump the
 * generation, so work that was finished late still counts, and it counts once.
 *
 * Strikes are evidence that a range takes its host down: 2 when a worker reports that its model
 * host died or hung over it, 1 when a whole node died holding it, a lease ran out or inputs could
 * not be read. A range of many queries with 2 strikes is split in halves, which start without
 * strikes; a single query with 4 is dead. A query that always kills its host is therefore alone
 * after log2(batch) host crashes and dead two crashes later, and no innocent query beside it dies.
 */
import { createHash } from 'node:crypto';
import { assert } from '../base/index.js';
import type { Book } from './book.js';
import { chargeOf } from './fair-queue.js';
import { INLINE_TOTAL_BYTES_MAX, NAMED_FAILURES_MAX } from './limits.js';
import type { DoneReport, LeaseName, Verdict } from './protocol.js';
import { addToSlots } from './rates.js';
import { addTime } from './stats.js';
import {
  failures,
  isFinal,
  type JobRow,
  type LeaseRow,
  leases,
  queriesOf,
  ready,
  results,
  segments,
  type TaskRow,
  tasks,
} from './tables.js';

const STRIKES_SPLIT = 2;
const STRIKES_DEAD = 4;

/** How a lease may end without a result, and what that says about its range. */
export const RELEASES = {
  /** The worker gave it back before starting it, or the job was paused: nobody's fault. */
  returned: { strikes: 0, isRefunded: true },
  /** Its node left in good order. */
  left: { strikes: 0, isRefunded: true },
  /** Its node was committed down. */
  lost: { strikes: 1, isRefunded: false },
  /** Nobody reported it as held for the length of a lease. */
  expired: { strikes: 1, isRefunded: false },
  /** The worker could not read its inputs. */
  input: { strikes: 1, isRefunded: false },
  /** Its model host died or hung. */
  host: { strikes: 2, isRefunded: false },
} as const;

export type ReleaseCause = keyof typeof RELEASES;

/**
 * Leases the next task of a job to a worker: a range that was leased before, if one is ready, else
 * the next `batch` queries of the rest. Undefined when there is neither.
 */
export function leaseNext(
  book: Book,
  job: JobRow,
  worker: { node: string; epoch: number },
): LeaseRow | undefined {
  const found = takeReady(book, job) ?? takeFresh(job);
  if (found === undefined) return undefined;
  const { from, task } = found;
  const charge = chargeOf(task.to - from, job.weight);
  book.setTotals({ v: Math.max(book.totals.v, job.v) });
  job.v += charge;
  return grantLease(book, job, from, task, worker, charge);
}

/** A second lease on a task whose worker is in doubt. Not charged: the queries count once. */
export function leaseHedge(
  book: Book,
  job: JobRow,
  from: number,
  worker: { node: string; epoch: number },
): LeaseRow | undefined {
  const task = book.tx.get(tasks, [job.id, from]);
  if (task?.state !== 'Waiting' || task.holders.length !== 1) return undefined;
  const holder = book.tx.get(leases, [job.id, from, task.holders[0] ?? 0]);
  if (holder === undefined || holder.node === worker.node) return undefined;
  return grantLease(book, job, from, task, worker, 0);
}

function grantLease(
  book: Book,
  job: JobRow,
  from: number,
  task: TaskRow,
  worker: { node: string; epoch: number },
  charge: number,
): LeaseRow {
  task.attempt += 1;
  task.state = 'Waiting';
  task.holders.push(task.attempt);
  const lease: LeaseRow = {
    job: job.id,
    from,
    attempt: task.attempt,
    to: task.to,
    gen: task.gen,
    node: worker.node,
    epoch: worker.epoch,
    charge,
    atMs: book.context.nowMs,
  };
  book.tx.put(tasks, [job.id, from], task);
  book.tx.put(leases, [job.id, from, lease.attempt], lease);
  job.leases += 1;
  if (job.state === 'queued') {
    job.state = 'running';
    job.startedMs = book.context.nowMs;
  }
  book.touch(job);
  return lease;
}

/** The first ready range, cut to the batch size that holds now. */
function takeReady(book: Book, job: JobRow): { from: number; task: TaskRow } | undefined {
  for (const from of book.readyOf(job.id)) {
    // Taken by an earlier step of this command?
    if (book.tx.get(ready, [job.id, from]) === undefined) continue;
    const task = book.tx.get(tasks, [job.id, from]);
    assert(task?.state === 'Ready', `range ${job.id}/${from} is listed as ready`);
    book.tx.delete(ready, [job.id, from]);
    job.ready -= 1;
    if (task.to - from > job.batch) cutTask(book, job, from, task, from + job.batch);
    return { from, task };
  }
  return undefined;
}

function takeFresh(job: JobRow): { from: number; task: TaskRow } | undefined {
  const from = job.cursor;
  const to = Math.min(from + job.batch, queriesOf(job));
  if (from >= to) return undefined;
  job.cursor = to;
  return { from, task: freshTask(to, 0) };
}

function freshTask(to: number, gen: number): TaskRow {
  return {
    to,
    gen,
    state: 'Ready',
    attempt: 0,
    holders: [],
    strikes: 0,
    micros: 0,
    node: '',
    atMs: 0,
    failed: 0,
    hash: '',
    bytes: 0,
    segment: 0,
    offset: 0,
  };
}

/** Cuts `task` at `at`; the right part becomes a ready task. The left part is the caller's. */
function cutTask(book: Book, job: JobRow, from: number, task: TaskRow, at: number): void {
  assert(from < at && at < task.to, `cut of ${job.id}/${from} at ${at}`);
  const gen = task.gen + 1;
  makeReady(book, job, at, freshTask(task.to, gen));
  task.to = at;
  task.gen = gen;
}

function makeReady(book: Book, job: JobRow, from: number, task: TaskRow): void {
  task.state = 'Ready';
  book.tx.put(tasks, [job.id, from], task);
  book.tx.put(ready, [job.id, from], { job: job.id, from });
  job.ready += 1;
  book.touch(job);
}

/** Takes a finished task in. The lease it was done under may be long gone. */
export function acceptDone(book: Book, worker: { node: string }, done: DoneReport): Verdict {
  const job = book.job(done.job);
  if (job === undefined || isFinal(job.state)) return 'gone';
  const task = book.tx.get(tasks, [done.job, done.from]);
  if (task === undefined || task.gen !== done.gen) return 'stale';
  if (task.state === 'Success' || task.state === 'Dead') return 'already';
  const { output } = done;
  const isInline = output instanceof Uint8Array;
  if (isInline && book.totals.inlineBytes + done.bytes > INLINE_TOTAL_BYTES_MAX) return 'busy';

  if (!isInline) {
    job.segments += 1;
    const { name: file, version } = output;
    book.tx.put(segments, [job.id, job.segments], { file, version, bytes: done.bytes });
  }
  task.micros = done.micros;
  task.node = worker.node;
  task.hash = done.hash;
  task.bytes = done.bytes;
  task.segment = isInline ? 0 : job.segments;
  task.failed = Math.min(done.failed, task.to - done.from);
  settle(book, job, done.from, task, 'Success');
  if (isInline) keepInline(book, job, done.from, output);
  if (task.failed > 0) nameFailures(book, job, done.from, task.failed, done.named);
  const times = addTime(book.stats(job.id), done.micros);
  const slots = addToSlots(times.slots, book.context.nowMs, task.to - done.from);
  book.setStats(job.id, { ...times, slots });
  finishIfDone(book, job);
  return 'accepted';
}

/** Ends a lease that brought no result. Nothing happens when it has ended already. */
export function releaseLease(
  book: Book,
  name: LeaseName,
  cause: ReleaseCause,
  reason: string,
  line?: Uint8Array,
): void {
  const lease = book.tx.get(leases, [name.job, name.from, name.attempt]);
  if (lease === undefined) return;
  const job = book.job(name.job);
  assert(job !== undefined, `lease ${name.job}/${name.from} of a job that is not indexed`);
  const task = book.tx.get(tasks, [name.job, name.from]);
  assert(task?.state === 'Waiting', `lease ${name.job}/${name.from} of a task that waits`);
  endLease(book, job, task, lease);
  const { strikes, isRefunded } = RELEASES[cause];
  // Later attempts stay charged, so that a job that only fails cannot take the cluster.
  // While another worker has a copy, the charge stands for that one.
  const isOver = task.holders.length === 0;
  if (isOver && (isRefunded || lease.attempt === 1)) job.v = Math.max(0, job.v - lease.charge);
  if (isFinal(job.state)) {
    book.tx.put(tasks, [job.id, name.from], task);
    return;
  }
  task.strikes += strikes;
  const isAlone = task.to - name.from === 1;
  if (isAlone && task.strikes >= STRIKES_DEAD) {
    bury(book, job, name.from, task, reason, line);
  } else if (!isAlone && task.strikes >= STRIKES_SPLIT) {
    splitTask(book, job, name.from, task);
  } else if (task.holders.length === 0) {
    makeReady(book, job, name.from, task);
  } else {
    book.tx.put(tasks, [job.id, name.from], task);
  }
}

function endLease(book: Book, job: JobRow, task: TaskRow, lease: LeaseRow): void {
  book.tx.delete(leases, [lease.job, lease.from, lease.attempt]);
  task.holders = task.holders.filter((attempt) => attempt !== lease.attempt);
  job.leases -= 1;
  book.touch(job);
}

/** Two ready halves, both without a past. Copies under way are for a range that is no more. */
function splitTask(book: Book, job: JobRow, from: number, task: TaskRow): void {
  endAllLeases(book, job, from, task);
  cutTask(book, job, from, task, from + Math.floor((task.to - from) / 2));
  task.strikes = 0;
  makeReady(book, job, from, task);
}

/** A single query that cannot be done: its result is the reason. */
function bury(
  book: Book,
  job: JobRow,
  from: number,
  task: TaskRow,
  reason: string,
  line: Uint8Array | undefined,
): void {
  const bytes =
    line !== undefined && line.length > 0 ? line : Buffer.from(lineOfDead(job, from, reason));
  task.hash = createHash('sha256').update(bytes).digest('hex');
  task.bytes = bytes.length;
  task.failed = 1;
  settle(book, job, from, task, 'Dead');
  keepInline(book, job, from, bytes);
  nameFailures(book, job, from, 1, [[from, reason]]);
  finishIfDone(book, job);
}

/** The line for a query whose worker could not write one any more; the reader adds the name. */
function lineOfDead(job: JobRow, query: number, reason: string): string {
  const line = {
    item: query % job.items,
    repetition: Math.floor(query / job.items),
    input: '',
    version: 0,
    error: reason,
  };
  return `${JSON.stringify(line)}\n`;
}

/** The task is final from here on. */
function settle(
  book: Book,
  job: JobRow,
  from: number,
  task: TaskRow,
  state: 'Success' | 'Dead',
): void {
  if (task.state === 'Ready') {
    book.tx.delete(ready, [job.id, from]);
    job.ready -= 1;
  }
  endAllLeases(book, job, from, task);
  task.state = state;
  task.atMs = book.context.nowMs;
  book.tx.put(tasks, [job.id, from], task);
  job.done += task.to - from;
  job.failed += task.failed;
  job.tasksDone += 1;
  job.firstMs ??= book.context.nowMs;
  book.touch(job);
}

function endAllLeases(book: Book, job: JobRow, from: number, task: TaskRow): void {
  for (const attempt of task.holders) {
    book.tx.delete(leases, [job.id, from, attempt]);
    job.leases -= 1;
  }
  task.holders = [];
}

function keepInline(book: Book, job: JobRow, from: number, bytes: Uint8Array): void {
  book.tx.put(results, [job.id, from], { bytes });
  job.inlineTasks += 1;
  job.inlineBytes += bytes.length;
  book.setTotals({ inlineBytes: book.totals.inlineBytes + bytes.length });
}

function nameFailures(
  book: Book,
  job: JobRow,
  from: number,
  count: number,
  named: readonly (readonly [number, string])[],
): void {
  const first = named.slice(0, NAMED_FAILURES_MAX);
  book.tx.put(failures, [job.id, from], { job: job.id, from, count, named: first });
}

function finishIfDone(book: Book, job: JobRow): void {
  const queries = queriesOf(job);
  assert(job.done <= queries, `job ${job.id} has ${job.done} of ${queries} queries done`);
  if (job.maxFailed !== null && job.failed > job.maxFailed) {
    const reason = `${job.failed} queries failed; at most ${job.maxFailed} may`;
    endJob(book, job, 'failed', reason);
  } else if (job.done === queries) {
    endJob(book, job, job.failed > 0 ? 'succeeded-with-errors' : 'succeeded', '');
  }
}

/** No more tasks. What is left of its leases and ready ranges is swept by later commands. */
export function endJob(
  book: Book,
  job: JobRow,
  state: 'succeeded' | 'succeeded-with-errors' | 'failed' | 'cancelled',
  reason: string,
): void {
  assert(!isFinal(job.state), `job ${job.id} ends twice`);
  job.state = state;
  job.reason = reason;
  job.active = false;
  job.finishedMs = book.context.nowMs;
  book.touch(job);
}
