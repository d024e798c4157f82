/**
 * The boot scan: reads the whole log back and checks all that can be checked. Each record's
 * checksum and index, contiguity, the chain of terms, the summary against the last entry, and the
 * watermark against the summary. Anything wrong throws CORRUPT with what, where and the next step.
 *
 * A log that does not exist is not an error; a log that once existed and is gone is.
 */
import { type Database, IdunnoError } from '../base/index.js';
import {
  type Decoded,
  decodeEntryRecord,
  decodeSummary,
  entryKey,
  entryKeyIndex,
  SUMMARY_KEY,
  type Summary,
} from './log-record.js';
import type { Entry } from './types.js';
import type { WatermarkState } from './watermark.js';

export interface ScannedLog {
  readonly summary: Summary;
  readonly entries: readonly Entry[];
}

/** Undefined: there is no log yet. `folder` is for messages. Throws CORRUPT. */
export async function scanLog(
  db: Database,
  folder: string,
  mark: WatermarkState | undefined,
): Promise<ScannedLog | undefined> {
  const bytes = db.get(SUMMARY_KEY);
  if (bytes === undefined) {
    await checkNothingThere(db, folder, mark);
    return undefined;
  }
  const summary = unwrap(folder, decodeSummary(bytes), 'the summary');
  checkWatermark(folder, summary, mark);
  return { summary, entries: await readEntries(db, folder, summary) };
}

/** The error of a log that cannot be trusted. */
export function corruptLog(folder: string, problem: string): IdunnoError {
  return new IdunnoError(
    'CORRUPT',
    `the Raft log in ${folder} cannot be trusted: ${problem}. This node must not vote. ` +
      'Check the disk; then move the folder away, so that the node starts empty and is sent the ' +
      'state by the others',
    { what: problem, path: folder },
  );
}

async function checkNothingThere(
  db: Database,
  folder: string,
  mark: WatermarkState | undefined,
): Promise<void> {
  if (mark !== undefined && mark.seq > 0) {
    throw corruptLog(folder, `it is gone, but once ended at entry ${mark.lastIndex}`);
  }
  for await (const [key] of db.scan({ gte: entryKey(0), limit: 1 })) {
    throw corruptLog(folder, `entry ${entryKeyIndex(key)} is there, but no summary`);
  }
}

function checkWatermark(folder: string, summary: Summary, mark: WatermarkState | undefined): void {
  if (mark === undefined) throw corruptLog(folder, 'its watermark file is missing');
  const { hardState, lastIndex, seq } = summary;
  const isVoteLost =
    hardState.term === mark.term && mark.vote !== undefined && hardState.vote !== mark.vote;
  if (seq >= mark.seq && hardState.term >= mark.term && !isVoteLost) return;
  throw corruptLog(
    folder,
    `it is at batch ${seq} (term ${hardState.term}, entry ${lastIndex}), but batch ${mark.seq} ` +
      `(term ${mark.term}, entry ${mark.lastIndex}) was once durable`,
  );
}

async function readEntries(db: Database, folder: string, summary: Summary): Promise<Entry[]> {
  const entries: Entry[] = [];
  let { index, term } = summary.snapshot;
  for await (const [key, value] of db.scan({ gte: entryKey(index + 1), lt: SUMMARY_KEY })) {
    const found = entryKeyIndex(key);
    if (found !== index + 1) {
      throw corruptLog(folder, `entries ${index + 1} to ${found - 1} are missing`);
    }
    const record = unwrap(folder, decodeEntryRecord(value, found), `entry ${found}`);
    if (record.prevTerm !== term || record.entry.term < term) {
      throw corruptLog(folder, `entry ${found} does not follow entry ${index} of term ${term}`);
    }
    entries.push(record.entry);
    ({ index, term } = record.entry);
  }
  const { lastIndex, lastTerm, hardState } = summary;
  if (index === lastIndex && term === lastTerm && term <= hardState.term) return entries;
  throw corruptLog(
    folder,
    `it ends at entry ${index} of term ${term}, but its summary says entry ${lastIndex} of term ` +
      `${lastTerm}, now in term ${hardState.term}`,
  );
}

function unwrap<T>(folder: string, decoded: Decoded<T>, what: string): T {
  if ('value' in decoded) return decoded.value;
  throw corruptLog(folder, `${what} is damaged: ${decoded.broken}`);
}
