/**
 * Writes the Raft log's batches, one after the other: everything queued while a batch is being
 * synced goes into the next one, and every batch is synced (an unsynced write may vanish below a
 * synced one when LevelDB changes its file). The watermark is moved after each.
 *
 * A failed write is final: everything after it is refused, and the process must end (a retried
 * fsync lies). What the batches hold is the log store's business (level-log-store.ts).
 */
import {
  assert,
  type BatchOp,
  type Database,
  IdunnoError,
  type Logger,
  must,
} from '../base/index.js';
import { encodeSummary, SUMMARY_KEY, type Summary } from './log-record.js';
import type { Watermark, WatermarkState } from './watermark.js';

/** One call: what it adds to a batch. */
export interface LogWrite {
  readonly ops: readonly BatchOp[];
  /** As of this call: the last one of a batch describes the batch. */
  readonly summary: Summary;
  readonly bytes: number;
  readonly changesVote: boolean;
}

export interface LogWriterParts {
  /** Named in messages. */
  readonly folder: string;
  readonly log: Logger;
  /** The database of now: a damaged one is replaced. */
  readonly db: () => Database;
}

/** A call, and who waits for it. */
interface QueuedWrite extends LogWrite {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Bytes of entries in one synced batch; more waits for the next. */
const BATCH_BYTES_MAX = 8 * 1024 * 1024;
/** Callers queue one batch each and await it or have a few in flight; more is a leak. */
const QUEUE_MAX = 4096;

export class LogWriter {
  readonly #parts: LogWriterParts;
  readonly #queue: QueuedWrite[] = [];
  #watermark: Watermark | undefined;
  #writing: Promise<void> | undefined;
  #failure: unknown;
  #isClosed = false;

  constructor(parts: LogWriterParts) {
    this.#parts = parts;
  }

  get isOpen(): boolean {
    return this.#watermark !== undefined;
  }

  get isWriting(): boolean {
    return this.#writing !== undefined;
  }

  /** Opens the watermark; a write of it that fails is as final as one of the log. */
  async open(
    openWatermark: (onFailure: (error: unknown) => void) => Promise<Watermark>,
  ): Promise<void> {
    this.#watermark = await openWatermark((error) => this.#fail(error));
  }

  /** Resolves when it is on disk. */
  write(write: LogWrite): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    assert(!this.#isClosed && this.isOpen, 'the log is not open');
    assert(this.#queue.length < QUEUE_MAX, 'the queue of the log writer is full');
    return new Promise((resolve, reject) => {
      this.#queue.push({ ...write, resolve, reject });
      this.#writing ??= this.#writeQueue();
    });
  }

  /** Resolves when nothing is being written. */
  async drained(): Promise<void> {
    await this.#writing;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#writing;
    await this.#watermark?.close();
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
      await this.#parts.db().batch(ops, { sync: true });
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
    this.#parts.log.error('raft.log-failed', { folder: this.#parts.folder, error });
  }
}

export function toWatermark(summary: Summary): WatermarkState {
  const { hardState, lastIndex, lastTerm, seq } = summary;
  return { term: hardState.term, vote: hardState.vote, lastIndex, lastTerm, seq };
}
