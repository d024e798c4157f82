/**
 * Commands about jobs: create, pause, resume, cancel, change the batch size; and the two kinds of
 * housekeeping that the leader proposes: sweeping what a job left behind, and recording where its
 * results lie after compaction.
 *
 *            first lease
 *   queued ─────────────▶ running ──▶ succeeded | succeeded-with-errors | failed
 *     │  ▲                 │  ▲
 *     ▼  │ resume    pause ▼  │ resume         any of the three ──▶ cancelled
 *    paused ◀──────────── paused
 *      ▲ created paused
 *
 * Refusals: MODEL_NOT_FOUND, MODEL_UNDEPLOYED, NO_INPUT, JOB_NOT_FOUND, JOB_STATE, BUSY.
 */
import { assert, IdunnoError } from '../base/index.js';
import type { Wire } from '../net/index.js';
import {
  badArgument,
  type Command,
  parseCount,
  parseObject,
  parseText,
  type Tx,
  type WireObject,
} from '../store/index.js';
import { Book } from './book.js';
import { modelNotFound } from './command-models.js';
import { JOBS_INDEX } from './indexes.js';
import {
  BATCH_MAX,
  COMPACT_TASKS_MAX,
  LIVE_JOBS_MAX,
  QUERIES_MAX,
  REASON_CHARS_MAX,
  SWEEP_LEASES_MAX,
  WEIGHT_MAX,
} from './limits.js';
import {
  isFinal,
  isRunnable,
  type JobRow,
  jobs,
  models,
  NO_TOTALS,
  ready,
  results,
  segments,
  tasks,
  totals,
} from './tables.js';
import { endJob, releaseLease } from './task-machine.js';
import { readJobId, readList, readModelName, readReason, readTuple } from './wire.js';

const LABEL_CHARS_MAX = 128;

/**
 * `idunno.job.create` [spec] → the job's number. spec: {model, manifest, manifestVersion, items,
 * batch, weight, repeat, owner, label, maxFailed|null, paused}.
 */
export const createJob: Command = (tx, args, context) => {
  const spec = parseObject(args[0], 'a job');
  const model = readModelName(spec['model']);
  const revision = servingRevision(tx, model);
  const items = parseCount(spec['items'], 'the items of a job', QUERIES_MAX);
  if (items === 0) {
    throw new IdunnoError('NO_INPUT', 'no file matches the inputs of the job: put some first');
  }
  if (tx.index(JOBS_INDEX).size >= LIVE_JOBS_MAX) {
    throw new IdunnoError('BUSY', `${LIVE_JOBS_MAX} jobs are not finished: cancel some, or wait`);
  }
  const before = tx.get(totals, [0]) ?? NO_TOTALS;
  const id = before.jobs + 1;
  tx.put(totals, [0], { ...before, jobs: id });
  tx.put(jobs, [id], {
    id,
    model,
    revision,
    manifest: parseText(spec['manifest'], 'the name of an input list', 1024),
    manifestVersion: parseCount(spec['manifestVersion'], 'the version of an input list'),
    items,
    ...readPlan(spec, items),
    createdMs: context.nowMs,
    ...NEW_JOB,
    state: spec['paused'] === true ? 'paused' : 'queued',
  });
  return id;
};

const NEW_JOB = {
  reason: '',
  cursor: 0,
  ready: 0,
  leases: 0,
  done: 0,
  failed: 0,
  tasksDone: 0,
  v: 0,
  active: false,
  activeSinceMs: 0,
  startedMs: null,
  firstMs: null,
  finishedMs: null,
  inlineTasks: 0,
  inlineBytes: 0,
  segments: 0,
} as const;

function servingRevision(tx: Tx, name: string): number {
  const row = tx.get(models, [name]);
  if (row === undefined || row.isRemoved) throw modelNotFound(name);
  if (row.serving > 0) return row.serving;
  throw modelUndeployed(name, row.deploying > 0);
}

/** `isLoading`: it is on its way. */
export function modelUndeployed(name: string, isLoading: boolean): IdunnoError {
  const why = isLoading
    ? 'its workers are still loading it: wait until it is Deployed'
    : 'deploy its folder again first';
  return new IdunnoError('MODEL_UNDEPLOYED', `model ${name} is not deployed; ${why}`, {
    model: name,
  });
}

function readPlan(spec: WireObject, items: number) {
  const repeat = atLeastOne(spec['repeat'], 'repeat', QUERIES_MAX);
  if (items * repeat > QUERIES_MAX) {
    throw badArgument(`${items} items × ${repeat} are more than ${QUERIES_MAX} queries`);
  }
  const { maxFailed } = spec;
  return {
    repeat,
    batch: atLeastOne(spec['batch'], 'the batch size', BATCH_MAX),
    weight: atLeastOne(spec['weight'], 'the weight', WEIGHT_MAX),
    owner: readReason(spec['owner'] ?? '', 'the owner', LABEL_CHARS_MAX),
    label: readReason(spec['label'] ?? '', 'the label', LABEL_CHARS_MAX),
    maxFailed:
      maxFailed === null || maxFailed === undefined
        ? null
        : parseCount(maxFailed, 'the number of items that may fail'),
  };
}

function atLeastOne(value: Wire | undefined, what: string, max: number): number {
  const count = parseCount(value, what, max);
  if (count === 0) throw badArgument(`${what} is 0; it must be 1 to ${max}`);
  return count;
}

/** `idunno.job.pause` [id] → state. Its leases are swept; what is being computed still counts. */
export const pauseJob: Command = (tx, args, context) =>
  changeJob(new Book(tx, context), readJobId(args[0]), 'pause', (job) => {
    if (job.state === 'paused') return;
    job.state = 'paused';
    job.active = false;
  });

/** `idunno.job.resume` [id] → state. */
export const resumeJob: Command = (tx, args, context) =>
  changeJob(new Book(tx, context), readJobId(args[0]), 'resume', (job) => {
    if (job.state !== 'paused') return;
    job.state = job.startedMs === null ? 'queued' : 'running';
  });

/** `idunno.job.cancel` [id] → state. Cancelling twice is no error. */
export const cancelJob: Command = (tx, args, context) => {
  const book = new Book(tx, context);
  const id = readJobId(args[0]);
  if (tx.get(jobs, [id])?.state === 'cancelled') return 'cancelled';
  return changeJob(book, id, 'cancel', (job) =>
    endJob(book, job, 'cancelled', 'cancelled by hand'),
  );
};

/**
 * `idunno.job.give-up` [id, reason] → state. Proposed by the leader for a job whose model no worker
 * could load (scaler.ts); a worker that has loaded it meanwhile, or a person who paused the job,
 * was faster.
 */
export const giveUpJob: Command = (tx, args, context) => {
  const book = new Book(tx, context);
  const id = readJobId(args[0]);
  const reason = readReason(args[1], 'a reason', REASON_CHARS_MAX);
  const job = book.job(id);
  if (job === undefined || !isRunnable(job.state)) return tx.get(jobs, [id])?.state ?? null;
  const workers = [...book.assignmentsOf(job.model, job.revision).values()];
  if (workers.some(({ state }) => state !== 'failed')) return job.state;
  endJob(book, job, 'failed', reason);
  book.flush();
  return job.state;
};

/** `idunno.job.set-batch-size` [id, size] → state. Holds for every range that is leased next. */
export const setBatchSize: Command = (tx, args, context) => {
  const batch = atLeastOne(args[1], 'the batch size', BATCH_MAX);
  return changeJob(new Book(tx, context), readJobId(args[0]), 'change', (job) => {
    job.batch = batch;
  });
};

function changeJob(book: Book, id: number, verb: string, change: (job: JobRow) => void): Wire {
  const job = book.job(id);
  const state = job?.state ?? book.tx.get(jobs, [id])?.state;
  if (state === undefined) throw jobNotFound(id);
  if (job === undefined || isFinal(state)) {
    throw new IdunnoError('JOB_STATE', `cannot ${verb} job ${id}: it is ${state}`, {
      job: id,
      state,
    });
  }
  change(job);
  book.touch(job);
  book.flush();
  return job.state;
}

export function jobNotFound(id: number): IdunnoError {
  return new IdunnoError('JOB_NOT_FOUND', `there is no job ${id}: see the list of jobs`, {
    job: id,
  });
}

/**
 * `idunno.job.sweep` [id] → rows left. Ends leases of a job that is paused or over, and forgets the
 * ready ranges of one that is over.
 */
export const sweepJob: Command = (tx, args, context) => {
  const book = new Book(tx, context);
  const job = book.job(readJobId(args[0]));
  if (job === undefined || isRunnable(job.state)) return 0;
  for (const lease of book.leasesOfJob(job.id).slice(0, SWEEP_LEASES_MAX)) {
    releaseLease(book, lease, 'returned', '');
  }
  if (isFinal(job.state)) {
    for (const from of book.readyOf(job.id).slice(0, SWEEP_LEASES_MAX)) {
      tx.delete(ready, [job.id, from]);
      job.ready -= 1;
      book.touch(job);
    }
  }
  book.flush();
  return job.leases + (isFinal(job.state) ? job.ready : 0);
};

/**
 * `idunno.results.compacted` [id, segment, file, version, bytes, places] → segment. The results of
 * these tasks lie in this SDFS file from now on; places: [[from, offset, bytes]]. Segment 0 takes a
 * new number; a further command about the same file names it. Tasks that were moved before are
 * passed over, so a repeated command changes nothing.
 */
export const compactResults: Command = (tx, args, context) => {
  const book = new Book(tx, context);
  const id = readJobId(args[0]);
  const job = book.job(id);
  const given = parseCount(args[1], 'a segment');
  if (job === undefined) {
    // Not indexed any more: all of its results have been moved.
    if (tx.get(jobs, [id]) === undefined) throw jobNotFound(id);
    return given;
  }
  if (given > job.segments) {
    throw badArgument(`segment ${given} of job ${id}, which has ${job.segments}`);
  }
  const row = {
    file: parseText(args[2], 'the name of a result file', 1024),
    version: parseCount(args[3], 'the version of a result file'),
    bytes: parseCount(args[4], 'the bytes of a result file'),
  };
  const segment = given === 0 ? job.segments + 1 : given;
  let moved = 0;
  readList(args[5], 'places', COMPACT_TASKS_MAX, (wire) => {
    const [start, offset, bytes] = readTuple(wire, 'a place', 3);
    const from = parseCount(start, 'the start of a task');
    const task = tx.get(tasks, [job.id, from]);
    const isFinished = task?.state === 'Success' || task?.state === 'Dead';
    if (task === undefined || !isFinished || task.segment !== 0) return;
    if (parseCount(bytes, 'the bytes of a result') !== task.bytes) {
      throw badArgument(`result ${job.id}/${from} has ${task.bytes} bytes, not ${String(bytes)}`);
    }
    tx.put(tasks, [job.id, from], {
      ...task,
      segment,
      offset: parseCount(offset, 'the place of a result'),
    });
    tx.delete(results, [job.id, from]);
    job.inlineTasks -= 1;
    job.inlineBytes -= task.bytes;
    book.setTotals({ inlineBytes: book.totals.inlineBytes - task.bytes });
    moved += 1;
  });
  if (moved === 0) return given;
  assert(job.inlineTasks >= 0 && job.inlineBytes >= 0, `inline results of job ${job.id}`);
  if (given === 0) {
    job.segments = segment;
    tx.put(segments, [job.id, segment], row);
  }
  book.touch(job);
  book.flush();
  return segment;
};
