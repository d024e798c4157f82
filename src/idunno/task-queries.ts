/**
 * Tasks and result files as people list them: pages of one coordinator's rows of one moment, without
 * the results' bytes (queries.ts has those).
 *
 * A job's tasks are cut from it when they are leased, so most of a waiting job is no task yet: the
 * listing ends with one entry for that rest.
 */
import type { NodeId } from '../base/index.js';
import type { Wire } from '../net/index.js';
import { parseCount, type Query, type ReadView } from '../store/index.js';
import { LEASES_INDEX } from './indexes.js';
import { resultFileName } from './result-names.js';
import {
  isFinal,
  type JobRow,
  queriesOf,
  type SegmentRow,
  segments,
  type TaskRow,
  tasks,
} from './tables.js';
import type { ResultFile, ResultPage, TaskInfo, TaskPage } from './types.js';
import { findJob, toWire } from './query-parts.js';
import { readJobId } from './wire.js';

const PAGE_MAX = 1_000;

/** `idunno.job.tasklist` [id, after|null, limit] → TaskPage. */
const taskList: Query = async (view, args) => {
  const job = findJob(view, args);
  const limit = parseCount(args[2] ?? PAGE_MAX, 'the limit of a page', PAGE_MAX);
  const after = args[1] === null || args[1] === undefined ? undefined : readJobId(args[1]);
  const range = {
    prefix: [job.id],
    limit,
    ...(after === undefined ? {} : { after: [job.id, after] }),
  };
  const page: TaskInfo[] = [];
  for await (const [[, from], row] of view.scan(tasks, range)) {
    page.push(taskInfo(view, job, from as number, row));
  }
  const last = page.at(-1);
  const isMore = page.length === limit && last !== undefined;
  if (isMore) return toWire({ tasks: page, next: last.task } satisfies TaskPage);
  return toWire({ tasks: [...page, ...restOf(job)], next: undefined } satisfies TaskPage);
};

function taskInfo(view: ReadView, job: JobRow, task: number, row: TaskRow): TaskInfo {
  const isFinished = row.state === 'Success' || row.state === 'Dead';
  return {
    task,
    to: row.to,
    state: row.state,
    isCut: true,
    attempts: row.attempt,
    nodes: isFinished ? nodesOf([row.node]) : nodesOf(holdersOf(view, job.id, task)),
    queriesFailed: row.failed,
    seconds: isFinished ? row.micros / 1e6 : undefined,
    finishedMs: isFinished ? row.atMs : undefined,
    file: isFinished ? resultFileName(job.id, task) : undefined,
  };
}

function holdersOf(view: ReadView, job: number, task: number): string[] {
  const leases = [...(view.index(LEASES_INDEX).byJob.get(job)?.values() ?? [])];
  return leases.filter((lease) => lease.from === task).map((lease) => lease.node);
}

/** A task that was given up has no worker. */
function nodesOf(names: readonly string[]): NodeId[] {
  return [...new Set(names)].filter((name) => name !== '').sort() as NodeId[];
}

/** What was never part of a task; nobody will cut it from a job that is over. */
function restOf(job: JobRow): TaskInfo[] {
  const to = queriesOf(job);
  if (isFinal(job.state) || job.cursor >= to) return [];
  return [
    {
      task: job.cursor,
      to,
      state: 'Ready',
      isCut: false,
      attempts: 0,
      nodes: [],
      queriesFailed: 0,
      seconds: undefined,
      finishedMs: undefined,
      file: undefined,
    },
  ];
}

/**
 * `idunno.results.list` [job|null for all, after job|null, after task|null, limit] → ResultPage.
 * Unfinished tasks are looked at and left out, so a page may be empty and go on.
 */
const resultList: Query = async (view, args) => {
  const limit = parseCount(args[3] ?? PAGE_MAX, 'the limit of a page', PAGE_MAX);
  const prefix = args[0] === null || args[0] === undefined ? [] : [readJobId(args[0])];
  const isFirst = args[1] === null || args[1] === undefined;
  const after = isFirst ? {} : { after: [readJobId(args[1]), parseCount(args[2], 'a task')] };
  const files: ResultFile[] = [];
  const known = new Map<string, SegmentRow | undefined>();
  let looked = 0;
  let last: readonly [number, number] = [0, 0];
  for await (const [key, row] of view.scan(tasks, { prefix, ...after, limit })) {
    last = [key[0] as number, key[1] as number];
    looked += 1;
    if (row.state !== 'Success' && row.state !== 'Dead') continue;
    files.push(resultFile(view, ...last, row, known));
  }
  const next = looked < limit ? undefined : { job: last[0], task: last[1] };
  return toWire({ files, next } satisfies ResultPage);
};

function resultFile(
  view: ReadView,
  job: number,
  task: number,
  row: TaskRow,
  known: Map<string, SegmentRow | undefined>,
): ResultFile {
  const key = `${job}/${row.segment}`;
  if (row.segment > 0 && !known.has(key)) known.set(key, view.get(segments, [job, row.segment]));
  const segment = known.get(key);
  return {
    name: resultFileName(job, task),
    job,
    task,
    bytes: row.bytes,
    sha256: row.hash,
    createdMs: row.atMs,
    segment: segment === undefined ? undefined : { name: segment.file, version: segment.version },
  };
}

/** `idunno.results.stat` [job, task] → ResultFile, or null while there is none. */
const resultStat: Query = (view, args): Wire => {
  const job = readJobId(args[0]);
  const task = parseCount(args[1], 'the number of a task');
  const row = view.get(tasks, [job, task]);
  const isFinished = row?.state === 'Success' || row?.state === 'Dead';
  return row === undefined || !isFinished
    ? null
    : toWire(resultFile(view, job, task, row, new Map()));
};

export const taskQueries: Readonly<Record<string, Query>> = {
  'idunno.job.tasklist': taskList,
  'idunno.results.list': resultList,
  'idunno.results.stat': resultStat,
};
