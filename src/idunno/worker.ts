/**
 * A worker: keeps one call to the leader open, computes what it is leased, reports what it has
 * finished. See protocol.ts for the conversation.
 *
 * A lease is `ahead` (its inputs are being read), then `running`, then finished: its report is kept
 * until a leader has answered it, however long there is none, and repeated to every leader that
 * comes. The worker holds as many leases as it has slots and one ahead, so it never waits for the
 * network between two tasks; while there is no leader it goes on computing what it holds.
 *
 * Event-driven: a report is sent when there is news or no call is open. At most two calls are open
 * at once, the newer of which makes the leader answer the older. Failed calls are repeated after a
 * growing pause, at once when a new leader makes itself known.
 */
import {
  asIdunnoError,
  type Clock,
  type Disk,
  type Logger,
  type Ms,
  type NodeId,
  type Timer,
} from '../base/index.js';
import type { Rpc } from '../net/index.js';
import type { SdfsClient } from '../sdfs/index.js';
import type { StoreClient } from '../store/index.js';
import type { Engine } from './engine.js';
import { leaseKey, modelKey } from './indexes.js';
import { InputLists } from './inputs.js';
import { POLL_HOLD_MS, REPORT_EVENTS_MAX, REPORT_WANT_MAX } from './limits.js';
import { ModelFiles } from './model-files.js';
import { type News, Outbox } from './outbox.js';
import {
  type Ack,
  type Answer,
  type Grant,
  LEADER_NOTICE,
  type LeaseName,
  readAnswer,
  type Report,
  WORK_METHOD,
  writeReport,
} from './protocol.js';
import { TaskRun } from './task-run.js';
import { WorkerModels } from './worker-models.js';

export interface WorkerOptions {
  readonly node: NodeId;
  readonly epoch: number;
  /** Tasks computed at once over all models. */
  readonly slots: number;
  /** The worker's folder: copies of models and input lists. */
  readonly dir: string;
}

export interface WorkerDeps {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly log: Logger;
  readonly store: Pick<StoreClient, 'callLeader'>;
  readonly sdfs: Pick<SdfsClient, 'get' | 'put' | 'readMany'>;
  readonly rpc: Pick<Rpc, 'handleNotice'>;
  readonly engine: Engine;
}

/** Leases beyond the slots: one whose inputs are read while others are computed. */
const AHEAD_MAX = 1;
const OPEN_CALLS_MAX = 2;
/** The leader answers after POLL_HOLD_MS; more than this and the call is lost. */
const CALL_TIMEOUT_MS = POLL_HOLD_MS + 5_000;
const RETRY_MIN_MS: Ms = 20;
const RETRY_MAX_MS: Ms = 1_000;
/** Results that the leader could not take yet are offered again after this. */
const BUSY_RETRY_MS: Ms = 500;

type Phase = 'ahead' | 'running' | 'finished';

interface Task {
  readonly grant: Grant;
  readonly run: TaskRun;
  /** Wall clock, for the log. */
  readonly grantedMs: Ms;
  phase: Phase;
  /** Its lease has ended: it is finished and reported, but not named as held any more. */
  isDropped: boolean;
}

export class Worker {
  readonly #options: WorkerOptions;
  readonly #deps: WorkerDeps;
  readonly #inputs: InputLists;
  readonly #files: ModelFiles;
  readonly #models: WorkerModels;
  readonly #tasks = new Map<string, Task>();
  readonly #outbox = new Outbox();
  readonly #calls = new Map<number, AbortController>();
  #seq = 0;
  #catalog = '';
  #term = 0;
  #failures = 0;
  #hasNews = false;
  #isSyncDue = false;
  #retry: Timer | undefined;
  #busy: Timer | undefined;
  #isDraining = false;
  #isStopped = false;
  #onQuiet: (() => void) | undefined;

  constructor(options: WorkerOptions, deps: WorkerDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#inputs = new InputLists(`${options.dir}/inputs`, deps);
    this.#files = new ModelFiles(`${options.dir}/models`, deps);
    this.#models = new WorkerModels({
      clock: deps.clock,
      log: deps.log,
      engine: deps.engine,
      files: this.#files,
      onReport: (model) =>
        this.#tell(`model ${modelKey(model.name, model.revision)}`, { kind: 'model', model }),
      onReadiness: (name, revision, isWarm) => this.#onReadiness(name, revision, isWarm),
    });
    deps.rpc.handleNotice(LEADER_NOTICE, ([term]) => this.#onLeader(Number(term)));
  }

  /** Opens the first call. Throws when its folder cannot be used. */
  async start(): Promise<void> {
    await this.#deps.disk.mkdir(this.#options.dir);
    await this.#inputs.start();
    await this.#files.start();
    this.#sync();
  }

  /** Takes no more, gives back what is not started, and waits until the rest is reported. */
  async drain(timeoutMs: Ms): Promise<void> {
    this.#isDraining = true;
    this.#giveBack();
    this.#news();
    if (this.#isQuiet) return;
    await new Promise<void>((resolve) => {
      const timer = this.#deps.clock.setTimer(timeoutMs, resolve);
      this.#onQuiet = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  /** Ends calls and model hosts at once; what was leased is leased anew to others. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#retry?.cancel();
    this.#busy?.cancel();
    this.#models.stop();
    for (const task of this.#tasks.values()) task.run.cancel();
    for (const call of this.#calls.values()) call.abort();
    await this.#deps.engine.stop();
    await this.#inputs.stop();
  }

  get #isQuiet(): boolean {
    return this.#tasks.size === 0 && this.#outbox.isEmpty;
  }

  #count(phase: Phase): number {
    let count = 0;
    for (const task of this.#tasks.values()) count += task.phase === phase ? 1 : 0;
    return count;
  }

  // The conversation

  /** There is something to say; said once, after this turn's events. */
  #news(): void {
    this.#hasNews = true;
    if (this.#isSyncDue) return;
    this.#isSyncDue = true;
    queueMicrotask(() => {
      this.#isSyncDue = false;
      this.#sync();
    });
  }

  #tell(key: string, news: News): void {
    this.#outbox.put(key, news);
    this.#news();
  }

  /** Sends a report when there is a reason to and a call to spare. */
  #sync(): void {
    if (this.#isStopped || this.#retry !== undefined) return;
    if (this.#calls.size >= OPEN_CALLS_MAX) return;
    if (this.#calls.size > 0 && !this.#hasNews) return;
    this.#hasNews = false;
    void this.#call();
  }

  async #call(): Promise<void> {
    this.#seq += 1;
    const number = this.#seq;
    const abort = new AbortController();
    this.#calls.set(number, abort);
    const report = this.#report(number);
    try {
      const options = { timeoutMs: CALL_TIMEOUT_MS, signal: abort.signal };
      const wire = await this.#deps.store.callLeader(WORK_METHOD, [writeReport(report)], options);
      this.#calls.delete(number);
      this.#failures = 0;
      this.#onAnswer(number, readAnswer(wire));
    } catch (error) {
      this.#calls.delete(number);
      if (this.#outbox.release(number)) this.#hasNews = true;
      if (!abort.signal.aborted) this.#onFailure(error);
    }
    if (this.#isQuiet) this.#onQuiet?.();
    this.#sync();
  }

  /** What has not been told by another open call, and all that is held beside it. */
  #report(seq: number): Report {
    const { node, epoch } = this.#options;
    const { keys, ...told } = this.#outbox.take(seq, REPORT_EVENTS_MAX);
    if (this.#outbox.hasWaiting) this.#hasNews = true;
    const held = [...this.#tasks.values()]
      .filter(({ grant, isDropped }) => !isDropped && !keys.has(leaseKey(grant)))
      .map(({ grant, phase }) => ({ ...nameOf(grant), isStarted: phase !== 'ahead' }));
    return { node, epoch, seq, held, ...told, want: this.#want(), catalog: this.#catalog };
  }

  #want(): number {
    if (this.#isDraining || this.#busy !== undefined) return 0;
    const holds = this.#count('ahead') + this.#count('running');
    return Math.max(0, Math.min(REPORT_WANT_MAX, this.#options.slots + AHEAD_MAX - holds));
  }

  #onAnswer(number: number, answer: Answer): void {
    if (!answer.isTaken) this.#onOvertaken(number);
    for (const ack of answer.acks) this.#onAck(ack);
    for (const key of this.#outbox.settle(number)) this.#tasks.delete(key);
    for (const lease of answer.dropped) this.#onDropped(lease);
    if (answer.catalog !== null) {
      this.#catalog = answer.catalog.mark;
      this.#models.follow(answer.catalog.entries);
    }
    for (const grant of answer.grants) this.#onGrant(grant);
    if (answer.recall) this.#giveBack();
    this.#pump();
  }

  /**
   * A newer call took its place. If that one tells something itself it is answered soon, and the
   * next tells the rest: telling it now would overtake that call in turn, and so on without end.
   */
  #onOvertaken(number: number): void {
    const isTelling = this.#outbox.isTold((call) => this.#calls.has(call));
    if (this.#outbox.release(number) && !isTelling) this.#hasNews = true;
  }

  #onAck(ack: Ack): void {
    const key = leaseKey(ack);
    if (!this.#outbox.isFinished(key)) return;
    if (ack.verdict !== 'busy') {
      this.#logDone(ack, this.#tasks.get(key));
      this.#outbox.delete(key);
      this.#tasks.delete(key);
      return;
    }
    this.#outbox.holdBack(key);
    this.#busy ??= this.#deps.clock.setTimer(BUSY_RETRY_MS, () => {
      this.#busy = undefined;
      this.#outbox.releaseHeldBack();
      this.#news();
    });
  }

  /**
   * What the leader says of a finished task. The leader logs it, too, but one that dies may have
   * written it no more, and its successor does not say it again.
   */
  #logDone({ job, from: task, attempt, verdict }: Ack, held: Task | undefined): void {
    const leasedMs = held === undefined ? null : Math.round(held.grantedMs);
    this.#deps.log.info('worker.task', { job, task, attempt, verdict, leasedMs });
  }

  #onFailure(error: unknown): void {
    const { code, message } = asIdunnoError(error);
    if (this.#isStopped || this.#retry !== undefined) return;
    const pauseMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** this.#failures);
    this.#failures += 1;
    this.#deps.log.debug('idunno.work.failed', { code, message, pauseMs });
    this.#retry = this.#deps.clock.setTimer(pauseMs, () => {
      this.#retry = undefined;
      this.#news();
    });
  }

  /** A new leader: calls to the one before may hang until they time out. */
  #onLeader(term: number): void {
    if (this.#isStopped || !(term > this.#term)) return;
    this.#term = term;
    this.#failures = 0;
    this.#retry?.cancel();
    this.#retry = undefined;
    for (const call of this.#calls.values()) call.abort();
    this.#news();
  }

  // Tasks

  #onGrant(grant: Grant): void {
    const key = leaseKey(grant);
    if (this.#tasks.has(key) || this.#isStopped) return;
    const { clock, sdfs } = this.#deps;
    const run = new TaskRun(grant, { clock, sdfs, inputs: this.#inputs });
    const grantedMs = clock.wall();
    this.#tasks.set(key, { grant, run, grantedMs, phase: 'ahead', isDropped: false });
    if (this.#isDraining) this.#giveBack();
  }

  /** Starts what waits, oldest lease first, while there are slots and seats. */
  #pump(): void {
    if (this.#isStopped) return;
    for (const [key, task] of this.#tasks) {
      if (this.#count('running') >= this.#options.slots) return;
      if (task.phase !== 'ahead') continue;
      const seat = this.#deps.engine.acquire(task.grant.model, task.grant.revision);
      if (seat === undefined) continue;
      task.phase = 'running';
      this.#news();
      const onComputed = () => {
        task.phase = 'finished';
        this.#pump();
      };
      void task.run.run(seat, onComputed).then((outcome) => {
        if (this.#isStopped) return;
        onComputed();
        if (outcome.kind === 'done') this.#tell(key, { kind: 'done', done: outcome.report });
        else this.#tell(key, { kind: 'failed', failed: outcome.report });
      });
    }
  }

  /** Not its lease any more: not begun when it has not been, else left to finish and be judged. */
  #onDropped(lease: LeaseName): void {
    const key = leaseKey(lease);
    const task = this.#tasks.get(key);
    if (task === undefined) return;
    // Named as held again, it would be answered as dropped again, at once and for ever.
    task.isDropped = true;
    if (task.phase !== 'ahead') return;
    task.run.cancel();
    this.#tasks.delete(key);
    this.#outbox.delete(key);
  }

  /** Everything not started, or of one model only, goes back to be leased again. */
  #giveBack(model?: { name: string; revision: number }): void {
    for (const [key, task] of [...this.#tasks]) {
      const { grant, run } = task;
      const isOther =
        model !== undefined && (grant.model !== model.name || grant.revision !== model.revision);
      if (task.phase !== 'ahead' || isOther) continue;
      run.cancel();
      task.phase = 'finished';
      this.#tell(key, { kind: 'returned', returned: nameOf(grant) });
    }
  }

  #onReadiness(name: string, revision: number, isWarm: boolean): void {
    if (isWarm) this.#pump();
    else this.#giveBack({ name, revision });
  }
}

function nameOf({ job, from, attempt }: LeaseName): LeaseName {
  return { job, from, attempt };
}
