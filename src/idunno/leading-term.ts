/**
 * One node's time as leader, for jobs: the open calls of workers, and what is proposed for them.
 *
 * A call is answered when its report has brought something into the log, when there is something
 * for its worker, or, empty, after POLL_HOLD_MS. All calls are looked at once after each turn of
 * events; those that would get something out of a command share commands, and what the log is
 * still writing is not waited for: the store batches by itself.
 *
 *   take ──▶ open ──look──▶ in flight ──▶ answered
 *              ▲                │ brought it nothing
 *              └────────────────┘
 */
import {
  asIdunnoError,
  type Clock,
  IdunnoError,
  type Logger,
  type Ms,
  nodeId,
  type Timer,
} from '../base/index.js';
import type { Rpc, Wire } from '../net/index.js';
import { type Change, type LocalStore, NODES } from '../store/index.js';
import { ChoreLoop } from './chore-loop.js';
import { unitsOf } from './command-work.js';
import { LEASES_INDEX, leaseKey, NODES_INDEX } from './indexes.js';
import { LeaseGuard } from './lease-guard.js';
import { POLL_HOLD_MS, WORK_UNITS_MAX } from './limits.js';
import {
  type Answer,
  type Decision,
  LEADER_NOTICE,
  NO_DECISION,
  readDecision,
  type Report,
  writeAnswer,
  writeLease,
  writeReport,
} from './protocol.js';
import {
  answerOf,
  bringsNews,
  canServe,
  hasLostLeases,
  isWarmFor,
  isWorthSaying,
} from './prospects.js';
import {
  ALL_TABLES,
  isRunnable,
  type JobRow,
  jobs,
  type LeaseRow,
  leases,
  stats,
} from './tables.js';

export interface LeadingTermDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly local: LocalStore;
  readonly rpc: Pick<Rpc, 'notify'>;
}

/** An open call of a worker. */
interface Call {
  readonly report: Report;
  readonly untilMs: Ms;
  readonly resolve: (answer: Wire) => void;
  readonly reject: (error: IdunnoError) => void;
  /** A command brought it nothing; not tried again before something has changed. */
  isTried: boolean;
}

const PROPOSE_TIMEOUT_MS = 5_000;
const OUR_BUCKETS = new Set([NODES.bucket, ...ALL_TABLES.map((table) => table.bucket)]);

/** To the older of two reports: all of it is still to be said. */
const OVERTAKEN: Answer = {
  ...NO_DECISION,
  isTaken: false,
  dropped: [],
  recall: false,
  catalog: null,
};

export class LeadingTerm {
  readonly #deps: LeadingTermDeps;
  readonly #signal: AbortSignal;
  readonly #guard: LeaseGuard;
  readonly #chores: ChoreLoop;
  /** By worker; one each. */
  readonly #calls = new Map<string, Call>();
  readonly #inFlight = new Set<string>();
  /** Workers to be asked for what they have not started, and those that were and will answer. */
  readonly #recalls = new Set<string>();
  readonly #recalled = new Set<string>();
  #timer: Timer | undefined;
  #isLookDue = false;

  /** `signal`: leadership has ended. */
  constructor(deps: LeadingTermDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
    this.#guard = new LeaseGuard(deps);
    this.#chores = new ChoreLoop(deps, signal);
  }

  /** Tells the workers: their calls to the leader before may hang. */
  begin(term: number): void {
    for (const row of this.#deps.local.view().index(NODES_INDEX).values()) {
      if (row.status === 'up') this.#deps.rpc.notify(nodeId(row.name), LEADER_NOTICE, [term]);
    }
    this.#chores.look();
    this.#look();
  }

  end(): void {
    this.#timer?.cancel();
    for (const call of this.#calls.values()) {
      call.reject(new IdunnoError('NOT_LEADER', 'this node has just ceased to lead'));
    }
    this.#calls.clear();
  }

  /** A report of a worker; settles when there is an answer. */
  take(report: Report, signal: AbortSignal): Promise<Wire> {
    this.#guard.renew(report);
    this.#recalled.delete(report.node);
    if (report.held.every((lease) => lease.isStarted)) this.#recalls.delete(report.node);
    const older = this.#calls.get(report.node);
    if (older !== undefined && isNewer(older.report, report)) {
      return Promise.resolve(writeAnswer(OVERTAKEN));
    }
    return new Promise((resolve, reject) => {
      older?.resolve(writeAnswer(OVERTAKEN));
      const untilMs = this.#deps.clock.now() + POLL_HOLD_MS;
      const call: Call = { report, untilMs, resolve, reject, isTried: false };
      this.#calls.set(report.node, call);
      signal.addEventListener('abort', () => {
        if (this.#calls.get(report.node) === call) this.#calls.delete(report.node);
        reject(new IdunnoError('ABORTED', 'the worker has gone'));
      });
      this.#look();
    });
  }

  onChanges(changes: readonly Change[]): void {
    let isOurs = false;
    for (const change of changes) {
      const { bucket } = change.table;
      if (!OUR_BUCKETS.has(bucket)) continue;
      isOurs = true;
      if (bucket === leases.bucket) this.#guard.onLease(change);
      if (bucket === stats.bucket) this.#guard.onStats(change);
      if (bucket === jobs.bucket) this.#onJob(change);
    }
    if (!isOurs) return;
    this.#chores.look();
    this.#lookAgain();
  }

  onSuspicion(node: string, isSuspect: boolean): void {
    if (this.#guard.onSuspicion(node, isSuspect)) this.#lookAgain();
  }

  /** A job that joins should not wait behind what other workers have taken for later. */
  #onJob(change: Change): void {
    const after = change.after as JobRow | undefined;
    const before = change.before as JobRow | undefined;
    if (after === undefined || !isRunnable(after.state)) return;
    if (before !== undefined && isRunnable(before.state)) return;
    for (const node of this.#deps.local.view().index(LEASES_INDEX).byNode.keys()) {
      this.#recalls.add(node);
    }
  }

  #lookAgain(): void {
    for (const call of this.#calls.values()) call.isTried = false;
    this.#look();
  }

  /** Looks at all open calls, once, after this turn's events. */
  #look(): void {
    if (this.#isLookDue) return;
    this.#isLookDue = true;
    queueMicrotask(() => {
      this.#isLookDue = false;
      if (this.#signal.aborted) return;
      this.#serve();
      this.#expire();
      this.#arm();
    });
  }

  #serve(): void {
    const nowMs = this.#deps.clock.now();
    const view = this.#deps.local.view();
    const hedges = this.#guard.hedges(this.#isAnyoneIdle());
    const batch: Call[] = [];
    const idle: Report[] = [];
    for (const call of [...this.#calls.values()]) {
      const { report } = call;
      if (this.#inFlight.has(report.node)) continue;
      const isUrgent = bringsNews(report) || hasLostLeases(view, report);
      if (isUrgent || (!call.isTried && canServe(view, report, hedges))) batch.push(call);
      else if (call.untilMs <= nowMs || isWorthSaying(this.#answerTo(report, NO_DECISION))) {
        this.#reply(call, NO_DECISION);
      } else if (report.want > 0 && report.held.length === 0) idle.push(report);
    }
    this.#recallFor(idle);
    for (const calls of inCommands(batch)) void this.#propose(calls, hedges);
  }

  #isAnyoneIdle(): boolean {
    const view = this.#deps.local.view();
    return [...this.#calls.values()].some(
      ({ report }) => report.want > 0 && report.held.length === 0 && !canServe(view, report, []),
    );
  }

  /** Takes from a worker what it has not started, for one that has nothing to do. */
  #recallFor(idle: readonly Report[]): void {
    const view = this.#deps.local.view();
    for (const report of idle.slice(this.#recalled.size)) {
      const giver = [...this.#calls.values()].find(
        (call) =>
          !this.#recalls.has(call.report.node) &&
          call.report.held.some((lease) => !lease.isStarted && isWarmFor(view, report, lease.job)),
      );
      if (giver === undefined) return;
      this.#recalls.add(giver.report.node);
      this.#reply(giver, NO_DECISION);
    }
  }

  async #propose(calls: readonly Call[], hedges: readonly LeaseRow[]): Promise<void> {
    for (const { report } of calls) {
      this.#calls.delete(report.node);
      this.#inFlight.add(report.node);
    }
    try {
      const args = [
        calls.map(({ report }) => writeReport(report)),
        hedges.map((lease) => [lease.job, lease.from]),
      ];
      const options = { timeoutMs: PROPOSE_TIMEOUT_MS, signal: this.#signal };
      const wire = await this.#deps.local.propose('idunno.work', args, options);
      const decisions = Array.isArray(wire) ? (wire as readonly Wire[]).map(readDecision) : [];
      for (const { report } of calls) this.#inFlight.delete(report.node);
      for (const [at, call] of calls.entries()) this.#conclude(call, decisions[at] ?? NO_DECISION);
    } catch (error) {
      for (const { report } of calls) this.#inFlight.delete(report.node);
      for (const call of calls) call.reject(asIdunnoError(error));
    }
    this.#look();
  }

  /** A command that brought its worker nothing leaves the call open. */
  #conclude(call: Call, decision: Decision): void {
    const { report } = call;
    const isEmpty = decision.acks.length === 0 && decision.grants.length === 0;
    const isReplaced = this.#calls.has(report.node) || this.#signal.aborted;
    if (!isEmpty || isReplaced || bringsNews(report)) {
      this.#reply(call, decision);
      return;
    }
    call.isTried = true;
    this.#calls.set(report.node, call);
  }

  #reply(call: Call, decision: Decision): void {
    const { node } = call.report;
    if (this.#calls.get(node) === call) this.#calls.delete(node);
    const answer = this.#answerTo(call.report, decision);
    if (answer.recall) {
      this.#recalls.delete(node);
      this.#recalled.add(node);
    }
    call.resolve(writeAnswer(answer));
  }

  #answerTo(report: Report, decision: Decision): Answer {
    const isRecalled = this.#recalls.has(report.node);
    return answerOf(this.#deps.local.view(), report, decision, isRecalled);
  }

  #expire(): void {
    const expired = this.#guard.takeExpired();
    if (expired.length === 0) return;
    this.#deps.log.warn('idunno.lease.expired', { leases: expired.map(leaseKey) });
    const args = [expired.map(writeLease), 'expired'];
    const options = { timeoutMs: PROPOSE_TIMEOUT_MS, signal: this.#signal };
    // Should it fail, they expire again.
    void this.#deps.local.propose('idunno.lease.release', args, options).catch(() => undefined);
  }

  #arm(): void {
    this.#timer?.cancel();
    const next = this.#guard.nextDeadlineMs;
    const deadlines = [...this.#calls.values()].map(({ untilMs }) => untilMs);
    const soonest = Math.min(...deadlines, next ?? Number.POSITIVE_INFINITY);
    if (soonest === Number.POSITIVE_INFINITY) return;
    const delayMs = Math.max(0, soonest - this.#deps.clock.now());
    this.#timer = this.#deps.clock.setTimer(delayMs, () => this.#look());
  }
}

function isNewer(a: Report, b: Report): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.seq > b.seq);
}

/** As many reports in one command as it may carry. */
function inCommands(calls: readonly Call[]): Call[][] {
  const commands: Call[][] = [];
  let units = WORK_UNITS_MAX;
  for (const call of calls) {
    const cost = Math.max(1, unitsOf(call.report));
    if (units + cost > WORK_UNITS_MAX) {
      commands.push([]);
      units = 0;
    }
    commands.at(-1)?.push(call);
    units += cost;
  }
  return commands;
}
