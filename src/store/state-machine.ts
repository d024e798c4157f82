/**
 * The replicated state machine: applies log entries to rows in memory at once, and lets the disk
 * follow by itself.
 *
 *     entries ──▶ executor ──▶ layers (readable at once) ──▶ one synced batch at a time ──▶ durable
 *
 * Invariants: the rows, the sessions and the applied index of an apply group are in one batch, so
 * what a restart finds is the state at exactly the index it names; batches are written in order,
 * each synced; time never goes back. After a crash the log is applied again from the durable index.
 * A failed write is final: `onFatal`.
 */
import { createHash } from 'node:crypto';
import {
  assert,
  type BatchOp,
  IdunnoError,
  isIdunnoError,
  type LogIndex,
  type Logger,
  type Term,
} from '../base/index.js';
import type { Entry, ReplicatedMachine, SnapshotMeta } from '../raft/index.js';
import { decodeCommands, type Outcome } from './command.js';
import { coreModule } from './core-module.js';
import { type Generation, type GenerationParts, GenerationStore } from './generation.js';
import { keyToBytes, type RowKey } from './keys.js';
import type { Pin } from './layers.js';
import { ModuleRegistry } from './registry.js';
import { decodeSnapshot, encodeSnapshot } from './snapshot-stream.js';
import type { Change, ReadView, StoreModule } from './types.js';
import { RowView } from './view.js';
import { loadWorld, type World, writePosition } from './world.js';

export interface StateMachineOptions {
  /** For the database; made if it is not there. */
  readonly folder: string;
  /** Besides the store's own module. */
  readonly modules: readonly StoreModule[];
  /** Default: SESSION_COUNT_MAX. Must be the same on every coordinator, for ever: tests only. */
  readonly sessionCountMax?: number;
}

export interface StateMachineParts extends GenerationParts {
  readonly onFatal: (error: Error) => void;
}

export type ChangeListener = (changes: readonly Change[], index: LogIndex) => void;

/** A view of one moment; close it, or overwritten rows pile up. */
export interface PinnedView {
  readonly view: ReadView;
  close(): void;
}

/** All keys: buckets are below 255. */
const WHOLE = { from: '\x00' as RowKey, to: '\xff' as RowKey };
/** Bytes of one batch while a snapshot is staged. */
const STAGE_BATCH_BYTES = 256 * 1024;

export class StateMachine implements ReplicatedMachine {
  readonly #options: StateMachineOptions;
  readonly #registry: ModuleRegistry;
  readonly #generations: GenerationStore;
  readonly #log: Logger;
  readonly #onFatal: (error: Error) => void;
  readonly #durableListeners: ((index: LogIndex) => void)[] = [];
  readonly #changeListeners: ChangeListener[] = [];
  #world: World;
  #durable: LogIndex;
  #staged: { readonly meta: SnapshotMeta; readonly generation: Generation } | undefined;
  #writing: Promise<void> | undefined;
  #isInstalling = false;
  #isClosed = false;

  private constructor(
    options: StateMachineOptions,
    registry: ModuleRegistry,
    generations: GenerationStore,
    world: World,
    parts: StateMachineParts,
  ) {
    this.#options = options;
    this.#registry = registry;
    this.#generations = generations;
    this.#world = world;
    this.#durable = world.position.index;
    this.#log = parts.log;
    this.#onFatal = parts.onFatal;
  }

  /** Reads the rows back and rebuilds what is derived from them. */
  static async open(options: StateMachineOptions, parts: StateMachineParts): Promise<StateMachine> {
    const registry = new ModuleRegistry([coreModule, ...options.modules]);
    const generations = new GenerationStore(options.folder, parts);
    const generation = await generations.open();
    const world = await loadWorld(generation, { ...options, registry, log: parts.log });
    return new StateMachine(options, registry, generations, world, parts);
  }

  get registry(): ModuleRegistry {
    return this.#registry;
  }

  /** Durable: what a restart would find. */
  get appliedIndex(): LogIndex {
    return this.#durable;
  }

  get installedSnapshot(): SnapshotMeta | undefined {
    return this.#generations.installed;
  }

  /** In memory; at least `appliedIndex`. */
  get position(): { readonly index: LogIndex; readonly term: Term } {
    return this.#world.position;
  }

  /** Rows written and not yet durable. */
  get pendingRows(): number {
    return this.#world.rows.pendingRows;
  }

  apply(entries: readonly Entry[]): readonly (readonly Outcome[])[] {
    assert(!this.#isInstalling && !this.#isClosed, 'the state is being replaced');
    const changes: Change[] = [];
    const results = entries.map((entry) => this.#applyEntry(entry, changes));
    this.#world.sessions.flush();
    writePosition(this.#world);
    this.#planWrite();
    for (const listener of this.#changeListeners) listener(changes, this.#world.position.index);
    return results;
  }

  onDurable(listener: (index: LogIndex) => void): void {
    this.#durableListeners.push(listener);
  }

  /** After each apply group; with no changes after a snapshot took the place of everything. */
  onChanges(listener: ChangeListener): void {
    this.#changeListeners.push(listener);
  }

  /** Rows as they are at each read. */
  view(): ReadView {
    return this.#viewOf(() => this.#world);
  }

  /** Rows of this moment, however long the reading takes. */
  pinnedView(): PinnedView {
    const world = this.#world;
    const pin = world.rows.pin();
    return { view: this.#viewOf(() => world, pin), close: () => pin.close() };
  }

  /** SHA-256 over all rows of one moment: equal on all replicas at the same index. */
  async stateHash(): Promise<{ index: LogIndex; hash: string }> {
    const { rows, position } = this.#world;
    const hash = createHash('sha256');
    const lengths = Buffer.allocUnsafe(8);
    for await (const [rowKey, value] of rows.scan(WHOLE)) {
      const key = keyToBytes(rowKey);
      lengths.writeUInt32BE(key.length, 0);
      lengths.writeUInt32BE(value.length, 4);
      hash.update(lengths).update(key).update(value);
    }
    return { index: position.index, hash: hash.digest('hex') };
  }

  async snapshot(): Promise<{ index: LogIndex; term: Term; chunks: AsyncIterable<Uint8Array> }> {
    const { rows, position } = this.#world;
    const { index, term } = position;
    const chunks = encodeSnapshot({ index, term }, rows.scan(WHOLE));
    // Started now, in this turn: that fixes the moment whose rows it reads.
    return { index, term, chunks: started(chunks) };
  }

  async stage(meta: SnapshotMeta, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#dropStaged();
    const generation = await this.#generations.openNext();
    try {
      let ops: BatchOp[] = [];
      let bytes = 0;
      for await (const { key, value } of decodeSnapshot(meta, chunks)) {
        ops.push({ type: 'put', key, value });
        bytes += key.length + value.length;
        if (bytes < STAGE_BATCH_BYTES) continue;
        await generation.db.batch(ops, { sync: true });
        ops = [];
        bytes = 0;
      }
      if (ops.length > 0) await generation.db.batch(ops, { sync: true });
    } catch (error) {
      await this.#generations.discard(generation);
      throw error;
    }
    this.#staged = { meta, generation };
  }

  async installStaged(meta: SnapshotMeta): Promise<void> {
    const staged = this.#staged;
    assert(staged?.meta.index === meta.index, `no snapshot of ${meta.index} is staged`);
    this.#isInstalling = true;
    this.#staged = undefined;
    await this.#writing;
    const worldParts = { ...this.#options, registry: this.#registry, log: this.#log };
    const next = await loadWorld(staged.generation, worldParts);
    if (next.position.index !== meta.index) {
      throw new IdunnoError('CORRUPT', `a snapshot of ${meta.index} holds ${next.position.index}`);
    }
    await this.#generations.makeCurrent(staged.generation, meta);
    const old = this.#world;
    this.#world = next;
    this.#durable = meta.index;
    this.#isInstalling = false;
    old.rows.retire('the state was replaced by a snapshot');
    old.generation.retire();
    this.#log.info('store.snapshot-installed', { index: meta.index, term: meta.term });
    for (const listener of this.#changeListeners) listener([], meta.index);
  }

  /** Waits for the disk, then closes it. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#writing;
    await this.#dropStaged();
    await this.#world.generation.db.close();
  }

  #applyEntry(entry: Entry, changes: Change[]): readonly Outcome[] {
    const world = this.#world;
    const { index, term } = entry;
    assert(index === world.position.index + 1, `entry ${index} after ${world.position.index}`);
    const timeMs = Math.max(world.position.timeMs, Math.floor(entry.timeMs));
    world.position = { index, term, timeMs };
    if (entry.kind !== 'command') return [];
    try {
      const commands = decodeCommands(entry.data);
      return world.executor.executeEntry(commands, { index, term, nowMs: timeMs }, changes);
    } catch (error) {
      // Unreadable on every replica alike: nothing is done, and it is said.
      if (!isIdunnoError(error, 'PROTOCOL')) throw error;
      this.#log.error('store.unreadable-entry', { index, error });
      return [{ ok: false, error }];
    }
  }

  #viewOf(world: () => World, pin?: Pin): ReadView {
    const { position } = world();
    return new RowView({
      rows: () => world().rows,
      indexes: () => world().indexes,
      appliedIndex: () => (pin === undefined ? world().position.index : position.index),
      ...(pin === undefined ? {} : { pin }),
    });
  }

  #planWrite(): void {
    if (this.#writing !== undefined || !this.#world.rows.hasPending) return;
    this.#writing = this.#writeLoop().catch((error: unknown) => {
      this.#isClosed = true;
      this.#log.error('store.write-failed', { error });
      this.#onFatal(error instanceof Error ? error : new Error(String(error)));
    });
  }

  async #writeLoop(): Promise<void> {
    while (this.#world.rows.hasPending) {
      const { rows, generation, position } = this.#world;
      const ops: BatchOp[] = [];
      for (const [key, value] of rows.takePending()) {
        ops.push(
          value === undefined
            ? { type: 'del', key: keyToBytes(key) }
            : { type: 'put', key: keyToBytes(key), value },
        );
      }
      await generation.db.batch(ops, { sync: true });
      rows.settleInflight();
      this.#durable = position.index;
      if (!this.#isInstalling) {
        for (const listener of this.#durableListeners) listener(position.index);
      }
    }
    this.#writing = undefined;
  }

  async #dropStaged(): Promise<void> {
    const staged = this.#staged;
    this.#staged = undefined;
    if (staged !== undefined) await this.#generations.discard(staged.generation);
  }
}

/** The generator, already running: `return` then releases what it holds, also before any `next`. */
function started(chunks: AsyncGenerator<Uint8Array>): AsyncIterableIterator<Uint8Array> {
  let first: Promise<IteratorResult<Uint8Array>> | undefined = chunks.next();
  // Whoever iterates sees the error; nobody iterating is no crash.
  first.catch(() => undefined);
  const iterator: AsyncIterableIterator<Uint8Array> = {
    next: () => {
      const result = first ?? chunks.next();
      first = undefined;
      return result;
    },
    return: () => chunks.return(undefined),
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}
