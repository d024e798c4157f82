/**
 * One command's reads and writes. Nothing is visible outside until `commit`; a command that
 * refuses is simply dropped with its transaction.
 *
 * A row is encoded when it is put and decoded when it is got, so that a command reads the same
 * whether a row comes from memory or from disk, and later changes to an object have no effect.
 */
import { assert } from '../base/index.js';
import { decode, encode, type Wire } from '../net/index.js';
import { encodeKey, type RowKey } from './keys.js';
import type { Change, DerivedIndexKey, Key, Table, Tx } from './types.js';

/** Rows one command may read or write: more is done by continuation commands. */
export const ROWS_PER_COMMAND_MAX = 256;
export const ROW_BYTES_MAX = 1024 * 1024;

/** Where committed rows are. */
export interface RowStore {
  get(key: RowKey): Uint8Array | undefined;
  /** `before`: what `get` answers now; whoever has read it spares the rows a second look. */
  replace(key: RowKey, before: Uint8Array | undefined, bytes: Uint8Array | undefined): void;
  set(key: RowKey, bytes: Uint8Array | undefined): void;
}

/** The in-memory indexes as of the last command. */
export interface IndexSource {
  index<I>(key: DerivedIndexKey<I>): I;
}

interface Write {
  readonly table: Table<unknown>;
  readonly key: Key;
  bytes: Uint8Array | undefined;
}

export class CommandTx implements Tx {
  readonly #rows: RowStore;
  readonly #indexes: IndexSource;
  readonly #writes = new Map<RowKey, Write>();
  /** Rows as they were before this command, of every row it touched. */
  readonly #before = new Map<RowKey, Uint8Array | undefined>();

  constructor(rows: RowStore, indexes: IndexSource) {
    this.#rows = rows;
    this.#indexes = indexes;
  }

  get<Row>(table: Table<Row>, key: Key): Row | undefined {
    const rowKey = this.#touch(table, key);
    const write = this.#writes.get(rowKey);
    const bytes = write === undefined ? this.#before.get(rowKey) : write.bytes;
    return bytes === undefined ? undefined : (decode(bytes) as Row);
  }

  put<Row>(table: Table<Row>, key: Key, row: Row): void {
    const bytes = encode(row as Wire);
    assert(bytes.length <= ROW_BYTES_MAX, `a row of ${bytes.length} bytes in ${table.name}`);
    this.#write(table, key, bytes);
  }

  delete<Row>(table: Table<Row>, key: Key): void {
    this.#write(table, key, undefined);
  }

  index<I>(key: DerivedIndexKey<I>): I {
    return this.#indexes.index(key);
  }

  /** Makes the writes visible and returns them as changes, in the order of first writing. */
  commit(): Change[] {
    const changes: Change[] = [];
    for (const [rowKey, { table, key, bytes }] of this.#writes) {
      const before = this.#before.get(rowKey);
      if (before === undefined && bytes === undefined) continue;
      this.#rows.replace(rowKey, before, bytes);
      changes.push(new RowChange(table, key, before, bytes));
    }
    return changes;
  }

  #write(table: Table<unknown>, key: Key, bytes: Uint8Array | undefined): void {
    const rowKey = this.#touch(table, key);
    const write = this.#writes.get(rowKey);
    if (write === undefined) this.#writes.set(rowKey, { table, key: [...key], bytes });
    else write.bytes = bytes;
  }

  #touch(table: Table<unknown>, key: Key): RowKey {
    const rowKey = encodeKey(table.bucket, key);
    if (this.#before.has(rowKey)) return rowKey;
    assert(
      this.#before.size < ROWS_PER_COMMAND_MAX,
      `a command touches more than ${ROWS_PER_COMMAND_MAX} rows`,
    );
    this.#before.set(rowKey, this.#rows.get(rowKey));
    return rowKey;
  }
}

/** Decodes its rows only when somebody looks. */
export class RowChange implements Change {
  readonly table: Table<unknown>;
  readonly key: Key;
  readonly #before: Uint8Array | undefined;
  readonly #after: Uint8Array | undefined;

  constructor(
    table: Table<unknown>,
    key: Key,
    before: Uint8Array | undefined,
    after: Uint8Array | undefined,
  ) {
    this.table = table;
    this.key = key;
    this.#before = before;
    this.#after = after;
  }

  get before(): unknown {
    return this.#before === undefined ? undefined : decode(this.#before);
  }

  get after(): unknown {
    return this.#after === undefined ? undefined : decode(this.#after);
  }
}
