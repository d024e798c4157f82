/**
 * Frames on their way into a connection. Those of one turn of the event loop leave together: a
 * write is a system call, and a busy node answers many calls per turn. Large bodies are written as
 * they are, never copied. Order is the order of `push`.
 */
import { type Clock, type Connection, KIB, type Timer } from '../base/index.js';
import { STALL_TIMEOUT_MS } from './limits.js';

/** Waiting for the end of the turn would only delay so much. */
const FLUSH_BYTES = 64 * KIB;

/** Longer pieces are cheaper to write alone than to copy. */
const COPY_BYTES_MAX = 16 * KIB;

export class Outbox {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #onStall: () => void;
  #pieces: Uint8Array[] = [];
  #bytes = 0;
  #isScheduled = false;
  #isFull = false;
  #waiting: (() => void)[] = [];

  #stall: Timer | undefined;
  /** Bytes given to the connection in all. */
  #written = 0;

  /** `onStall`: the peer has not taken anything for a long time, although something waits. */
  constructor(connection: Connection, clock: Clock, onStall: () => void) {
    this.#connection = connection;
    this.#clock = clock;
    this.#onStall = onStall;
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

  /** Resolves when everything is sent, or the connection is closed. */
  drained(): Promise<void> {
    this.flush();
    return this.writable() ?? Promise.resolve();
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
    this.#written += whole.length;
    if (this.#connection.write(whole)) return;
    this.#isFull = true;
    this.#watchStall();
  }

  /** From the first full buffer until it is empty: something has to move all the time. */
  #watchStall(): void {
    if (this.#stall !== undefined) return;
    const taken = this.#written - this.#connection.bufferedBytes;
    this.#stall = this.#clock.setTimer(STALL_TIMEOUT_MS, () => {
      this.#stall = undefined;
      if (this.#written - this.#connection.bufferedBytes === taken) this.#onStall();
      else this.#watchStall();
    });
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
    this.#stall?.cancel();
    this.#stall = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }
}
