/**
 * src/raft/log-scan.ts: a log that the disk has damaged is found to be, or reads as it was written.
 *
 * A case is `u16 seed | u8 entries`, then damage, six bytes each: `u8 what | u8 row | u16 at | u16 by`.
 * Any bytes are a case. Checksums are not made right: damage is no forger.
 */
import { isDeepStrictEqual } from 'node:util';
import { createSeededRng, MemoryDatabases, nodeId, type Rng } from '../../src/base/index.js';
import {
  encodeEntryRecord,
  encodeSummary,
  entryKey,
  SUMMARY_KEY,
  type Summary,
} from '../../src/raft/log-record.js';
import { scanLog } from '../../src/raft/log-scan.js';
import type { Entry } from '../../src/raft/types.js';
import type { FuzzTarget } from '../types.js';
import { bytesOf } from './support.js';

const HEAD_BYTES = 3;
const DAMAGE_BYTES = 6;
const DAMAGES_MAX = 20;
const ENTRIES_MAX = 12;

interface Row {
  readonly key: Uint8Array;
  value: Uint8Array;
}

interface Log {
  readonly summary: Summary;
  readonly entries: readonly Entry[];
  readonly rows: Row[];
}

function logOf(rng: Rng, count: number): Log {
  const first = rng.int(5);
  let term = 1 + rng.int(3);
  const snapshot = {
    index: first,
    term,
    conf: { voters: ['n1', 'n2', 'n3'].map(nodeId), outgoing: [], learners: [] },
  };
  const entries: Entry[] = [];
  const rows: Row[] = [];
  for (let nth = 1; nth <= count; nth += 1) {
    const before = term;
    term += rng.int(3) === 0 ? 1 : 0;
    const index = first + nth;
    const entry: Entry = { index, term, kind: 'command', timeMs: nth, data: bytesOf(rng, 9) };
    entries.push(entry);
    rows.push({ key: entryKey(index), value: encodeEntryRecord(entry, before) });
  }
  const summary: Summary = {
    hardState: { term, vote: nodeId('n2') },
    snapshot,
    lastIndex: first + count,
    lastTerm: term,
    seq: 9,
  };
  rows.push({ key: SUMMARY_KEY, value: encodeSummary(summary) });
  return { summary, entries, rows };
}

type Damage = (rows: Row[], row: number, at: number, by: number) => void;

function changeValue(change: (value: Uint8Array, at: number, by: number) => Uint8Array): Damage {
  return (rows, row, at, by) => {
    const chosen = rows[row % Math.max(1, rows.length)];
    if (chosen !== undefined) chosen.value = change(chosen.value, at, by);
  };
}

const DAMAGES: readonly Damage[] = [
  changeValue((value, at, by) =>
    value.map((byte, n) => (n === at % value.length ? byte ^ by : byte)),
  ),
  changeValue((value, at) => value.slice(0, at % (value.length + 1))),
  changeValue((value, at, by) => Uint8Array.from([...value, ...Array(at % 9).fill(by & 0xff)])),
  changeValue((value, at, by) =>
    Uint8Array.from([...value.slice(at % value.length), ...value.slice(by % value.length)]),
  ),
  (rows, row) => void rows.splice(row % Math.max(1, rows.length), 1),
  (rows, row, at) => {
    const [a, b] = [rows[row % Math.max(1, rows.length)], rows[at % Math.max(1, rows.length)]];
    if (a !== undefined && b !== undefined) [a.value, b.value] = [b.value, a.value];
  },
  (rows, row, at) => {
    const from = rows[row % Math.max(1, rows.length)];
    if (from !== undefined) rows.push({ key: entryKey(at % 30), value: from.value });
  },
];

function damage(rows: Row[], input: Uint8Array): void {
  const view = new DataView(input.buffer, input.byteOffset, input.length);
  for (let nth = 0; nth < DAMAGES_MAX; nth += 1) {
    const at = HEAD_BYTES + nth * DAMAGE_BYTES;
    if (at + DAMAGE_BYTES > input.length) return;
    const what = DAMAGES[view.getUint8(at) % DAMAGES.length];
    what?.(rows, view.getUint8(at + 1), view.getUint16(at + 2), view.getUint16(at + 4));
  }
}

export const logDamage: FuzzTarget = {
  name: 'log-damage',
  summary: 'whole logs that were damaged on disk (src/raft/log-scan.ts)',
  cases: 20_000,
  casesInTests: 600,
  sample(rng) {
    const head = [rng.int(256), rng.int(256), rng.int(ENTRIES_MAX)];
    return Uint8Array.from([...head, ...bytesOf(rng, 3 * DAMAGE_BYTES)]);
  },
  // To find damage is to refuse.
  isSampleLoose: true,
  async check(input) {
    const [a = 0, b = 0, count = 0] = input;
    const log = logOf(createSeededRng(`log/${a}/${b}`), count % ENTRIES_MAX);
    damage(log.rows, input);
    const db = await new MemoryDatabases().open('/log');
    const ops = log.rows.map(({ key, value }) => ({ type: 'put', key, value }) as const);
    await db.batch(ops, { sync: true });
    const found = await scanLog(db);
    await db.close();
    if (found.problem !== undefined) return 'refused';
    // All gone is an empty folder: whether that may be is said by the files beside it (first-boot.ts).
    if (found.summary === undefined && found.entries.length === 0 && log.rows.length === 0) {
      return 'accepted';
    }
    const written = { summary: log.summary, entries: log.entries.map(plain) };
    const read = { summary: found.summary, entries: found.entries.map(plain) };
    if (!isDeepStrictEqual(written, read)) {
      throw new Error(`read ${JSON.stringify(read)}, written ${JSON.stringify(written)}`);
    }
    return 'accepted';
  },
};

function plain(entry: Entry): object {
  return { ...entry, data: Buffer.from(entry.data).toString('hex') };
}
