/**
 * What lies on disk for one log entry, and for the log as a whole: bytes in, bytes out.
 *
 * Entry record (all integers big-endian):
 *
 *     0  u32  CRC32C over everything after it
 *     4  u8   format version
 *     5  u8   kind
 *     6  u64  index
 *    14  u64  term
 *    22  u64  term of the entry before
 *    30  f64  time, ms
 *    38  …    data
 *
 * Index, term and previous term are inside the checksum, so that a record in the wrong place, or a
 * chain with an entry swapped out of it, is seen: LevelDB alone drops damaged records silently.
 *
 * The summary is rewritten with every batch, in the same batch: {term, vote, snapshot position,
 * last entry, sequence number of the batch}. A lost batch in the middle shows as entries that the
 * summary does not describe. It is JSON behind a checksum: small, and readable in a hex dump.
 *
 * Decoders return a sentence instead of a value for what is broken: the caller knows the place.
 */

import { crc32c, type LogIndex, type NodeId, nodeId, type Term } from '../base/index.js';
import { confFromWire, confToWire } from './conf.js';
import type { Entry, EntryKind, HardState, SnapshotMeta } from './types.js';

/** Where the summary lies. */
export const SUMMARY_KEY = Buffer.from('s');
const ENTRY_PREFIX = 'l'.charCodeAt(0);
const ENTRY_VERSION = 1;
const SUMMARY_VERSION = 1;
export const ENTRY_HEADER_BYTES = 38;
const CHECKSUM_BYTES = 4;
const TWO_32 = 2 ** 32;

const KIND_CODES: Readonly<Record<EntryKind, number>> = {
  bootstrap: 1,
  noop: 2,
  command: 3,
  config: 4,
};
const KINDS: readonly (EntryKind | undefined)[] = [
  undefined,
  'bootstrap',
  'noop',
  'command',
  'config',
];

/** The stable number of a kind, on disk and on the wire. */
export function entryKindCode(kind: EntryKind): number {
  return KIND_CODES[kind];
}

export function entryKindOf(code: number): EntryKind | undefined {
  return KINDS[code];
}

export interface Summary {
  readonly hardState: HardState;
  readonly snapshot: SnapshotMeta;
  /** The snapshot's position where the log is empty. */
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** Counts the batches. */
  readonly seq: number;
}

/** A decoded value, or what is wrong with the bytes. */
export type Decoded<T> = { readonly value: T } | { readonly broken: string };

/** `l` and the index: key order is log order. */
export function entryKey(index: LogIndex): Buffer {
  const key = Buffer.allocUnsafe(9);
  key[0] = ENTRY_PREFIX;
  writeU64(key, index, 1);
  return key;
}

export function isEntryKey(key: Uint8Array): boolean {
  return key.length === 9 && key[0] === ENTRY_PREFIX;
}

export function entryKeyIndex(key: Uint8Array): LogIndex {
  return readU64(Buffer.from(key.buffer, key.byteOffset, key.length), 1);
}

export function encodeEntryRecord(entry: Entry, prevTerm: Term): Buffer {
  const record = Buffer.allocUnsafe(ENTRY_HEADER_BYTES + entry.data.length);
  record[4] = ENTRY_VERSION;
  record[5] = entryKindCode(entry.kind);
  writeU64(record, entry.index, 6);
  writeU64(record, entry.term, 14);
  writeU64(record, prevTerm, 22);
  record.writeDoubleBE(entry.timeMs, 30);
  record.set(entry.data, ENTRY_HEADER_BYTES);
  record.writeUInt32BE(crc32c(record.subarray(CHECKSUM_BYTES)), 0);
  return record;
}

/** The entry must be the one of this index. */
export function decodeEntryRecord(
  bytes: Uint8Array,
  index: LogIndex,
): Decoded<{ entry: Entry; prevTerm: Term }> {
  if (bytes.length < ENTRY_HEADER_BYTES) return { broken: `it has only ${bytes.length} bytes` };
  const record = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (crc32c(record.subarray(CHECKSUM_BYTES)) !== record.readUInt32BE(0)) {
    return { broken: 'its checksum does not match its bytes' };
  }
  if (record[4] !== ENTRY_VERSION) return { broken: `it is of format ${record[4]}` };
  const kind = KINDS[record[5] ?? 0];
  if (kind === undefined) return { broken: `its kind ${record[5]} is unknown` };
  const found = readU64(record, 6);
  if (found !== index) return { broken: `it says that it is entry ${found}` };
  const [term, prevTerm] = [readU64(record, 14), readU64(record, 22)];
  const timeMs = record.readDoubleBE(30);
  if (!areCounts(index, term, prevTerm) || !isTime(timeMs)) {
    return { broken: 'its numbers are none of ours' };
  }
  const data = record.subarray(ENTRY_HEADER_BYTES);
  return { value: { entry: { index, term, kind, timeMs, data }, prevTerm } };
}

export function encodeSummary(summary: Summary): Buffer {
  const { hardState, snapshot, lastIndex, lastTerm, seq } = summary;
  const { conf } = snapshot;
  const json = JSON.stringify([
    SUMMARY_VERSION,
    [hardState.term, hardState.vote ?? null],
    [snapshot.index, snapshot.term, confToWire(conf)],
    [lastIndex, lastTerm, seq],
  ]);
  const bytes = Buffer.allocUnsafe(CHECKSUM_BYTES + Buffer.byteLength(json));
  bytes.write(json, CHECKSUM_BYTES, 'utf8');
  bytes.writeUInt32BE(crc32c(bytes.subarray(CHECKSUM_BYTES)), 0);
  return bytes;
}

export function decodeSummary(bytes: Uint8Array): Decoded<Summary> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (buffer.length <= CHECKSUM_BYTES) return { broken: 'it is cut off' };
  if (crc32c(buffer.subarray(CHECKSUM_BYTES)) !== buffer.readUInt32BE(0)) {
    return { broken: 'its checksum does not match its bytes' };
  }
  // A checksum does not say whose bytes these are: a record of an entry, in this place, has one too.
  const [version, ...rest] = listOf(parsedJson(buffer.toString('utf8', CHECKSUM_BYTES)));
  if (version !== SUMMARY_VERSION) return { broken: 'it is of another format' };
  return summaryOf(rest) ?? { broken: 'its fields are none of ours' };
}

function summaryOf(fields: readonly unknown[]): Decoded<Summary> | undefined {
  const [[term, voted], [index, snapshotTerm, members], [lastIndex, lastTerm, seq]] = [
    listOf(fields[0]),
    listOf(fields[1]),
    listOf(fields[2]),
  ];
  const numbers = [term, index, snapshotTerm, lastIndex, lastTerm, seq];
  const vote = voted === null ? undefined : nameOf(voted);
  if (!areCounts(...numbers) || (vote === undefined && voted !== null)) return undefined;
  const conf = confFromWire(members);
  if (conf === undefined) return { broken: 'its members cannot be read' };
  return {
    value: {
      hardState: { term: Number(term), vote },
      snapshot: { index: Number(index), term: Number(snapshotTerm), conf },
      lastIndex: Number(lastIndex),
      lastTerm: Number(lastTerm),
      seq: Number(seq),
    },
  };
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Undefined where it is not the name of a node. */
export function nameOf(value: unknown): NodeId | undefined {
  try {
    return typeof value === 'string' ? nodeId(value) : undefined;
  } catch {
    return undefined;
  }
}

/** The state machine's time never goes back: one that no clock shows would be there to stay. */
export function isTime(ms: number): boolean {
  return Math.abs(ms) <= Number.MAX_SAFE_INTEGER;
}

/** Terms, indexes and sequence numbers: integers in [0, 2^53). */
export function areCounts(...values: readonly unknown[]): boolean {
  return values.every((value) => Number.isSafeInteger(value) && Number(value) >= 0);
}

export function writeU64(buffer: Buffer, value: number, at: number): void {
  buffer.writeUInt32BE(Math.floor(value / TWO_32), at);
  buffer.writeUInt32BE(value >>> 0, at + 4);
}

export function readU64(buffer: Buffer, at: number): number {
  return buffer.readUInt32BE(at) * TWO_32 + buffer.readUInt32BE(at + 4);
}
