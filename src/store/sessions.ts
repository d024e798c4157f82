/**
 * Client sessions: why a retried request takes effect once (dissertation §6.3).
 *
 * A session is registered by a command of its own; its id is the index of that entry, so no id is
 * ever given twice. The outcome of each request is remembered until the client says, in a later
 * request, that it has the answer (`ackedBelow`). A request at or below the floor
 *
 *     floor = max(ackedBelow − 1, highest seq − SESSION_WINDOW)
 *
 * is never executed: its outcome is either known to the client or lost, hence UNKNOWN_OUTCOME.
 * Sessions are evicted by the log index of their last request, least first, so all replicas evict
 * the same one; an evicted session's requests are never executed.
 *
 * Everything here is a function of the log. Sessions live in memory; their rows, with the small
 * outcomes in them, are made when a batch goes to the disk: a command then costs its own rows and
 * little more. Large outcomes have rows of their own.
 */
import { assert, IdunnoError, type LogIndex } from '../base/index.js';
import { decode, encode } from '../net/index.js';
import { STORE_BUCKETS } from './buckets.js';
import { decodeOutcome, type Outcome } from './command.js';
import { afterPrefix, decodeKey, encodeKey } from './keys.js';
import type { Layers } from './layers.js';
import { defineTable } from './table.js';
import type { RowStore } from './tx.js';

/** [lastIndex, ackedBelow, [seq, outcome or null, seq, outcome or null, …]] by [session]. */
type SessionRow = readonly [number, number, readonly (number | Uint8Array | null)[]];

export const SESSIONS = defineTable<SessionRow>({
  bucket: STORE_BUCKETS.sessions,
  name: 'sessions',
});
/** Outcomes too large for the session's row, by [session, seq]. */
export const OUTCOMES = defineTable<readonly unknown[]>({
  bucket: STORE_BUCKETS.outcomes,
  name: 'outcomes',
});

export const SESSION_COUNT_MAX = 10_000;
/** How far a request may be ahead of the oldest one whose answer the client lacks. */
export const SESSION_WINDOW = 512;
/** Encoded outcomes up to this ride in the session's row. */
const INLINE_OUTCOME_BYTES = 64;
/** Results ride in the log's memory and in rows: larger ones are queried, not returned. */
export const OUTCOME_BYTES_MAX = 64 * 1024;

interface Session {
  lastIndex: LogIndex;
  ackedBelow: number;
  /** Encoded outcomes by seq; null where it has a row of its own. */
  readonly outcomes: Map<number, Uint8Array | null>;
  highest: number;
}

export type Admission =
  | { readonly kind: 'execute' }
  /** Seen before: this was its outcome. */
  | { readonly kind: 'answered'; readonly outcome: Outcome };

export class Sessions {
  readonly #rows: RowStore;
  readonly #countMax: number;
  /** In order of their last request. */
  readonly #byId = new Map<LogIndex, Session>();
  readonly #dirty = new Set<LogIndex>();

  constructor(rows: RowStore, countMax = SESSION_COUNT_MAX) {
    this.#rows = rows;
    this.#countMax = countMax;
  }

  get count(): number {
    return this.#byId.size;
  }

  /** Reads the rows back, at start or after a snapshot. */
  static async load(rows: Layers, countMax = SESSION_COUNT_MAX): Promise<Sessions> {
    const sessions = new Sessions(rows, countMax);
    const found: [LogIndex, Session][] = [];
    const from = encodeKey(SESSIONS.bucket, []);
    for await (const [key, bytes] of rows.scan({ from, to: afterPrefix(from) })) {
      found.push([decodeKey(key).parts[0] as number, sessionOf(bytes)]);
    }
    found.sort(([a, x], [b, y]) => x.lastIndex - y.lastIndex || a - b);
    for (const [id, session] of found) sessions.#byId.set(id, session);
    return sessions;
  }

  /** A new session; the least recently used one goes where there are too many. */
  register(index: LogIndex): LogIndex {
    assert(!this.#byId.has(index), `session ${index} is registered twice`);
    while (this.#byId.size >= this.#countMax) this.#evictOldest();
    this.#byId.set(index, { lastIndex: index, ackedBelow: 0, outcomes: new Map(), highest: 0 });
    this.#dirty.add(index);
    return index;
  }

  /** Decides whether a request is executed. Throws UNKNOWN_OUTCOME or BAD_ARGUMENT; then not. */
  admit(id: LogIndex, seq: number, ackedBelow: number, index: LogIndex): Admission {
    const session = this.#byId.get(id);
    if (session === undefined) {
      throw new IdunnoError(
        'UNKNOWN_OUTCOME',
        `session ${id} is not known any more: request ${seq} was not executed now, but an earlier try may have been; open a new session`,
        { reason: 'session-evicted', session: id },
      );
    }
    if (seq < 1 || ackedBelow > seq) {
      throw new IdunnoError('BAD_ARGUMENT', `request ${seq} of session ${id} acks ${ackedBelow}`);
    }
    this.#touch(id, session, index);
    const known = session.outcomes.get(seq);
    if (known !== undefined) {
      const bytes = known ?? this.#rows.get(encodeKey(OUTCOMES.bucket, [id, seq]));
      assert(bytes !== undefined, `outcome ${seq} of session ${id} is remembered but not stored`);
      return { kind: 'answered', outcome: decodeOutcome(bytes) };
    }
    if (seq < session.ackedBelow || seq <= session.highest - SESSION_WINDOW) {
      throw new IdunnoError(
        'UNKNOWN_OUTCOME',
        `request ${seq} of session ${id} is too old to tell whether it took effect`,
        { reason: 'request-forgotten', session: id },
      );
    }
    this.#forgetBelow(id, session, ackedBelow);
    return { kind: 'execute' };
  }

  /** Remembers the encoded outcome of an executed request. */
  record(id: LogIndex, seq: number, outcome: Uint8Array): void {
    const session = this.#byId.get(id);
    assert(session !== undefined && !session.outcomes.has(seq), `outcome ${seq} of ${id}`);
    const isSmall = outcome.length <= INLINE_OUTCOME_BYTES;
    if (!isSmall) this.#rows.set(encodeKey(OUTCOMES.bucket, [id, seq]), outcome);
    session.outcomes.set(seq, isSmall ? outcome : null);
    if (seq <= session.highest) return;
    session.highest = seq;
    this.#forgetBelow(id, session, seq - SESSION_WINDOW + 1);
  }

  /** Writes the rows of sessions that moved, to be called before all rows are read or written. */
  flush(): void {
    for (const id of this.#dirty) {
      const session = this.#byId.get(id);
      if (session === undefined) continue;
      const { lastIndex, ackedBelow, outcomes } = session;
      const row: SessionRow = [lastIndex, ackedBelow, [...outcomes].flat()];
      this.#rows.set(encodeKey(SESSIONS.bucket, [id]), encode(row));
    }
    this.#dirty.clear();
  }

  #touch(id: LogIndex, session: Session, index: LogIndex): void {
    session.lastIndex = index;
    this.#byId.delete(id);
    this.#byId.set(id, session);
    this.#dirty.add(id);
  }

  /** Outcomes of requests below `seq` are not asked for any more. */
  #forgetBelow(id: LogIndex, session: Session, seq: number): void {
    const { outcomes, ackedBelow } = session;
    if (seq <= ackedBelow) return;
    session.ackedBelow = seq;
    // The window moves by one with most commands: look at what leaves it, not at all that is in it.
    const isShort = seq - ackedBelow < outcomes.size;
    const left = isShort ? numbersFrom(ackedBelow, seq) : outcomes.keys();
    for (const old of left) {
      const inline = outcomes.get(old);
      if (old >= seq || inline === undefined) continue;
      outcomes.delete(old);
      if (inline === null) this.#rows.set(encodeKey(OUTCOMES.bucket, [id, old]), undefined);
    }
  }

  /** Requests of one entry share an index: the smaller id goes first, on every replica. */
  #evictOldest(): void {
    let oldest: LogIndex | undefined;
    let lastIndex = 0;
    for (const [id, session] of this.#byId) {
      if (oldest !== undefined && session.lastIndex > lastIndex) break;
      if (oldest === undefined || id < oldest) oldest = id;
      lastIndex = session.lastIndex;
    }
    assert(oldest !== undefined, 'no session to evict');
    for (const [seq, inline] of this.#byId.get(oldest)?.outcomes ?? []) {
      if (inline === null) this.#rows.set(encodeKey(OUTCOMES.bucket, [oldest, seq]), undefined);
    }
    this.#rows.set(encodeKey(SESSIONS.bucket, [oldest]), undefined);
    this.#byId.delete(oldest);
    this.#dirty.delete(oldest);
  }
}

function* numbersFrom(from: number, to: number): Generator<number> {
  for (let number = from; number < to; number += 1) yield number;
}

function sessionOf(row: Uint8Array): Session {
  const [lastIndex, ackedBelow, list] = decode(row) as unknown as SessionRow;
  const outcomes = new Map<number, Uint8Array | null>();
  let highest = 0;
  for (let at = 0; at < list.length; at += 2) {
    const seq = list[at] as number;
    outcomes.set(seq, list[at + 1] as Uint8Array | null);
    highest = Math.max(highest, seq);
  }
  return { lastIndex, ackedBelow, outcomes, highest };
}
