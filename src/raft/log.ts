/**
 * The log as the core sees it: everything after the last compaction, in memory.
 *
 *      snapshot | entries ........................... lastIndex
 *               |        ^ stable        ^ emitted
 *
 * `stable`: durable on this node's disk. `emitted`: handed out in a persist effect. Entries above
 * `emitted` go out with the next one. It does no I/O and decides nothing about terms or commits.
 *
 * The configuration is a function of the log: the newest one in it is in force, committed or not
 * (Raft §6), so truncation and snapshots restore the right one by themselves.
 *
 * Invariants: entries are contiguous; terms never decrease; snapshot ≤ stable ≤ emitted ≤ last.
 */
import { assert, type LogIndex, type Term } from '../base/index.js';
import { confOfEntry } from './conf.js';
import type { ConfState, Entry, SnapshotMeta } from './types.js';

/** What an entry costs in memory and on the wire besides its data, roughly. */
const ENTRY_OVERHEAD_BYTES = 48;

export function entryBytes(entry: Entry): number {
  return entry.data.length + ENTRY_OVERHEAD_BYTES;
}

export interface Unpersisted {
  readonly truncateFrom: LogIndex | undefined;
  readonly append: readonly Entry[];
}

const NOTHING: Unpersisted = { truncateFrom: undefined, append: [] };

/** In force from this entry on. */
interface ConfAt {
  readonly index: LogIndex;
  readonly conf: ConfState;
}

export class RaftLog {
  #snapshotIndex: LogIndex;
  #snapshotTerm: Term;
  #entries: Entry[];
  #bytes = 0;
  #stable: LogIndex;
  #emitted: LogIndex;
  #truncateFrom: LogIndex | undefined;
  /** Oldest first. The first one is in force at the snapshot; there are never none. */
  #confs: ConfAt[];

  /** All of `entries` are durable: they were read from the disk. */
  constructor(snapshot: SnapshotMeta, entries: readonly Entry[]) {
    this.#confs = [{ index: snapshot.index, conf: snapshot.conf }];
    this.#snapshotIndex = snapshot.index;
    this.#snapshotTerm = snapshot.term;
    this.#entries = [];
    this.#stable = this.#emitted = snapshot.index;
    for (const entry of entries) this.append(entry);
    this.#stable = this.#emitted = this.lastIndex;
  }

  /** Index of the last compacted entry; its term is still known. */
  get snapshotIndex(): LogIndex {
    return this.#snapshotIndex;
  }

  get lastIndex(): LogIndex {
    return this.#snapshotIndex + this.#entries.length;
  }

  get lastTerm(): Term {
    return this.#entries.at(-1)?.term ?? this.#snapshotTerm;
  }

  get stable(): LogIndex {
    return this.#stable;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** In force now. */
  get conf(): ConfState {
    return this.#newestConf.conf;
  }

  /** Since which entry. At or below `snapshotIndex`: since before the log begins. */
  get confIndex(): LogIndex {
    return this.#newestConf.index;
  }

  /** In force at `index`; undefined where the log does not know any more. */
  confAt(index: LogIndex): ConfState | undefined {
    return this.#confs.findLast((known) => known.index <= index)?.conf;
  }

  get #newestConf(): ConfAt {
    const newest = this.#confs.at(-1);
    assert(newest !== undefined, 'a log without a configuration');
    return newest;
  }

  /** undefined where the log has nothing: compacted away, or not yet there. */
  term(index: LogIndex): Term | undefined {
    if (index === this.#snapshotIndex) return this.#snapshotTerm;
    return this.#entries[index - this.#snapshotIndex - 1]?.term;
  }

  entry(index: LogIndex): Entry | undefined {
    return this.#entries[index - this.#snapshotIndex - 1];
  }

  /** Entries from `from` on: at most so many and so many bytes, but at least one if there is one. */
  slice(from: LogIndex, entriesMax: number, bytesMax: number): Entry[] {
    assert(from > this.#snapshotIndex, `entry ${from} is compacted`);
    const start = from - this.#snapshotIndex - 1;
    const end = Math.min(this.#entries.length, start + entriesMax);
    let bytes = 0;
    let stop = start;
    for (; stop < end; stop += 1) {
      const entry = this.#entries[stop];
      if (entry === undefined) break;
      bytes += entryBytes(entry);
      if (bytes > bytesMax && stop > start) break;
    }
    return this.#entries.slice(start, stop);
  }

  append(entry: Entry): void {
    assert(entry.index === this.lastIndex + 1, `gap in the log before ${entry.index}`);
    assert(entry.term >= this.lastTerm, `term ${entry.term} at ${entry.index} goes back`);
    this.#entries.push(entry);
    this.#bytes += entryBytes(entry);
    const conf = confOfEntry(entry);
    if (conf !== undefined) this.#confs.push({ index: entry.index, conf });
    assert(
      conf !== undefined || entry.kind !== 'config',
      `entry ${entry.index} is no configuration`,
    );
  }

  /** Drops `from` and everything after it. The caller has seen a conflict there (Raft §5.3). */
  truncate(from: LogIndex): void {
    assert(from > this.#snapshotIndex, `cannot truncate at ${from}: it is compacted`);
    if (from > this.lastIndex) return;
    for (const dropped of this.#entries.splice(from - this.#snapshotIndex - 1)) {
      this.#bytes -= entryBytes(dropped);
    }
    if (from <= this.#emitted) {
      // Only what was handed out can be on the disk and has to be deleted there.
      this.#truncateFrom = Math.min(from, this.#truncateFrom ?? from);
      this.#emitted = from - 1;
    }
    this.#stable = Math.min(this.#stable, from - 1);
    this.#confs = this.#confs.filter((known) => known.index < from);
  }

  /** What a persist effect must carry now; from then on it counts as handed out. */
  takeUnpersisted(): Unpersisted {
    if (this.#truncateFrom === undefined && this.#emitted === this.lastIndex) return NOTHING;
    const truncateFrom = this.#truncateFrom;
    const append = this.#entries.slice(this.#emitted - this.#snapshotIndex);
    this.#truncateFrom = undefined;
    this.#emitted = this.lastIndex;
    return { truncateFrom, append };
  }

  /** The disk holds everything up to `index`. The caller has checked that it is still this log. */
  markStable(index: LogIndex): void {
    assert(index <= this.#emitted, `${index} was never handed out to the disk`);
    this.#stable = Math.max(this.#stable, index);
  }

  /**
   * The largest index ≤ `index` whose term is ≤ `term`: the best guess where two logs still agree,
   * skipping a whole term per round trip (Raft §5.3, end). Terms never decrease, so it is a
   * binary search. Never below the snapshot.
   */
  lastIndexWithTermAtMost(index: LogIndex, term: Term): LogIndex {
    let low = this.#snapshotIndex;
    let high = Math.min(index, this.lastIndex);
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      const there = this.term(middle);
      if (there !== undefined && there <= term) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Raft §5.4.1: is a log that ends with (lastTerm, lastIndex) at least as up to date as ours? */
  isUpToDate(lastTerm: Term, lastIndex: LogIndex): boolean {
    if (lastTerm !== this.lastTerm) return lastTerm > this.lastTerm;
    return lastIndex >= this.lastIndex;
  }

  /** Forgets everything up to and including `index`, which a durable state machine covers. */
  compact(index: LogIndex): void {
    assert(index <= this.#stable, `cannot compact to ${index}: only ${this.#stable} is durable`);
    const term = this.term(index);
    assert(term !== undefined, `cannot compact to ${index}: not in the log`);
    for (const dropped of this.#entries.splice(0, index - this.#snapshotIndex)) {
      this.#bytes -= entryBytes(dropped);
    }
    this.#snapshotIndex = index;
    this.#snapshotTerm = term;
    const first = this.#confs.findLastIndex((known) => known.index <= index);
    this.#confs = this.#confs.slice(first);
  }

  /** A snapshot took the place of everything. */
  reset(snapshot: SnapshotMeta): void {
    this.#confs = [{ index: snapshot.index, conf: snapshot.conf }];
    this.#snapshotIndex = snapshot.index;
    this.#snapshotTerm = snapshot.term;
    this.#entries = [];
    this.#bytes = 0;
    this.#stable = this.#emitted = snapshot.index;
    this.#truncateFrom = undefined;
  }
}
