/**
 * The state machine in memory, without log, network or disk: for tests of modules' commands. The
 * execution is the real one (executor.ts), so atomicity, refusals, sessions, derived indexes and
 * row limits behave as in a cluster.
 */
import { createHash } from 'node:crypto';
import {
  createSilentLogger,
  type IdunnoError,
  type LogIndex,
  must,
  type Ms,
} from '../base/index.js';
import { decode, encode, type Wire } from '../net/index.js';
import { type Outcome, REGISTER_SESSION } from './command.js';
import { coreModule } from './core-module.js';
import { Executor } from './executor.js';
import { IndexSet } from './indexes.js';
import { decodeKey, keyToBytes } from './keys.js';
import { Layers, type RowBase } from './layers.js';
import { ModuleRegistry } from './registry.js';
import { Sessions } from './sessions.js';
import type {
  Change,
  DerivedIndexKey,
  Key,
  ReadView,
  RequestId,
  StoreModule,
  Table,
} from './types.js';
import { RowView } from './view.js';

/** Where in the log a command of a test stands; each part has a default. */
export interface ApplyAt {
  /** Default: one after the last. */
  readonly index?: LogIndex;
  readonly term?: number;
  /** Default: the last time plus 1 ms. Time never goes back, as in a cluster. */
  readonly nowMs?: Ms;
  readonly request?: RequestId & { readonly ackedBelow?: number };
}

export interface TestStore {
  /** Executes a command and returns its value; throws its refusal. */
  apply(command: string, args: readonly Wire[], at?: ApplyAt): Wire;
  /** The refusal of a command that must refuse; a failed test (throws) where it does not. */
  refusal(command: string, args: readonly Wire[], at?: ApplyAt): IdunnoError;
  openSession(): LogIndex;
  query(query: string, args: readonly Wire[]): Promise<Wire>;
  view(): ReadView;
  get<Row>(table: Table<Row>, key: Key): Row | undefined;
  rows<Row>(table: Table<Row>): (readonly [Key, Row])[];
  index<I>(key: DerivedIndexKey<I>): I;
  /** A second index set, rebuilt from the rows: must equal the one kept by changes. */
  rebuiltIndex<I>(key: DerivedIndexKey<I>): Promise<I>;
  /** Changes of the last command. */
  readonly changes: readonly Change[];
  readonly appliedIndex: LogIndex;
  readonly nowMs: Ms;
  /** SHA-256 over all rows: equal states have equal hashes. */
  hash(): string;
  /** One line per row, `table key row`, in key order. */
  dump(): string;
}

/** Nothing: all rows stay in the layers above it. */
export const emptyBase: RowBase = {
  get: () => undefined,
  snapshot: () => ({
    get: () => undefined,
    // biome-ignore lint/correctness/useYield: a scan of nothing
    async *scan() {
      return;
    },
    close: async () => undefined,
  }),
};

/** The core module is always part of it. */
export function createTestStore(modules: readonly StoreModule[] = []): TestStore {
  return new MemoryTestStore(modules);
}

class MemoryTestStore implements TestStore {
  readonly #registry: ModuleRegistry;
  readonly #rows = new Layers(emptyBase);
  readonly #indexes: IndexSet;
  readonly #sessions: Sessions;
  readonly #executor: Executor;
  #changes: Change[] = [];
  #index: LogIndex = 0;
  #nowMs: Ms = 0;

  constructor(modules: readonly StoreModule[]) {
    this.#registry = new ModuleRegistry([coreModule, ...modules]);
    this.#indexes = new IndexSet(this.#registry);
    this.#sessions = new Sessions(this.#rows);
    this.#executor = new Executor({
      registry: this.#registry,
      rows: this.#rows,
      indexes: this.#indexes,
      sessions: this.#sessions,
      log: createSilentLogger(),
    });
  }

  apply(command: string, args: readonly Wire[], at: ApplyAt = {}): Wire {
    const outcome = this.#execute(command, args, at);
    if (!outcome.ok) throw outcome.error;
    return outcome.value;
  }

  refusal(command: string, args: readonly Wire[], at: ApplyAt = {}): IdunnoError {
    const outcome = this.#execute(command, args, at);
    if (!outcome.ok) return outcome.error;
    throw new Error(`${command} was not refused: ${JSON.stringify(outcome.value)}`);
  }

  openSession(): LogIndex {
    return this.apply(REGISTER_SESSION, []) as LogIndex;
  }

  async query(query: string, args: readonly Wire[]): Promise<Wire> {
    return must(this.#registry.query(query), `query ${query}`)(this.view(), args);
  }

  view(): ReadView {
    return new RowView({
      rows: () => this.#rows,
      indexes: () => this.#indexes,
      appliedIndex: () => this.#index,
    });
  }

  get<Row>(table: Table<Row>, key: Key): Row | undefined {
    return this.view().get(table, key);
  }

  rows<Row>(table: Table<Row>): (readonly [Key, Row])[] {
    return this.#all()
      .filter(([key]) => decodeKey(key).bucket === table.bucket)
      .map(([key, bytes]) => [decodeKey(key).parts, decode(bytes) as Row] as const);
  }

  index<I>(key: DerivedIndexKey<I>): I {
    return this.#indexes.index(key);
  }

  async rebuiltIndex<I>(key: DerivedIndexKey<I>): Promise<I> {
    return (await IndexSet.rebuild(this.#registry, this.#rows)).index(key);
  }

  get changes(): readonly Change[] {
    return this.#changes;
  }

  get appliedIndex(): LogIndex {
    return this.#index;
  }

  get nowMs(): Ms {
    return this.#nowMs;
  }

  hash(): string {
    const hash = createHash('sha256');
    for (const [key, bytes] of this.#all()) hash.update(keyToBytes(key)).update(bytes);
    return hash.digest('hex');
  }

  dump(): string {
    return this.#all()
      .map(([key, bytes]) => {
        const { bucket, parts } = decodeKey(key);
        const table = this.#registry.table(bucket)?.name ?? `bucket ${bucket}`;
        return `${table} ${JSON.stringify(parts)} ${JSON.stringify(decode(bytes))}`;
      })
      .join('\n');
  }

  #all() {
    return this.#rows
      .written()
      .flatMap(([key, bytes]) => (bytes === undefined ? [] : [[key, bytes] as const]));
  }

  #execute(name: string, args: readonly Wire[], at: ApplyAt): Outcome {
    this.#index = at.index ?? this.#index + 1;
    this.#nowMs = Math.max(this.#nowMs, at.nowMs ?? this.#nowMs + 1);
    this.#changes = [];
    const { session = 0, seq = 0, ackedBelow = 0 } = at.request ?? {};
    // Through the codec, as arguments travel in a cluster.
    const request = { session, seq, ackedBelow, name, args: decode(encode(args)) as Wire[] };
    const context = { index: this.#index, term: at.term ?? 1, nowMs: this.#nowMs };
    const [outcome] = this.#executor.executeEntry([request], context, this.#changes);
    this.#sessions.flush();
    return must(outcome, 'outcome');
  }
}
