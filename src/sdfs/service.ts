/**
 * The data node: answers the calls that move bytes (transfer.ts) from its blob store.
 *
 * Promises: `durable` is answered only after the rename and the folder's sync; no byte leaves
 * whose checksum was not verified; nothing is deleted but on a leader's order, and not when
 *   - the order was meant for an earlier life of this node (boot epoch), or
 *   - it comes from an earlier leader than one heard before (term), or
 *   - the blob was ordered here by a newer decision than the order's (log index).
 * So a deletion that was under way while the leader changed cannot take away a copy that the next
 * leader made.
 *
 * Refuses: writes on a disk above the 95 % mark (DISK_FULL), more streams than its bounds (BUSY),
 * blobs whose deletion was already ordered (INTENT_CLOSED).
 */
import {
  asIdunnoError,
  type Clock,
  IdunnoError,
  isIdunnoError,
  type Logger,
  type NodeId,
} from '../base/index.js';
import type { Answer, HandlerContext, Wire } from '../net/index.js';
import type { BlobStore } from './blob-store.js';
import type { BlobWriter } from './blob-writer.js';
import { BoundedMap } from './bounded-map.js';
import { Forwarder, guardStall } from './chunk-pipe.js';
import {
  BLOBS_PER_ORDER_MAX,
  INVENTORY_PAGE_MAX,
  READ_MANY_BYTES_MAX,
  READ_MANY_FILES_MAX,
} from './limits.js';
import type { NodeCalls } from './node-calls.js';
import {
  aboutToWire,
  METHODS,
  type ReplicateRequest,
  type ReplicateResult,
  readContent,
  readReplicate,
  readWriteAnswer,
  readWriteRequest,
  replicateAnswerToWire,
  transferTimeoutMs,
  type WantedBlob,
  type WriteAnswer,
  type WriteRequest,
  writeAnswerToWire,
  writeRequestToWire,
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

export interface SdfsServiceOptions {
  /** A next node that takes no data, or gives no answer, for so long is given up. */
  readonly stallMs: number;
  readonly answerMs: number;
}

export const SERVICE_DEFAULTS: SdfsServiceOptions = { stallMs: 1_000, answerMs: 5_000 };

const WRITES_MAX = 64;
const READS_MAX = 256;
/** Deletion orders and pins that are remembered. */
const REMEMBERED_MAX = 10_000;

export class SdfsService {
  readonly #options: SdfsServiceOptions;
  readonly #parts: SdfsServiceParts;
  readonly #inbound = new Map<number, Set<AbortController>>();
  readonly #deleted = new BoundedMap<number, true>(REMEMBERED_MAX);
  /** The newest log index at which a leader ordered this blob to be here. */
  readonly #pins = new BoundedMap<number, number>(REMEMBERED_MAX);
  #writes = 0;
  #reads = 0;
  #newestTerm = 0;

  constructor(options: SdfsServiceOptions, parts: SdfsServiceParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** Opens the blob store, then answers. */
  async start(): Promise<void> {
    const { blobs, calls } = this.#parts;
    await blobs.start();
    calls.handle(METHODS.write, (args, body, context) => this.#handleWrite(args, body, context));
    calls.handle(METHODS.read, (args) => this.#handleRead(args));
    calls.handle(METHODS.readMany, (args) => this.#handleReadMany(args));
    calls.handle(METHODS.replicate, (args, _body, context) => this.#handleReplicate(args, context));
    calls.handle(METHODS.inventory, (args) => this.#handleInventory(args));
    calls.handle(METHODS.collect, (args) => this.#handleCollect(args));
    calls.handle(METHODS.space, () => this.#handleSpace());
  }

  // --- writing -------------------------------------------------------------------------------

  async #handleWrite(
    args: readonly Wire[],
    body: AsyncIterable<Uint8Array>,
    context: HandlerContext,
  ): Promise<Answer> {
    const request = readWriteRequest(args);
    await this.#checkRoom(request.bytes);
    if (this.#writes >= WRITES_MAX) throw this.#busy('writes', this.#writes);
    this.#writes += 1;
    try {
      return { value: writeAnswerToWire(await this.#receive(request, body, context.signal)) };
    } finally {
      this.#writes -= 1;
    }
  }

  async #checkRoom(bytes: number): Promise<void> {
    const { blobs, calls } = this.#parts;
    const short = await blobs.bytesShort(bytes < 0 ? 0 : bytes);
    if (short === 0) return;
    throw new IdunnoError(
      'DISK_FULL',
      `${calls.self} is full: ${short} bytes short; delete files or add disks`,
      { node: calls.self, bytesShort: short },
    );
  }

  /** Stores the body and passes it on; whichever of the two fails, the other goes on. */
  async #receive(
    request: WriteRequest,
    body: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<WriteAnswer> {
    const { blob, content } = request;
    const stop = this.#admit(blob);
    const writer = this.#parts.blobs.writer(blob, content);
    const next = this.#forward(request);
    let local: IdunnoError | undefined;
    try {
      for await (const chunk of body) {
        throwIfAborted(signal, stop.signal);
        const [written] = await Promise.allSettled([
          local === undefined ? writer.write(chunk) : Promise.resolve(),
          next?.push(chunk),
        ]);
        if (written.status === 'rejected') local ??= asIdunnoError(written.reason);
        if (local !== undefined && next === undefined) throw local;
      }
      throwIfAborted(signal, stop.signal);
      return await this.#conclude(request, writer, next, local);
    } catch (error) {
      next?.cancel(asIdunnoError(error));
      throw error;
    } finally {
      this.#leave(blob, stop);
      await writer.abort();
    }
  }

  /** Registers a write, so that a deletion order for its blob can stop it. */
  #admit(blob: number): AbortController {
    if (this.#deleted.has(blob)) {
      throw new IdunnoError('INTENT_CLOSED', `the write under intent ${blob} is over`, { blob });
    }
    const stop = new AbortController();
    const streams = this.#inbound.get(blob) ?? new Set();
    this.#inbound.set(blob, streams.add(stop));
    return stop;
  }

  #leave(blob: number, stop: AbortController): void {
    const streams = this.#inbound.get(blob);
    streams?.delete(stop);
    if (streams?.size === 0) this.#inbound.delete(blob);
  }

  #forward(request: WriteRequest): Forwarder<WriteAnswer> | undefined {
    const [next, ...chain] = request.chain;
    if (next === undefined) return undefined;
    const { calls, clock } = this.#parts;
    const args = writeRequestToWire({ ...request, chain });
    const timeoutMs = transferTimeoutMs(request.bytes);
    return new Forwarder(
      async (body, signal) => {
        const options = { timeoutMs, signal, lane: 'bulk' as const, body };
        return readWriteAnswer((await calls.call(next, METHODS.write, args, options)).value);
      },
      // Each further node adds its own syncs to the answer.
      {
        clock,
        stallMs: this.#options.stallMs,
        answerMs: this.#options.answerMs * request.chain.length,
      },
    );
  }

  async #conclude(
    request: WriteRequest,
    writer: BlobWriter,
    next: Forwarder<WriteAnswer> | undefined,
    failure: IdunnoError | undefined,
  ): Promise<WriteAnswer> {
    const { calls } = this.#parts;
    const node = calls.self;
    const [mine, theirs] = await Promise.allSettled([
      failure === undefined ? writer.finish() : Promise.reject(failure),
      next?.finish(),
    ]);
    const durable = [];
    const failed = [];
    if (mine.status === 'fulfilled') {
      const { bytes, sha256 } = mine.value;
      durable.push({ node, epoch: calls.bootEpoch, bytes, sha256 });
    } else {
      const error = asIdunnoError(mine.reason);
      if (next === undefined) throw error;
      failed.push({ node, error });
    }
    if (theirs.status === 'rejected') {
      failed.push({ node: request.chain[0] as NodeId, error: asIdunnoError(theirs.reason) });
    } else if (theirs.value !== undefined) {
      durable.push(...theirs.value.durable);
      failed.push(...theirs.value.failed);
    }
    return { durable, failed };
  }

  // --- reading -------------------------------------------------------------------------------

  async #handleRead(args: readonly Wire[]): Promise<Answer> {
    const blob = readInt(args[0], 'blob', 1);
    const offset = readInt(args[1], 'offset');
    const length = readInt(args[2], 'length', -1);
    const withAbout = readFlag(args[3], 'with about');
    if (this.#reads >= READS_MAX) throw this.#busy('reads', this.#reads);
    const about = withAbout ? await this.#watch(blob, () => this.#parts.blobs.about(blob)) : null;
    const value = about === null ? [null] : [[about.bytes, aboutToWire(about)]];
    return { value, body: this.read(blob, offset, length < 0 ? undefined : length) };
  }

  /** Verified bytes of a blob on this node; a damaged copy is reported. */
  async *read(blob: number, offset: number, length?: number): AsyncGenerator<Uint8Array> {
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
    const ranges = readList(args[0], 'ranges', READ_MANY_FILES_MAX, (item, what) => {
      const [blob, offset, bytes] = readTuple(item, what, 3);
      return {
        blob: readInt(blob, what, 1),
        offset: readInt(offset, what),
        bytes: readInt(bytes, what, 0, READ_MANY_BYTES_MAX),
      };
    });
    const total = ranges.reduce((sum, range) => sum + range.bytes, 0);
    if (total > READ_MANY_BYTES_MAX) {
      throw new IdunnoError('BAD_ARGUMENT', `${total} bytes are too many for one call`);
    }
    if (this.#reads >= READS_MAX) throw this.#busy('reads', this.#reads);
    this.#reads += 1;
    try {
      const found = await this.readMany(ranges);
      const value = found.map((one) =>
        one instanceof Uint8Array ? [one.length] : [-1, ...one.toWire()],
      );
      return { value, body: concat(found) };
    } finally {
      this.#reads -= 1;
    }
  }

  /** Ranges of blobs on this node, in order; each whole or an error. The caller bounds them. */
  async readMany(
    ranges: readonly { blob: number; offset: number; bytes: number }[],
  ): Promise<(Uint8Array | IdunnoError)[]> {
    const found: (Uint8Array | IdunnoError)[] = [];
    for (const { blob, offset, bytes } of ranges) {
      try {
        found.push(await this.#watch(blob, () => this.#parts.blobs.readWhole(blob, offset, bytes)));
      } catch (error) {
        found.push(asIdunnoError(error));
      }
    }
    return found;
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
    if (!isBad || this.#deleted.has(blob)) return;
    this.#parts.logger.warn('sdfs.bad-copy', { blob, error: error.message });
    this.#parts.onBadCopy(blob, error);
  }

  // --- copying -------------------------------------------------------------------------------

  async #handleReplicate(args: readonly Wire[], context: HandlerContext): Promise<Answer> {
    const request = readReplicate(args);
    if (this.#writes >= WRITES_MAX) throw this.#busy('writes', this.#writes);
    this.#writes += 1;
    try {
      const results: ReplicateResult[] = [];
      for (const wanted of request.blobs) {
        throwIfAborted(context.signal);
        results.push(await this.#replicateOne(request, wanted, context.signal));
      }
      return { value: replicateAnswerToWire({ epoch: this.#parts.calls.bootEpoch, results }) };
    } finally {
      this.#writes -= 1;
    }
  }

  async #replicateOne(
    request: ReplicateRequest,
    wanted: WantedBlob,
    signal: AbortSignal,
  ): Promise<ReplicateResult> {
    const { blob } = wanted;
    this.#pins.set(blob, Math.max(request.index, this.#pins.get(blob) ?? 0));
    this.#deleted.delete(blob);
    try {
      if (!request.force && (await this.#hasGood(wanted))) {
        return { blob, error: undefined, isSource: false };
      }
      await this.#checkRoom(wanted.bytes);
    } catch (error) {
      return { blob, error: asIdunnoError(error), isSource: false };
    }
    return this.#fetch(request.from, wanted, signal);
  }

  /** Its description is right; its bytes are checked whenever they are read. */
  async #hasGood(wanted: WantedBlob): Promise<boolean> {
    const { blobs } = this.#parts;
    if (!blobs.has(wanted.blob)) return false;
    try {
      const about = await blobs.about(wanted.blob);
      return about.sha256 === wanted.sha256 && about.bytes === wanted.bytes;
    } catch {
      return false;
    }
  }

  async #fetch(from: NodeId, wanted: WantedBlob, signal: AbortSignal): Promise<ReplicateResult> {
    const { blob } = wanted;
    const { calls, blobs } = this.#parts;
    const stop = this.#admit(blob);
    let writer: BlobWriter | undefined;
    // Until all bytes are here, what goes wrong is the source's or the network's fault.
    let isSource = true;
    try {
      const { value, body } = await calls.call(from, METHODS.read, [blob, 0, -1, true], {
        timeoutMs: transferTimeoutMs(wanted.bytes),
        signal: AbortSignal.any([signal, stop.signal]),
        lane: 'bulk',
      });
      const [, content] = readTuple(readTuple(value, 'answer', 1)[0], 'about', 2);
      writer = blobs.writer(blob, readContent(content));
      const { stallMs } = this.#options;
      const whole = guardStall(body, this.#parts.clock, stallMs * 5, `the next chunk of ${from}`);
      for await (const chunk of whole) {
        throwIfAborted(signal, stop.signal);
        isSource = false;
        await writer.write(chunk);
        isSource = true;
      }
      const expected = { bytes: wanted.bytes, sha256: wanted.sha256 };
      isSource = false;
      await writer.finish(expected);
      return { blob, error: undefined, isSource };
    } catch (error) {
      const failure = asIdunnoError(error);
      // Bytes that are not those recorded came from the source, whenever it is found out.
      return { blob, error: failure, isSource: isSource || failure.code === 'CORRUPT' };
    } finally {
      this.#leave(blob, stop);
      await writer?.abort();
    }
  }

  // --- housekeeping --------------------------------------------------------------------------

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
    const { calls, logger } = this.#parts;
    if (epoch !== calls.bootEpoch || term < this.#newestTerm) return { value: [] };
    this.#newestTerm = term;
    const removed: number[] = [];
    for (const blob of ordered) {
      if ((this.#pins.get(blob) ?? 0) >= index) continue;
      await this.#remove(blob);
      removed.push(blob);
    }
    if (removed.length > 0) logger.info('sdfs.collected', { blobs: removed.length, index });
    return { value: removed };
  }

  async #remove(blob: number): Promise<void> {
    this.#deleted.set(blob, true);
    const over = new IdunnoError('INTENT_CLOSED', `the write under intent ${blob} is over`);
    for (const stop of this.#inbound.get(blob) ?? []) stop.abort(over);
    if (this.#parts.blobs.has(blob)) await this.#parts.blobs.remove(blob);
  }

  async #handleSpace(): Promise<Answer> {
    const { blobs, calls } = this.#parts;
    const { freeBytes, totalBytes } = await blobs.space();
    return { value: [calls.bootEpoch, freeBytes, totalBytes, blobs.syncFailure ?? null] };
  }

  #busy(what: string, count: number): IdunnoError {
    const { self } = this.#parts.calls;
    return new IdunnoError('BUSY', `${self} serves ${count} ${what} already; try again`, {
      retryAfterMs: 100,
    });
  }
}

function throwIfAborted(...signals: readonly AbortSignal[]): void {
  for (const signal of signals) {
    if (!signal.aborted) continue;
    if (signal.reason instanceof IdunnoError) throw signal.reason;
    throw new IdunnoError('ABORTED', 'the transfer was interrupted');
  }
}

async function* concat(found: readonly (Uint8Array | IdunnoError)[]): AsyncGenerator<Uint8Array> {
  for (const one of found) {
    if (one instanceof Uint8Array && one.length > 0) yield one;
  }
}
