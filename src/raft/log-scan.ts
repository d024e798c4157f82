/**
 * The boot scan: reads the whole log back and checks all that can be checked. Each record's
 * checksum and index, contiguity, the chain of terms, and the summary against the last entry.
 * It throws nothing about damage: it says what is wrong, where, and how far the log is sound. What
 * follows from it is recovery.ts's.
 *
 * It reads every row of the database, also those that mean nothing any more, so that a table that
 * LevelDB cannot read is found now and not by a compaction in the middle of the night.
 */
import { type Database, isIdunnoError, type LogIndex, type Term } from '../base/index.js';
import {
  decodeEntryRecord,
  decodeSummary,
  entryKeyIndex,
  isEntryKey,
  SUMMARY_KEY,
  type Summary,
} from './log-record.js';
import type { Entry } from './types.js';

export interface ScannedLog {
  /** Undefined: there is none, or it is damaged. */
  readonly summary: Summary | undefined;
  /** After the summary's snapshot, as far as they are sound; none without a summary. */
  readonly entries: readonly Entry[];
  /** What is wrong; undefined where the summary and its entries belong together, or nothing is there. */
  readonly problem: string | undefined;
}

interface Rows {
  summary: Uint8Array | undefined;
  readonly entries: { index: LogIndex; value: Uint8Array }[];
}

export async function scanLog(db: Database): Promise<ScannedLog> {
  const rows: Rows = { summary: undefined, entries: [] };
  let unreadable: string | undefined;
  try {
    for await (const [key, value] of db.scan({})) {
      if (Buffer.compare(key, SUMMARY_KEY) === 0) rows.summary = value;
      else if (isEntryKey(key)) rows.entries.push({ index: entryKeyIndex(key), value });
    }
    // A scan may not reach it where a table is unreadable; a read of its own does.
    rows.summary ??= db.get(SUMMARY_KEY);
  } catch (error) {
    if (!isIdunnoError(error, 'CORRUPT')) throw error;
    unreadable = error.message;
  }
  const found = checkRows(rows);
  return unreadable === undefined ? found : { ...found, problem: unreadable };
}

function checkRows({ summary: bytes, entries: rows }: Rows): ScannedLog {
  if (bytes === undefined) {
    const [first] = rows;
    const problem = first && `entry ${first.index} is there, but no summary`;
    return { summary: undefined, entries: [], problem };
  }
  const decoded = decodeSummary(bytes);
  if ('broken' in decoded) {
    const problem = `the summary is damaged: ${decoded.broken}`;
    return { summary: undefined, entries: [], problem };
  }
  return checkChain(decoded.value, rows);
}

function checkChain(summary: Summary, rows: Rows['entries']): ScannedLog {
  const entries: Entry[] = [];
  let { index, term }: { index: LogIndex; term: Term } = summary.snapshot;
  const broken = (problem: string): ScannedLog => ({ summary, entries, problem });
  for (const { index: found, value } of rows) {
    // Left behind by a compaction that was cut off: not part of the log.
    if (found <= summary.snapshot.index) continue;
    if (found !== index + 1) return broken(`entries ${index + 1} to ${found - 1} are missing`);
    const record = decodeEntryRecord(value, found);
    if ('broken' in record) return broken(`entry ${found} is damaged: ${record.broken}`);
    if (record.value.prevTerm !== term || record.value.entry.term < term) {
      // Either of the two may be the wrong one.
      entries.pop();
      return broken(`entry ${found} does not follow entry ${index} of term ${term}`);
    }
    entries.push(record.value.entry);
    ({ index, term } = record.value.entry);
  }
  const { lastIndex, lastTerm, hardState } = summary;
  if (index === lastIndex && term === lastTerm && term <= hardState.term) {
    return { summary, entries, problem: undefined };
  }
  return broken(
    `it ends at entry ${index} of term ${term}, but its summary says entry ${lastIndex} of term ` +
      `${lastTerm}, now in term ${hardState.term}`,
  );
}
