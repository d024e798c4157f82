/**
 * What has happened to models, jobs and tasks, as events for the log: read off the rows that a
 * group of commands has changed. Pure. Names and fields are a contract (docs/logs.md): fields are
 * added, never renamed, because measurements are taken from these lines.
 *
 * `atMs` is the time of the log entry, which the leader wrote into it; `index` names the change, so
 * that lines about one change from several nodes can be told from several changes.
 */
import type { Change } from '../store/index.js';
import {
  assignments,
  type AssignmentRow,
  type DecisionRow,
  decisions,
  isFinal,
  type JobRow,
  jobs,
  type LeaseRow,
  leases,
  queriesOf,
  revisions,
  type RevisionRow,
  type TaskRow,
  tasks,
} from './tables.js';

export interface StateEvent {
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Rows change with every task; reading them costs, so only who wants these events asks. */
export interface EventOptions {
  readonly withTasks: boolean;
}

/** In the order of the changes; a task that is finished is told after its lease has ended. */
export function eventsOf(
  changes: readonly Change[],
  { withTasks }: EventOptions,
): readonly StateEvent[] {
  const events: StateEvent[] = [];
  for (const change of changes) {
    const { bucket } = change.table;
    if (bucket === jobs.bucket) events.push(...jobEvents(change));
    else if (bucket === revisions.bucket) events.push(...revisionEvents(change));
    else if (bucket === assignments.bucket) events.push(...workerEvents(change));
    else if (bucket === decisions.bucket) events.push(...decisionEvents(change));
  }
  if (withTasks) events.push(...taskEvents(changes));
  return events;
}

/** Rows of old decisions are written over by new ones. */
function decisionEvents(change: Change): StateEvent[] {
  const row = change.after as DecisionRow | undefined;
  if (row === undefined) return [];
  const { name: model, revision, added, removed, reason, atMs } = row;
  const fields = { model, revision, added, removed, reason, atMs };
  return [{ event: 'scaling.decision', fields }];
}

function jobEvents(change: Change): StateEvent[] {
  const after = change.after as JobRow | undefined;
  if (after === undefined) return [];
  const before = change.before as JobRow | undefined;
  const { id: job, model, revision, label, owner, batch, weight, state } = after;
  const queries = queriesOf(after);
  if (before === undefined) {
    const { createdMs: atMs } = after;
    const plan = { job, model, revision, queries, batch, weight, owner, label };
    return [{ event: 'job.submitted', fields: { ...plan, atMs } }];
  }
  const events: StateEvent[] = [];
  if (before.state !== state) {
    const { done, failed, reason } = after;
    const how = isFinal(state) ? { reason, atMs: after.finishedMs } : {};
    const fields = { job, model, before: before.state, after: state, queries, done, failed };
    events.push({ event: 'job.change', fields: { ...fields, ...how } });
  }
  if (before.firstMs === null && after.firstMs !== null) {
    const { firstMs: atMs, createdMs } = after;
    const fields = { job, model, sinceSubmittedMs: atMs - createdMs, atMs };
    events.push({ event: 'job.first-result', fields });
  }
  if (before.batch !== batch) {
    const fields = { job, model, before: before.batch, after: batch };
    events.push({ event: 'job.batch-size', fields });
  }
  return events;
}

function revisionEvents(change: Change): StateEvent[] {
  const after = change.after as RevisionRow | undefined;
  const before = change.before as RevisionRow | undefined;
  if (after === undefined || before?.state === after.state) return [];
  const { name: model, revision, state, error } = after;
  const fields = { model, revision, before: before?.state ?? 'none', after: state };
  return [{ event: 'model.change', fields: error === null ? fields : { ...fields, error } }];
}

/** `none` after: the model was taken from the worker. */
function workerEvents(change: Change): StateEvent[] {
  const after = change.after as AssignmentRow | undefined;
  const before = change.before as AssignmentRow | undefined;
  const row = after ?? before;
  if (row === undefined || before?.state === after?.state) return [];
  const { name: model, revision, node: worker } = row;
  const states = { before: before?.state ?? 'none', after: after?.state ?? 'none' };
  const error = after?.error ?? null;
  const fields = { model, revision, worker, ...states };
  return [{ event: 'model.worker', fields: error === null ? fields : { ...fields, error } }];
}

function taskEvents(changes: readonly Change[]): StateEvent[] {
  const events: StateEvent[] = [];
  /** Leases that end in this group, by task: a finished task tells when its own was granted. */
  const ended = new Map<string, LeaseRow[]>();
  const finished = new Set<string>();
  for (const change of changes) {
    if (change.table.bucket === leases.bucket) {
      const granted = change.after as LeaseRow | undefined;
      if (granted !== undefined) events.push(leaseEvent(granted));
      const lease = change.before as LeaseRow | undefined;
      if (lease === undefined || granted !== undefined) continue;
      const key = `${lease.job}/${lease.from}`;
      ended.set(key, [...(ended.get(key) ?? []), lease]);
    }
  }
  for (const change of changes) {
    if (change.table.bucket !== tasks.bucket) continue;
    const event = finishEvent(change, ended);
    if (event === undefined) continue;
    finished.add(change.key.join('/'));
    events.push(event);
  }
  for (const [key, released] of ended) {
    if (!finished.has(key)) events.push(...released.map(releaseEvent));
  }
  return events;
}

function leaseEvent({ job, from: task, to, attempt, node: worker, atMs }: LeaseRow): StateEvent {
  const fields = { job, task, queries: to - task, attempt, worker, atMs };
  return { event: 'task.leased', fields };
}

/** The lease is gone and the task is not finished: it is ready again, was cut, or held twice. */
function releaseEvent({ job, from: task, attempt, node: worker, atMs }: LeaseRow): StateEvent {
  return { event: 'task.released', fields: { job, task, attempt, worker, leasedMs: atMs } };
}

function finishEvent(
  change: Change,
  ended: ReadonlyMap<string, readonly LeaseRow[]>,
): StateEvent | undefined {
  const after = change.after as TaskRow | undefined;
  if (after?.state !== 'Success' && after?.state !== 'Dead') return undefined;
  const before = change.before as TaskRow | undefined;
  // Compaction moves the result of a task that was finished before.
  if (before?.state === 'Success' || before?.state === 'Dead') return undefined;
  const [job, task] = change.key;
  const queries = after.to - Number(task);
  const { failed, node: worker, micros, atMs } = after;
  if (after.state === 'Dead') return { event: 'task.dead', fields: { job, task, queries, atMs } };
  const lease = ended.get(change.key.join('/'))?.find((each) => each.node === worker);
  // A result may come when its lease has been taken away already: then nobody knows when that was.
  const fields = { job, task, queries, failed, worker, ms: micros / 1000, atMs };
  const leased = { attempt: lease?.attempt ?? null, leasedMs: lease?.atMs ?? null };
  return { event: 'task.done', fields: { ...fields, ...leased } };
}
