/**
 * What the nodes' logs say about tasks: which were leased when and to whom, and which were done.
 * Leaders write these lines (docs/logs.md); all nodes run on this machine, so their clocks agree.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface TaskLease {
  readonly job: number;
  readonly task: number;
  readonly attempt: number;
  readonly worker: string;
  /** Wall clock, ms. */
  readonly atMs: number;
}

export interface TaskDone {
  readonly job: number;
  readonly task: number;
  readonly queries: number;
  readonly worker: string;
  /** Processing time, ms. */
  readonly ms: number;
  /** When its own lease was granted; undefined where the log cannot tell. */
  readonly leasedMs: number | undefined;
  /** Wall clock, ms, when the leader had its completion committed and applied. */
  readonly atMs: number;
}

export interface TaskLog {
  readonly leases: readonly TaskLease[];
  readonly done: readonly TaskDone[];
}

type Line = Readonly<Record<string, unknown>>;

/** Reads the logs of these data folders, all segments. Lines cut short by a kill are left out. */
export async function readTaskLog(dataDirs: readonly string[]): Promise<TaskLog> {
  const leases = new Map<string, TaskLease>();
  const done = new Map<string, TaskDone>();
  for (const dir of dataDirs) {
    for await (const line of logLines(join(dir, 'logs'))) {
      const name = `${line['job']}/${line['task']}`;
      if (line['event'] === 'task.leased') {
        leases.set(`${name}/${line['attempt']}`, leaseOf(line));
      } else if (line['event'] === 'task.done') {
        const each = doneOf(line);
        // A new leader may write what the old one wrote already: the first to say it counts.
        const known = done.get(name);
        if (known === undefined || each.atMs < known.atMs) done.set(name, each);
      }
    }
  }
  return { leases: [...leases.values()], done: [...done.values()] };
}

async function* logLines(folder: string): AsyncGenerator<Line> {
  const names = (await readdir(folder)).filter((name) => name.startsWith('node.log'));
  for (const name of names) {
    for (const text of (await readFile(join(folder, name), 'utf8')).split('\n')) {
      if (!text.includes('"task.')) continue;
      try {
        yield JSON.parse(text) as Line;
      } catch {
        // The last line of a node that was killed.
      }
    }
  }
}

function leaseOf(line: Line): TaskLease {
  return {
    job: Number(line['job']),
    task: Number(line['task']),
    attempt: Number(line['attempt']),
    worker: String(line['worker']),
    atMs: Number(line['atMs']),
  };
}

function doneOf(line: Line): TaskDone {
  const leasedMs = line['leasedMs'];
  return {
    job: Number(line['job']),
    task: Number(line['task']),
    queries: Number(line['queries']),
    worker: String(line['worker']),
    ms: Number(line['ms']),
    leasedMs: typeof leasedMs === 'number' ? leasedMs : undefined,
    atMs: Date.parse(String(line['time'])),
  };
}

/**
 * From a failure to the next result of a task that was leased after it, ms. NaN when there is
 * none.
 */
export function resumeMs(log: TaskLog, jobs: ReadonlySet<number>, failedAtMs: number): number {
  const after = log.done.filter(
    ({ job, leasedMs }) => jobs.has(job) && leasedMs !== undefined && leasedMs > failedAtMs,
  );
  return after.length === 0 ? Number.NaN : Math.min(...after.map(({ atMs }) => atMs)) - failedAtMs;
}

/**
 * From a worker's failure until the last task that it held has its result, from a lease granted
 * after the failure, ms. NaN when one never came; undefined when the worker held nothing.
 */
export function redoneMs(
  log: TaskLog,
  jobs: ReadonlySet<number>,
  worker: string,
  failedAtMs: number,
): number | undefined {
  const finished = new Map(log.done.map((each) => [`${each.job}/${each.task}`, each]));
  const times = log.leases
    .filter((lease) => lease.worker === worker && jobs.has(lease.job) && lease.atMs <= failedAtMs)
    .map(({ job, task }) => finished.get(`${job}/${task}`)?.atMs ?? Number.NaN)
    .filter((atMs) => !(atMs <= failedAtMs));
  return times.length === 0 ? undefined : Math.max(...times) - failedAtMs;
}
