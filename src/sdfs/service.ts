/**
 * The data node: answers the calls that move bytes (transfer.ts) from its blob store.
 *
 * Promises: no byte leaves whose checksum was not verified; nothing is deleted but on a leader's
 * order, meant for this life of the node (boot epoch) and not overtaken by a newer decision
 * (blob-guard.ts). How bytes come in: receiver.ts.
 *
 * Refuses: more reads than its bound (BUSY), calls of clients (node-calls.ts).
 */
import {
  asIdunnoError,
  type Clock,
  IdunnoError,
  isIdunnoError,
  type Logger,
} from '../base/index.js';
import type { Answer, Wire } from '../net/index.js';
import { BlobGuard } from './blob-guard.js';
import type { BlobStore } from './blob-store.js';
import {
  BLOBS_PER_ORDER_MAX,
  INVENTORY_PAGE_MAX,
  READ_MANY_BYTES_MAX,
  READ_MANY_FILES_MAX,
} from './limits.js';
import type { NodeCalls } from './node-calls.js';
import { Receiver, type ReceiverOptions } from './receiver.js';
import {
  aboutToWire,
  METHODS,
  readReplicate,
  readWriteRequest,
  replicateAnswerToWire,
  writeAnswerToWire,
} from './transfer.js';
import { readFlag, readInt, readList, readTuple } from './wire.js';

export interface SdfsServiceParts {
  readonly calls: NodeCalls;
  readonly blobs: BlobStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Told of a copy on this node that is damaged or not there. */
  readonly onBadCopy: (blob: number, error: IdunnoError) => void;
}

export const SERVICE_DEFAULTS: ReceiverOptions = { stallMs: 1_000, answerMs: 3_000 };

const READS_MAX = 256;

/** A part of a blob. */
interface BlobRange {
  readonly blob: number;
  readonly offset: number;
  readonly bytes: number;
}

export class SdfsService {
  readonly #parts: SdfsServiceParts;
  readonly #guard = new BlobGuard();
  readonly #receiver: Receiver;
  #reads = 0;

  constructor(options: ReceiverOptions, parts: SdfsServiceParts) {
    this.#parts = parts;
    this.#receiver = new Receiver(options, { ...parts, guard: this.#guard });
  }

  /** Opens the blob store, then answers. */
  async start(): Promise<void> {
    const { blobs, calls } = this.#parts;
    await blobs.start();
    calls.handle(METHODS.write, async (args, body, { signal }) => {
      const answer = await this.#receiver.write(readWriteRequest(args), body, signal);
      return { value: writeAnswerToWire(answer) };
    });
    calls.handle(METHODS.replicate, async (args, _body, { signal }) => {
      const answer = await this.#receiver.replicate(readReplicate(args), signal);
      return { value: replicateAnswerToWire(answer) };
    });
    calls.handle(METHODS.read, (args) => this.#handleRead(args));
    calls.handle(METHODS.readMany, (args) => this.#handleReadMany(args));
    calls.handle(METHODS.inventory, (args) => this.#handleInventory(args));
    calls.handle(METHODS.collect, (args) => this.#handleCollect(args));
    calls.handle(METHODS.space, () => this.#handleSpace());
  }

  async #handleRead(args: readonly Wire[]): Promise<Answer> {
    const blob = readInt(args[0], 'blob', 1);
    const offset = readInt(args[1], 'offset');
    const length = readInt(args[2], 'length', -1);
    const withAbout = readFlag(args[3], 'with about');
    this.#checkReads();
    const about = withAbout ? await this.#watch(blob, () => this.#parts.blobs.about(blob)) : null;
    const value = about === null ? [null] : [[about.bytes, aboutToWire(about)]];
    return { value, body: this.#read(blob, offset, length < 0 ? undefined : length) };
  }

  async *#read(blob: number, offset: number, length?: number): AsyncGenerator<Uint8Array> {
    this.#reads += 1;
    try {
      yield* this.#parts.blobs.read(blob, offset, length);
    } catch (error) {
      this.#reportBad(blob, error);
      throw error;
    } finally {
      this.#reads -= 1;
    }
  }

  async #handleReadMany(args: readonly Wire[]): Promise<Answer> {
    const ranges = readList(args[0], 'ranges', READ_MANY_FILES_MAX, readRange);
    const total = ranges.reduce((sum, range) => sum + range.bytes, 0);
    if (total > READ_MANY_BYTES_MAX) {
      throw new IdunnoError('BAD_ARGUMENT', `${total} bytes are too many for one call`);
    }
    this.#checkReads();
    this.#reads += 1;
    try {
      const found: (Uint8Array | IdunnoError)[] = [];
      for (const range of ranges) found.push(await this.#readRange(range));
      const value = found.map(
        (one): Wire => (one instanceof Uint8Array ? [one.length] : [-1, ...one.toWire()]),
      );
      return { value, body: concat(found) };
    } finally {
      this.#reads -= 1;
    }
  }

  async #readRange({ blob, offset, bytes }: BlobRange): Promise<Uint8Array | IdunnoError> {
    try {
      return await this.#watch(blob, () => this.#parts.blobs.readWhole(blob, offset, bytes));
    } catch (error) {
      return asIdunnoError(error);
    }
  }

  async #watch<T>(blob: number, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.#reportBad(blob, error);
      throw error;
    }
  }

  #reportBad(blob: number, error: unknown): void {
    const isBad = isIdunnoError(error, 'CORRUPT') || isIdunnoError(error, 'LOCAL_FILE_NOT_FOUND');
    if (!isBad || this.#guard.isCondemned(blob)) return;
    this.#parts.logger.warn('sdfs.bad-copy', { blob, error: error.message });
    this.#parts.onBadCopy(blob, error);
  }

  #checkReads(): void {
    if (this.#reads < READS_MAX) return;
    const { self } = this.#parts.calls;
    throw new IdunnoError('BUSY', `${self} serves ${this.#reads} reads already; try again`, {
      retryAfterMs: 100,
    });
  }

  #handleInventory(args: readonly Wire[]): Answer {
    const { blobs, calls } = this.#parts;
    const page = blobs.page(readInt(args[0], 'after'), INVENTORY_PAGE_MAX);
    return { value: [calls.bootEpoch, page, page.length < INVENTORY_PAGE_MAX] };
  }

  async #handleCollect(args: readonly Wire[]): Promise<Answer> {
    const term = readInt(args[0], 'term');
    const index = readInt(args[1], 'index');
    const epoch = readInt(args[2], 'epoch');
    const ordered = readList(args[3], 'blobs', BLOBS_PER_ORDER_MAX, (item, what) =>
      readInt(item, what, 1),
    );
    const { calls, blobs, logger } = this.#parts;
    if (epoch !== calls.bootEpoch || !this.#guard.heeds(term)) return { value: [] };
    const removed: number[] = [];
    for (const blob of ordered) {
      if (!this.#guard.maybeCondemn(blob, index) || !blobs.has(blob)) continue;
      await blobs.remove(blob);
      removed.push(blob);
    }
    if (removed.length > 0) logger.info('sdfs.collected', { blobs: removed.length, index });
    return { value: removed };
  }

  async #handleSpace(): Promise<Answer> {
    const { blobs, calls } = this.#parts;
    const { freeBytes, totalBytes } = await blobs.space();
    return { value: [calls.bootEpoch, freeBytes, totalBytes, blobs.syncFailure ?? null] };
  }
}

function readRange(item: Wire | undefined, what: string): BlobRange {
  const [blob, offset, bytes] = readTuple(item, what, 3);
  return {
    blob: readInt(blob, what, 1),
    offset: readInt(offset, what),
    bytes: readInt(bytes, what, 0, READ_MANY_BYTES_MAX),
  };
}

async function* concat(found: readonly (Uint8Array | IdunnoError)[]): AsyncGenerator<Uint8Array> {
  for (const one of found) if (one instanceof Uint8Array && one.length > 0) yield one;
}
