/**
 * A bounded pipe of chunks between a producer and one consumer, and the forwarding of a stream to
 * the next node through it.
 *
 * The bound is in bytes: a producer that is faster than the consumer waits, so a transfer holds a
 * few MiB whatever the file's size. A consumer that takes nothing for `stallMs` is given up: one
 * frozen node must not stop a whole chain.
 */
import {
  CHUNK_BYTES,
  type Clock,
  IdunnoError,
  MIB,
  type Timer,
  withTimeout,
} from '../base/index.js';
import { FORWARD_CHUNKS_MAX, FORWARD_PIECE_BYTES } from './limits.js';

const PIPE_BYTES_MAX = FORWARD_CHUNKS_MAX * MIB;

/** One producer, one consumer; each side may end it. */
export class ChunkPipe implements AsyncIterable<Uint8Array> {
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #isEnded = false;
  #isClosed = false;
  #error: unknown;
  #wakeConsumer: (() => void) | undefined;
  #wakeProducer: (() => void) | undefined;

  /** Bytes that wait for the consumer. */
  get bytes(): number {
    return this.#bytes;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Is there room for more? One chunk always fits into an empty pipe. */
  get hasRoom(): boolean {
    return this.#isClosed || this.#bytes < PIPE_BYTES_MAX;
  }

  /** The caller waits for room first; what comes after a close is dropped. */
  put(chunk: Uint8Array): void {
    if (this.#isClosed || this.#isEnded) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    this.#wakeConsumer?.();
  }

  /** Resolves when the consumer takes the next chunk, or the pipe is empty or closed. */
  async progress(): Promise<void> {
    if (this.#bytes === 0 || this.#isClosed) return;
    await new Promise<void>((wake) => {
      this.#wakeProducer = wake;
    });
  }

  /** No more chunks: the consumer takes what is left, then ends. */
  end(): void {
    this.#isEnded = true;
    this.#wakeConsumer?.();
  }

  /** The consumer's next step throws this. */
  fail(error: unknown): void {
    this.#error ??= error;
    this.close();
  }

  /** Drops what is left; nobody waits any more. */
  close(): void {
    this.#isClosed = true;
    this.#isEnded = true;
    this.#chunks = [];
    this.#bytes = 0;
    this.#wakeConsumer?.();
    this.#wakeProducer?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const chunk = this.#chunks.shift();
        if (chunk !== undefined) {
          this.#bytes -= chunk.length;
          this.#wakeProducer?.();
          yield chunk;
        } else if (this.#isEnded) {
          if (this.#error !== undefined) throw this.#error;
          return;
        } else {
          await new Promise<void>((wake) => {
            this.#wakeConsumer = wake;
          });
        }
      }
    } finally {
      this.close();
    }
  }
}

export interface ForwardOptions {
  readonly clock: Clock;
  /**
   * A receiver that takes nothing for so long is given up. Longer than the receiver itself waits
   * for the one behind it: else one frozen node would bring down the whole chain.
   */
  readonly stallMs: number;
  /** How long the answer may take after the last byte. */
  readonly answerMs: number;
}

/** Starts the call that carries the body, and returns its answer. */
export type SendBody<T> = (body: AsyncIterable<Uint8Array>, signal: AbortSignal) => Promise<T>;

/** Sends a stream on while somebody else decides how fast it comes. Never throws from `push`. */
export class Forwarder<T> {
  readonly #options: ForwardOptions;
  readonly #pipe = new ChunkPipe();
  readonly #abort = new AbortController();
  readonly #answer: Promise<T>;

  constructor(send: SendBody<T>, options: ForwardOptions) {
    this.#options = options;
    this.#answer = send(this.#pipe, this.#abort.signal);
    // Looked at in `finish`; a failure before must not count as unhandled. The pipe is closed so
    // that the producer does not wait for a consumer that is gone.
    this.#answer.catch(() => this.#pipe.close());
  }

  /** The receiver is gone or given up: pushing more is in vain. `finish` tells why. */
  get isOver(): boolean {
    return this.#pipe.isClosed;
  }

  /** Waits for room, but not for ever: after a stall or a failure chunks are dropped. */
  async push(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; at += FORWARD_PIECE_BYTES) {
      while (!this.#pipe.hasRoom) await this.#progress();
      this.#pipe.put(chunk.subarray(at, at + FORWARD_PIECE_BYTES));
    }
  }

  /** Ends the stream and returns the receiver's answer. Throws what went wrong with it. */
  async finish(): Promise<T> {
    this.#pipe.end();
    while (this.#pipe.bytes > 0) await this.#progress();
    const timer = this.#giveUpAfter(this.#options.answerMs, 'did not answer after the last byte');
    try {
      return await this.#answer;
    } finally {
      timer.cancel();
    }
  }

  /** The receiver takes something, or is given up. */
  async #progress(): Promise<void> {
    const timer = this.#giveUpAfter(this.#options.stallMs, 'took no data');
    await this.#pipe.progress();
    timer.cancel();
  }

  /** The stream broke off: the receiver must not take it for whole. */
  cancel(error: IdunnoError): void {
    this.#pipe.fail(error);
    this.#abort.abort(error);
  }

  #giveUpAfter(ms: number, what: string): Timer {
    return this.#options.clock.setTimer(ms, () => {
      this.cancel(new IdunnoError('TIMEOUT', `the next node ${what} for ${ms} ms`));
    });
  }
}

/** The body's chunks; throws TIMEOUT where the next one does not come within `stallMs`. */
export async function* guardStall(
  body: AsyncIterable<Uint8Array>,
  clock: Clock,
  stallMs: number,
  what: string,
): AsyncGenerator<Uint8Array> {
  const source = body[Symbol.asyncIterator]();
  let isWaiting = false;
  try {
    for (;;) {
      isWaiting = true;
      const next = await withTimeout(clock, source.next(), stallMs, what);
      isWaiting = false;
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    // A source that hangs in `next` would let `return` hang behind it: it ends by its own signal.
    const closing = source.return?.();
    if (isWaiting) closing?.catch(() => undefined);
    else await closing;
  }
}

/** Bytes in memory as a stream of pieces that fit any frame. */
export async function* inChunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    yield bytes.subarray(at, at + CHUNK_BYTES);
  }
}
