/**
 * A map of byte strings in byte order, as a sorted array. Cloning is free until one of the two
 * clones changes (copy on write), which suits databases of tests: many snapshots, few thousand rows.
 */
import type { KeyRange } from './runtime.js';

type Row = readonly [key: Uint8Array, value: Uint8Array];

export class OrderedMap {
  #rows: Row[];
  #isShared = false;

  constructor(rows: Row[] = []) {
    this.#rows = rows;
  }

  get size(): number {
    return this.#rows.length;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const row = this.#rows[this.#lowerBound(key)];
    return row !== undefined && Buffer.compare(row[0], key) === 0 ? row[1] : undefined;
  }

  set(key: Uint8Array, value: Uint8Array): void {
    this.#own();
    const at = this.#lowerBound(key);
    const row = this.#rows[at];
    if (row !== undefined && Buffer.compare(row[0], key) === 0) this.#rows[at] = [key, value];
    else if (at === this.#rows.length) this.#rows.push([key, value]);
    else this.#rows.splice(at, 0, [key, value]);
  }

  delete(key: Uint8Array): void {
    const at = this.#lowerBound(key);
    const row = this.#rows[at];
    if (row === undefined || Buffer.compare(row[0], key) !== 0) return;
    this.#own();
    this.#rows.splice(at, 1);
  }

  clone(): OrderedMap {
    const twin = new OrderedMap(this.#rows);
    this.#isShared = true;
    twin.#isShared = true;
    return twin;
  }

  *range(range: KeyRange): Generator<Row> {
    const rows = this.#rows;
    let from = range.gte === undefined ? 0 : this.#lowerBound(range.gte);
    if (range.gt !== undefined) from = Math.max(from, this.#upperBound(range.gt));
    let to = range.lt === undefined ? rows.length : this.#lowerBound(range.lt);
    if (range.lte !== undefined) to = Math.min(to, this.#upperBound(range.lte));
    const count = Math.min(Math.max(0, to - from), limitOf(range));
    for (let i = 0; i < count; i++) {
      const row = rows[range.reverse ? to - 1 - i : from + i];
      if (row !== undefined) yield row;
    }
  }

  #own(): void {
    if (!this.#isShared) return;
    this.#rows = this.#rows.slice();
    this.#isShared = false;
  }

  /** Index of the first row whose key is not below `key`. */
  #lowerBound(key: Uint8Array): number {
    let low = 0;
    let high = this.#rows.length;
    // Logs grow at the end: look there first.
    const last = this.#rows[high - 1];
    if (last !== undefined && Buffer.compare(last[0], key) < 0) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      const row = this.#rows[middle];
      if (row !== undefined && Buffer.compare(row[0], key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #upperBound(key: Uint8Array): number {
    const at = this.#lowerBound(key);
    const row = this.#rows[at];
    return row !== undefined && Buffer.compare(row[0], key) === 0 ? at + 1 : at;
  }
}

/** As in Level: a negative or missing limit is none. */
function limitOf(range: KeyRange): number {
  return range.limit === undefined || range.limit < 0 ? Number.POSITIVE_INFINITY : range.limit;
}
