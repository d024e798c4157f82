/**
 * A node's log on a simulated disk: one writer, one sync on its way at a time, everything that
 * came meanwhile in the next one. A crash keeps some prefix of what was not yet synced, possibly
 * nothing: a write is all or nothing (one batch), and writes keep their order.
 */
import {
  assert,
  type LogIndex,
  type Ms,
  type Rng,
  type Term,
  type VirtualClock,
} from '../base/index.js';
import type { Effect, Entry, HardState, SnapshotMeta, StoredState } from '../raft/index.js';
import { exponential, type FaultCounts, type Plan } from './plan.js';

type Persist = Extract<Effect, { kind: 'persist' }>;

export type DiskWrite =
  | { readonly kind: 'persist'; readonly effect: Persist }
  | { readonly kind: 'install'; readonly meta: SnapshotMeta; readonly onInstalled: () => void }
  | { readonly kind: 'compact'; readonly meta: SnapshotMeta };

export class SimDisk {
  /** Off in the liveness phase. */
  isFaulty = true;
  /** A sick disk, as the nemesis makes it: every sync takes so much longer. */
  slowMs: Ms = 0;
  hardState: HardState;
  snapshot: SnapshotMeta;
  readonly #plan: Plan['disk'];
  readonly #clock: VirtualClock;
  readonly #rng: Rng;
  readonly #faults: FaultCounts;
  readonly #onDurable: (writes: readonly DiskWrite[]) => void;
  #entries: Entry[];
  #queue: DiskWrite[] = [];
  #syncing: readonly DiskWrite[] = [];
  #onWrite: (() => void) | undefined;
  /** Counts crashes: a sync of before does not complete after. */
  #life = 0;

  constructor(
    plan: Plan['disk'],
    stored: Omit<StoredState, 'applied'>,
    dependencies: {
      clock: VirtualClock;
      rng: Rng;
      faults: FaultCounts;
      onDurable: (writes: readonly DiskWrite[]) => void;
    },
  ) {
    this.#plan = plan;
    this.hardState = stored.hardState;
    this.snapshot = stored.snapshot;
    this.#entries = [...stored.entries];
    this.#clock = dependencies.clock;
    this.#rng = dependencies.rng;
    this.#faults = dependencies.faults;
    this.#onDurable = dependencies.onDurable;
  }

  get lastIndex(): LogIndex {
    return this.snapshot.index + this.#entries.length;
  }

  /** Of what is durable; undefined where the durable log has nothing. */
  term(index: LogIndex): Term | undefined {
    if (index === this.snapshot.index) return this.snapshot.term;
    return this.#entries[index - this.snapshot.index - 1]?.term;
  }

  load(): Omit<StoredState, 'applied'> {
    return { hardState: this.hardState, snapshot: this.snapshot, entries: [...this.#entries] };
  }

  write(write: DiskWrite): void {
    this.#queue.push(write);
    if (this.#syncing.length === 0) this.#sync();
    const listener = this.#onWrite;
    this.#onWrite = undefined;
    listener?.();
  }

  /** Calls once, at the next write, while that is not durable yet: the worst time for a crash. */
  atNextWrite(listener: () => void): void {
    this.#onWrite = listener;
  }

  /** Power off: what was not synced is lost, but for a prefix that made it. */
  crash(): void {
    this.#life += 1;
    this.#onWrite = undefined;
    const unsynced = [...this.#syncing, ...this.#queue];
    this.#syncing = [];
    this.#queue = [];
    const kept = unsynced.length === 0 ? 0 : this.#rng.int(unsynced.length + 1);
    if (kept < unsynced.length) this.#faults['lost-writes'] += 1;
    for (const write of unsynced.slice(0, kept)) {
      // A half-done install is redone or undone at boot: here it counts as undone.
      if (write.kind === 'install') break;
      this.#perform(write);
    }
  }

  #sync(): void {
    this.#syncing = this.#queue;
    this.#queue = [];
    let delay = this.#plan.syncMs * 0.5 + exponential(this.#rng, this.#plan.syncMs * 0.5);
    if (this.isFaulty) delay += this.slowMs;
    if (this.isFaulty && this.#plan.spikeRate > 0 && this.#rng.float() < this.#plan.spikeRate) {
      this.#faults['slow-disk'] += 1;
      delay += 10 + exponential(this.#rng, 100);
    }
    const life = this.#life;
    this.#clock.setTimer(delay, () => {
      if (life !== this.#life) return;
      const synced = this.#syncing;
      this.#syncing = [];
      for (const write of synced) this.#perform(write);
      if (this.#queue.length > 0) this.#sync();
      this.#onDurable(synced);
    });
  }

  #perform(write: DiskWrite): void {
    switch (write.kind) {
      case 'persist':
        this.#persist(write.effect);
        break;
      case 'install':
        this.#entries = [];
        this.snapshot = write.meta;
        break;
      case 'compact':
        if (write.meta.index <= this.snapshot.index) break;
        this.#entries.splice(0, write.meta.index - this.snapshot.index);
        this.snapshot = write.meta;
        break;
    }
  }

  #persist({ hardState, truncateFrom, append }: Persist): void {
    if (truncateFrom !== undefined) {
      assert(truncateFrom > this.snapshot.index, 'a compacted entry was truncated');
      this.#entries.splice(truncateFrom - this.snapshot.index - 1);
    }
    for (const entry of append) {
      assert(entry.index === this.lastIndex + 1, `gap on the disk before ${entry.index}`);
      this.#entries.push(entry);
    }
    if (hardState !== undefined) this.hardState = hardState;
  }
}
