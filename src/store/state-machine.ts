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
 *
 * It verifies itself: the sum over all rows (row-sum.ts) is written with them, checked against the
 * rows at each start, and compared between replicas at checkpoints of the log (state-check.ts).
 * Rows that do not add up are not used: the state starts over, and the log or a leader fills it.
 */
import {
  assert,
  type BatchOp,
  type Clock,
  IdunnoError,
  isIdunnoError,
  type LogIndex,
  type Logger,
  type Term,
} from '../base/index.js';
import type { Entry, ReplicatedMachine, SnapshotImage, SnapshotMeta } from '../raft/index.js';
import { decodeCommands, type Outcome } from './command.js';
import { coreModule } from './core-module.js';
import { type Generation, type GenerationParts, GenerationStore } from './generation.js';
import { keyToBytes, type RowKey } from './keys.js';
import type { Pin } from './layers.js';
import { ModuleRegistry } from './registry.js';
import { hashRows } from './state-hash.js';
import { StateWriter } from './state-writer.js';
import { decodeSnapshot, encodeSnapshot } from './snapshot-stream.js';
import type { Change, ReadView, StoreModule } from './types.js';
import { RowView } from './view.js';
import { describeSum, isSameSum, RunningSum } from './row-sum.js';
import {
  loadWorld,
  POSITION_KEY,
  type VerifiedRows,
  verifyRows,
  type World,
  type WorldParts,
  writePosition,
} from './world.js';

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
  /** Lets writes wait for company (state-writer.ts); without it they follow at once. */
  readonly clock?: Pick<Clock, 'setTimer'>;
}

export type ChangeListener = (changes: readonly Change[], index: LogIndex) => void;

/** A view of one moment; close it, or overwritten rows pile up. */
export interface PinnedView {
  readonly view: ReadView;
  close(): void;
}

/** The sum of the rows at one index. */
export interface Checkpoint {
  readonly index: LogIndex;
  readonly sum: string;
}

/** All keys: buckets are below 255. */
const WHOLE = { from: '\x00' as RowKey, to: '\xff' as RowKey };
/** Bytes of one batch while a snapshot is staged. */
const STAGE_BATCH_BYTES = 256 * 1024;
/** Every so many entries the sum is noted, on every replica at the same ones. */
export const CHECKPOINT_ENTRIES = 64;
const CHECKPOINTS_KEPT = 256;

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
  #staged:
    | {
        readonly meta: SnapshotMeta;
        readonly generation: Generation;
        readonly verified: VerifiedRows;
      }
    | undefined;
  #checkpoints: Checkpoint[] = [];
  readonly #writer: StateWriter;
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
    this.#writer = new StateWriter({
      clock: parts.clock,
      settled: () => this.#settled(),
      onDurable: (index) => this.#onDurable(index),
      onFailure: (error) => this.#onWriteFailed(error),
    });
  }

  /** Reads the rows back and rebuilds what is derived from them. */
  static async open(options: StateMachineOptions, parts: StateMachineParts): Promise<StateMachine> {
    const registry = new ModuleRegistry([coreModule, ...options.modules]);
    const generations = new GenerationStore(options.folder, parts);
    const world = await openWorld(generations, { ...options, registry, log: parts.log });
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
    const results = entries.map((entry) => {
      const outcome = this.#applyEntry(entry, changes);
      if (entry.index % CHECKPOINT_ENTRIES === 0) this.#noteCheckpoint();
      return outcome;
    });
    this.#writer.onApplied(this.#world.rows.pendingRows);
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

  /** The sum over all rows now: equal on all replicas at the same index. */
  stateSum(): Checkpoint {
    const { sessions, position, rows } = this.#world;
    // The position is no part of the sum, so its row need not be made here.
    sessions.flush();
    return { index: position.index, sum: describeSum(rows.sum) };
  }

  /** SHA-256 over all rows of one moment: reads them all. For checks of the sum itself. */
  async stateHash(): Promise<{ index: LogIndex; hash: string }> {
    const { index } = this.#world.position;
    return { index, hash: await hashRows(this.#settled().rows.scan(WHOLE)) };
  }

  /** The newest checkpoints, oldest first. */
  get checkpoints(): readonly Checkpoint[] {
    return this.#checkpoints;
  }

  /**
   * Reads all rows of this moment and adds them up anew. Returns what is wrong, if anything is: the
   * disk has lost or changed something since it was written.
   */
  async scrub(): Promise<string | undefined> {
    const { rows } = this.#world;
    const expected = rows.sum;
    const found = new RunningSum();
    try {
      for await (const [key, value] of rows.scan(WHOLE)) {
        if (key !== POSITION_KEY) found.add(keyToBytes(key), value);
      }
    } catch (error) {
      if (isIdunnoError(error, 'CORRUPT')) return error.message;
      throw error;
    }
    if (isSameSum(found.value, expected)) return undefined;
    return `its rows add up to ${describeSum(found.value)}, not to ${describeSum(expected)}`;
  }

  async image(): Promise<SnapshotImage> {
    const { rows, position } = this.#settled();
    const { index, term } = position;
    const image = rows.image();
    return {
      index,
      term,
      open: () => encodeSnapshot({ index, term }, image.scan()),
      close: () => image.close(),
    };
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
      const verified = await verifyRows(generation.db);
      if (verified.position.index !== meta.index) {
        const { index } = verified.position;
        throw new IdunnoError('CORRUPT', `a snapshot of ${meta.index} holds ${index}`);
      }
      this.#staged = { meta, generation, verified };
    } catch (error) {
      await this.#generations.discard(generation);
      throw error;
    }
  }

  async installStaged(meta: SnapshotMeta): Promise<void> {
    const staged = this.#staged;
    assert(staged?.meta.index === meta.index, `no snapshot of ${meta.index} is staged`);
    this.#isInstalling = true;
    this.#staged = undefined;
    await this.#writer.flushed();
    const worldParts = { ...this.#options, registry: this.#registry, log: this.#log };
    const next = await loadWorld(staged.generation, worldParts, staged.verified);
    await this.#generations.makeCurrent(staged.generation, meta);
    const old = this.#swap(next);
    old.rows.retire('the state was replaced by a snapshot');
    old.generation.retire();
    this.#log.info('store.snapshot-installed', { index: meta.index, term: meta.term });
    for (const listener of this.#changeListeners) listener([], meta.index);
  }

  async startOver(): Promise<void> {
    this.#isInstalling = true;
    await this.#writer.flushed();
    await this.#dropStaged();
    const old = this.#world;
    old.rows.retire('the state was found damaged');
    await old.generation.db.close();
    const generation = await this.#generations.startOver();
    const worldParts = { ...this.#options, registry: this.#registry, log: this.#log };
    this.#swap(await loadWorld(generation, worldParts));
    this.#log.warn('store.started-over', { was: old.position.index });
    for (const listener of this.#changeListeners) listener([], 0);
  }

  /** Returns the world that counted until now. */
  #swap(next: World): World {
    const old = this.#world;
    this.#world = next;
    this.#durable = next.position.index;
    this.#checkpoints = [];
    this.#isInstalling = false;
    return old;
  }

  /** Waits for the disk, then closes it. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#writer.flushed();
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

  /** At the same index on every replica. */
  #noteCheckpoint(): void {
    this.#checkpoints.push(this.stateSum());
    if (this.#checkpoints.length > CHECKPOINTS_KEPT) this.#checkpoints.shift();
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

  /**
   * The world with the rows of the sessions and the position among its rows: these change with
   * every command and are therefore made only when somebody is about to read or write all rows.
   */
  #settled(): World {
    this.#world.sessions.flush();
    writePosition(this.#world);
    return this.#world;
  }

  #onDurable(index: LogIndex): void {
    this.#durable = index;
    if (this.#isInstalling) return;
    for (const listener of this.#durableListeners) listener(index);
  }

  #onWriteFailed(error: unknown): void {
    this.#isClosed = true;
    this.#log.error('store.write-failed', { error });
    this.#onFatal(error instanceof Error ? error : new Error(String(error)));
  }

  async #dropStaged(): Promise<void> {
    const staged = this.#staged;
    this.#staged = undefined;
    if (staged !== undefined) await this.#generations.discard(staged.generation);
  }
}

/** The generation that counts; an empty one where that is damaged. */
async function openWorld(generations: GenerationStore, parts: WorldParts): Promise<World> {
  let generation: Generation | undefined;
  try {
    generation = await generations.open();
    return await loadWorld(generation, parts);
  } catch (error) {
    await generation?.db.close();
    if (!isIdunnoError(error, 'CORRUPT')) throw error;
    parts.log.error('store.state-damaged', { reason: error.message });
    return loadWorld(await generations.startOver(), parts);
  }
}
