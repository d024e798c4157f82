/**
 * How bytes come onto a data node: written by a client or the node before it in a chain, or fetched
 * from another holder. `durable` is said only after the rename and the folder's sync.
 *
 * Refuses: writes on a disk above the 95 % mark (DISK_FULL), more streams than its bound (BUSY),
 * blobs whose deletion was ordered (INTENT_CLOSED).
 */
import { asIdunnoError, type Clock, IdunnoError, type NodeId } from '../base/index.js';
import type { BlobGuard } from './blob-guard.js';
import type { BlobStore } from './blob-store.js';
import type { BlobWriter } from './blob-writer.js';
import { Forwarder, guardStall } from './chunk-pipe.js';
import { abortReason, type NodeCalls } from './node-calls.js';
import {
  type DurableCopy,
  type FailedCopy,
  METHODS,
  type ReplicateAnswer,
  type ReplicateRequest,
  type ReplicateResult,
  readContent,
  readWriteAnswer,
  transferTimeoutMs,
  type WantedBlob,
  type WriteAnswer,
  type WriteRequest,
  writeRequestToWire,
} from './transfer.js';
import { readTuple } from './wire.js';

export interface ReceiverOptions {
  /** A next node that takes no data, or gives no answer, for so long is given up. */
  readonly stallMs: number;
  readonly answerMs: number;
}

export interface ReceiverParts {
  readonly calls: NodeCalls;
  readonly blobs: BlobStore;
  readonly guard: BlobGuard;
  readonly clock: Clock;
}

const WRITES_MAX = 64;
/** A source of a copy may be slower than a target of a put: nobody waits for it. */
const FETCH_STALL_FACTOR = 5;

export class Receiver {
  readonly #options: ReceiverOptions;
  readonly #parts: ReceiverParts;
  #writes = 0;

  constructor(options: ReceiverOptions, parts: ReceiverParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** Stores a body and passes it on along the chain. */
  async write(
    request: WriteRequest,
    body: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<WriteAnswer> {
    await this.#checkRoom(request.bytes);
    return this.#counted(() => this.#receive(request, body, signal));
  }

  /** Fetches blobs from another node, one after the other. */
  replicate(request: ReplicateRequest, signal: AbortSignal): Promise<ReplicateAnswer> {
    return this.#counted(async () => {
      const results: ReplicateResult[] = [];
      for (const wanted of request.blobs) {
        throwIfAborted(signal);
        results.push(await this.#replicateOne(request, wanted, signal));
      }
      return { epoch: this.#parts.calls.bootEpoch, results };
    });
  }

  async #counted<T>(work: () => Promise<T>): Promise<T> {
    if (this.#writes >= WRITES_MAX) {
      const { self } = this.#parts.calls;
      throw new IdunnoError('BUSY', `${self} takes ${this.#writes} writes already; try again`, {
        retryAfterMs: 100,
      });
    }
    this.#writes += 1;
    try {
      return await work();
    } finally {
      this.#writes -= 1;
    }
  }

  async #checkRoom(bytes: number): Promise<void> {
    const { blobs, calls } = this.#parts;
    const short = await blobs.bytesShort(Math.max(0, bytes));
    if (short === 0) return;
    throw new IdunnoError(
      'DISK_FULL',
      `${calls.self} is full: ${short} bytes short; delete files or add disks`,
      { node: calls.self, bytesShort: short },
    );
  }

  /** Whichever of storing and passing on fails, the other goes on. */
  async #receive(
    request: WriteRequest,
    body: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<WriteAnswer> {
    const { blob, content } = request;
    const { guard, blobs } = this.#parts;
    const stop = guard.admit(blob);
    const writer = blobs.writer(blob, content);
    const next = this.#forward(request);
    let failure: IdunnoError | undefined;
    try {
      for await (const chunk of body) {
        throwIfAborted(signal, stop.signal);
        const [written] = await Promise.allSettled([
          failure === undefined ? writer.write(chunk) : undefined,
          next?.push(chunk),
        ]);
        if (written.status === 'rejected') failure = asIdunnoError(written.reason);
        if (failure !== undefined && next === undefined) throw failure;
      }
      throwIfAborted(signal, stop.signal);
      return await this.#conclude(request, writer, next, failure);
    } catch (error) {
      next?.cancel(asIdunnoError(error));
      throw error;
    } finally {
      guard.leave(blob, stop);
      await writer.abort();
    }
  }

  #forward(request: WriteRequest): Forwarder<WriteAnswer> | undefined {
    const [next, ...chain] = request.chain;
    if (next === undefined) return undefined;
    const { calls, clock } = this.#parts;
    const { stallMs, answerMs } = this.#options;
    const args = writeRequestToWire({ ...request, chain });
    const timeoutMs = transferTimeoutMs(request.bytes);
    return new Forwarder(
      async (body, signal) => {
        const options = { timeoutMs, signal, lane: 'bulk' as const, body };
        return readWriteAnswer((await calls.call(next, METHODS.write, args, options)).value);
      },
      // Each further node waits for those behind it before it goes on or answers.
      {
        clock,
        stallMs: stallMs * request.chain.length,
        answerMs: answerMs * request.chain.length,
      },
    );
  }

  async #conclude(
    request: WriteRequest,
    writer: BlobWriter,
    next: Forwarder<WriteAnswer> | undefined,
    failure: IdunnoError | undefined,
  ): Promise<WriteAnswer> {
    const { self, bootEpoch } = this.#parts.calls;
    const [mine, theirs] = await Promise.allSettled([
      failure === undefined ? writer.finish() : Promise.reject(failure),
      next?.finish(),
    ]);
    const durable: DurableCopy[] = [];
    const failed: FailedCopy[] = [];
    if (mine.status === 'fulfilled') {
      const { bytes, sha256 } = mine.value;
      durable.push({ node: self, epoch: bootEpoch, bytes, sha256 });
    } else {
      const error = asIdunnoError(mine.reason);
      if (next === undefined) throw error;
      failed.push({ node: self, error });
    }
    if (theirs.status === 'rejected') {
      failed.push({ node: request.chain[0] as NodeId, error: asIdunnoError(theirs.reason) });
    } else if (theirs.value !== undefined) {
      durable.push(...theirs.value.durable);
      failed.push(...theirs.value.failed);
    }
    return { durable, failed };
  }

  async #replicateOne(
    request: ReplicateRequest,
    wanted: WantedBlob,
    signal: AbortSignal,
  ): Promise<ReplicateResult> {
    const { blob } = wanted;
    this.#parts.guard.pin(blob, request.index);
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
    const { blob, bytes, sha256 } = wanted;
    const { calls, blobs, guard, clock } = this.#parts;
    const stop = guard.admit(blob);
    let writer: BlobWriter | undefined;
    // While bytes are waited for, what goes wrong is the source's or the network's fault.
    let isSource = true;
    try {
      const { value, body } = await calls.call(from, METHODS.read, [blob, 0, -1, true], {
        timeoutMs: transferTimeoutMs(bytes),
        signal: AbortSignal.any([signal, stop.signal]),
        lane: 'bulk',
      });
      const [, content] = readTuple(readTuple(value, 'answer', 1)[0], 'about', 2);
      writer = blobs.writer(blob, readContent(content));
      const stallMs = this.#options.stallMs * FETCH_STALL_FACTOR;
      for await (const chunk of guardStall(body, clock, stallMs, `the next chunk of ${from}`)) {
        throwIfAborted(signal, stop.signal);
        isSource = false;
        await writer.write(chunk);
        isSource = true;
      }
      isSource = false;
      await writer.finish({ bytes, sha256 });
      return { blob, error: undefined, isSource };
    } catch (error) {
      const failure = asIdunnoError(error);
      // Bytes that are not those recorded came from the source, whenever it is found out.
      return { blob, error: failure, isSource: isSource || failure.code === 'CORRUPT' };
    } finally {
      guard.leave(blob, stop);
      await writer?.abort();
    }
  }
}

function throwIfAborted(...signals: readonly AbortSignal[]): void {
  for (const signal of signals) if (signal.aborted) throw abortReason(signal);
}
