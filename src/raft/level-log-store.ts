/**
 * The Raft log on a Database (LevelDB), verified by itself because LevelDB does not: a damaged
 * stretch in the middle of its files vanishes without an error.
 *
 *     s                 the summary (log-record.ts), rewritten in every batch
 *     l <index, u64>    one record per entry
 *
 * One writer: everything queued while a batch is being synced goes into the next one, and every
 * batch is synced (an unsynced write may vanish below a synced one when LevelDB changes its file).
 * Truncation deletes the tail in the batch that replaces it. A failed write is final: everything
 * after it is refused, and the process must end (a retried fsync lies).
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
import {
  decodeEntryRecord,
  encodeEntryRecord,
  encodeSummary,
  entryKey,
  SUMMARY_KEY,
  type Summary,
} from './log-record.js';
import { scanLog } from './log-scan.js';
import { judge, type Verdict } from './recovery.js';
import { readNote, removeNote, writeNote } from './suspect-note.js';
import { TermRuns } from './term-runs.js';
import type { Entry, HardState, LoadedLog, LogBatch, LogStore, SnapshotMeta } from './types.js';
import { Watermark, type WatermarkState } from './watermark.js';

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

/** One queued call: what it adds to a batch, and who waits. */
interface QueuedWrite {
  readonly ops: readonly BatchOp[];
  /** As of this call: the last one of a batch describes the batch. */
  readonly summary: Summary;
  readonly bytes: number;
  readonly changesVote: boolean;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Bytes of entries in one synced batch; more waits for the next. */
const BATCH_BYTES_MAX = 8 * 1024 * 1024;
/** Callers queue one batch each and await it or have a few in flight; more is a leak. */
const QUEUE_MAX = 4096;
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
  readonly #queue: QueuedWrite[] = [];
  #db: Database;
  #watermark: Watermark | undefined;
  #hardState: HardState = { term: 0, vote: undefined };
  #snapshot: SnapshotMeta = EMPTY_SNAPSHOT;
  /** As of the last queued call, not of the disk. */
  #lastIndex: LogIndex = 0;
  #terms = new TermRuns(0, 0);
  #seq = 0;
  #writing: Promise<void> | undefined;
  #failure: unknown;
  #isClosed = false;
  #trimmedFrom: LogIndex | undefined;
  #trimmedEntries = 0;

  constructor(options: LevelLogStoreOptions, parts: LevelLogStoreParts) {
    this.#options = options;
    this.#parts = parts;
    this.#db = parts.db;
  }

  async load(): Promise<LoadedLog> {
    assert(this.#watermark === undefined, 'the log is loaded twice');
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
    await this.#writing;
    await this.#replaceDatabase();
    this.#adopt({ hardState, snapshot }, []);
    await this.#enqueue([], 0, true);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#writing;
    await this.#watermark?.close();
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
    const onFailure = (error: unknown): void => this.#fail(error);
    const state = initial && toWatermark(initial);
    const { watermarkPath } = this.#options;
    this.#watermark = await Watermark.open(watermarkPath, { disk, clock, onFailure }, state);
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
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    assert(!this.#isClosed && this.#watermark !== undefined, 'the log is not open');
    assert(this.#queue.length < QUEUE_MAX, 'the queue of the log writer is full');
    this.#seq += 1;
    const summary = this.#summary();
    return new Promise((resolve, reject) => {
      this.#queue.push({ ops, summary, bytes, changesVote, resolve, reject });
      this.#writing ??= this.#writeQueue();
    });
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

  async #writeQueue(): Promise<void> {
    // One turn of patience: what the same turn of the event loop queues shares the sync.
    await Promise.resolve();
    while (this.#queue.length > 0 && this.#failure === undefined) await this.#writeBatch();
    for (const write of this.#queue.splice(0)) write.reject(this.#failure);
    this.#writing = undefined;
  }

  async #writeBatch(): Promise<void> {
    const writes = this.#takeWrites();
    const ops: BatchOp[] = [];
    for (const write of writes) for (const op of write.ops) ops.push(op);
    const { summary } = must(writes.at(-1), 'write');
    ops.push({ type: 'put', key: SUMMARY_KEY, value: encodeSummary(summary) });
    const watermark = must(this.#watermark, 'watermark');
    try {
      await this.#db.batch(ops, { sync: true });
      watermark.note(toWatermark(summary));
      // A vote that is visible must be remembered even if LevelDB forgets the batch.
      if (writes.some((write) => write.changesVote)) await watermark.sync();
    } catch (error) {
      this.#fail(error);
    }
    for (const write of writes) {
      if (this.#failure === undefined) write.resolve();
      else write.reject(this.#failure);
    }
  }

  #takeWrites(): QueuedWrite[] {
    let bytes = 0;
    let count = 0;
    for (const write of this.#queue) {
      bytes += write.bytes;
      if (count > 0 && bytes > BATCH_BYTES_MAX) break;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = error ?? new IdunnoError('DISK_ERROR', 'the log could not be written');
    this.#parts.log.error('raft.log-failed', { folder: this.#options.folder, error });
  }

  /** Tombstones of a trimmed prefix cost reads until they are compacted; do it when idle. */
  async #maybeCompactRange(): Promise<void> {
    if (this.#trimmedEntries < TRIM_COMPACT_ENTRIES || this.#writing !== undefined) return;
    const from = this.#trimmedFrom ?? 0;
    this.#trimmedFrom = undefined;
    this.#trimmedEntries = 0;
    await this.#db.compact({ gte: entryKey(from), lt: entryKey(this.#firstIndex) });
  }
}

function toWatermark(summary: Summary): WatermarkState {
  const { hardState, lastIndex, lastTerm, seq } = summary;
  return { term: hardState.term, vote: hardState.vote, lastIndex, lastTerm, seq };
}
