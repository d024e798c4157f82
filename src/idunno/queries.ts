/**
 * What can be asked about models and jobs. Queries read one coordinator's rows of one moment and
 * answer with plain objects in the shapes of types.ts; lists are bounded and paged.
 *
 * Rates need a "now", which the asker brings: the wall clock of its node. It differs from the
 * leader's by what the machines' clocks differ; the gap between jobs, which are all measured
 * against the same "now", does not suffer from it.
 */
import type { Ms, NodeId } from '../base/index.js';
import type { Wire } from '../net/index.js';
import { parseCount, type Query, type ReadView } from '../store/index.js';
import { modelNotFound } from './command-models.js';
import { explainJob } from './explain.js';
import {
  ASSIGNMENTS_INDEX,
  COPIES_INDEX,
  JOBS_INDEX,
  LEASES_INDEX,
  MODELS_INDEX,
  modelKey,
  NODES_INDEX,
} from './indexes.js';
import { findJob, toWire } from './query-parts.js';
import { edgeAfter, gapOf, rateSince, windowStart } from './rates.js';
import { EMPTY_STATS, summarize } from './stats.js';
import {
  type FailureRow,
  failures,
  isRunnable,
  type JobRow,
  jobs,
  type ModelRow,
  queriesOf,
  results,
  type SegmentRow,
  segments,
  stats,
  type TaskRow,
  tasks,
} from './tables.js';
import { taskQueries } from './task-queries.js';
import type { FairnessReport, JobInfo, JobStats, ModelInfo, TaskState } from './types.js';
import { readJobId, readModelName } from './wire.js';

/** Jobs in one answer: the newest ones. */
const JOBS_LISTED_MAX = 1_000;
/** Jobs looked at for those of one owner. */
const JOBS_SCANNED_MAX = 50_000;
/** Tasks in one page; with their inline results at most 16 KiB each. */
const TASK_PAGE_MAX = 500;
const TASK_PAGE_BYTES_MAX = 256 * 1024;
const FAILURE_PAGE_MAX = 500;

/** What a client must know of a job to read its results; see results.ts. */
export interface JobSource {
  readonly id: number;
  readonly state: string;
  readonly manifest: string;
  readonly manifestVersion: number;
  readonly items: number;
  readonly repeat: number;
  readonly queries: number;
}

/** One task row as results are read and verified from. */
export interface TaskPlace {
  readonly from: number;
  readonly to: number;
  readonly state: TaskState;
  readonly hash: string;
  readonly bytes: number;
  readonly failed: number;
  /** The lines themselves while they are in the tables, else where they lie. */
  readonly inline: Uint8Array | null;
  readonly file: string;
  readonly version: number;
  readonly fileBytes: number;
  readonly offset: number;
}

export function jobInfo(job: JobRow): JobInfo {
  return {
    id: job.id,
    model: job.model,
    revision: job.revision,
    state: job.state,
    owner: job.owner,
    label: job.label,
    batchSize: job.batch,
    weight: job.weight,
    repeat: job.repeat,
    items: job.items,
    queries: queriesOf(job),
    queriesDone: job.done,
    queriesFailed: job.failed,
    tasksDone: job.tasksDone,
    tasksWaiting: job.leases,
    createdMs: job.createdMs,
    startedMs: job.startedMs ?? undefined,
    firstResultMs: job.firstMs ?? undefined,
    finishedMs: job.finishedMs ?? undefined,
  };
}

export function jobStats(view: ReadView, job: JobRow, nowMs: Ms): JobStats {
  const row = view.get(stats, [job.id]) ?? EMPTY_STATS;
  const times = summarize(row);
  // A young job's rates are taken over its age, not over time before it began.
  const start = Math.max(windowStart(nowMs), edgeAfter(job.startedMs ?? nowMs));
  const recent = rateSince(row.slots, start, Math.max(nowMs, start));
  const endMs = job.finishedMs ?? nowMs;
  const seconds = Math.max(0, endMs - (job.startedMs ?? endMs)) / 1000;
  const leases = view.index(LEASES_INDEX).byJob.get(job.id)?.values() ?? [];
  const given = view.index(ASSIGNMENTS_INDEX).byModel.get(modelKey(job.model, job.revision));
  const warm = [...(given?.values() ?? [])].filter((each) => each.state === 'warm');
  return {
    id: job.id,
    model: job.model,
    state: job.state,
    queriesDone: job.done,
    tasksDone: job.tasksDone,
    itemsPerSecond10: recent.itemsPerSecond,
    tasksPerSecond10: recent.tasksPerSecond,
    itemsPerSecondTotal: seconds === 0 ? 0 : job.done / seconds,
    tasksPerSecondTotal: seconds === 0 ? 0 : job.tasksDone / seconds,
    meanSeconds: times.mean,
    stdSeconds: times.std,
    p25Seconds: times.p25,
    p50Seconds: times.p50,
    p75Seconds: times.p75,
    p99Seconds: times.p99,
    assignedNodes: nodeNames([...leases]),
    warmNodes: nodeNames(warm),
  };
}

function nodeNames(rows: readonly { readonly node: string }[]): NodeId[] {
  return [...new Set(rows.map((row) => row.node))].sort() as NodeId[];
}

/** Gap between the jobs that have ready work and a warm worker. */
export function fairness(view: ReadView, nowMs: Ms): FairnessReport {
  const competing = [...view.index(JOBS_INDEX).values()]
    .filter((job) => isRunnable(job.state) && job.active)
    .map((job) => ({ ...job, slots: (view.get(stats, [job.id]) ?? EMPTY_STATS).slots }));
  const { gap, windowMs, rates } = gapOf(competing, nowMs);
  return {
    gap,
    windowMs,
    jobs: rates.map(({ id, itemsPerSecond, tasks: tasksInWindow }) => ({
      id,
      itemsPerSecond,
      tasksInWindow,
    })),
  };
}

/** The newest revision, and what each worker has done with it. */
export function modelInfo(view: ReadView, model: ModelRow): ModelInfo {
  const { revisions } = view.index(MODELS_INDEX);
  const key = modelKey(model.name, model.newest);
  const row = revisions.get(key);
  const given = view.index(ASSIGNMENTS_INDEX).byModel.get(key);
  const copies = view.index(COPIES_INDEX).get(key);
  const others = [...view.index(NODES_INDEX).values()].filter(
    (node) => node.status === 'up' && given?.has(node.name) !== true,
  );
  return {
    name: model.name,
    revision: model.newest,
    state: row?.state ?? 'Undeployed',
    description: row?.description ?? '',
    workers: [...(given?.values() ?? [])]
      .sort((a, b) => (a.node < b.node ? -1 : 1))
      .map(({ node, state, error }) => ({
        node: node as NodeId,
        state,
        ...(error === null ? {} : { error }),
      })),
    others: others
      .map(({ name, epoch }) => ({
        node: name as NodeId,
        state: copies?.get(name)?.epoch === epoch ? ('prefetched' as const) : ('absent' as const),
      }))
      .sort((a, b) => (a.node < b.node ? -1 : 1)),
    files: row?.files ?? [],
  };
}

/** The newest ones, oldest first; of one owner: among the newest JOBS_SCANNED_MAX. */
async function listJobs(view: ReadView, owner: Wire | undefined): Promise<JobRow[]> {
  const isOfAll = owner === null || owner === undefined;
  const rows: JobRow[] = [];
  const range = { limit: isOfAll ? JOBS_LISTED_MAX : JOBS_SCANNED_MAX, reverse: true };
  for await (const [, row] of view.scan(jobs, range)) {
    if (isOfAll || row.owner === owner) rows.push(row);
    if (rows.length >= JOBS_LISTED_MAX) break;
  }
  return rows.reverse();
}

/** `idunno.job.source` [id] → JobSource. */
const jobSource: Query = (view, args) => {
  const job = findJob(view, args);
  const { id, state, manifest, manifestVersion, items, repeat } = job;
  return toWire({ id, state, manifest, manifestVersion, items, repeat, queries: queriesOf(job) });
};

/** `idunno.job.tasks` [id, after|null, limit] → TaskPlace[] by `from`; empty at the end. */
const jobTasks: Query = async (view, args) => {
  const { id } = findJob(view, args);
  const limit = parseCount(args[2] ?? TASK_PAGE_MAX, 'the limit of a page', TASK_PAGE_MAX);
  const after =
    args[1] === null || args[1] === undefined ? {} : { after: [id, readJobId(args[1])] };
  const page: TaskPlace[] = [];
  let bytes = 0;
  const known = new Map<number, SegmentRow | undefined>();
  for await (const [[, from], task] of view.scan(tasks, { prefix: [id], ...after, limit })) {
    const place = taskPlace(view, id, from as number, task, known);
    page.push(place);
    bytes += place.inline?.length ?? 0;
    if (bytes >= TASK_PAGE_BYTES_MAX) break;
  }
  return toWire(page);
};

function taskPlace(
  view: ReadView,
  id: number,
  from: number,
  task: TaskRow,
  known: Map<number, SegmentRow | undefined>,
): TaskPlace {
  if (!known.has(task.segment) && task.segment > 0) {
    known.set(task.segment, view.get(segments, [id, task.segment]));
  }
  const segment = known.get(task.segment);
  const isFinished = task.state === 'Success' || task.state === 'Dead';
  const inline = isFinished && task.segment === 0 ? view.get(results, [id, from])?.bytes : null;
  return {
    from,
    to: task.to,
    state: task.state,
    hash: task.hash,
    bytes: task.bytes,
    failed: task.failed,
    inline: inline ?? null,
    file: segment?.file ?? '',
    version: segment?.version ?? 0,
    fileBytes: segment?.bytes ?? 0,
    offset: task.offset,
  };
}

/** `idunno.job.task` [id, from] → TaskPlace or null. */
const jobTask: Query = (view, args) => {
  const { id } = findJob(view, args);
  const from = parseCount(args[1], 'the number of a task');
  const task = view.get(tasks, [id, from]);
  return task === undefined ? null : toWire(taskPlace(view, id, from, task, new Map()));
};

/** `idunno.job.failures` [id, after|null] → [{from, count, named}] by `from`. */
const jobFailures: Query = async (view, args) => {
  const { id } = findJob(view, args);
  const after =
    args[1] === null || args[1] === undefined ? {} : { after: [id, readJobId(args[1])] };
  const rows: FailureRow[] = [];
  const range = { prefix: [id], ...after, limit: FAILURE_PAGE_MAX };
  for await (const [, row] of view.scan(failures, range)) rows.push(row);
  return toWire(rows);
};

const modelList: Query = (view) => {
  const { models } = view.index(MODELS_INDEX);
  const listed = [...models.values()].filter((model) => !model.isRemoved);
  const rows = listed.sort((a, b) => (a.name < b.name ? -1 : 1));
  return toWire(rows.map((row) => modelInfo(view, row)));
};

const modelOne: Query = (view, args) => {
  const name = readModelName(args[0]);
  const row = view.index(MODELS_INDEX).models.get(name);
  if (row === undefined || row.isRemoved) throw modelNotFound(name);
  return toWire({ ...modelInfo(view, row), serving: row.serving, error: errorOf(view, row) });
};

function errorOf(view: ReadView, row: ModelRow): string | null {
  return view.index(MODELS_INDEX).revisions.get(modelKey(row.name, row.newest))?.error ?? null;
}

/** `idunno.stats` [id|null, nowMs, owner|null] → JobStats[]. */
const statsList: Query = async (view, args) => {
  const nowMs = parseCount(args[1], 'the time now');
  const wanted =
    args[0] === null || args[0] === undefined
      ? await listJobs(view, args[2])
      : [findJob(view, args)];
  return toWire(wanted.map((job) => jobStats(view, job, nowMs)));
};

export const queries: Readonly<Record<string, Query>> = {
  'idunno.models': modelList,
  'idunno.model': modelOne,
  /** [owner|null] → JobInfo[]. */
  'idunno.jobs': async (view, args) => toWire((await listJobs(view, args[0])).map(jobInfo)),
  'idunno.job': (view, args) => toWire(jobInfo(findJob(view, args))),
  'idunno.stats': statsList,
  /** [nowMs] → FairnessReport. */
  'idunno.fairness': (view, args) => toWire(fairness(view, parseCount(args[0], 'the time now'))),
  /** [id, nowMs] → JobExplanation. */
  'idunno.job.explain': (view, args) =>
    toWire(explainJob(view, findJob(view, args), parseCount(args[1], 'the time now'))),
  'idunno.job.source': jobSource,
  'idunno.job.tasks': jobTasks,
  'idunno.job.task': jobTask,
  'idunno.job.failures': jobFailures,
  ...taskQueries,
};
