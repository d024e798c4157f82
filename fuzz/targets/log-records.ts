/**
 * src/raft/log-record.ts and watermark.ts: what lies on disk for the log, record by record. The first
 * byte says which kind it is. Checksums are made right half of the time: another program, or a later
 * version of this one, writes valid checksums as well.
 */
import { crc32c, nodeId, type Rng } from '../../src/base/index.js';
import {
  decodeEntryRecord,
  decodeSummary,
  ENTRY_HEADER_BYTES,
  encodeEntryRecord,
  encodeSummary,
  readU64,
} from '../../src/raft/log-record.js';
import { decodeSlot, encodeSlot, SLOT_BYTES } from '../../src/raft/watermark.js';
import type { FuzzTarget, Verdict } from '../types.js';
import { bytesOf, dictionaryOf, pick, requireSame } from './support.js';

const KINDS = ['entry', 'summary', 'slot'] as const;
const names = ['n1', 'n2', 'n3'].map(nodeId);

function entry(rng: Rng): Uint8Array {
  const kind = pick(rng, ['bootstrap', 'noop', 'command', 'config'] as const);
  const [index, term] = [1 + rng.int(1_000), 1 + rng.int(9)];
  return encodeEntryRecord({ index, term, kind, timeMs: 5, data: bytesOf(rng, 40) }, term - 1);
}

function summary(rng: Rng): Uint8Array {
  const conf = { voters: names, outgoing: [], learners: [] };
  return encodeSummary({
    hardState: { term: 1 + rng.int(9), vote: rng.int(2) === 0 ? undefined : pick(rng, names) },
    snapshot: { index: rng.int(100), term: rng.int(9), conf },
    lastIndex: 100 + rng.int(100),
    lastTerm: rng.int(9),
    seq: rng.int(1_000),
  });
}

function slot(rng: Rng): Uint8Array {
  const vote = rng.int(2) === 0 ? undefined : pick(rng, names);
  return encodeSlot({ term: 3, vote, lastIndex: rng.int(99), lastTerm: 2, seq: rng.int(9) });
}

const MAKERS = { entry, summary, slot };

function isBroken(decoded: object): decoded is { readonly broken: string } {
  return 'broken' in decoded;
}

function checkEntry(bytes: Uint8Array): Verdict {
  const index = bytes.length < ENTRY_HEADER_BYTES ? 1 : readU64(Buffer.from(bytes), 6);
  const decoded = decodeEntryRecord(bytes, index);
  if (isBroken(decoded)) return 'refused';
  const { entry: read, prevTerm } = decoded.value;
  const again = decodeEntryRecord(encodeEntryRecord(read, prevTerm), index);
  requireSame(decoded.value, isBroken(again) ? again : again.value, 'written and read again');
  return 'accepted';
}

function checkSummary(bytes: Uint8Array): Verdict {
  const decoded = decodeSummary(bytes);
  if (isBroken(decoded)) return 'refused';
  const again = decodeSummary(encodeSummary(decoded.value));
  requireSame(decoded.value, isBroken(again) ? again : again.value, 'written and read again');
  return 'accepted';
}

function checkSlot(bytes: Uint8Array): Verdict {
  const read = decodeSlot(bytes);
  if (read === undefined) return 'refused';
  requireSame(read, decodeSlot(encodeSlot(read)), 'written and read again');
  return 'accepted';
}

const CHECKS = { entry: checkEntry, summary: checkSummary, slot: checkSlot };

function withChecksum(kind: (typeof KINDS)[number], bytes: Uint8Array): Uint8Array {
  const made = Buffer.from(bytes);
  if (made.length < 4) return bytes;
  const isSlot = kind === 'slot';
  if (isSlot && made.length !== SLOT_BYTES) return bytes;
  const covered = isSlot ? made.subarray(0, SLOT_BYTES - 4) : made.subarray(4);
  made.writeUInt32BE(crc32c(covered), isSlot ? SLOT_BYTES - 4 : 0);
  return Uint8Array.from(made);
}

function kindOf(input: Uint8Array): (typeof KINDS)[number] {
  return KINDS[(input[0] ?? 0) % KINDS.length] ?? 'entry';
}

export const logRecords: FuzzTarget = {
  name: 'log-records',
  summary: 'records of the log, its summary and watermark (src/raft/log-record.ts, watermark.ts)',
  cases: 100_000,
  casesInTests: 5_000,
  dictionary: dictionaryOf('[', ']', 'null', ',', '-1', '1e999', '"n1"', '[]', '9007199254740993'),
  sample(rng) {
    const at = rng.int(KINDS.length);
    const kind = KINDS[at] ?? 'entry';
    return Uint8Array.from([at, ...MAKERS[kind](rng)]);
  },
  repair(input) {
    return Uint8Array.from([input[0] ?? 0, ...withChecksum(kindOf(input), input.slice(1))]);
  },
  check: (input) => CHECKS[kindOf(input)](input.slice(1)),
};
