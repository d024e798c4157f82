/**
 * One command's working copy of what many of its steps share: job rows, assignments and the
 * totals. Steps change the copies; `flush` writes each changed row once. What is not flushed,
 * because the command refused, never happened.
 *
 * Indexes show rows as they were before the command, so copies come from there without a read.
 */
import { assert } from '../base/index.js';
import type { CommandContext, Tx } from '../store/index.js';
import {
  ASSIGNMENTS_INDEX,
  type JobIndex,
  JOBS_INDEX,
  LEASES_INDEX,
  MODELS_INDEX,
  modelKey,
  NODES_INDEX,
  READY_INDEX,
} from './indexes.js';
import { DECISIONS_KEPT_MAX } from './limits.js';
import {
  type AssignmentRow,
  assignments,
  type CopyRow,
  copies,
  type DecisionRow,
  decisions,
  type JobRow,
  jobs,
  type LeaseRow,
  type ModelRow,
  NO_TOTALS,
  type RevisionRow,
  stats,
  type StatsRow,
  totals,
  type TotalsRow,
} from './tables.js';
import { EMPTY_STATS } from './stats.js';

export class Book {
  readonly tx: Tx;
  readonly context: CommandContext;
  readonly #jobs = new Map<number, JobRow>();
  readonly #changedJobs = new Set<number>();
  readonly #assignments = new Map<string, Map<string, AssignmentRow>>();
  readonly #stats = new Map<number, StatsRow>();
  #totals: TotalsRow | undefined;
  #totalsChanged = false;
  #allJobs = false;

  constructor(tx: Tx, context: CommandContext) {
    this.tx = tx;
    this.context = context;
  }

  /** A job that is live or has results to compact: a copy that may be changed, then `touch`ed. */
  job(id: number): JobRow | undefined {
    const known = this.#jobs.get(id);
    if (known !== undefined) return known;
    const row = this.#index().get(id);
    if (row === undefined) return undefined;
    const copy = { ...row };
    this.#jobs.set(id, copy);
    return copy;
  }

  /** Copies of all indexed jobs, oldest first. */
  allJobs(): Iterable<JobRow> {
    if (!this.#allJobs) for (const id of this.#index().keys()) this.job(id);
    this.#allJobs = true;
    return this.#jobs.values();
  }

  touch(job: JobRow): void {
    assert(this.#jobs.get(job.id) === job, `job ${job.id} is not the command's copy`);
    this.#changedJobs.add(job.id);
  }

  stats(job: number): StatsRow {
    return this.#stats.get(job) ?? this.tx.get(stats, [job]) ?? EMPTY_STATS;
  }

  setStats(job: number, row: StatsRow): void {
    this.#stats.set(job, row);
  }

  get totals(): TotalsRow {
    this.#totals ??= this.tx.get(totals, [0]) ?? NO_TOTALS;
    return this.#totals;
  }

  setTotals(change: Partial<TotalsRow>): void {
    this.#totals = { ...this.totals, ...change };
    this.#totalsChanged = true;
  }

  /** Who was given this revision, by node, with this command's changes. */
  assignmentsOf(name: string, revision: number): Map<string, AssignmentRow> {
    const key = modelKey(name, revision);
    const known = this.#assignments.get(key);
    if (known !== undefined) return known;
    const copy = new Map(this.tx.index(ASSIGNMENTS_INDEX).byModel.get(key));
    this.#assignments.set(key, copy);
    return copy;
  }

  setAssignment(row: AssignmentRow): void {
    this.assignmentsOf(row.name, row.revision).set(row.node, row);
    this.tx.put(assignments, [row.name, row.revision, row.node], row);
  }

  /** This process of the worker has the files. */
  setCopy(row: CopyRow): void {
    const key = [row.name, row.revision, row.node];
    if (this.tx.get(copies, key)?.epoch !== row.epoch) this.tx.put(copies, key, row);
  }

  /** Records why models were given or taken; the oldest makes room. */
  addDecision(decision: Omit<DecisionRow, 'number' | 'atMs'>): void {
    const number = this.totals.decisions;
    const row = { number, atMs: this.context.nowMs, ...decision };
    this.tx.put(decisions, [number % DECISIONS_KEPT_MAX], row);
    this.setTotals({ decisions: number + 1 });
  }

  deleteAssignment(row: AssignmentRow): void {
    this.assignmentsOf(row.name, row.revision).delete(row.node);
    this.tx.delete(assignments, [row.name, row.revision, row.node]);
  }

  /** What a worker was given, as it was before the command. */
  assignmentsOfNode(node: string): AssignmentRow[] {
    return [...(this.tx.index(ASSIGNMENTS_INDEX).byNode.get(node)?.values() ?? [])];
  }

  model(name: string): ModelRow | undefined {
    return this.tx.index(MODELS_INDEX).models.get(name);
  }

  revision(name: string, revision: number): RevisionRow | undefined {
    return this.tx.index(MODELS_INDEX).revisions.get(modelKey(name, revision));
  }

  /** Leases as they were before the command; read the row before acting on one. */
  leasesOfNode(node: string): LeaseRow[] {
    return [...(this.tx.index(LEASES_INDEX).byNode.get(node)?.values() ?? [])];
  }

  leasesOfJob(job: number): LeaseRow[] {
    return [...(this.tx.index(LEASES_INDEX).byJob.get(job)?.values() ?? [])];
  }

  /** Starts of ready ranges as they were before the command. */
  readyOf(job: number): readonly number[] {
    return this.tx.index(READY_INDEX).get(job) ?? [];
  }

  /** Is this process of the node a worker that may be given work? */
  isUp(node: string, epoch: number): boolean {
    const row = this.tx.index(NODES_INDEX).get(node);
    return row !== undefined && row.status === 'up' && row.epoch === epoch;
  }

  /** Writes every changed copy. The last step of a command. */
  flush(): void {
    for (const id of this.#changedJobs) {
      const job = this.#jobs.get(id);
      if (job !== undefined) this.tx.put(jobs, [id], job);
    }
    for (const [id, row] of this.#stats) this.tx.put(stats, [id], row);
    if (this.#totalsChanged) this.tx.put(totals, [0], this.totals);
  }

  #index(): JobIndex {
    return this.tx.index(JOBS_INDEX);
  }
}
