/**
 * An ordered map of bytes on LevelDB: the one wrapper of the package `level`. Keys and values go
 * in and out as plain Uint8Arrays. It refuses a folder that is open already (FOLDER_LOCKED).
 *
 * A write error is passed on as DISK_FULL or DISK_ERROR and is final: LevelDB's memory may then be
 * ahead of its disk, so the caller must end the process. LevelDB closes a full log file without a
 * sync, so an unsynced batch may vanish below a synced one: write with `sync` what matters.
 * Source: the LevelDB documentation (doc/index.md, "Synchronous Writes").
 */
import type { Level } from 'level';
import { diskError } from './disk-errors.js';
import { IdunnoError } from './errors.js';
import { KIB, MIB } from './limits.js';
import type {
  BatchOp,
  Database,
  DatabaseOptions,
  DbReader,
  DbRow,
  DbSnapshot,
  KeyRange,
} from './runtime.js';

/** `compactRange` is LevelDB's alone, so the types of `level`, shared with browsers, lack it. */
interface Store extends Level<Uint8Array, Uint8Array> {
  compactRange(from: Uint8Array, to: Uint8Array): Promise<void>;
}
type StoreSnapshot = ReturnType<Store['snapshot']>;

/** Rows that one crossing into LevelDB brings back: enough to amortise it, few to hold. */
const SCAN_ROWS = 256;
const SCAN_BYTES = 256 * KIB;
/** About a millisecond's work for whoever adds the rows up. */
const PAGE_ROWS = 1_000;
const PAGE_BYTES = 1 * MIB;
const WRITE_BUFFER_BYTES = 8 * MIB;

/** Above every key the house writes: keys are shorter and start below 0xff. */
const LAST_KEY = new Uint8Array(64).fill(0xff);

/** Opens the database, making its folder where there is none. */
export async function openLevelDatabase(
  path: string,
  options: DatabaseOptions = {},
): Promise<Database> {
  // Loaded when first needed: commands that only talk to nodes never pay for the native part.
  const { Level } = await import('level');
  const store = new Level<Uint8Array, Uint8Array>(path, {
    keyEncoding: 'view',
    valueEncoding: 'view',
    compression: options.compression ?? true,
    writeBufferSize: options.writeBufferBytes ?? WRITE_BUFFER_BYTES,
  }) as Store;
  try {
    await store.open();
  } catch (error) {
    throw openError(error, path);
  }
  return new LevelDatabase(store, path);
}

class LevelDatabase implements Database {
  readonly #store: Store;
  readonly #path: string;

  constructor(store: Store, path: string) {
    this.#store = store;
    this.#path = path;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return getFrom(this.#store, key, undefined, this.#path);
  }

  scan(range: KeyRange): AsyncIterable<readonly [Uint8Array, Uint8Array]> {
    return scanFrom(this.#store, range, undefined, this.#path);
  }

  async *pages(range: KeyRange): AsyncGenerator<readonly DbRow[]> {
    const iterator = this.#store.iterator({ ...range, highWaterMarkBytes: PAGE_BYTES });
    try {
      for (;;) {
        const rows = await iterator.nextv(PAGE_ROWS);
        if (rows.length === 0) return;
        yield rows;
      }
    } catch (error) {
      throw levelError(error, 'scan', this.#path);
    } finally {
      await iterator.close();
    }
  }

  async batch(ops: readonly BatchOp[], options: { sync: boolean }): Promise<void> {
    try {
      // Each row goes straight into LevelDB's own batch: a twelfth of what an array of them costs,
      // which is cloned and taken apart again, row by row, while nothing else runs.
      const batch = this.#store.batch();
      for (const op of ops) {
        if (op.type === 'put') batch.put(op.key, op.value);
        else batch.del(op.key);
      }
      await batch.write({ sync: options.sync });
    } catch (error) {
      throw levelError(error, 'write to', this.#path);
    }
  }

  snapshot(): DbSnapshot {
    const snapshot = this.#store.snapshot();
    const reader: DbReader = {
      get: (key) => getFrom(this.#store, key, snapshot, this.#path),
      scan: (range) => scanFrom(this.#store, range, snapshot, this.#path),
    };
    return { ...reader, close: () => snapshot.close() };
  }

  async compact(range: KeyRange): Promise<void> {
    const from = range.gte ?? range.gt ?? new Uint8Array(0);
    const to = range.lte ?? range.lt ?? LAST_KEY;
    try {
      await this.#store.compactRange(from, to);
    } catch (error) {
      throw levelError(error, 'compact', this.#path);
    }
  }

  async close(): Promise<void> {
    try {
      await this.#store.close();
    } catch (error) {
      throw levelError(error, 'close', this.#path);
    }
  }
}

function getFrom(
  store: Store,
  key: Uint8Array,
  snapshot: StoreSnapshot | undefined,
  path: string,
): Uint8Array | undefined {
  try {
    const value = snapshot === undefined ? store.getSync(key) : store.getSync(key, { snapshot });
    return value === undefined ? undefined : plain(value);
  } catch (error) {
    throw levelError(error, 'read', path);
  }
}

async function* scanFrom(
  store: Store,
  range: KeyRange,
  snapshot: StoreSnapshot | undefined,
  path: string,
): AsyncGenerator<readonly [Uint8Array, Uint8Array]> {
  const options = { ...range, highWaterMarkBytes: SCAN_BYTES };
  const iterator = store.iterator(snapshot === undefined ? options : { ...options, snapshot });
  try {
    for (;;) {
      const rows = await iterator.nextv(SCAN_ROWS);
      if (rows.length === 0) return;
      for (const [key, value] of rows) yield [plain(key), plain(value)];
    }
  } catch (error) {
    throw levelError(error, 'scan', path);
  } finally {
    await iterator.close();
  }
}

/** LevelDB hands out Buffers, whose `slice` shares memory where Uint8Array's copies. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function openError(error: unknown, path: string): IdunnoError {
  const cause = error instanceof Error ? error.cause : undefined;
  if ((cause as { code?: string } | undefined)?.code === 'LEVEL_LOCKED') {
    return new IdunnoError(
      'FOLDER_LOCKED',
      `the database ${path} is open already: end the process that uses it`,
      { path },
      error,
    );
  }
  return levelError(cause ?? error, 'open', path);
}

/**
 * What reading says of a file that is missing, cut off (`Invalid argument`: LevelDB reads past the
 * end of what it has mapped), of the wrong kind, or on a damaged place of the disk. Not of one that
 * may not be read, or of too many that are open: those are no damage.
 */
const DAMAGE_TEXT = /no such file|does not exist|directory|invalid argument|input\/output error/i;
const READS: readonly string[] = ['open', 'read', 'scan'];

/** LevelDB reports the machine's errors as text. */
function levelError(error: unknown, action: string, path: string): IdunnoError {
  if (error instanceof IdunnoError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const code = (error as { code?: string } | undefined)?.code ?? '';
  const isUnreadable = READS.includes(action) && DAMAGE_TEXT.test(text);
  if (code === 'LEVEL_CORRUPTION' || /corrupt/i.test(text) || isUnreadable) {
    return new IdunnoError('CORRUPT', `the database ${path} is damaged: ${text}`, { path }, error);
  }
  if (/no space left|disk quota/i.test(text)) {
    return diskError({ code: 'ENOSPC' }, `${action} the database ${path}`, path);
  }
  return new IdunnoError(
    'DISK_ERROR',
    `cannot ${action} the database ${path}: ${text || code}; check the disk and its permissions`,
    { path, levelCode: code },
    error,
  );
}
