/**
 * The terms of a log without its entries: terms never decrease along the log, so they are kept as
 * runs of equal ones. A log of a million entries and ten elections is ten numbers.
 */
import { assert, type LogIndex, type Term } from '../base/index.js';

interface Run {
  /** First index of the run. */
  from: LogIndex;
  readonly term: Term;
}

export class TermRuns {
  #runs: Run[];
  #last: LogIndex;

  /** Starts at a snapshot's position, whose term is known though the entry is gone. */
  constructor(index: LogIndex, term: Term) {
    this.#runs = [{ from: index, term }];
    this.#last = index;
  }

  /** The entry must be there, or be the start. */
  at(index: LogIndex): Term {
    assert(index <= this.#last, `no term at ${index}: the log ends at ${this.#last}`);
    const run = this.#runs.findLast((candidate) => candidate.from <= index);
    assert(run !== undefined, `no term at ${index}: it is compacted`);
    return run.term;
  }

  push(index: LogIndex, term: Term): void {
    assert(index === this.#last + 1, `term of ${index} after ${this.#last}`);
    if (this.#runs.at(-1)?.term !== term) this.#runs.push({ from: index, term });
    this.#last = index;
  }

  /** Drops `from` and everything after it. */
  truncate(from: LogIndex): void {
    if (from > this.#last) return;
    while (this.#runs.length > 1 && (this.#runs.at(-1)?.from ?? 0) >= from) this.#runs.pop();
    this.#last = from - 1;
  }

  /** Everything before `index` is compacted; its own term stays known. */
  dropBefore(index: LogIndex): void {
    const term = this.at(index);
    this.#runs = this.#runs.filter((run) => run.from > index);
    this.#runs.unshift({ from: index, term });
  }
}
