/**
 * A node's log on a simulated disk: one writer, one sync on its way at a time, everything that
 * came meanwhile in the next one. A crash keeps some prefix of what was not yet synced, possibly
 * nothing: a write is all or nothing (one batch), and writes keep their order.
 *
 * The disk may be slow, hang, fail, be full, or rot. A failed write is final for the process. What
 * a crash tore, or what rotted, the boot scan finds: the log then ends before the damage, and the
 * node is suspect, over further crashes too, until its core trusts it again.
 */
import {
  assert,
  type LogIndex,
  type Ms,
  type Rng,
  type Term,
  type Timer,
  type VirtualClock,
} from '../base/index.js';
import {
  type ConfState,
  confOfEntry,
  type Effect,
  type Entry,
  type HardState,
  NO_CONF,
  type SnapshotMeta,
  type StoredState,
} from '../raft/index.js';
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
  /** No space: every write fails, and the node cannot start. */
  isFull = false;
  /** The node may have lost what it once acknowledged: it must not vote. */
  isSuspect = false;
  hardState: HardState;
  snapshot: SnapshotMeta;
  readonly #plan: Plan['disk'];
  readonly #clock: VirtualClock;
  readonly #rng: Rng;
  readonly #faults: FaultCounts;
  readonly #onDurable: (writes: readonly DiskWrite[]) => void;
  readonly #onFailure: () => void;
  readonly #mayTear: () => boolean;
  #entries: Entry[];
  /** Terms of what the damage took, while the node is suspect. */
  readonly #lost = new Map<LogIndex, Term>();
  /** Everything up to here was lost with a snapshot. */
  #lostUpTo: LogIndex = 0;
  #fails = false;
  #hangMs: Ms = 0;
  #timer: Timer | undefined;
  #conf: ConfState | undefined;
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
      /** A write failed: the process must end. */
      onFailure: () => void;
      /** Is the damage to this disk still within the minority that may be damaged? */
      mayTear: () => boolean;
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
    this.#onFailure = dependencies.onFailure;
    this.#mayTear = dependencies.mayTear;
  }

  get lastIndex(): LogIndex {
    return this.snapshot.index + this.#entries.length;
  }

  /** Of what is durable; undefined where the durable log has nothing. */
  term(index: LogIndex): Term | undefined {
    if (index === this.snapshot.index) return this.snapshot.term;
    return this.#entries[index - this.snapshot.index - 1]?.term;
  }

  /** Durable here; or once was, and the node does not vote before it has it again. */
  hasOrHad(index: LogIndex, term: Term): boolean {
    if (Math.max(this.snapshot.index, this.#lostUpTo) >= index) return true;
    return this.term(index) === term || this.#lost.get(index) === term;
  }

  /** In force by what is durable. */
  get conf(): ConfState {
    this.#conf ??= this.#confUpTo(this.lastIndex);
    return this.#conf;
  }

  #confUpTo(index: LogIndex): ConfState {
    for (let at = index - this.snapshot.index - 1; at >= 0; at -= 1) {
      const entry = this.#entries[at];
      const conf = entry === undefined ? undefined : confOfEntry(entry);
      if (conf !== undefined) return conf;
    }
    return this.snapshot.conf;
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
    this.#stop();
    const unsynced = [...this.#syncing, ...this.#queue];
    this.#syncing = [];
    this.#queue = [];
    const kept = this.#plan.losesWrites ? this.#rng.int(unsynced.length + 1) : unsynced.length;
    const isTorn = this.isFaulty && this.#rng.float() < this.#plan.tearRate;
    if (kept < unsynced.length) this.#faults['lost-writes'] += 1;
    for (const write of unsynced.slice(0, kept)) {
      // A half-done install is redone or undone at boot: here it counts as undone.
      if (write.kind === 'install') break;
      this.#perform(write);
    }
    // Something later made it to the disk all the same: a hole, which the boot scan finds.
    if (kept < unsynced.length && isTorn && this.#mayTear()) {
      this.#faults['torn-writes'] += 1;
      this.isSuspect = true;
    }
  }

  /** The node stops in good order: everything becomes durable first. */
  flush(): void {
    const writes = [...this.#syncing, ...this.#queue];
    this.#stop();
    this.#syncing = [];
    this.#queue = [];
    for (const write of writes) this.#perform(write);
    if (writes.length > 0) this.#onDurable(writes);
  }

  failNextSync(): void {
    this.#fails = true;
  }

  /** The next sync takes so much longer. */
  hang(forMs: Ms): void {
    this.#hangMs = forMs;
  }

  /** From now on a good disk. What hung completes. */
  heal(): void {
    this.isFaulty = false;
    this.slowMs = 0;
    this.isFull = false;
    this.#fails = false;
    this.#hangMs = 0;
    if (this.#timer === undefined) return;
    this.#timer.cancel();
    this.#startSync(this.#plan.syncMs);
  }

  /**
   * The entry at a random place, and with it all after it, cannot be read any more. The state
   * machine is another database and intact, so the log starts from there where less is left.
   */
  rot(state: { readonly index: LogIndex; readonly term: Term }): void {
    this.isSuspect = true;
    if (this.#entries.length === 0) return;
    const cut = this.#rng.int(this.#entries.length);
    // The state machine knows who was a member when it had got so far.
    const conf = this.#confUpTo(state.index);
    this.#conf = undefined;
    for (const { index, term } of this.#entries.splice(cut)) this.#lost.set(index, term);
    if (state.index <= this.lastIndex) return;
    this.#entries = [];
    this.snapshot = { index: state.index, term: state.term, conf };
  }

  /** The core has caught up with all that this disk may have lost. */
  trust(): void {
    this.isSuspect = false;
    this.#lost.clear();
    this.#lostUpTo = 0;
  }

  #stop(): void {
    this.#life += 1;
    this.#timer = undefined;
    this.#onWrite = undefined;
    this.#fails = false;
    this.#hangMs = 0;
  }

  /** Another disk in its place: empty, and nobody knows what the old one had promised. */
  wipe(): void {
    this.crash();
    this.isSuspect = true;
    this.#lostUpTo = Math.max(this.#lostUpTo, this.snapshot.index);
    for (const { index, term } of this.#entries) this.#lost.set(index, term);
    this.hardState = { term: 0, vote: undefined };
    this.snapshot = { index: 0, term: 0, conf: NO_CONF };
    this.#entries = [];
    this.#conf = undefined;
  }

  #sync(): void {
    this.#syncing = this.#queue;
    this.#queue = [];
    let delay = this.#plan.syncMs * 0.5 + exponential(this.#rng, this.#plan.syncMs * 0.5);
    if (this.isFaulty) delay += this.slowMs + this.#hangMs;
    this.#hangMs = 0;
    if (this.isFaulty && this.#plan.spikeRate > 0 && this.#rng.float() < this.#plan.spikeRate) {
      this.#faults['slow-disk'] += 1;
      delay += 10 + exponential(this.#rng, 100);
    }
    this.#startSync(delay);
  }

  #startSync(delay: Ms): void {
    const life = this.#life;
    this.#timer = this.#clock.setTimer(delay, () => {
      if (life !== this.#life) return;
      this.#timer = undefined;
      if (this.#fails || this.isFull) this.#onFailure();
      else this.#endSync();
    });
  }

  #endSync(): void {
    const synced = this.#syncing;
    this.#syncing = [];
    for (const write of synced) this.#perform(write);
    if (this.#queue.length > 0) this.#sync();
    this.#onDurable(synced);
  }

  #perform(write: DiskWrite): void {
    if (changesConf(write)) this.#conf = undefined;
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

/** Compaction does not: what the snapshot then says was in force there. */
function changesConf(write: DiskWrite): boolean {
  if (write.kind !== 'persist') return write.kind === 'install';
  const { truncateFrom, append } = write.effect;
  return truncateFrom !== undefined || append.some(({ kind }) => kind !== 'command');
}
