/**
 * Databases in memory, for tests and the simulator. One MemoryDatabases object is one machine's
 * disk: what was synced survives `crash()`, what was not is gone. It is stricter than LevelDB on
 * purpose: an unsynced batch never survives, even below a synced one, because LevelDB may lose
 * exactly that (level-database.ts).
 */
import { assert } from './assert.js';
import { IdunnoError } from './errors.js';
import { OrderedMap } from './ordered-map.js';
import type { BatchOp, Database, DbReader, DbSnapshot, KeyRange } from './runtime.js';

export interface MemoryDatabasesOptions {
  /** Awaited before each batch is applied: the disk's latency. Default: none. */
  readonly delay?: (ops: number, sync: boolean) => Promise<void>;
}

interface Files {
  current: OrderedMap;
  durable: OrderedMap;
  isOpen: boolean;
}

export class MemoryDatabases {
  readonly #files = new Map<string, Files>();
  readonly #options: MemoryDatabasesOptions;
  #failure: 'DISK_FULL' | 'DISK_ERROR' | undefined;
  #generation = 0;

  constructor(options: MemoryDatabasesOptions = {}) {
    this.#options = options;
  }

  async open(path: string): Promise<Database> {
    let files = this.#files.get(path);
    if (files === undefined) {
      files = { current: new OrderedMap(), durable: new OrderedMap(), isOpen: false };
      this.#files.set(path, files);
    }
    if (files.isOpen) {
      const text = `the database ${path} is open already: end the process that uses it`;
      throw new IdunnoError('FOLDER_LOCKED', text, { path });
    }
    files.isOpen = true;
    const generation = this.#generation;
    return new MemoryDatabase(files, {
      delay: this.#options.delay,
      refuse: () => {
        if (generation !== this.#generation) throw failed(path, 'the machine has crashed');
        if (this.#failure !== undefined) throw failed(path, 'told to fail', this.#failure);
      },
    });
  }

  /** The process and its machine end: unsynced batches are lost, open databases are dead. */
  crash(): void {
    this.#generation++;
    for (const files of this.#files.values()) {
      files.current = files.durable.clone();
      files.isOpen = false;
    }
  }

  /** From now on every write fails so; undefined heals. */
  failWrites(code: 'DISK_FULL' | 'DISK_ERROR' | undefined): void {
    this.#failure = code;
  }

  /** The disk is replaced by an empty one. */
  wipe(): void {
    this.crash();
    this.#files.clear();
  }
}

function failed(path: string, why: string, code: 'DISK_FULL' | 'DISK_ERROR' = 'DISK_ERROR') {
  return new IdunnoError(code, `cannot write to the database ${path}: ${why}`, { path });
}

interface World {
  readonly delay: MemoryDatabasesOptions['delay'];
  /** Throws when writes fail now. */
  refuse(): void;
}

class MemoryDatabase implements Database {
  readonly #files: Files;
  readonly #world: World;
  #isClosed = false;
  /** Batches take effect in the order of the calls, whatever the delays are. */
  #last: Promise<void> = Promise.resolve();

  constructor(files: Files, world: World) {
    this.#files = files;
    this.#world = world;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#assertOpen();
    return this.#files.current.get(key)?.slice();
  }

  scan(range: KeyRange): AsyncIterable<readonly [Uint8Array, Uint8Array]> {
    this.#assertOpen();
    return scanOf(this.#files.current.clone(), range);
  }

  batch(ops: readonly BatchOp[], options: { sync: boolean }): Promise<void> {
    this.#assertOpen();
    // Copied now: the caller may reuse its memory.
    const copied = ops.map(copyOp);
    const done = this.#last.then(async () => {
      this.#world.refuse();
      await this.#world.delay?.(copied.length, options.sync);
      this.#world.refuse();
      for (const op of copied) applyOp(this.#files.current, op);
      if (options.sync) for (const op of copied) applyOp(this.#files.durable, op);
    });
    this.#last = done.catch(() => undefined);
    return done;
  }

  snapshot(): DbSnapshot {
    this.#assertOpen();
    const rows = this.#files.current.clone();
    const reader: DbReader = {
      get: (key) => rows.get(key)?.slice(),
      scan: (range) => scanOf(rows, range),
    };
    return { ...reader, close: () => Promise.resolve() };
  }

  async compact(): Promise<void> {
    this.#assertOpen();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#last;
    // An orderly end loses nothing: what the process wrote is in the machine's memory.
    this.#files.isOpen = false;
  }

  #assertOpen(): void {
    assert(!this.#isClosed, 'the database is closed');
  }
}

function copyOp(op: BatchOp): BatchOp {
  if (op.type === 'del') return { type: 'del', key: op.key.slice() };
  return { type: 'put', key: op.key.slice(), value: op.value.slice() };
}

function applyOp(rows: OrderedMap, op: BatchOp): void {
  if (op.type === 'put') rows.set(op.key, op.value);
  else rows.delete(op.key);
}

async function* scanOf(
  rows: OrderedMap,
  range: KeyRange,
): AsyncGenerator<readonly [Uint8Array, Uint8Array]> {
  for (const [key, value] of rows.range(range)) yield [key.slice(), value.slice()];
}
