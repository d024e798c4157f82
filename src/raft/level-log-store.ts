/**
 * The Raft log on a Database (LevelDB), verified by itself because LevelDB does not: a damaged
 * stretch in the middle of its files vanishes without an error.
 *
 *     s                 the summary (log-record.ts), rewritten in every batch
 *     l <index, u64>    one record per entry
 *
 * One writer (log-writer.ts), one batch after the other, all of them synced. Truncation deletes the
 * tail in the batch that replaces it.
 *
 * The boot scan (log-scan.ts) checks each record, contiguity, the chain of terms and the summary;
 * with the watermark file (watermark.ts) it is judged (recovery.ts). A log that may have lost
 * something is cut to what is sound, in a database made anew, and the node is suspect: noted
 * durably before anything is repaired, since a node that has lost what it once acknowledged must
 * not vote as if it had not.
 *
 * Sources: Raft §5.1-5.3 for what must be stable; Alagappan et al., "Protocol-Aware Recovery"
 * (FAST '18) for why a damaged log is not just a shorter log.
 */
import {
  assert,
  assertNever,
  type BatchOp,
  type Clock,
  type Database,
  type Disk,
  IdunnoError,
  type LogIndex,
  type Logger,
  must,
} from '../base/index.js';
import { decodeEntryRecord, encodeEntryRecord, entryKey, type Summary } from './log-record.js';
import { scanLog } from './log-scan.js';
import { LogWriter, toWatermark } from './log-writer.js';
import { judge, type Verdict } from './recovery.js';
import { readNote, removeNote, writeNote } from './suspect-note.js';
import { TermRuns } from './term-runs.js';
import type { Entry, HardState, LoadedLog, LogBatch, LogStore, SnapshotMeta } from './types.js';
import { Watermark } from './watermark.js';

export interface LevelLogStoreOptions {
  /** Named in messages: where an operator has to look. Holds the watermark and the note. */
  readonly folder: string;
  readonly watermarkPath: string;
  /** The database could not be opened, and this one is a new, empty one: what was wrong. */
  readonly damage?: string | undefined;
}

export interface LevelLogStoreParts {
  readonly db: Database;
  /** Moves the closed database away and opens an empty one; absent: the rows are deleted. */
  readonly replaceDb?: () => Promise<Database>;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Entries of one batch when what is sound is written anew. */
const REWRITE_ENTRIES = 512;
/** Trimmed entries after which the old prefix's tombstones are compacted away. */
const TRIM_COMPACT_ENTRIES = 50_000;
const EMPTY_SNAPSHOT: SnapshotMeta = {
  index: 0,
  term: 0,
  conf: { voters: [], outgoing: [], learners: [] },
};

export class LevelLogStore implements LogStore {
  readonly #options: LevelLogStoreOptions;
  readonly #parts: LevelLogStoreParts;
  readonly #writer: LogWriter;
  #db: Database;
  #hardState: HardState = { term: 0, vote: undefined };
  #snapshot: SnapshotMeta = EMPTY_SNAPSHOT;
  /** As of the last queued call, not of the disk. */
  #lastIndex: LogIndex = 0;
  #terms = new TermRuns(0, 0);
  #seq = 0;
  #trimmedFrom: LogIndex | undefined;
  #trimmedEntries = 0;

  constructor(options: LevelLogStoreOptions, parts: LevelLogStoreParts) {
    this.#options = options;
    this.#parts = parts;
    this.#db = parts.db;
    const { folder } = options;
    this.#writer = new LogWriter({ folder, log: parts.log, db: () => this.#db });
  }

  async load(): Promise<LoadedLog> {
    assert(!this.#writer.isOpen, 'the log is loaded twice');
    const { watermarkPath, damage, folder } = this.#options;
    const { disk, log } = this.#parts;
    const mark = await Watermark.read(disk, watermarkPath);
    const scan = await scanLog(this.#db);
    const note = await readNote(disk, this.#notePath);
    const verdict = judge({ scan, mark, note, damage });
    this.#seq = Math.max(scan.summary?.seq ?? 0, mark?.newest?.seq ?? 0);
    switch (verdict.kind) {
      case 'empty':
        await this.#openWatermark();
        return this.#loaded([]);
      case 'sound':
        if (verdict.isMarkDamaged) log.warn('raft.watermark-repaired', { path: watermarkPath });
        this.#adopt(must(scan.summary, 'summary'), scan.entries);
        await this.#openWatermark(verdict.isMarkDamaged ? this.#summary() : undefined);
        return this.#loaded(scan.entries);
      case 'suspect':
        log.error('raft.log-damaged', { folder, reason: verdict.reason, verdict: 'suspect' });
        return this.#recover(verdict);
      case 'wiped':
        log.error('raft.log-damaged', { folder, reason: verdict.reason, verdict: 'wiped' });
        return this.#forgetAll(verdict.reason);
      default:
        return assertNever(verdict, 'verdict');
    }
  }

  async doubt(reason: string): Promise<void> {
    await writeNote(this.#parts.disk, this.#notePath, reason, this.#hardState);
  }

  async trust(): Promise<void> {
    await removeNote(this.#parts.disk, this.#notePath, this.#options.folder);
  }

  write(batch: LogBatch): Promise<void> {
    const { hardState, truncateFrom, append } = batch;
    const changesVote =
      hardState !== undefined &&
      (hardState.term !== this.#hardState.term || hardState.vote !== this.#hardState.vote);
    const ops: BatchOp[] = [];
    let bytes = 0;
    if (truncateFrom !== undefined) this.#truncate(truncateFrom, ops);
    for (const entry of append) {
      assert(entry.index === this.#lastIndex + 1, `gap in the log before ${entry.index}`);
      const prevTerm = this.#terms.at(this.#lastIndex);
      assert(entry.term >= prevTerm, `term ${entry.term} at ${entry.index} goes back`);
      const value = encodeEntryRecord(entry, prevTerm);
      ops.push({ type: 'put', key: entryKey(entry.index), value });
      bytes += value.length;
      this.#lastIndex = entry.index;
      this.#terms.push(entry.index, entry.term);
    }
    if (hardState !== undefined) {
      assert(hardState.term >= this.#hardState.term, `term ${hardState.term} goes back`);
      this.#hardState = hardState;
    }
    return this.#enqueue(ops, bytes, changesVote);
  }

  async read(from: LogIndex, to: LogIndex, bytesMax: number): Promise<Entry[]> {
    assert(from >= this.#firstIndex, `entry ${from} is compacted`);
    const entries: Entry[] = [];
    let bytes = 0;
    const range = { gte: entryKey(from), lt: entryKey(to), limit: to - from };
    for await (const [, value] of this.#db.scan(range)) {
      const index = from + entries.length;
      const record = decodeEntryRecord(value, index);
      if ('broken' in record) {
        const { folder } = this.#options;
        throw new IdunnoError(
          'CORRUPT',
          `entry ${index} of the Raft log in ${folder} is damaged: ${record.broken}. ` +
            'Restart the node: it is repaired then. Check the disk',
          { path: folder },
        );
      }
      bytes += value.length;
      if (bytes > bytesMax && entries.length > 0) break;
      entries.push(record.value.entry);
    }
    return entries;
  }

  async compact(meta: SnapshotMeta): Promise<void> {
    if (meta.index <= this.#snapshot.index) return;
    assert(meta.index <= this.#lastIndex, `cannot compact to ${meta.index}: not in the log`);
    assert(meta.term === this.#terms.at(meta.index), `compaction at ${meta.index}: another term`);
    const ops: BatchOp[] = [];
    for (let index = this.#firstIndex; index <= meta.index; index += 1) {
      ops.push({ type: 'del', key: entryKey(index) });
    }
    this.#trimmedFrom ??= this.#firstIndex;
    this.#trimmedEntries += ops.length;
    this.#snapshot = meta;
    this.#terms.dropBefore(meta.index);
    await this.#enqueue(ops, 0, false);
    await this.#maybeCompactRange();
  }

  reset(meta: SnapshotMeta, hardState: HardState): Promise<void> {
    assert(hardState.term >= this.#hardState.term, `term ${hardState.term} goes back`);
    const ops: BatchOp[] = [];
    for (let index = this.#firstIndex; index <= this.#lastIndex; index += 1) {
      ops.push({ type: 'del', key: entryKey(index) });
    }
    this.#hardState = hardState;
    this.#snapshot = meta;
    this.#lastIndex = meta.index;
    this.#terms = new TermRuns(meta.index, meta.term);
    return this.#enqueue(ops, 0, true);
  }

  async startOver(snapshot: SnapshotMeta, hardState: HardState): Promise<void> {
    await this.#writer.drained();
    await this.#replaceDatabase();
    this.#adopt({ hardState, snapshot }, []);
    await this.#enqueue([], 0, true);
  }

  async close(): Promise<void> {
    await this.#writer.close();
    await this.#db.close();
  }

  get #firstIndex(): LogIndex {
    return this.#snapshot.index + 1;
  }

  get #notePath(): string {
    return `${this.#options.folder}/suspect.json`;
  }

  /** The log from now on, in memory. */
  #adopt(
    { hardState, snapshot }: Pick<Summary, 'hardState' | 'snapshot'>,
    entries: readonly Entry[],
  ): void {
    this.#hardState = hardState;
    this.#snapshot = snapshot;
    this.#lastIndex = entries.at(-1)?.index ?? snapshot.index;
    this.#terms = new TermRuns(snapshot.index, snapshot.term);
    for (const entry of entries) this.#terms.push(entry.index, entry.term);
  }

  #loaded(entries: readonly Entry[]): LoadedLog {
    return { hardState: this.#hardState, snapshot: this.#snapshot, entries };
  }

  async #openWatermark(initial?: Summary): Promise<void> {
    const { disk, clock } = this.#parts;
    await this.#writer.open((onFailure) =>
      Watermark.open(
        this.#options.watermarkPath,
        { disk, clock, onFailure },
        initial && toWatermark(initial),
      ),
    );
  }

  /** Cut to what is sound; in this order, so that a crash leaves a suspect node at every point. */
  async #recover(verdict: Extract<Verdict, { kind: 'suspect' }>): Promise<LoadedLog> {
    const { reason, hardState, keep, isDatabaseBroken } = verdict;
    await writeNote(this.#parts.disk, this.#notePath, reason, hardState);
    if (isDatabaseBroken) await this.#replaceDatabase();
    const entries = (keep?.entries ?? []).filter(({ term }) => term <= hardState.term);
    const snapshot = keep?.snapshot ?? EMPTY_SNAPSHOT;
    this.#adopt({ hardState, snapshot }, isDatabaseBroken ? [] : entries);
    this.#seq += 1;
    await this.#openWatermark(this.#summary());
    await this.#enqueue([], 0, true);
    if (!isDatabaseBroken) return { ...this.#loaded(entries), doubt: reason };
    for (let at = 0; at < entries.length; at += REWRITE_ENTRIES) {
      await this.write({ append: entries.slice(at, at + REWRITE_ENTRIES) });
    }
    return { ...this.#loaded(entries), doubt: reason };
  }

  /** Nothing of the former self stays. */
  async #forgetAll(reason: string): Promise<LoadedLog> {
    const { disk } = this.#parts;
    await this.#replaceDatabase();
    await disk.remove(this.#options.watermarkPath);
    await removeNote(disk, this.#notePath, this.#options.folder);
    this.#seq = 0;
    await this.#openWatermark();
    return { ...this.#loaded([]), wiped: reason };
  }

  async #replaceDatabase(): Promise<void> {
    const { replaceDb } = this.#parts;
    if (replaceDb !== undefined) {
      await this.#db.close();
      this.#db = await replaceDb();
      return;
    }
    const ops: BatchOp[] = [];
    for await (const [key] of this.#db.scan({})) ops.push({ type: 'del', key });
    await this.#db.batch(ops, { sync: true });
  }

  #truncate(from: LogIndex, ops: BatchOp[]): void {
    assert(from >= this.#firstIndex, `cannot truncate at ${from}: it is compacted`);
    for (let index = from; index <= this.#lastIndex; index += 1) {
      ops.push({ type: 'del', key: entryKey(index) });
    }
    this.#lastIndex = Math.min(this.#lastIndex, from - 1);
    this.#terms.truncate(from);
  }

  #enqueue(ops: readonly BatchOp[], bytes: number, changesVote: boolean): Promise<void> {
    this.#seq += 1;
    return this.#writer.write({ ops, summary: this.#summary(), bytes, changesVote });
  }

  #summary(): Summary {
    return {
      hardState: this.#hardState,
      snapshot: this.#snapshot,
      lastIndex: this.#lastIndex,
      lastTerm: this.#terms.at(this.#lastIndex),
      seq: this.#seq,
    };
  }

  /** Tombstones of a trimmed prefix cost reads until they are compacted; do it when idle. */
  async #maybeCompactRange(): Promise<void> {
    if (this.#trimmedEntries < TRIM_COMPACT_ENTRIES || this.#writer.isWriting) return;
    const from = this.#trimmedFrom ?? 0;
    this.#trimmedFrom = undefined;
    this.#trimmedEntries = 0;
    await this.#db.compact({ gte: entryKey(from), lt: entryKey(this.#firstIndex) });
  }
}
