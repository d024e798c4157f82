/**
 * Frames on their way into a connection. Those of one turn of the event loop leave together: a
 * write is a system call, and a busy node answers many calls per turn. Large bodies are written as
 * they are, never copied. Order is the order of `push`.
 */
import { type Connection, KIB } from '../base/index.js';

/** Waiting for the end of the turn would only delay so much. */
const FLUSH_BYTES = 64 * KIB;

/** Longer pieces are cheaper to write alone than to copy. */
const COPY_BYTES_MAX = 16 * KIB;

export class Outbox {
  readonly #connection: Connection;
  #pieces: Uint8Array[] = [];
  #bytes = 0;
  #isScheduled = false;
  #isFull = false;
  #waiting: (() => void)[] = [];

  constructor(connection: Connection) {
    this.#connection = connection;
    connection.onDrain(() => this.#onDrain());
  }

  /** Bytes that the machine has not taken yet. */
  get unsentBytes(): number {
    return this.#bytes + this.#connection.bufferedBytes;
  }

  push(head: Uint8Array, body: Uint8Array): void {
    this.#pieces.push(head);
    this.#bytes += head.length + body.length;
    if (body.length > 0) this.#pieces.push(body);
    if (this.#bytes >= FLUSH_BYTES) this.flush();
    else this.#schedule();
  }

  /** Resolves when the connection takes more, or is closed. At once in the usual case. */
  writable(): Promise<void> | undefined {
    if (!this.#isFull) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  flush(): void {
    if (this.#pieces.length === 0) return;
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#bytes = 0;
    let small: Uint8Array[] = [];
    for (const piece of pieces) {
      if (piece.length <= COPY_BYTES_MAX) {
        small.push(piece);
        continue;
      }
      this.#write(small);
      this.#write([piece]);
      small = [];
    }
    this.#write(small);
  }

  /** The connection is gone: nobody waits any longer. */
  stop(): void {
    this.#pieces = [];
    this.#bytes = 0;
    this.#onDrain();
  }

  #write(pieces: readonly Uint8Array[]): void {
    const [first] = pieces;
    if (first === undefined) return;
    const whole = pieces.length === 1 ? first : Buffer.concat(pieces);
    if (!this.#connection.write(whole)) this.#isFull = true;
  }

  /** After the promises of this turn, so that the answers they bring are in. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      process.nextTick(() => {
        this.#isScheduled = false;
        this.flush();
      });
    });
  }

  #onDrain(): void {
    this.#isFull = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }
}
