/**
 * Gets a blob onto as many nodes as are wanted: any live nodes will do, so a slow or dead one is
 * replaced at once, first by the spare, then by nodes that the leader names.
 *
 *     queue ──▶ running ──▶ have        (until have = goal)
 *       ▲          └──▶ failed ─┐
 *       └── leader names more ◀─┘ excluding both
 *
 * With fewer live nodes than wanted, as many copies as there are nodes are enough: `have` then
 * equals the number that the leader counts as up. A node that fails but still counts as up is
 * waited for: either it comes back, or the cluster declares it down within seconds.
 */
import {
  asIdunnoError,
  type Clock,
  IdunnoError,
  isIdunnoError,
  type NodeId,
} from '../base/index.js';
import type { MoreTargets } from './leader-calls.js';
import type { DurableCopy } from './transfer.js';

export interface GatherOptions {
  /** For messages: what is being written. */
  readonly what: string;
  readonly wanted: number;
  readonly live: number;
  /** Nodes to begin with, best first. */
  readonly queue: readonly NodeId[];
  /** The last missing copy gets company after this time, or three times the median if longer. */
  readonly hedgeMs: number;
  /** How long copies may be missing before it gives up. */
  readonly patienceMs: number;
}

export interface GatherParts {
  readonly clock: Clock;
  /** Makes one durable copy. Rejects when the signal aborts. */
  readonly write: (node: NodeId, signal: AbortSignal) => Promise<DurableCopy>;
  readonly more: (have: readonly NodeId[], failed: readonly NodeId[]) => Promise<MoreTargets>;
  readonly signal: AbortSignal;
}

/** So many times the time after which a write gets company. */
const VERY_LATE = 4;
const ENOUGH = new IdunnoError('ABORTED', 'enough copies are durable');
/** Between two questions to the leader while nothing else can be done. */
const ASK_PAUSE_MS = 150;

export class CopyGatherer {
  readonly #options: GatherOptions;
  readonly #parts: GatherParts;
  readonly #have = new Map<NodeId, DurableCopy>();
  readonly #failed = new Map<NodeId, IdunnoError>();
  readonly #running = new Set<NodeId>();
  readonly #durations: number[] = [];
  readonly #stop = new AbortController();
  #queue: NodeId[];
  #live: number;
  #full: readonly NodeId[] = [];
  #wake: (() => void) | undefined;
  /** Writes that have ended: tells whether anything happened while it waited for the leader. */
  #events = 0;

  constructor(options: GatherOptions, parts: GatherParts) {
    this.#options = options;
    this.#parts = parts;
    this.#queue = [...options.queue];
    this.#live = options.live;
  }

  get have(): readonly DurableCopy[] {
    return [...this.#have.values()];
  }

  /** A copy that was made by other means: a chain. */
  addCopy(copy: DurableCopy): void {
    this.#have.set(copy.node, copy);
    this.#queue = this.#queue.filter((node) => node !== copy.node);
  }

  /** This node failed, or its copy does not count any more. */
  addFailure(node: NodeId, error: IdunnoError): void {
    this.#have.delete(node);
    this.#failed.set(node, error);
    this.#queue = this.#queue.filter((one) => one !== node);
  }

  /** Stops what is still being written. */
  close(): void {
    this.#stop.abort(ENOUGH);
  }

  /** Resolves with at least `goal` copies, or as many as there are live nodes. */
  async gather(goal: number): Promise<readonly DurableCopy[]> {
    const { clock, signal } = this.#parts;
    const startMs = clock.now();
    let askedMs = Number.NEGATIVE_INFINITY;
    while (this.#have.size < goal) {
      if (signal.aborted) throw asIdunnoError(signal.reason);
      const waitedMs = clock.now() - startMs;
      if (waitedMs >= this.#options.patienceMs) throw this.#notEnough(goal);
      const seen = this.#events;
      const missing = goal - this.#have.size;
      // All that are wanted are begun at once, also when fewer are enough for the answer.
      const wanted = Math.max(missing, this.#options.wanted - this.#have.size);
      const streams = wanted + this.#hedges(missing, waitedMs);
      this.#launch(streams);
      const isShort = this.#running.size < streams && this.#queue.length === 0;
      if (isShort && clock.now() - askedMs >= ASK_PAUSE_MS) {
        askedMs = clock.now();
        await this.#ask();
        if (this.#isEnough(goal)) break;
        if (this.#queue.length > 0 || this.#events !== seen) continue;
        this.#checkHope(goal);
      }
      if (this.#events === seen) await this.#sleep(isShort ? ASK_PAUSE_MS : this.#hedgeMs());
    }
    return this.have;
  }

  #launch(count: number): void {
    while (this.#running.size < count) {
      const node = this.#queue.shift();
      if (node === undefined) return;
      void this.#write(node);
    }
  }

  async #write(node: NodeId): Promise<void> {
    const { clock, signal, write } = this.#parts;
    const startMs = clock.now();
    this.#running.add(node);
    try {
      const copy = await write(node, AbortSignal.any([signal, this.#stop.signal]));
      this.#durations.push(clock.now() - startMs);
      this.#have.set(node, copy);
      this.#failed.delete(node);
    } catch (error) {
      this.#failed.set(node, asIdunnoError(error));
    } finally {
      this.#running.delete(node);
      this.#events += 1;
      this.#wake?.();
    }
  }

  #hedgeMs(): number {
    const sorted = [...this.#durations].sort((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
    return Math.max(this.#options.hedgeMs, 3 * median);
  }

  /**
   * Writes beside those that are missing: one when the last is late, as many again when whatever
   * is missing is very late. A frozen node must not cost more than this.
   */
  #hedges(missing: number, waitedMs: number): number {
    const hedgeMs = this.#hedgeMs();
    if (waitedMs >= VERY_LATE * hedgeMs) return missing;
    return missing === 1 && waitedMs >= hedgeMs ? 1 : 0;
  }

  async #ask(): Promise<void> {
    const have = [...this.#have.keys()];
    const failed = [...this.#failed.keys(), ...this.#running];
    const answer = await this.#parts.more(have, failed);
    this.#live = answer.live;
    this.#full = answer.full;
    this.#queue.push(...answer.targets.filter((node) => !this.#running.has(node)));
  }

  #isEnough(goal: number): boolean {
    return this.#queue.length === 0 && this.#have.size >= Math.max(1, Math.min(goal, this.#live));
  }

  /** Nobody else can be asked now: fail, or let those that failed try again. */
  #checkHope(goal: number): void {
    if (this.#running.size > 0) return;
    const full = [...this.#failed].filter(([, error]) => isIdunnoError(error, 'DISK_FULL'));
    if (full.length > 0 || this.#full.length > 0) throw this.#diskFull(goal, full);
    this.#queue.push(...this.#failed.keys());
    this.#failed.clear();
  }

  #diskFull(goal: number, failed: readonly [NodeId, IdunnoError][]): IdunnoError {
    const reasons = [
      ...failed.map(([, error]) => error.message),
      ...this.#full.map((node) => `${node} is above its watermark`),
    ];
    return new IdunnoError(
      'DISK_FULL',
      `cannot write ${this.#options.what}: room for ${this.#have.size} of ${goal} copies; ` +
        reasons.slice(0, 5).join('; '),
      { copies: this.#have.size, wanted: goal },
    );
  }

  #notEnough(goal: number): IdunnoError {
    const reasons = [...this.#failed].map(([node, error]) => `${node}: ${error.message}`);
    return new IdunnoError(
      'NOT_ENOUGH_NODES',
      `cannot write ${this.#options.what}: ${this.#have.size} of ${goal} copies are durable after ` +
        `${this.#options.patienceMs} ms, ${this.#live} nodes are up; ${reasons.slice(0, 5).join('; ')}`,
      { copies: this.#have.size, wanted: goal, live: this.#live },
    );
  }

  /** Until a write ends, or so long. */
  async #sleep(ms: number): Promise<void> {
    const { clock, signal } = this.#parts;
    await new Promise<void>((wake) => {
      const timer = clock.setTimer(ms, () => this.#wake?.());
      const onAbort = (): void => this.#wake?.();
      signal.addEventListener('abort', onAbort, { once: true });
      this.#wake = () => {
        timer.cancel();
        signal.removeEventListener('abort', onAbort);
        this.#wake = undefined;
        wake();
      };
    });
  }
}
