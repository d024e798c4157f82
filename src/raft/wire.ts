/**
 * Raft's messages on the wire: a short array of numbers as the header, and the entries of an append
 * packed into the raw body, so that their data never passes through msgpack.
 *
 * Body: per entry `u32 data length | u8 kind | u64 term | f64 time | data`; the index follows from
 * the header's prevIndex. Whatever does not fit is refused with PROTOCOL, including what no correct
 * peer sends (terms that go back, entries of a later term than the message): a core may assert it.
 */
import { assertNever, IdunnoError } from '../base/index.js';
import type { Lane, Wire } from '../net/index.js';
import { entryKindCode, entryKindOf, isTime, readU64, writeU64 } from './log-record.js';
import type { Entry, Message } from './types.js';

/** The one notice of Raft. */
export const RAFT_NOTICE = 'raft';

export interface WireMessage {
  readonly args: readonly Wire[];
  readonly body: Uint8Array | undefined;
}

/**
 * Appends may be large, and what is small must not wait behind them: a heartbeat that comes late
 * makes a needless election. So what keeps or makes a leader travels on a lane of its own, and may
 * overtake appends; a network may do that anyway, and the core takes messages in any order:
 *
 * - The answer to a heartbeat may say that an append has not arrived which is only under way. It is
 *   sent again when it is overdue by a heartbeat interval (recoverLost in replication.ts): for
 *   nothing, but that is bounded, because Link.notify drops notices while more than
 *   UNSENT_BYTES_BUSY wait on the connection.
 * - `timeout-now` goes to a member that has acknowledged all of the leader's log, so no append that
 *   it needs is under way; one that had lost it would be denied the votes (dissertation §3.10).
 * - `removed` is believed until a leader is heard, so it must not overtake an older append.
 */
export function laneOf(type: Message['type']): Lane {
  switch (type) {
    case 'pre-vote':
    case 'pre-vote-reply':
    case 'vote':
    case 'vote-reply':
    case 'heartbeat':
    case 'heartbeat-reply':
    case 'timeout-now':
      return 'heartbeat';
    case 'append':
    case 'append-reply':
    case 'removed':
    case 'catch-up':
    case 'catch-up-reply':
      return 'control';
    default:
      return assertNever(type, 'message');
  }
}

const CODES = {
  'pre-vote': 1,
  'pre-vote-reply': 2,
  vote: 3,
  'vote-reply': 4,
  append: 5,
  'append-reply': 6,
  heartbeat: 7,
  'heartbeat-reply': 8,
  'timeout-now': 9,
  'catch-up': 11,
  'catch-up-reply': 12,
  removed: 10,
} as const satisfies Record<Message['type'], number>;

const ENTRY_HEADER_BYTES = 21;
/** Above the core's own bound: a message that claims more is not from a core. */
const ENTRIES_MAX = 4096;

export function encodeMessage(message: Message): WireMessage {
  const code = CODES[message.type];
  const { term } = message;
  switch (message.type) {
    case 'pre-vote':
      return header([code, term, message.lastIndex, message.lastTerm]);
    case 'pre-vote-reply':
    case 'vote-reply':
      return header([code, term, message.granted]);
    case 'vote':
      return header([code, term, message.lastIndex, message.lastTerm, message.transfer]);
    case 'append': {
      const { prevIndex, prevTerm, commit, entries } = message;
      return {
        args: [code, term, prevIndex, prevTerm, commit, entries.length],
        body: entries.length === 0 ? undefined : encodeEntries(entries),
      };
    }
    case 'append-reply': {
      const { ok, index, hintIndex, hintTerm } = message;
      return header([code, term, ok, index, hintIndex, hintTerm]);
    }
    case 'heartbeat':
      return header([code, term, message.commit, message.read]);
    case 'heartbeat-reply':
      return header([code, term, message.read, message.verified, message.suspect]);
    case 'timeout-now':
      return header([code, term]);
    case 'catch-up':
      return header([code, term, message.id]);
    case 'catch-up-reply':
      return header([code, term, message.id, message.index]);
    case 'removed':
      return header([code, term, message.index]);
    default:
      return assertNever(message, 'message');
  }
}

/** Throws PROTOCOL. */
export function decodeMessage(args: readonly Wire[], body: Uint8Array): Message {
  const fields = new Fields(args);
  const code = fields.count();
  const term = fields.count();
  const message = decodeFields(code, term, fields, body);
  fields.end();
  if (message.type !== 'append' && body.length > 0) throw refuse('a body that it cannot have');
  return message;
}

function decodeFields(code: number, term: number, fields: Fields, body: Uint8Array): Message {
  switch (code) {
    case CODES['pre-vote']:
      return { type: 'pre-vote', term, lastIndex: fields.count(), lastTerm: fields.count() };
    case CODES['pre-vote-reply']:
      return { type: 'pre-vote-reply', term, granted: fields.flag() };
    case CODES.vote: {
      const lastIndex = fields.count();
      const lastTerm = fields.count();
      return { type: 'vote', term, lastIndex, lastTerm, transfer: fields.flag() };
    }
    case CODES['vote-reply']:
      return { type: 'vote-reply', term, granted: fields.flag() };
    case CODES.append: {
      const prevIndex = fields.count();
      const prevTerm = fields.count();
      const commit = fields.count();
      const entries = decodeEntries(body, fields.count(), { term, prevIndex, prevTerm });
      return { type: 'append', term, prevIndex, prevTerm, commit, entries };
    }
    case CODES['append-reply']: {
      const ok = fields.flag();
      const index = fields.count();
      const hintIndex = fields.count();
      return { type: 'append-reply', term, ok, index, hintIndex, hintTerm: fields.count() };
    }
    case CODES.heartbeat:
      return { type: 'heartbeat', term, commit: fields.count(), read: fields.count() };
    case CODES['heartbeat-reply']: {
      const read = fields.count();
      const verified = fields.count();
      return { type: 'heartbeat-reply', term, read, verified, suspect: fields.flag() };
    }
    case CODES['timeout-now']:
      return { type: 'timeout-now', term };
    case CODES['catch-up']:
      return { type: 'catch-up', term, id: fields.count() };
    case CODES['catch-up-reply']:
      return { type: 'catch-up-reply', term, id: fields.count(), index: fields.count() };
    case CODES.removed:
      return { type: 'removed', term, index: fields.count() };
    default:
      throw refuse(`the unknown code ${code}`);
  }
}

function encodeEntries(entries: readonly Entry[]): Buffer {
  let bytes = 0;
  for (const { data } of entries) bytes += ENTRY_HEADER_BYTES + data.length;
  const body = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const { data, kind, term, timeMs } of entries) {
    body.writeUInt32BE(data.length, at);
    body[at + 4] = entryKindCode(kind);
    writeU64(body, term, at + 5);
    body.writeDoubleBE(timeMs, at + 13);
    body.set(data, at + ENTRY_HEADER_BYTES);
    at += ENTRY_HEADER_BYTES + data.length;
  }
  return body;
}

function decodeEntries(
  bytes: Uint8Array,
  count: number,
  head: { term: number; prevIndex: number; prevTerm: number },
): Entry[] {
  if (count > ENTRIES_MAX) throw refuse(`${count} entries; at most ${ENTRIES_MAX}`);
  if (!Number.isSafeInteger(head.prevIndex + count)) throw refuse('entries beyond 2^53');
  const body = owned(bytes);
  const entries: Entry[] = [];
  let at = 0;
  let prevTerm = head.prevTerm;
  for (let nth = 1; nth <= count; nth += 1) {
    if (at + ENTRY_HEADER_BYTES > body.length) throw refuse('a body that is cut off');
    const end = at + ENTRY_HEADER_BYTES + body.readUInt32BE(at);
    const kind = entryKindOf(body[at + 4] ?? 0);
    const term = readU64(body, at + 5);
    const timeMs = body.readDoubleBE(at + 13);
    if (kind === undefined || end > body.length || !isTime(timeMs)) {
      throw refuse(`a damaged entry ${nth}`);
    }
    if (!(term >= prevTerm && term <= head.term)) {
      throw refuse(`an entry of term ${term} between terms ${prevTerm} and ${head.term}`);
    }
    const data = body.subarray(at + ENTRY_HEADER_BYTES, end);
    entries.push({ index: head.prevIndex + nth, term, kind, timeMs, data });
    prevTerm = term;
    at = end;
  }
  if (at !== body.length) throw refuse(`${body.length - at} bytes after its entries`);
  return entries;
}

/** Entries live as long as the log: they must not hold on to a much larger receive buffer. */
function owned(bytes: Uint8Array): Buffer {
  if (bytes.buffer.byteLength > 2 * bytes.length + 4096) return Buffer.from(bytes);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Reads a header's fields in order. */
class Fields {
  readonly #args: readonly Wire[];
  #at = 0;

  constructor(args: readonly Wire[]) {
    this.#args = args;
  }

  /** A term, index or number: an integer in [0, 2^53). */
  count(): number {
    const value = this.#args[this.#at];
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
      throw refuse(`no number at ${this.#at} of its header`);
    }
    this.#at += 1;
    return value;
  }

  flag(): boolean {
    const value = this.#args[this.#at];
    if (typeof value !== 'boolean') throw refuse(`no flag at ${this.#at} of its header`);
    this.#at += 1;
    return value;
  }

  end(): void {
    if (this.#at !== this.#args.length) throw refuse('a header that is too long');
  }
}

function header(args: readonly Wire[]): WireMessage {
  return { args, body: undefined };
}

function refuse(what: string): IdunnoError {
  return new IdunnoError('PROTOCOL', `a Raft message has ${what}`);
}
