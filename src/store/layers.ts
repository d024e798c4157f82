/**
 * The rows as they are now: what was written but is not yet durable, over the database.
 *
 *     get ──▶ pending (written since the last flush) ──▶ inflight (being synced) ──▶ recent ──▶ database
 *
 * `recent` are rows that the database has, as they were last written or read: commands mostly touch
 * the rows that others have just touched.
 *
 * Invariants: a row is never missing between its write and its durability, since a layer is
 * dropped only after the database has it; at most one layer is in flight. Pins keep the rows of
 * one moment readable while new ones are written over them, by keeping what was there before.
 *
 * Every write also moves the sum over all rows (row-sum.ts), so that the sum of what is here now is
 * known at every moment.
 *
 * Refuses nothing and decides nothing; writing order and durability are the state machine's.
 */
import { assert, type Database, IdunnoError, KIB, MIB } from '../base/index.js';
import { keyFromBytes, keyToBytes, type RowKey } from './keys.js';
import { type RowSum, RunningSum } from './row-sum.js';

/** What lies under the layers: a database, or nothing (tests). */
export type RowBase = Pick<Database, 'get' | 'snapshot'>;

/** `undefined` is a deletion. */
type RowMap = Map<RowKey, Uint8Array | undefined>;

export interface RowRange {
  readonly from: RowKey;
  /** Exclusive. */
  readonly to: RowKey;
  readonly reverse?: boolean;
  readonly limit?: number;
}

export interface RowImage {
  scan(): AsyncIterable<readonly [RowKey, Uint8Array]>;
  close(): Promise<void>;
}

/** Rows that a long query may see overwritten before it is cut off. */
const PIN_ROWS_MAX = 100_000;

const RECENT_ROWS_MAX = 8_192;
const RECENT_BYTES_MAX = 8 * MIB;
const RECENT_ROW_BYTES_MAX = 64 * KIB;

/** The rows of one moment: overwritten ones are kept here. */
export class Pin {
  readonly undo: RowMap = new Map();
  readonly #release: (pin: Pin) => void;
  #reason: string | undefined;

  constructor(release: (pin: Pin) => void) {
    this.#release = release;
  }

  keep(key: RowKey, before: Uint8Array | undefined): void {
    if (this.#reason !== undefined || this.undo.has(key)) return;
    if (this.undo.size >= PIN_ROWS_MAX) {
      this.spoil(`more than ${PIN_ROWS_MAX} rows changed while it ran`);
      return;
    }
    this.undo.set(key, before);
  }

  /** From now on reads through this pin are refused. */
  spoil(reason: string): void {
    this.#reason = reason;
    this.undo.clear();
  }

  assertReadable(): void {
    if (this.#reason === undefined) return;
    throw new IdunnoError('UNAVAILABLE', `the query was cut off: ${this.#reason}; ask again`);
  }

  close(): void {
    this.#release(this);
  }
}

/** Rows of the database, oldest first; bounded, and of no account: they can be read again. */
class RecentRows {
  readonly #rows: RowMap = new Map();
  #bytes = 0;

  has(key: RowKey): boolean {
    return this.#rows.has(key);
  }

  get(key: RowKey): Uint8Array | undefined {
    return this.#rows.get(key);
  }

  keep(key: RowKey, bytes: Uint8Array | undefined): void {
    this.#drop(key);
    const size = bytes?.length ?? 0;
    if (size > RECENT_ROW_BYTES_MAX) return;
    this.#rows.set(key, bytes);
    this.#bytes += size;
    for (const oldest of this.#rows.keys()) {
      if (this.#rows.size <= RECENT_ROWS_MAX && this.#bytes <= RECENT_BYTES_MAX) break;
      this.#drop(oldest);
    }
  }

  #drop(key: RowKey): void {
    this.#bytes -= this.#rows.get(key)?.length ?? 0;
    this.#rows.delete(key);
  }
}

export class Layers {
  readonly #base: RowBase;
  #pending: RowMap = new Map();
  #inflight: RowMap = new Map();
  readonly #recent = new RecentRows();
  readonly #pins = new Set<Pin>();
  readonly #sum: RunningSum;

  /** `sum`: of the rows that the base holds. */
  constructor(base: RowBase, sum?: RowSum) {
    this.#base = base;
    this.#sum = new RunningSum(sum);
  }

  /** Over all rows written by `set`, as they are now. */
  get sum(): RowSum {
    return this.#sum.value;
  }

  get pendingRows(): number {
    return this.#pending.size + this.#inflight.size;
  }

  get(key: RowKey): Uint8Array | undefined {
    if (this.#pending.has(key)) return this.#pending.get(key);
    if (this.#inflight.has(key)) return this.#inflight.get(key);
    if (this.#recent.has(key)) return this.#recent.get(key);
    const bytes = this.#base.get(keyToBytes(key));
    this.#recent.keep(key, bytes);
    return bytes;
  }

  set(key: RowKey, bytes: Uint8Array | undefined): void {
    this.replace(key, this.get(key), bytes);
  }

  replace(key: RowKey, before: Uint8Array | undefined, bytes: Uint8Array | undefined): void {
    for (const pin of this.#pins) pin.keep(key, before);
    const keyBytes = keyToBytes(key);
    if (before !== undefined) this.#sum.remove(keyBytes, before);
    if (bytes !== undefined) this.#sum.add(keyBytes, bytes);
    this.#pending.set(key, bytes);
  }

  /** A row that says something about the others, and is not in their sum. */
  setUnsummed(key: RowKey, bytes: Uint8Array): void {
    if (this.#pins.size > 0) {
      const before = this.get(key);
      for (const pin of this.#pins) pin.keep(key, before);
    }
    this.#pending.set(key, bytes);
  }

  /** Moves what was written so far into flight and returns it, for one batch. */
  takePending(): ReadonlyMap<RowKey, Uint8Array | undefined> {
    assert(this.#inflight.size === 0, 'a layer is still in flight');
    this.#inflight = this.#pending;
    this.#pending = new Map();
    return this.#inflight;
  }

  /** The layer in flight is durable. */
  settleInflight(): void {
    for (const [key, bytes] of this.#inflight) this.#recent.keep(key, bytes);
    this.#inflight = new Map();
  }

  /** Other rows take the place of these: queries of one moment cannot go on. */
  retire(reason: string): void {
    for (const pin of this.#pins) pin.spoil(reason);
  }

  /** Rows of this moment stay readable through the pin until it is closed. */
  pin(): Pin {
    const pin = new Pin((closed) => this.#pins.delete(closed));
    this.#pins.add(pin);
    return pin;
  }

  /** Rows not yet in the database, in key order; with an empty base these are all rows. */
  written(): (readonly [RowKey, Uint8Array | undefined])[] {
    return sortedRows([this.#inflight, this.#pending], undefined);
  }

  /** All rows of this moment, to be read again and again until it is closed. */
  image(): RowImage {
    const over = this.written();
    const snapshot = this.#base.snapshot();
    return {
      scan: () => mergeRows(over, snapshot.scan({}), false),
      close: () => snapshot.close(),
    };
  }

  /** Rows of the moment at which iteration starts (or of the pin's), in order. */
  async *scan(range: RowRange, pin?: Pin): AsyncGenerator<readonly [RowKey, Uint8Array]> {
    if (range.from >= range.to || range.limit === 0) return;
    pin?.assertReadable();
    const maps = [this.#inflight, this.#pending];
    if (pin !== undefined) maps.push(pin.undo);
    const over = sortedRows(maps, range);
    const snapshot = this.#base.snapshot();
    let left = range.limit ?? Number.POSITIVE_INFINITY;
    try {
      const under = snapshot.scan({
        gte: keyToBytes(range.from),
        lt: keyToBytes(range.to),
        ...(range.reverse === true ? { reverse: true } : {}),
        // Each written row hides at most one of the database's.
        ...(range.limit === undefined ? {} : { limit: range.limit + over.length }),
      });
      for await (const row of mergeRows(over, under, range.reverse === true)) {
        yield row;
        left -= 1;
        if (left <= 0) return;
      }
    } finally {
      await snapshot.close();
    }
  }
}

/** Later maps win. In key order, or against it when the range is reversed. */
function sortedRows(
  maps: readonly RowMap[],
  range: RowRange | undefined,
): (readonly [RowKey, Uint8Array | undefined])[] {
  const merged: RowMap = new Map();
  for (const map of maps) {
    for (const [key, bytes] of map) {
      if (range === undefined || (key >= range.from && key < range.to)) merged.set(key, bytes);
    }
  }
  const rows = [...merged];
  const sign = range?.reverse === true ? -1 : 1;
  rows.sort(([a], [b]) => (a < b ? -sign : sign));
  return rows;
}

/** Two ordered sources as one; where both have a key, `over` wins. */
async function* mergeRows(
  over: readonly (readonly [RowKey, Uint8Array | undefined])[],
  under: AsyncIterable<readonly [Uint8Array, Uint8Array]>,
  reverse: boolean,
): AsyncGenerator<readonly [RowKey, Uint8Array]> {
  let at = 0;
  for await (const [keyBytes, value] of under) {
    const key = keyFromBytes(keyBytes);
    let hidden = false;
    for (; at < over.length; at += 1) {
      const [overKey, overValue] = over[at] as (typeof over)[number];
      if (overKey === key) hidden = true;
      else if (reverse ? overKey < key : overKey > key) break;
      if (overValue !== undefined) yield [overKey, overValue];
    }
    if (!hidden) yield [key, value];
  }
  for (; at < over.length; at += 1) {
    const [key, value] = over[at] as (typeof over)[number];
    if (value !== undefined) yield [key, value];
  }
}
