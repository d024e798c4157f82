/**
 * Reading rows outside of apply: point reads and ordered scans. A view without a pin reads the rows
 * as they are at each call; with one, all of one moment (derived indexes are always of now).
 */
import type { LogIndex } from '../base/index.js';
import { decode } from '../net/index.js';
import { afterPrefix, decodeKey, encodeKey, justAfter, type RowKey } from './keys.js';
import type { Layers, Pin, RowRange } from './layers.js';
import type { IndexSource } from './tx.js';
import type { DerivedIndexKey, Key, ReadView, Table } from './types.js';

type ScanRange = Parameters<ReadView['scan']>[1];

export interface ViewParts {
  readonly rows: () => Layers;
  readonly indexes: () => IndexSource;
  readonly appliedIndex: () => LogIndex;
  readonly pin?: Pin;
}

export class RowView implements ReadView {
  readonly #parts: ViewParts;

  constructor(parts: ViewParts) {
    this.#parts = parts;
  }

  get appliedIndex(): LogIndex {
    return this.#parts.appliedIndex();
  }

  get<Row>(table: Table<Row>, key: Key): Row | undefined {
    const { rows, pin } = this.#parts;
    const rowKey = encodeKey(table.bucket, key);
    pin?.assertReadable();
    const bytes = pin?.undo.has(rowKey) ? pin.undo.get(rowKey) : rows().get(rowKey);
    return bytes === undefined ? undefined : (decode(bytes) as Row);
  }

  async *scan<Row>(table: Table<Row>, range: ScanRange): AsyncGenerator<readonly [Key, Row]> {
    const { rows, pin } = this.#parts;
    for await (const [key, bytes] of rows().scan(toRowRange(table.bucket, range), pin)) {
      yield [decodeKey(key).parts, decode(bytes) as Row];
    }
  }

  index<I>(key: DerivedIndexKey<I>): I {
    return this.#parts.indexes().index(key);
  }
}

/** `after` resumes in the direction of the scan; all keys are whole, not relative to the prefix. */
export function toRowRange(bucket: number, range: ScanRange): RowRange {
  const prefix = encodeKey(bucket, range.prefix ?? []);
  let from: RowKey = prefix;
  let to: RowKey = afterPrefix(prefix);
  if (range.gte !== undefined) from = larger(from, encodeKey(bucket, range.gte));
  if (range.lt !== undefined) to = smaller(to, encodeKey(bucket, range.lt));
  if (range.after !== undefined) {
    const after = encodeKey(bucket, range.after);
    if (range.reverse === true) to = smaller(to, after);
    else from = larger(from, justAfter(after));
  }
  return {
    from,
    to,
    ...(range.reverse === true ? { reverse: true } : {}),
    ...(range.limit === undefined ? {} : { limit: range.limit }),
  };
}

function larger(a: RowKey, b: RowKey): RowKey {
  return a > b ? a : b;
}

function smaller(a: RowKey, b: RowKey): RowKey {
  return a < b ? a : b;
}
