/**
 * The leader's side of models, jobs and tasks: answers workers' reports (protocol.ts), proposes
 * what they bring as commands, watches leases run out, and does the chores (chores.ts).
 *
 * It decides nothing that must survive it. What counts is in the rows; in memory are only the open
 * calls of workers, the deadlines of leases and who is suspected. A new leader starts with none of
 * them, tells the workers that it leads, and hears from each at once.
 *
 * Event-driven: a report is answered when it has brought something, when there is something for
 * its worker, or, empty, after POLL_HOLD_MS. The one timer is armed for the next deadline. Reports
 * that arrive in one turn of the loop share commands; what the log is still writing is not waited
 * for, the store batches by itself.
 *
 * Bounds: one open call per worker (an older one is answered empty), commands by WORK_UNITS_MAX.
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
import {
  type Change,
  type LeaderDuty,
  type LeaderMethod,
  type LocalStore,
  NODES,
} from '../store/index.js';
import type { Membership } from '../swim/index.js';
import { catalogOf } from './catalog.js';
import { findChores } from './chores.js';
import { hasWork, unitsOf } from './command-work.js';
import { type HedgeInput, patienceMs, stragglers, suspectLeases } from './hedging.js';
import {
  ASSIGNMENTS_INDEX,
  JOBS_INDEX,
  LEASES_INDEX,
  leaseKey,
  modelKey,
  NODES_INDEX,
} from './indexes.js';
import { LeaseWatch, leaseMs } from './leases.js';
import {
  INLINE_GRANT_BYTES_MAX,
  POLL_HOLD_MS,
  SWEEP_LEASES_MAX,
  WORK_UNITS_MAX,
} from './limits.js';
import {
  type Answer,
  type Decision,
  NO_DECISION,
  readDecision,
  readReport,
  type Report,
  writeAnswer,
  writeLease,
  writeReport,
} from './protocol.js';
import {
  ALL_TABLES,
  isRunnable,
  type JobRow,
  jobs,
  type LeaseRow,
  leases,
  NO_TOTALS,
  stats,
  totals,
} from './tables.js';

/** The call that workers keep open, and the notice that a new leader sends them. */
export const WORK_METHOD = 'idunno.work';
export const LEADER_NOTICE = 'idunno.leader';

export interface CoordinatorDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly local: LocalStore;
  readonly rpc: Pick<Rpc, 'notify'>;
  /** Suspicions; without it tasks of a dying worker wait for Raft's verdict. */
  readonly membership: Pick<Membership, 'onChange'> | undefined;
}

const PROPOSE_TIMEOUT_MS = 5_000;
const CHORE_RETRY_MS = 200;
const OUR_BUCKETS = new Set([NODES.bucket, ...ALL_TABLES.map((table) => table.bucket)]);

/** One per coordinator process, leading or not. */
export class Coordinator {
  readonly #deps: CoordinatorDeps;
  #term: LeadingTerm | undefined;

  constructor(deps: CoordinatorDeps) {
    this.#deps = deps;
    deps.local.onChanges((changes) => this.#term?.onChanges(changes));
    deps.membership?.onChange(({ member }) => {
      this.#term?.onSuspicion(member.name, member.state === 'suspicious');
    });
  }

  /** To be registered under WORK_METHOD. */
  readonly work: LeaderMethod = (args, { peer, signal }) => {
    if (peer?.kind === 'client') {
      throw new IdunnoError('BAD_ARGUMENT', `${WORK_METHOD} is for the nodes of the cluster`);
    }
    if (this.#term === undefined) {
      throw new IdunnoError('NOT_READY', 'this node is taking the leadership over');
    }
    return this.#term.take(readReport(args[0]), signal);
  };

  /** To be registered with the node's leader duties. */
  readonly duty: LeaderDuty = {
    name: 'idunno',
    lead: (number, signal) => {
      const term = new LeadingTerm(this.#deps, signal);
      this.#term = term;
      signal.addEventListener('abort', () => {
        term.end();
        if (this.#term === term) this.#term = undefined;
      });
      term.begin(number);
    },
  };
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

class LeadingTerm {
  readonly #deps: CoordinatorDeps;
  readonly #signal: AbortSignal;
  readonly #calls = new Map<string, Call>();
  readonly #inFlight = new Set<string>();
  readonly #leases = new LeaseWatch();
  readonly #suspects = new Set<string>();
  /** Workers to be asked for what they have not started, and those that were and will answer. */
  readonly #recalls = new Set<string>();
  readonly #recalled = new Set<string>();
  /** Mean task times of jobs, µs, so that rows are not decoded at each look. */
  readonly #means = new Map<number, number>();
  #timer: Timer | undefined;
  #isLookDue = false;
  #isTidying = false;
  #isTidyDue = false;

  constructor(deps: CoordinatorDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
  }

  begin(term: number): void {
    const view = this.#deps.local.view();
    for (const rows of view.index(LEASES_INDEX).byNode.values()) {
      for (const lease of rows.values()) this.#watch(lease);
    }
    for (const row of view.index(NODES_INDEX).values()) {
      if (row.status === 'up') this.#deps.rpc.notify(nodeId(row.name), LEADER_NOTICE, [term]);
    }
    this.#tidy();
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
    const { clock } = this.#deps;
    for (const lease of report.held) {
      this.#leases.renew(lease, clock.now(), this.#leaseMs(lease.job));
    }
    this.#recalled.delete(report.node);
    if (report.held.every((lease) => lease.isStarted)) this.#recalls.delete(report.node);
    const older = this.#calls.get(report.node);
    if (older !== undefined && isNewer(older.report, report)) {
      return Promise.resolve(writeAnswer(OVERTAKEN));
    }
    return new Promise((resolve, reject) => {
      older?.resolve(writeAnswer(OVERTAKEN));
      const untilMs = clock.now() + POLL_HOLD_MS;
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
      if (bucket === leases.bucket) this.#onLease(change);
      if (bucket === jobs.bucket) this.#onJob(change);
      if (bucket === stats.bucket) this.#means.delete(change.key[0] as number);
    }
    if (!isOurs) return;
    for (const call of this.#calls.values()) call.isTried = false;
    this.#tidy();
    this.#look();
  }

  onSuspicion(node: string, isSuspect: boolean): void {
    if (isSuspect === this.#suspects.has(node)) return;
    if (isSuspect) this.#suspects.add(node);
    else this.#suspects.delete(node);
    for (const call of this.#calls.values()) call.isTried = false;
    this.#look();
  }

  #onLease(change: Change): void {
    const row = (change.after ?? change.before) as LeaseRow;
    if (change.after === undefined) this.#leases.remove(row);
    else this.#watch(row);
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

  #watch(lease: LeaseRow): void {
    this.#leases.add(lease, this.#deps.clock.now(), this.#leaseMs(lease.job));
  }

  #meanMicros(job: number): number {
    const known = this.#means.get(job);
    if (known !== undefined) return known;
    const mean = this.#deps.local.view().get(stats, [job])?.mean ?? 0;
    this.#means.set(job, mean);
    return mean;
  }

  #leaseMs(job: number): Ms {
    return leaseMs(this.#meanMicros(job));
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
    const hedges = this.#hedges();
    const batch: Call[] = [];
    const idle: Call[] = [];
    for (const call of [...this.#calls.values()]) {
      const { report } = call;
      if (this.#inFlight.has(report.node)) continue;
      const news = this.#answer(report, NO_DECISION);
      const urgent = this.#bringsNews(report) || this.#hasLostLeases(report);
      if (urgent || (!call.isTried && this.#canServe(report, hedges))) batch.push(call);
      else if (isWorthSaying(news) || call.untilMs <= nowMs) this.#reply(call, NO_DECISION);
      else if (report.want > 0 && report.held.length === 0) idle.push(call);
    }
    this.#recallFor(idle);
    for (const calls of inCommands(batch)) void this.#propose(calls, hedges);
  }

  /** Takes from a worker what it has not started, for one that has nothing to do. */
  #recallFor(idle: readonly Call[]): void {
    for (const { report } of idle.slice(this.#recalled.size)) {
      const giver = [...this.#calls.values()].find(
        (call) =>
          !this.#recalls.has(call.report.node) &&
          call.report.held.some((lease) => !lease.isStarted && this.#isWarm(report, lease.job)),
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
    if (!isEmpty || isReplaced || this.#bringsNews(report)) {
      this.#reply(call, decision);
      return;
    }
    call.isTried = true;
    this.#calls.set(report.node, call);
  }

  #reply(call: Call, decision: Decision): void {
    const { node } = call.report;
    if (this.#calls.get(node) === call) this.#calls.delete(node);
    const answer = this.#answer(call.report, decision);
    if (answer.recall) {
      this.#recalls.delete(node);
      this.#recalled.add(node);
    }
    call.resolve(writeAnswer(answer));
  }

  /** The decision, with what the worker should know beside it. */
  #answer(report: Report, decision: Decision): Answer {
    const view = this.#deps.local.view();
    const mine = view.index(LEASES_INDEX).byNode.get(report.node);
    const dropped = report.held.filter((lease) => mine?.has(leaseKey(lease)) !== true);
    const hasUnstarted = report.held.some((lease) => !lease.isStarted);
    const catalog = catalogOf(view, report.node, report.epoch);
    return {
      ...decision,
      isTaken: true,
      dropped,
      recall: hasUnstarted && this.#recalls.has(report.node),
      catalog: catalog.mark === report.catalog ? null : catalog,
    };
  }

  #bringsNews({ done, failed, returned, models }: Report): boolean {
    return done.length + failed.length + returned.length + models.length > 0;
  }

  #hasLostLeases(report: Report): boolean {
    const mine = this.#deps.local.view().index(LEASES_INDEX).byNode.get(report.node);
    if (mine === undefined) return false;
    const held = new Set(report.held.map(leaseKey));
    return [...mine.values()].some(
      (lease) => lease.epoch === report.epoch && !held.has(leaseKey(lease)),
    );
  }

  /** Would a command lease something to this worker? It must see what the command will see. */
  #canServe(report: Report, hedges: readonly LeaseRow[]): boolean {
    if (report.want === 0) return false;
    const view = this.#deps.local.view();
    const node = view.index(NODES_INDEX).get(report.node);
    if (node?.status !== 'up' || node.epoch !== report.epoch) return false;
    const inlineBytes = (view.get(totals, [0]) ?? NO_TOTALS).inlineBytes;
    if (inlineBytes < INLINE_GRANT_BYTES_MAX) {
      for (const job of view.index(JOBS_INDEX).values()) {
        if (hasWork(job) && this.#isWarm(report, job.id)) return true;
      }
    }
    return hedges.some((lease) => lease.node !== report.node && this.#isWarm(report, lease.job));
  }

  #isWarm(report: Report, jobId: number): boolean {
    const view = this.#deps.local.view();
    const job = view.index(JOBS_INDEX).get(jobId);
    if (job === undefined) return false;
    const key = modelKey(job.model, job.revision);
    const row = view.index(ASSIGNMENTS_INDEX).byModel.get(key)?.get(report.node);
    return row?.state === 'warm' && row.epoch === report.epoch;
  }

  /** Tasks that deserve a second copy now. */
  #hedges(): LeaseRow[] {
    const input = this.#hedgeInput();
    const isIdle = [...this.#calls.values()].some(
      ({ report }) => report.want > 0 && report.held.length === 0 && !this.#canServe(report, []),
    );
    return [...suspectLeases(input), ...(isIdle ? stragglers(input) : [])].slice(0, WORK_UNITS_MAX);
  }

  #hedgeInput(): HedgeInput {
    const nowMs = this.#deps.clock.now();
    return {
      leases: this.#singleLeases(),
      isSuspect: (node) => this.#suspects.has(node),
      meanMicros: (job) => this.#meanMicros(job),
      ageMs: (lease) => this.#leases.ageMs(lease, nowMs),
    };
  }

  /** Leases of tasks that nobody else has. */
  #singleLeases(): LeaseRow[] {
    const copies = new Map<string, number>();
    const all = this.#leases.all();
    for (const { job, from } of all) {
      copies.set(`${job}/${from}`, (copies.get(`${job}/${from}`) ?? 0) + 1);
    }
    return all.filter(({ job, from }) => copies.get(`${job}/${from}`) === 1);
  }

  #expire(): void {
    const expired = this.#leases.expired(this.#deps.clock.now()).slice(0, SWEEP_LEASES_MAX);
    if (expired.length === 0) return;
    for (const lease of expired) this.#watch(lease);
    this.#deps.log.warn('idunno.lease.expired', { leases: expired.map(leaseKey) });
    void this.#deps.local
      .propose('idunno.lease.release', [expired.map(writeLease), 'expired'], {
        timeoutMs: PROPOSE_TIMEOUT_MS,
        signal: this.#signal,
      })
      .catch(() => undefined); // Watched anew above: it will expire again.
  }

  #arm(): void {
    this.#timer?.cancel();
    const deadlines = [...this.#calls.values()].map(({ untilMs }) => untilMs);
    const nowMs = this.#deps.clock.now();
    const next = this.#leases.nextDeadlineMs;
    if (next !== undefined) deadlines.push(next);
    if (this.#calls.size > 0) {
      for (const lease of this.#leases.all()) {
        const leftMs = patienceMs(this.#meanMicros(lease.job)) - this.#leases.ageMs(lease, nowMs);
        if (leftMs > 0) deadlines.push(nowMs + leftMs);
      }
    }
    const soonest = Math.min(...deadlines);
    if (soonest === Number.POSITIVE_INFINITY) return;
    this.#timer = this.#deps.clock.setTimer(Math.max(0, soonest - nowMs), () => this.#look());
  }

  /** Does the chores until none is left, one round at a time. */
  #tidy(): void {
    this.#isTidyDue = true;
    if (this.#isTidying || this.#signal.aborted) return;
    this.#isTidying = true;
    void this.#tidyRounds().finally(() => {
      this.#isTidying = false;
      if (this.#isTidyDue) this.#tidy();
    });
  }

  async #tidyRounds(): Promise<void> {
    let last = '';
    while (this.#isTidyDue && !this.#signal.aborted) {
      this.#isTidyDue = false;
      try {
        const chores = findChores(this.#deps.local.view());
        const text = JSON.stringify(chores);
        if (chores.length > 0 && text === last) {
          throw new IdunnoError('INTERNAL', `a chore changed nothing: ${text.slice(0, 200)}`);
        }
        last = text;
        for (const { command, args } of chores) {
          const options = { timeoutMs: PROPOSE_TIMEOUT_MS, signal: this.#signal };
          await this.#deps.local.propose(command, args, options);
          this.#isTidyDue = true;
        }
      } catch (error) {
        if (this.#signal.aborted) return;
        const { code, message } = asIdunnoError(error);
        this.#deps.log.warn('idunno.chore.failed', { code, message });
        await this.#deps.clock.sleep(CHORE_RETRY_MS, this.#signal).catch(() => undefined);
        this.#isTidyDue = true;
      }
    }
  }
}

/** To the older of two reports: all of it is still to be said. */
const OVERTAKEN: Answer = {
  ...NO_DECISION,
  isTaken: false,
  dropped: [],
  recall: false,
  catalog: null,
};

function isNewer(a: Report, b: Report): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.seq > b.seq);
}

function isWorthSaying(answer: Answer): boolean {
  return answer.dropped.length > 0 || answer.recall || answer.catalog !== null;
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
