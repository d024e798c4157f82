/**
 * The replicated state machine as the rest of the house sees it. Modules (src/sdfs, src/idunno,
 * and the store's own) contribute numbered tables, pure commands, and read-only queries.
 *
 * A command is a pure function of (tables, arguments, context): no clock, chance, I/O or floats in
 * decisions; at most 256 rows touched. It runs identically on every coordinator.
 */
import type { LogIndex, Ms, Term } from '../base/index.js';
import type { Wire } from '../net/index.js';

/** Keys order rows within a table. Encoded so that byte order equals order of the parts. */
export type Key = readonly (string | number)[];

/** A row is a msgpack-safe value; by convention an object with short stable field names. */
export interface Table<Row> {
  readonly bucket: number;
  readonly name: string;
  /** Never read: binds the row's type. */
  readonly row?: Row;
}

export interface Change {
  readonly table: Table<unknown>;
  readonly key: Key;
  readonly before: unknown;
  readonly after: unknown;
}

/** Point reads and writes inside a command. Reads see the command's own writes. */
export interface Tx {
  get<Row>(table: Table<Row>, key: Key): Row | undefined;
  put<Row>(table: Table<Row>, key: Key, row: Row): void;
  delete<Row>(table: Table<Row>, key: Key): void;
  /** A derived in-memory index of the module, kept by `DerivedIndex`. Sees committed rows only. */
  index<I>(index: DerivedIndexKey<I>): I;
}

/** Names an in-memory index and binds its type. */
export interface DerivedIndexKey<I> {
  readonly name: string;
  readonly index?: I;
}

/**
 * A bounded ordered view kept in memory (active jobs, holders by node). Rebuilt from the rows at
 * start and after a snapshot, then told of every change, in order, after each command.
 */
export interface DerivedIndex<I> {
  readonly key: DerivedIndexKey<I>;
  /** Tables whose rows it wants; at rebuild each row comes as a change with `before` undefined. */
  readonly tables: readonly Table<unknown>[];
  create(): I;
  onChange(index: I, change: Change): void;
}

export interface CommandContext {
  readonly index: LogIndex;
  readonly term: Term;
  /** max(previous entry's, leader's wall clock), ms. The only time there is. */
  readonly nowMs: Ms;
}

/** Commands return a value or throw IdunnoError to refuse: then nothing was changed. */
export type Command = (tx: Tx, args: readonly Wire[], context: CommandContext) => Wire;

/** Reads of one moment, for queries and snapshots; scans run outside apply. */
export interface ReadView {
  readonly appliedIndex: LogIndex;
  get<Row>(table: Table<Row>, key: Key): Row | undefined;
  /** Rows whose key starts with `prefix` parts, in order; `after` resumes, `limit` bounds. */
  scan<Row>(
    table: Table<Row>,
    range: { prefix?: Key; gte?: Key; after?: Key; lt?: Key; limit?: number; reverse?: boolean },
  ): AsyncIterable<readonly [Key, Row]>;
  index<I>(index: DerivedIndexKey<I>): I;
}

export type Query = (view: ReadView, args: readonly Wire[]) => Promise<Wire> | Wire;

/** What one module brings to the state machine. Names are `module.verb`. */
export interface StoreModule {
  readonly name: string;
  readonly tables: readonly Table<unknown>[];
  readonly commands: Readonly<Record<string, Command>>;
  readonly queries: Readonly<Record<string, Query>>;
  readonly indexes: readonly DerivedIndex<unknown>[];
}

/**
 * A client session registered through the log (`session` is the index of that entry), and the
 * number of this request in it. A retry under the same pair takes effect once, whatever node or
 * leader it goes through.
 */
export interface RequestId {
  readonly session: LogIndex;
  readonly seq: number;
}

export interface SubmitOptions {
  readonly timeoutMs?: Ms;
  readonly signal?: AbortSignal;
  /** Given by a client outside the node; else the node's own session is used. */
  readonly request?: RequestId;
}

/** What Raft has decided about a node; SWIM only proposes. Key of the nodes table: [name]. */
export type NodeStatus = 'up' | 'down' | 'left' | 'draining';

export interface NodeRow {
  readonly name: string;
  readonly epoch: number;
  readonly status: NodeStatus;
  readonly host: string;
  readonly port: number;
  readonly slots: number;
  readonly bootWallMs: Ms;
  /** Log index and time of the last change of status. */
  readonly sinceIndex: LogIndex;
  readonly sinceMs: Ms;
  readonly flaps: number;
}

/**
 * The cluster's state from any node, coordinator or not. Implemented by src/store/client.ts: finds
 * the leader, retries under the same session number, so a command takes effect exactly once.
 * Three outcomes: resolves (done), throws a refusal (unchanged), throws UNKNOWN_OUTCOME.
 */
export interface StoreClient {
  submit(command: string, args: readonly Wire[], options?: SubmitOptions): Promise<Wire>;
  /** Registers a session through the log, for a client that numbers its own requests. */
  openSession(options?: SubmitOptions): Promise<LogIndex>;
  /** Linearizable: ReadIndex at a coordinator, then the query on its state. */
  query(query: string, args: readonly Wire[], options?: SubmitOptions): Promise<Wire>;
  /** Calls an RPC of the current leader (placement, leases), following NOT_LEADER hints. */
  callLeader(method: string, args: readonly Wire[], options?: SubmitOptions): Promise<Wire>;
}

/** The state on a coordinator itself; undefined on other nodes. */
export interface LocalStore {
  /** Rows as applied here: possibly stale; linearizable only on a leader or after `readBarrier`. */
  view(): ReadView;
  /** Resolves when this node has applied everything committed before the call. */
  readBarrier(signal?: AbortSignal): Promise<LogIndex>;
  /**
   * After each apply group, on every coordinator. Must not throw or block. No changes at all mean
   * that a snapshot took the place of everything: look at the view anew.
   */
  onChanges(listener: (changes: readonly Change[], index: LogIndex) => void): void;
  /**
   * Propose on this node as leader, outside sessions: for commands that are idempotent by
   * themselves (leases, node states). Throws NOT_LEADER, or UNKNOWN_OUTCOME on leadership loss.
   */
  propose(command: string, args: readonly Wire[], options?: SubmitOptions): Promise<Wire>;
}

/** Work that only the leader does. Started after its own no-op is applied. */
export interface LeaderDuty {
  readonly name: string;
  /** `signal` aborts when leadership ends; the duty must stop by itself. */
  lead(term: Term, signal: AbortSignal): void;
}
