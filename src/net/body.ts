/**
 * Bodies in motion. The receiver says how much it can take (credit), the sender never sends more:
 * a slow reader holds up its own stream only, and memory stays within the window.
 *
 * `BodyReader` is the receiving end, handed to handlers and callers as an AsyncIterable;
 * `BodyPump` is the sending end. Both can be ended from outside at any time, and then settle.
 */
import { assert, IdunnoError } from '../base/index.js';
import { INITIAL_WINDOW_BYTES, STREAM_CHUNK_BYTES } from './limits.js';

export type Body = AsyncIterable<Uint8Array>;

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** The body of a message that has none. */
export const EMPTY_BODY: Body = {
  [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve(DONE) }),
};

/** A body that came whole. */
export function wholeBody(bytes: Uint8Array): Body {
  if (bytes.length === 0) return EMPTY_BODY;
  return {
    async *[Symbol.asyncIterator]() {
      yield bytes;
    },
  };
}

/** The body as one piece. Throws BAD_ARGUMENT beyond the bound, and what the body throws. */
export async function readBody(body: Body, bytesMax: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of body) {
    length += piece.length;
    if (length > bytesMax) {
      throw new IdunnoError('BAD_ARGUMENT', `a body is longer than the ${bytesMax} bytes allowed`);
    }
    pieces.push(piece);
  }
  const [first] = pieces;
  if (pieces.length === 1 && first !== undefined) return first;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

export interface ReaderOptions {
  /** How far the sender may be ahead. */
  readonly windowBytes: number;
  /** Tell the sender that it may send so much more. */
  readonly grant: (bytes: number) => void;
  /** The reader wants no more, before the end. */
  readonly abandon: () => void;
}

export class BodyReader implements Body {
  readonly #options: ReaderOptions;
  #pieces: Uint8Array[] = [];
  /** What the sender may still send: it must never be overdrawn. */
  #allowed: number;
  /** Read, but not granted again yet. */
  #owed = 0;
  #isEnded = false;
  #isTaken = false;
  #error: IdunnoError | undefined;
  #waiting: { resolve: () => void } | undefined;

  constructor(options: ReaderOptions) {
    this.#options = options;
    this.#allowed = Math.max(INITIAL_WINDOW_BYTES, options.windowBytes);
    const more = this.#allowed - INITIAL_WINDOW_BYTES;
    if (more > 0) options.grant(more);
  }

  /** False when the sender sent more than it was allowed. */
  push(bytes: Uint8Array): boolean {
    if (this.#isEnded) return true;
    this.#allowed -= bytes.length;
    if (this.#allowed < 0) return false;
    if (bytes.length > 0) this.#pieces.push(bytes);
    this.#wake();
    return true;
  }

  end(): void {
    this.#isEnded = true;
    this.#wake();
  }

  /** What came before is dropped: a broken body is no body. */
  fail(error: IdunnoError): void {
    if (this.#isEnded) return;
    this.#error = error;
    this.#isEnded = true;
    this.#pieces = [];
    this.#wake();
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    assert(!this.#isTaken, 'a body is read twice');
    this.#isTaken = true;
    return { next: () => this.#next(), return: () => this.#stop() };
  }

  async #next(): Promise<IteratorResult<Uint8Array, undefined>> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) {
        this.#release(piece.length);
        return { done: false, value: piece };
      }
      const error = this.#error;
      if (error !== undefined) throw error;
      if (this.#isEnded) return DONE;
      await new Promise<void>((resolve) => {
        this.#waiting = { resolve };
      });
    }
  }

  async #stop(): Promise<IteratorReturnResult<undefined>> {
    this.#pieces = [];
    if (!this.#isEnded) {
      this.#isEnded = true;
      this.#options.abandon();
    }
    this.#wake();
    return DONE;
  }

  /** Granted in quarters of the window: often enough to keep the sender busy, with few messages. */
  #release(bytes: number): void {
    this.#owed += bytes;
    if (this.#isEnded || this.#owed < this.#options.windowBytes / 4) return;
    this.#allowed += this.#owed;
    this.#options.grant(this.#owed);
    this.#owed = 0;
  }

  #wake(): void {
    this.#waiting?.resolve();
    this.#waiting = undefined;
  }
}

export interface PumpOptions {
  /** Sends one piece; the last may be empty. */
  readonly send: (bytes: Uint8Array, isLast: boolean) => void;
  /** Resolves when the connection takes more. */
  readonly writable: () => Promise<void> | undefined;
  /** The source threw. */
  readonly fail: (error: unknown) => void;
  readonly done: () => void;
}

export class BodyPump {
  readonly #options: PumpOptions;
  #credit = INITIAL_WINDOW_BYTES;
  #isStopped = false;
  /** Ends the wait that the pump is in: for the source, or for credit. */
  #wake: (() => void) | undefined;

  constructor(source: Body | Uint8Array, options: PumpOptions) {
    this.#options = options;
    void this.#run(source instanceof Uint8Array ? wholeBody(source) : source);
  }

  addCredit(bytes: number): void {
    this.#credit += bytes;
    this.#wake?.();
  }

  /** Sends no more and lets go of the source. */
  stop(): void {
    this.#isStopped = true;
    this.#wake?.();
  }

  async #run(source: Body): Promise<void> {
    const iterator = source[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await this.#nextOf(iterator);
        if (this.#isStopped || next === undefined) break;
        if (next.done === true) {
          this.#options.send(new Uint8Array(0), true);
          this.#options.done();
          return;
        }
        await this.#sendPiece(next.value);
      }
      // Not awaited: a source that hangs in `next` would hang here too.
      iterator.return?.()?.then(undefined, () => undefined);
    } catch (error) {
      if (!this.#isStopped) this.#options.fail(error);
    }
  }

  /** The source's next piece; undefined when stopped meanwhile. */
  #nextOf(iterator: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array> | undefined> {
    return new Promise((resolve, reject) => {
      this.#wake = () => {
        if (this.#isStopped) resolve(undefined);
      };
      iterator.next().then(resolve, reject);
    });
  }

  async #sendPiece(piece: Uint8Array): Promise<void> {
    let at = 0;
    while (at < piece.length && !this.#isStopped) {
      if (this.#credit <= 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      // Asked again after each wait: of many streams that wake together, the first fill it up.
      const full = this.#options.writable();
      if (full !== undefined) {
        await full;
        continue;
      }
      const length = Math.min(piece.length - at, this.#credit, STREAM_CHUNK_BYTES);
      this.#credit -= length;
      this.#options.send(piece.subarray(at, at + length), false);
      at += length;
    }
  }
}
