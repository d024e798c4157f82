/**
 * `idunno.work` [reports, hedges] → decisions: takes in what workers have done and leases them
 * what comes next, in one command, so that a task costs one commit.
 *
 * The steps are the same on every replica: first all that was finished, failed or given back, then
 * who takes part in the fair queue, then the leases, one for each worker in turn, those who hold
 * least first. A lease of the worker that it does not report as held is delivered again: the
 * answer that carried it was lost.
 *
 * The command decides nothing about membership: a worker that Raft does not list as up, at this
 * epoch, is told what became of its tasks and is given no new ones.
 */
import type { Wire } from '../net/index.js';
import { badArgument, type Command, parseCount } from '../store/index.js';
import { Book } from './book.js';
import { settleRevision } from './command-models.js';
import { refreshActivity, pickNext } from './fair-queue.js';
import { leaseKey } from './indexes.js';
import {
  ACTIVITY_CHANGES_MAX,
  INLINE_GRANT_BYTES_MAX,
  REPORT_WANT_MAX,
  WORK_UNITS_MAX,
} from './limits.js';
import {
  type Ack,
  type Grant,
  type ModelReport,
  readReport,
  type Report,
  writeDecision,
} from './protocol.js';
import { isRunnable, type JobRow, type LeaseRow, queriesOf } from './tables.js';
import { acceptDone, leaseHedge, leaseNext, releaseLease } from './task-machine.js';
import { readJobId, readList, readTuple } from './wire.js';

interface Hedge {
  readonly job: number;
  readonly from: number;
}

/** One worker's share in the command. */
interface Turn {
  readonly report: Report;
  readonly acks: Ack[];
  readonly grants: LeaseRow[];
  want: number;
}

/** What a report costs of WORK_UNITS_MAX. */
export function unitsOf(report: Report): number {
  const { done, failed, returned, models } = report;
  return (
    done.length +
    failed.length +
    returned.length +
    models.length +
    Math.min(report.want, REPORT_WANT_MAX)
  );
}

export const work: Command = (tx, args, context) => {
  const reports = readList(args[0], 'reports', WORK_UNITS_MAX, readReport);
  const hedges = readList(args[1] ?? [], 'hedges', WORK_UNITS_MAX, readHedge);
  const units = reports.reduce((sum, report) => sum + unitsOf(report), 0);
  if (units > WORK_UNITS_MAX) throw badArgument(`${units} units of work in one command`);

  const book = new Book(tx, context);
  const turns = reports.map((report) => openTurn(book, report));
  refresh(book);
  for (const turn of turns) {
    for (const hedge of hedges) tryHedge(book, turn, hedge);
  }
  grantInTurns(book, turns);
  book.flush();
  return turns.map(({ acks, grants }) =>
    writeDecision({ acks, grants: grants.map((lease) => toGrant(book, lease)) }),
  );
};

function readHedge(wire: Wire | undefined): Hedge {
  const [job, from] = readTuple(wire, 'a hedge', 2);
  return { job: readJobId(job), from: parseCount(from, 'the start of a task') };
}

/** Everything the report says has happened. */
function openTurn(book: Book, report: Report): Turn {
  for (const model of report.models) applyModelReport(book, report, model);
  for (const lease of report.returned) releaseLease(book, lease, 'returned', '');
  for (const task of report.failed) {
    releaseLease(book, task, task.kind, `${report.node}: ${task.reason}`, task.line);
  }
  const acks = report.done.map((done) => ({
    job: done.job,
    from: done.from,
    attempt: done.attempt,
    verdict: acceptDone(book, report, done),
  }));
  const lost = lostLeases(book, report);
  const mayWork = book.isUp(report.node, report.epoch);
  const want = mayWork ? Math.min(report.want, REPORT_WANT_MAX) - lost.length : 0;
  return { report, acks, grants: lost, want };
}

/** Leases granted to this worker that it does not know of. */
function lostLeases(book: Book, report: Report): LeaseRow[] {
  const named = [report.held, report.done, report.failed, report.returned];
  const known = new Set(named.flatMap((leases) => leases.map(leaseKey)));
  return book
    .leasesOfNode(report.node)
    .filter((lease) => lease.epoch === report.epoch && !known.has(leaseKey(lease)));
}

function applyModelReport(book: Book, report: Report, model: ModelReport): void {
  const { name, revision, state, error } = model;
  const hasFiles = state === 'fetched' || state === 'loading' || state === 'warm';
  if (hasFiles && book.revision(name, revision) !== undefined) {
    book.setCopy({ name, revision, node: report.node, epoch: report.epoch });
  }
  const row = book.assignmentsOf(name, revision).get(report.node);
  // Not given to it, or given to a later process of that name: old news.
  if (row === undefined || row.epoch > report.epoch) return;
  book.setAssignment({ ...row, epoch: report.epoch, state, error });
  settleRevision(book, name, revision);
}

/** A job takes part while it has ready work and a worker on which its model is warm. */
function refresh(book: Book): void {
  let changes = 0;
  const mayChange = (job: JobRow, isEligible: boolean): boolean => {
    if (job.active === isEligible) return isEligible;
    changes += 1;
    return changes <= ACTIVITY_CHANGES_MAX ? isEligible : job.active;
  };
  const isEligible = (job: JobRow) => mayChange(job, hasWork(job) && hasWarmWorker(book, job));
  for (const job of refreshActivity(book.allJobs(), isEligible, book.totals.v)) {
    if (job.active) job.activeSinceMs = book.context.nowMs;
    book.touch(job);
  }
}

export function hasWork(job: JobRow): boolean {
  return isRunnable(job.state) && (job.ready > 0 || job.cursor < queriesOf(job));
}

function hasWarmWorker(book: Book, job: JobRow): boolean {
  for (const row of book.assignmentsOf(job.model, job.revision).values()) {
    if (row.state === 'warm' && book.isUp(row.node, row.epoch)) return true;
  }
  return false;
}

function isWarmOn(book: Book, job: JobRow, report: Report): boolean {
  const row = book.assignmentsOf(job.model, job.revision).get(report.node);
  return row?.state === 'warm' && row.epoch === report.epoch;
}

function tryHedge(book: Book, turn: Turn, hedge: Hedge): void {
  const job = book.job(hedge.job);
  if (turn.want <= 0 || job === undefined || !isRunnable(job.state)) return;
  if (!isWarmOn(book, job, turn.report)) return;
  const lease = leaseHedge(book, job, hedge.from, turn.report);
  if (lease !== undefined) add(turn, lease);
}

function grantInTurns(book: Book, turns: readonly Turn[]): void {
  if (book.totals.inlineBytes >= INLINE_GRANT_BYTES_MAX) return;
  // Ready ranges made by this command are not indexed yet: the next command leases them.
  const exhausted = new Set<number>();
  const order = [...turns].sort((a, b) => a.report.held.length - b.report.held.length);
  let waiting = order.filter((turn) => turn.want > 0);
  while (waiting.length > 0) {
    waiting = waiting.filter((turn) => {
      const lease = grantOne(book, turn.report, exhausted);
      if (lease !== undefined) add(turn, lease);
      return lease !== undefined && turn.want > 0;
    });
  }
}

function grantOne(book: Book, report: Report, exhausted: Set<number>): LeaseRow | undefined {
  const canServe = (job: JobRow) =>
    !exhausted.has(job.id) && hasWork(job) && isWarmOn(book, job, report);
  for (;;) {
    const job = pickNext(book.allJobs(), canServe);
    if (job === undefined) return undefined;
    const lease = leaseNext(book, job, report);
    if (lease !== undefined) return lease;
    exhausted.add(job.id);
  }
}

function add(turn: Turn, lease: LeaseRow): void {
  turn.grants.push(lease);
  turn.want -= 1;
}

/** Leases of one node's index are of indexed jobs, so the job is there. */
function toGrant(book: Book, lease: LeaseRow): Grant {
  const job = book.job(lease.job);
  if (job === undefined) throw badArgument(`a lease of job ${lease.job}, which is not there`);
  const { job: id, from, attempt, to, gen } = lease;
  const { model, revision, manifest, manifestVersion, items } = job;
  return { job: id, from, attempt, to, gen, model, revision, manifest, manifestVersion, items };
}
