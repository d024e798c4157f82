/**
 * The terms of one node's log as it can be told from outside, by its persist effects. The checks
 * of the simulation read this and not the core's own log, which may be what is wrong.
 */
import { assert, type LogIndex, type Term } from '../base/index.js';
import type { StoredState } from '../raft/index.js';

export class ShadowLog {
  /** The log starts after this index; what lies below is committed and compacted. */
  snapshotIndex = 0;
  #snapshotTerm: Term = 0;
  #terms: Term[] = [];

  get lastIndex(): LogIndex {
    return this.snapshotIndex + this.#terms.length;
  }

  term(index: LogIndex): Term | undefined {
    if (index === this.snapshotIndex) return this.#snapshotTerm;
    return this.#terms[index - this.snapshotIndex - 1];
  }

  append(index: LogIndex, term: Term): void {
    assert(index === this.lastIndex + 1, `a persist effect leaves a gap before ${index}`);
    this.#terms.push(term);
  }

  truncate(from: LogIndex): void {
    assert(from > this.snapshotIndex, `a persist effect truncates compacted entries at ${from}`);
    this.#terms.splice(from - this.snapshotIndex - 1);
  }

  compact(index: LogIndex, term: Term): void {
    this.#terms.splice(0, index - this.snapshotIndex);
    this.snapshotIndex = index;
    this.#snapshotTerm = term;
  }

  reset(index: LogIndex, term: Term): void {
    this.snapshotIndex = index;
    this.#snapshotTerm = term;
    this.#terms = [];
  }

  load({ snapshot, entries }: Pick<StoredState, 'snapshot' | 'entries'>): void {
    this.reset(snapshot.index, snapshot.term);
    for (const entry of entries) this.append(entry.index, entry.term);
  }
}
