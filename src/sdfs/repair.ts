/**
 * Keeps every blob at its number of copies, while this node leads: feeds the plan (repair-plan.ts)
 * with the state of the moment, orders copies, and commits what was copied.
 *
 *     change, report, timer ──▶ plan ──▶ order (sdfs.replicate) ──▶ commit (sdfs.add-holders)
 *                                 ▲            │ failed: back off, or cool the node down
 *                                 └────────────┘
 *
 * A copy counts as in flight until its commit is applied, so that neither the plan nor garbage
 * collection misjudges it. Everything here is soft state of one leadership: a new leader plans
 * anew, and a copy that was made but not recorded is found by the inventory or made again for free.
 */
import {
  asIdunnoError,
  type Clock,
  type IdunnoError,
  type Logger,
  nodeId,
  type Timer,
} from '../base/index.js';
import type { Wire } from '../net/index.js';
import type { Change, LeaderDuty, LocalStore } from '../store/index.js';
import { NODES } from '../store/index.js';
import { BoundedMap } from './bounded-map.js';
import { type CopySet, HOLDERS, type HolderIndex } from './holder-index.js';
import { HOLDER_CHANGES_MAX } from './limits.js';
import { type NodeCalls, shareSignal } from './node-calls.js';
import {
  type CopyInFlight,
  type ExcessCopy,
  planRepair,
  type RepairNode,
  type RepairOrder,
  type RepairPlan,
  STREAMS_PER_NODE,
} from './repair-plan.js';
import type { SpaceWatch } from './space-watch.js';
import { BLOBS } from './tables.js';
import { METHODS, readReplicateAnswer, replicateToWire, transferTimeoutMs } from './transfer.js';

export interface RepairParts {
  readonly calls: NodeCalls;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly store: LocalStore;
  readonly spaces: SpaceWatch;
}

export interface RepairOptions {
  /** How long a blob with three copies waits for its fourth node to return. */
  readonly delayMs: number;
}

const PLAN_PAUSE_MS = 20;
const PLAN_PERIOD_MS = 5_000;
const BACKOFF_MS_MIN = 1_000;
const BACKOFF_MS_MAX = 60_000;
/** A node that failed a call gets no orders for so long. */
const COOLDOWN_MS = 1_000;
const REMEMBERED_MAX = 10_000;
const PROPOSE_MS = 10_000;
const REASONS_SHOWN_MAX = 20;

const NODE_IS_AWAY: ReadonlySet<string> = new Set(['CONNECTION_LOST', 'TIMEOUT', 'UNAVAILABLE']);

interface Backoff {
  readonly tries: number;
  readonly untilMs: number;
  readonly reason: string;
}

interface MadeCopy {
  readonly blob: number;
  readonly node: string;
  readonly epoch: number;
}

export class Repair implements LeaderDuty {
  readonly name = 'sdfs.repair';
  readonly #options: RepairOptions;
  readonly #parts: RepairParts;
  #run: RepairRun | undefined;

  constructor(options: RepairOptions, parts: RepairParts) {
    this.#options = options;
    this.#parts = parts;
    parts.store.onChanges((changes) => this.#run?.onChanges(changes));
  }

  lead(term: number, signal: AbortSignal): void {
    const run = new RepairRun({ ...this.#options, term }, this.#parts, shareSignal(signal));
    this.#run = run;
    signal.addEventListener(
      'abort',
      () => {
        run.stop();
        if (this.#run === run) this.#run = undefined;
      },
      { once: true },
    );
    run.kick();
  }

  /** A node's copy is damaged or not there. */
  reportBad(blob: number, node: string, why: string): void {
    this.#run?.reportBad(blob, node, why);
  }

  /** Is a copy of this blob on its way to this node? Then nothing of it may be collected. */
  isCopying(blob: number, node: string): boolean {
    return this.#run?.isCopying(blob, node) ?? false;
  }

  /** [copies in flight, [reason, blobs]…]. */
  status(): Wire {
    return this.#run?.status() ?? [0, []];
  }
}

class RepairRun {
  readonly #options: RepairOptions & { readonly term: number };
  readonly #parts: RepairParts;
  readonly #signal: AbortSignal;
  readonly #bad = new BoundedMap<number, Set<string>>(REMEMBERED_MAX);
  readonly #backoff = new BoundedMap<number, Backoff>(REMEMBERED_MAX);
  readonly #inFlight = new Map<number, CopyInFlight[]>();
  readonly #streamsIn = new Map<string, number>();
  readonly #streamsOut = new Map<string, number>();
  readonly #coolUntilMs = new Map<string, number>();
  #made: MadeCopy[] = [];
  #isRecording = false;
  #isDropping = false;
  #timer: Timer | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #stuck: ReadonlyMap<string, number> = new Map();

  constructor(
    options: RepairOptions & { readonly term: number },
    parts: RepairParts,
    signal: AbortSignal,
  ) {
    this.#options = options;
    this.#parts = parts;
    this.#signal = signal;
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Plans soon. */
  kick(delayMs = PLAN_PAUSE_MS): void {
    const atMs = this.#parts.clock.now() + delayMs;
    if (this.#signal.aborted || atMs >= this.#timerAtMs) return;
    this.#timer?.cancel();
    this.#timerAtMs = atMs;
    this.#timer = this.#parts.clock.setTimer(delayMs, () => this.#plan());
  }

  onChanges(changes: readonly Change[]): void {
    if (changes.some((change) => this.#mayNeedCopies(change))) this.kick();
  }

  #mayNeedCopies({ table, key }: Change): boolean {
    if (table.bucket !== BLOBS.bucket) return table.bucket === NODES.bucket;
    const set = this.#index().setOf(key[0] as number);
    return set !== undefined && set.holders.length !== set.wanted;
  }

  reportBad(blob: number, node: string, why: string): void {
    const set = this.#index().setOf(blob);
    if (set === undefined || !set.holders.includes(node)) return;
    const nodes = this.#bad.get(blob) ?? new Set();
    if (nodes.has(node)) return;
    this.#bad.set(blob, nodes.add(node));
    this.#parts.logger.warn('sdfs.bad-copy-reported', { blob, node, why });
    this.kick();
  }

  isCopying(blob: number, node: string): boolean {
    return this.#inFlight.get(blob)?.some((copy) => copy.to === node) ?? false;
  }

  status(): Wire {
    const reasons: Wire[] = [...this.#stuck].map(([reason, blobs]): Wire => [reason, blobs]);
    for (const row of this.#index().nodes.values()) {
      const { syncFailure } = this.#parts.spaces.space(row.name);
      if (syncFailure !== undefined) reasons.push([`${row.name} fails to sync: ${syncFailure}`, 0]);
    }
    for (const [blob, { reason, untilMs }] of this.#backoff.entries()) {
      if (reasons.length >= REASONS_SHOWN_MAX) break;
      if (untilMs > this.#parts.clock.wall()) reasons.push([`blob ${blob}: ${reason}`, 1]);
    }
    const copies = [...this.#inFlight.values()].reduce((sum, list) => sum + list.length, 0);
    return [copies, reasons.slice(0, REASONS_SHOWN_MAX)];
  }

  #index(): HolderIndex {
    return this.#parts.store.view().index(HOLDERS);
  }

  #plan(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    if (this.#signal.aborted) return;
    const nowMs = this.#parts.clock.wall();
    const plan = planRepair(this.#state(nowMs));
    this.#stuck = plan.stuck;
    for (const order of plan.orders) this.#start(order);
    void this.#drop(plan);
    const dueMs = (plan.nextDueMs ?? Number.POSITIVE_INFINITY) - nowMs;
    this.kick(Math.min(PLAN_PERIOD_MS, Math.max(PLAN_PAUSE_MS, dueMs)));
  }

  #state(nowMs: number): Parameters<typeof planRepair>[0] {
    const index = this.#index();
    const bad = new Map<number, ReadonlySet<string>>();
    const badSets = new Map<number, CopySet>();
    for (const [blob, reported] of [...this.#bad.entries()]) {
      const set = index.setOf(blob);
      const nodes = new Set([...reported].filter((node) => set?.holders.includes(node)));
      if (set === undefined || nodes.size === 0) {
        this.#bad.delete(blob);
        continue;
      }
      bad.set(blob, nodes);
      badSets.set(blob, set);
    }
    const notBeforeMs = new Map<number, number>();
    for (const [blob, { untilMs }] of this.#backoff.entries()) {
      if (untilMs > nowMs) notBeforeMs.set(blob, untilMs);
    }
    return {
      sets: index.sets(),
      nodes: this.#nodes(index),
      bad,
      badSets,
      inFlight: this.#inFlight,
      streamsIn: this.#withCooling(this.#streamsIn),
      streamsOut: this.#withCooling(this.#streamsOut),
      notBeforeMs,
      nowMs,
      delayMs: this.#options.delayMs,
    };
  }

  #nodes(index: HolderIndex): Map<string, RepairNode> {
    const { spaces } = this.#parts;
    const nodes = new Map<string, RepairNode>();
    for (const { name, epoch, status, sinceMs } of index.nodes.values()) {
      const domain = spaces.domainOf(name);
      nodes.set(name, { node: name, epoch, status, sinceMs, domain, ...spaces.space(name) });
    }
    return nodes;
  }

  /** A node that has just failed a call counts as busy. */
  #withCooling(streams: ReadonlyMap<string, number>): Map<string, number> {
    const result = new Map(streams);
    const nowMs = this.#parts.clock.now();
    for (const [node, untilMs] of this.#coolUntilMs) {
      if (untilMs > nowMs) result.set(node, STREAMS_PER_NODE);
      else this.#coolUntilMs.delete(node);
    }
    return result;
  }

  // --- one order -----------------------------------------------------------------------------

  #start(order: RepairOrder): void {
    const { from, to, blobs } = order;
    count(this.#streamsIn, to, 1);
    count(this.#streamsOut, from, 1);
    for (const blob of blobs) {
      const copies = this.#inFlight.get(blob) ?? [];
      copies.push({ blob, from, to });
      this.#inFlight.set(blob, copies);
    }
    void this.#execute(order).finally(() => {
      count(this.#streamsIn, to, -1);
      count(this.#streamsOut, from, -1);
      this.kick();
    });
  }

  async #execute(order: RepairOrder): Promise<void> {
    const { from, to, blobs, bytes } = order;
    const view = this.#parts.store.view();
    const wanted = blobs.flatMap((blob) => {
      const row = view.get(BLOBS, [blob]);
      return row === undefined ? [] : [{ blob, bytes: row.bytes, sha256: row.sha }];
    });
    const known = new Set(wanted.map((one) => one.blob));
    for (const blob of blobs) if (!known.has(blob)) this.#land(blob, to);
    // A bad copy is made anew although the node has a file of that name.
    const force = blobs.some((blob) => this.#bad.get(blob)?.has(to));
    const request = { index: view.appliedIndex, from: nodeId(from), blobs: wanted, force };
    try {
      const options = { timeoutMs: transferTimeoutMs(bytes), signal: this.#signal };
      const args = replicateToWire(request);
      const answer = await this.#parts.calls.call(nodeId(to), METHODS.replicate, args, options);
      const { epoch, results } = readReplicateAnswer(answer.value);
      for (const { blob, error, isSource } of results) {
        if (error === undefined) this.#onMade({ blob, node: to, epoch });
        else this.#onFailed(blob, isSource ? from : to, to, error);
      }
    } catch (error) {
      this.#coolUntilMs.set(to, this.#parts.clock.now() + COOLDOWN_MS);
      for (const { blob } of wanted) this.#land(blob, to);
      if (this.#signal.aborted) return;
      const text = asIdunnoError(error).message;
      this.#parts.logger.warn('sdfs.repair-failed', { from, to, blobs: blobs.length, error: text });
    }
  }

  /** The copy is not in flight any more. */
  #land(blob: number, to: string): void {
    const copies = this.#inFlight.get(blob)?.filter((copy) => copy.to !== to) ?? [];
    if (copies.length === 0) this.#inFlight.delete(blob);
    else this.#inFlight.set(blob, copies);
  }

  #onMade(copy: MadeCopy): void {
    this.#backoff.delete(copy.blob);
    const bad = this.#bad.get(copy.blob);
    if (bad?.has(copy.node)) {
      // Replaced in place: the record names this holder already.
      bad.delete(copy.node);
      if (bad.size === 0) this.#bad.delete(copy.blob);
      this.#land(copy.blob, copy.node);
      return;
    }
    this.#made.push(copy);
    void this.#record();
  }

  #onFailed(blob: number, culprit: string, to: string, error: IdunnoError): void {
    this.#land(blob, to);
    const isBadCopy = error.code === 'CORRUPT' || error.code === 'LOCAL_FILE_NOT_FOUND';
    if (isBadCopy && culprit !== to) {
      this.reportBad(blob, culprit, error.message);
      return;
    }
    if (NODE_IS_AWAY.has(error.code)) {
      this.#coolUntilMs.set(culprit, this.#parts.clock.now() + COOLDOWN_MS);
      return;
    }
    const tries = (this.#backoff.get(blob)?.tries ?? 0) + 1;
    const waitMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(tries - 1, 10));
    const untilMs = this.#parts.clock.wall() + waitMs;
    this.#backoff.set(blob, { tries, untilMs, reason: `${culprit}: ${error.message}` });
  }

  // --- commits -------------------------------------------------------------------------------

  /** Commits made copies, as many as one command takes, one command at a time. */
  async #record(): Promise<void> {
    if (this.#isRecording) return;
    this.#isRecording = true;
    const { store, logger } = this.#parts;
    try {
      while (this.#made.length > 0 && !this.#signal.aborted) {
        const batch = this.#made.splice(0, HOLDER_CHANGES_MAX);
        const copies = batch.map(({ blob, node, epoch }): Wire => [blob, node, epoch]);
        try {
          const options = { timeoutMs: PROPOSE_MS, signal: this.#signal };
          await store.propose('sdfs.add-holders', [this.#options.term, copies], options);
        } catch (error) {
          if (this.#signal.aborted) return;
          logger.warn('sdfs.repair-not-recorded', { error: asIdunnoError(error).message });
        } finally {
          for (const { blob, node } of batch) this.#land(blob, node);
        }
      }
    } finally {
      this.#isRecording = false;
      this.kick();
    }
  }

  async #drop(plan: RepairPlan): Promise<void> {
    if (this.#isDropping) return;
    this.#isDropping = true;
    try {
      await this.#proposeDrop('excess', plan.excess);
      await this.#proposeDrop('bad', plan.needlessBad);
    } catch (error) {
      if (this.#signal.aborted) return;
      this.#parts.logger.warn('sdfs.drop-failed', { error: asIdunnoError(error).message });
    } finally {
      this.#isDropping = false;
    }
  }

  async #proposeDrop(reason: string, copies: readonly ExcessCopy[]): Promise<void> {
    if (copies.length === 0) return;
    const wire = copies.slice(0, HOLDER_CHANGES_MAX).map(({ blob, node }): Wire => [blob, node]);
    const options = { timeoutMs: PROPOSE_MS, signal: this.#signal };
    await this.#parts.store.propose('sdfs.drop-holders', [reason, wire], options);
  }
}

function count(streams: Map<string, number>, node: string, by: 1 | -1): void {
  const streamsNow = (streams.get(node) ?? 0) + by;
  if (streamsNow > 0) streams.set(node, streamsNow);
  else streams.delete(node);
}
