/**
 * The log in memory: the twin of LevelLogStore for tests of what stands on it. Durable for as long
 * as the object lives; passes the same conformance suite.
 */
import { assert, type LogIndex } from '../base/index.js';
import type { Entry, HardState, LoadedLog, LogBatch, LogStore, SnapshotMeta } from './types.js';

export class MemoryLogStore implements LogStore {
  #hardState: HardState = { term: 0, vote: undefined };
  #snapshot: SnapshotMeta = {
    index: 0,
    term: 0,
    conf: { voters: [], outgoing: [], learners: [] },
  };
  #entries: Entry[] = [];
  #doubt: string | undefined;

  async load(): Promise<LoadedLog> {
    return {
      hardState: this.#hardState,
      snapshot: this.#snapshot,
      entries: [...this.#entries],
      ...(this.#doubt === undefined ? {} : { doubt: this.#doubt }),
    };
  }

  async doubt(reason: string): Promise<void> {
    this.#doubt = reason;
  }

  async trust(): Promise<void> {
    this.#doubt = undefined;
  }

  async write(batch: LogBatch): Promise<void> {
    const { hardState, truncateFrom, append } = batch;
    if (truncateFrom !== undefined) {
      assert(truncateFrom > this.#snapshot.index, `cannot truncate at ${truncateFrom}`);
      this.#entries.splice(truncateFrom - this.#snapshot.index - 1);
    }
    for (const entry of append) {
      assert(entry.index === this.#lastIndex + 1, `gap in the log before ${entry.index}`);
      this.#entries.push(entry);
    }
    if (hardState !== undefined) {
      assert(hardState.term >= this.#hardState.term, `term ${hardState.term} goes back`);
      this.#hardState = hardState;
    }
  }

  async read(from: LogIndex, to: LogIndex, bytesMax: number): Promise<Entry[]> {
    assert(from > this.#snapshot.index, `entry ${from} is compacted`);
    const start = from - this.#snapshot.index - 1;
    const found: Entry[] = [];
    let bytes = 0;
    for (const entry of this.#entries.slice(start, start + to - from)) {
      bytes += entry.data.length;
      if (bytes > bytesMax && found.length > 0) break;
      found.push(entry);
    }
    return found;
  }

  async compact(meta: SnapshotMeta): Promise<void> {
    if (meta.index <= this.#snapshot.index) return;
    assert(meta.index <= this.#lastIndex, `cannot compact to ${meta.index}: not in the log`);
    this.#entries.splice(0, meta.index - this.#snapshot.index);
    this.#snapshot = meta;
  }

  async reset(meta: SnapshotMeta, hardState: HardState): Promise<void> {
    this.#hardState = hardState;
    this.#snapshot = meta;
    this.#entries = [];
  }

  startOver(meta: SnapshotMeta, hardState: HardState): Promise<void> {
    return this.reset(meta, hardState);
  }

  async close(): Promise<void> {}

  get #lastIndex(): LogIndex {
    return this.#snapshot.index + this.#entries.length;
  }
}
